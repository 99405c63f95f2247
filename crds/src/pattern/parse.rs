//! RE2's grammar (its `doc/syntax.txt`, with the Perl syntax that RE2 has on by default), read into a small tree.
//!
//! Accepts and refuses what RE2 does, including its oddities: `{` is literal unless a count follows, `a*(?i)*` is no
//! repetition of a repetition, leading zeros make a count literal text. The committed vectors hold RE2's own verdicts.

mod class;
mod escape;

use super::MAX_LENGTH;
use super::ascii::Ascii;
use super::error::{PatternError, Reason};

/// Most that a repetition may count to, nested ones multiplied (RE2's `maximum_repeat_count`).
const MAX_REPEAT: u32 = 1000;
/// Counts from here on are literal text in RE2, not a repetition that is too large.
const LITERAL_COUNT: u32 = 100_000_000;

/// What a pattern says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// One character of a set.
    Class(Ascii),
    Look(Look),
    /// One after the other; empty matches the empty text.
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    /// `most` is `None` for no upper bound; `counted` for braces, which RE2 limits, and not for `*`, `+`, `?`.
    Repeat {
        item: Box<Node>,
        least: u32,
        most: Option<u32>,
        counted: bool,
    },
}

/// A condition on a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
}

/// A parsed pattern.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
}

impl Parsed {
    /// Whether the pattern is an alternation without a group around it.
    pub(super) const fn is_alternation(&self) -> bool {
        matches!(self.node, Node::Either(_))
    }
}

/// Parses a pattern of at most [`MAX_LENGTH`] characters.
pub(super) fn parse(pattern: &str) -> Result<Parsed, PatternError> {
    parse_within(pattern, MAX_LENGTH)
}

/// Parses a pattern of at most `longest` characters.
pub(super) fn parse_within(pattern: &str, longest: usize) -> Result<Parsed, PatternError> {
    let characters: Vec<char> = pattern.chars().collect();
    if characters.len() > longest {
        return Err(PatternError::new(pattern, longest, Reason::TooLong));
    }
    let mut parser = Parser::new(&characters);
    parser.run().map(|node| Parsed { node }).map_err(|Refused(at, reason)| PatternError::new(pattern, at, reason))
}

/// A refusal and its position.
struct Refused(usize, Reason);

/// Flags that change what follows; greediness is parsed and has no effect on whether a name matches.
#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

/// An open group, or the whole pattern.
struct Frame {
    /// Where it was opened.
    at: usize,
    /// The flags to return to when it closes.
    outer: Flags,
    branches: Vec<Node>,
    items: Vec<Node>,
}

impl Frame {
    const fn new(at: usize, outer: Flags) -> Self {
        Self { at, outer, branches: Vec::new(), items: Vec::new() }
    }

    fn next_branch(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.branches.push(Node::Sequence(items));
    }

    /// A single branch is a sequence, so that a group around an alternation hides it from [`Parsed::is_alternation`].
    fn close(mut self) -> Node {
        self.next_branch();
        if self.branches.len() == 1 { self.branches.swap_remove(0) } else { Node::Either(self.branches) }
    }
}

struct Parser<'a> {
    text: &'a [char],
    at: usize,
    flags: Flags,
    frame: Frame,
    outer: Vec<Frame>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [char]) -> Self {
        let flags = Flags::default();
        Self { text, at: 0, flags, frame: Frame::new(0, flags), outer: Vec::new() }
    }

    fn run(&mut self) -> Result<Node, Refused> {
        let mut after_repetition = false;
        while let Some(character) = self.peek() {
            let start = self.at;
            let repetition = match character {
                '*' => Some((0, None, false)),
                '+' => Some((1, None, false)),
                '?' => Some((0, Some(1), false)),
                '{' => self.count().map(|(least, most)| (least, most, true)),
                _ => None,
            };
            if let Some((least, most, counted)) = repetition {
                if !counted {
                    self.at += 1;
                }
                self.take_if('?');
                if after_repetition {
                    return Err(Refused(start, Reason::RepeatedRepetition));
                }
                self.repeat(start, least, most, counted)?;
                after_repetition = true;
            } else {
                self.item(character)?;
                after_repetition = false;
            }
        }
        if !self.outer.is_empty() {
            return Err(Refused(self.frame.at, Reason::MissingParenthesis));
        }
        Ok(std::mem::replace(&mut self.frame, Frame::new(0, self.flags)).close())
    }

    /// Everything but repetitions.
    fn item(&mut self, character: char) -> Result<(), Refused> {
        match character {
            '(' if self.rest().starts_with(&['(', '?']) => return self.special_group(),
            '(' => self.open(1),
            ')' => self.close()?,
            '|' => {
                self.at += 1;
                self.frame.next_branch();
            }
            '^' => self.look(1, if self.flags.multi_line { Look::LineStart } else { Look::TextStart }),
            '$' => self.look(1, if self.flags.multi_line { Look::LineEnd } else { Look::TextEnd }),
            '.' => {
                self.at += 1;
                let newline = if self.flags.dot_newline { Ascii::default() } else { Ascii::NEWLINE };
                self.push(Node::Class(Ascii::ALL.without(newline)));
            }
            '[' => {
                let set = self.class()?;
                self.push(Node::Class(set));
            }
            '\\' => self.backslash()?,
            literal => {
                self.at += 1;
                self.literal(literal);
            }
        }
        Ok(())
    }

    /// A backslash outside a class.
    fn backslash(&mut self) -> Result<(), Refused> {
        match self.text.get(self.at + 1) {
            Some('b') => self.look(2, Look::WordEdge),
            Some('B') => self.look(2, Look::NoWordEdge),
            Some('A') => self.look(2, Look::TextStart),
            Some('z') => self.look(2, Look::TextEnd),
            Some('C') => {
                // "Any byte": in ASCII that is any character.
                self.at += 2;
                self.push(Node::Class(Ascii::ALL));
            }
            Some('Q') => {
                self.at += 2;
                while let Some(character) = self.peek() {
                    if self.rest().starts_with(&['\\', 'E']) {
                        self.at += 2;
                        break;
                    }
                    self.at += 1;
                    self.literal(character);
                }
            }
            _ => {
                let set = match self.class_escape()? {
                    Some(set) => set,
                    None => {
                        let character = self.escape()?;
                        Ascii::range(character, character, self.flags.fold_case)
                    }
                };
                self.push(Node::Class(set));
            }
        }
        Ok(())
    }

    /// A count in braces, `{n}`, `{n,}` or `{n,m}`; anything else after `{` is literal, and nothing is consumed.
    fn count(&mut self) -> Option<(u32, Option<u32>)> {
        let start = self.at;
        let parsed = self.braces();
        if parsed.is_none() {
            self.at = start;
        }
        parsed
    }

    fn braces(&mut self) -> Option<(u32, Option<u32>)> {
        self.at += 1;
        let least = self.number()?;
        let most =
            if self.take_if(',') { if self.peek()? == '}' { None } else { Some(self.number()?) } } else { Some(least) };
        self.take_if('}').then_some((least, most))
    }

    /// A decimal number as RE2 reads counts: no leading zero, below [`LITERAL_COUNT`] before the last digit.
    fn number(&mut self) -> Option<u32> {
        let digit = |character: Option<&char>| character.and_then(|character| character.to_digit(10));
        let first = digit(self.text.get(self.at))?;
        if first == 0 && digit(self.text.get(self.at + 1)).is_some() {
            return None;
        }
        let mut number = 0;
        while let Some(next) = digit(self.text.get(self.at)) {
            if number >= LITERAL_COUNT {
                return None;
            }
            number = number * 10 + next;
            self.at += 1;
        }
        Some(number)
    }

    fn repeat(&mut self, start: usize, least: u32, most: Option<u32>, counted: bool) -> Result<(), Refused> {
        if least > MAX_REPEAT || most.is_some_and(|most| most > MAX_REPEAT || most < least) {
            return Err(Refused(start, Reason::RepeatCount));
        }
        let item = self.frame.items.pop().ok_or(Refused(start, Reason::NothingToRepeat))?;
        let node = Node::Repeat { item: Box::new(item), least, most, counted };
        if counted && (least >= 2 || most.is_some_and(|most| most >= 2)) && allowance(&node, MAX_REPEAT) == 0 {
            return Err(Refused(start, Reason::RepeatCount));
        }
        self.push(node);
        Ok(())
    }

    /// `(?…`: flags, a group that is not captured, a named group.
    fn special_group(&mut self) -> Result<(), Refused> {
        let rest = self.rest();
        let after = |skip: usize, options: &[char]| rest.get(skip).is_some_and(|next| options.contains(next));
        if after(2, &['=', '!']) || (after(2, &['<']) && after(3, &['=', '!'])) {
            return Err(Refused(self.at, Reason::LookAround));
        }
        let named = if after(2, &['<']) {
            Some(3)
        } else if after(2, &['P']) && after(3, &['<']) && rest.len() > 4 {
            Some(4)
        } else {
            None
        };
        if let Some(begin) = named {
            let end = rest.iter().position(|character| *character == '>').ok_or(Refused(self.at, Reason::GroupName))?;
            let name = rest.get(begin..end).unwrap_or_default();
            if name.is_empty() || !name.iter().all(|character| regex_syntax::is_word_character(*character)) {
                return Err(Refused(self.at, Reason::GroupName));
            }
            self.open(end + 1);
            return Ok(());
        }
        self.flag_group()
    }

    /// `(?flags)` and `(?flags:`.
    fn flag_group(&mut self) -> Result<(), Refused> {
        let start = self.at;
        let mut flags = self.flags;
        let mut negated = false;
        let mut saw_flag = false;
        self.at += 2;
        loop {
            let next = self.peek();
            self.at += 1;
            let unknown = || {
                let end = self.text.len().min(self.at);
                Refused(start, Reason::UnknownGroup(self.text[start..end].iter().collect()))
            };
            match next {
                Some('i') => flags.fold_case = !negated,
                Some('m') => flags.multi_line = !negated,
                Some('s') => flags.dot_newline = !negated,
                Some('U') => {}
                Some('-') if !negated => {
                    negated = true;
                    saw_flag = false;
                    continue;
                }
                Some(end @ (':' | ')')) if !negated || saw_flag => {
                    if end == ':' {
                        let frame = Frame::new(start, self.flags);
                        self.outer.push(std::mem::replace(&mut self.frame, frame));
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(unknown()),
            }
            saw_flag = true;
        }
    }

    fn open(&mut self, length: usize) {
        let frame = Frame::new(self.at, self.flags);
        self.at += length;
        self.outer.push(std::mem::replace(&mut self.frame, frame));
    }

    fn close(&mut self) -> Result<(), Refused> {
        let outer = self.outer.pop().ok_or(Refused(self.at, Reason::UnexpectedParenthesis))?;
        self.at += 1;
        let group = std::mem::replace(&mut self.frame, outer);
        self.flags = group.outer;
        self.push(group.close());
        Ok(())
    }

    fn look(&mut self, length: usize, look: Look) {
        self.at += length;
        self.push(Node::Look(look));
    }

    fn literal(&mut self, character: char) {
        self.push(Node::Class(Ascii::range(character, character, self.flags.fold_case)));
    }

    fn push(&mut self, node: Node) {
        self.frame.items.push(node);
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [char] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }
}

/// What is left of an allowance of repetitions after every path through counted repetitions has divided it; 0 is too
/// much (RE2's `RepetitionWalker`).
fn allowance(node: &Node, left: u32) -> u32 {
    match node {
        Node::Class(_) | Node::Look(_) => left,
        Node::Sequence(nodes) | Node::Either(nodes) => {
            nodes.iter().map(|node| allowance(node, left)).min().unwrap_or(left)
        }
        Node::Repeat { item, least, most, counted } => {
            let times = most.unwrap_or(*least);
            allowance(item, if *counted && times > 0 { left / times } else { left })
        }
    }
}
