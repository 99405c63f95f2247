//! Character classes: `[…]`, `[:name:]`, `\d`, `\p{…}`.

use super::super::ascii::Ascii;
use super::super::error::Reason;
use super::super::property;
use super::{Parser, Refused};

impl Parser<'_> {
    /// A class in brackets. `&&`, `--`, `~~` and `[` in it are ordinary members.
    pub(super) fn class(&mut self) -> Result<Ascii, Refused> {
        let start = self.at;
        let fold = self.flags.fold_case;
        self.at += 1;
        let negated = self.take_if('^');
        let mut set = Ascii::default();
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(Refused(start, Reason::MissingBracket)),
                Some(']') if !first => break,
                Some(_) => {}
            }
            first = false;
            let members = match self.posix()? {
                Some(members) => Some(members),
                None if self.peek() == Some('\\') => self.class_escape()?,
                None => None,
            };
            set = set.or(match members {
                Some(members) => members,
                None => self.range(start, fold)?,
            });
        }
        self.at += 1;
        Ok(if negated { set.negated() } else { set })
    }

    /// One member or a range.
    fn range(&mut self, class: usize, fold: bool) -> Result<Ascii, Refused> {
        let start = self.at;
        let low = self.member(class)?;
        // A hyphen before the closing bracket is a member.
        let high = match self.rest() {
            ['-', next, ..] if *next != ']' => {
                self.at += 1;
                self.member(class)?
            }
            _ => low,
        };
        if high < low {
            let text = self.text[start..self.at].iter().collect();
            return Err(Refused(start, Reason::BackwardsRange(text)));
        }
        Ok(Ascii::range(low, high, fold))
    }

    fn member(&mut self, class: usize) -> Result<char, Refused> {
        match self.peek() {
            None => Err(Refused(class, Reason::MissingBracket)),
            Some('\\') => self.escape(),
            Some(character) => {
                self.at += 1;
                Ok(character)
            }
        }
    }

    /// `[:name:]` or `[:^name:]` inside a class; without a later `:]` the bracket is an ordinary member.
    fn posix(&mut self) -> Result<Option<Ascii>, Refused> {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix(&['[', ':']) else { return Ok(None) };
        let Some(length) = inside.windows(2).position(|pair| pair == [':', ']']) else { return Ok(None) };
        let name: String = inside[..length].iter().collect();
        let (negated, plain) = match name.strip_prefix('^') {
            Some(plain) => (true, plain),
            None => (false, name.as_str()),
        };
        let members = Ascii::posix(plain).ok_or(Refused(self.at, Reason::UnknownClass(format!("[:{name}:]"))))?;
        self.at += length + 4;
        Ok(Some(self.group(members, negated)))
    }

    /// `\d`, `\D`, `\s`, `\S`, `\w`, `\W`, `\p…`, `\P…`; `None`, and nothing consumed, for any other escape.
    pub(super) fn class_escape(&mut self) -> Result<Option<Ascii>, Refused> {
        let (members, negated) = match self.text.get(self.at + 1) {
            Some('d') => (Ascii::DIGIT, false),
            Some('D') => (Ascii::DIGIT, true),
            Some('s') => (Ascii::SPACE, false),
            Some('S') => (Ascii::SPACE, true),
            Some('w') => (Ascii::WORD, false),
            Some('W') => (Ascii::WORD, true),
            Some(letter @ ('p' | 'P')) => return self.property(*letter == 'P').map(Some),
            _ => return Ok(None),
        };
        self.at += 2;
        Ok(Some(self.group(members, negated)))
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}` and the same with `\P`.
    fn property(&mut self, negated: bool) -> Result<Ascii, Refused> {
        let start = self.at;
        let rest = self.rest().get(2..).unwrap_or_default();
        let unknown = |name: &[char]| Refused(start, Reason::UnknownProperty(name.iter().collect()));
        let (name, length) = match rest {
            [] => return Err(unknown(&[])),
            ['{', inside @ ..] => {
                let end = inside.iter().position(|character| *character == '}').ok_or_else(|| unknown(inside))?;
                (&inside[..end], end + 2)
            }
            [letter, ..] => (std::slice::from_ref(letter), 1),
        };
        let (inverted, plain) = match name {
            ['^', plain @ ..] => (true, plain),
            _ => (false, name),
        };
        let members = property::lookup(&plain.iter().collect::<String>()).ok_or_else(|| unknown(plain))?;
        self.at += 2 + length;
        Ok(self.group(members, negated != inverted))
    }

    /// A named group under the flags in force: folded first, then negated.
    fn group(&self, members: Ascii, negated: bool) -> Ascii {
        let members = if self.flags.fold_case { members.folded() } else { members };
        if negated { members.negated() } else { members }
    }
}
