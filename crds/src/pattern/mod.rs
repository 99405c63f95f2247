//! Patterns over the names of tags and images: RE2's dialect, as GitLab has it (DESIGN §3 "Cleanup").
//!
//! A pattern must mean here what RE2 makes of it, or be refused: the `regex` crate reads `[a&&b]` as an intersection,
//! takes `a**`, and knows no `\Q…\E`, so a pattern handed to it as it is could keep less than its author meant. So
//! patterns are parsed here after RE2's own grammar ([`parse`]), and what was understood is written out anew for the
//! `regex` crate ([`emit`]), which only ever sees plain classes, groups, repetitions and anchors.
//!
//! Names of tags and images are ASCII by their grammar. A character class therefore is a set of 128 bits ([`ascii`]):
//! Unicode properties, case folding and negation become exact and small, and no pattern can be slow (the engine is a
//! finite automaton) or large ([`MAX_LENGTH`], [`MAX_PROGRAM`]).
//!
//! Three ways to match:
//! - [`WholeName`]: the whole name, grouped before anchoring. `remove.tagsMatching`, `images.matching`.
//! - [`KeepName`]: the same, and where GitLab's ungrouped anchoring (`\A` + text + `\z`) would keep more, that too.
//! - [`Unanchored`]: anywhere in the name, as GitLab's tag rules do. `tags[].matching`.

mod ascii;
mod emit;
mod error;
mod parse;
mod property;

pub use error::{PatternError, Reason};

use std::fmt;

use parse::Parsed;
use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in characters; the schemas of the kinds have the same bound.
pub const MAX_LENGTH: usize = 256;
/// Largest compiled pattern, in bytes. RE2's bound is of the same kind and somewhat larger; both refuse what repeats a
/// long group hundreds of times.
pub const MAX_PROGRAM: usize = 1 << 20;
/// Nesting of what [`emit`] writes; a pattern of [`MAX_LENGTH`] characters cannot reach it.
const MAX_NESTING: u32 = 1024;

/// A pattern that must match a whole name.
#[derive(Clone)]
pub struct WholeName {
    source: String,
    regex: Regex,
}

/// A pattern of what is kept: like [`WholeName`], but an alternation without a group around it also keeps what GitLab's
/// reading of it keeps. GitLab anchors `stable|v.*` without grouping, which keeps everything that starts with "stable"
/// or contains a "v"; of two readings of a keep pattern the one that keeps is the safe one.
#[derive(Clone, Debug)]
pub struct KeepName {
    grouped: WholeName,
    ungrouped: Option<Unanchored>,
}

/// A pattern that may match anywhere in a name.
#[derive(Clone)]
pub struct Unanchored {
    source: String,
    regex: Regex,
}

impl WholeName {
    /// # Errors
    /// [`PatternError`]: RE2 refuses the pattern, or it is too long or too large.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        Self::from_parsed(pattern, &parse::parse(pattern)?)
    }

    fn from_parsed(pattern: &str, parsed: &Parsed) -> Result<Self, PatternError> {
        let anchored = format!(r"\A(?:{})\z", emit::emit(&parsed.node));
        Ok(Self { source: pattern.to_owned(), regex: build(pattern, &anchored)? })
    }

    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name.as_bytes())
    }

    /// The pattern as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl KeepName {
    /// # Errors
    /// As [`WholeName::new`].
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let parsed = parse::parse(pattern)?;
        let grouped = WholeName::from_parsed(pattern, &parsed)?;
        let ungrouped = if parsed.is_alternation() { Some(Unanchored::ungrouped(pattern)?) } else { None };
        Ok(Self { grouped, ungrouped })
    }

    pub fn matches(&self, name: &str) -> bool {
        self.grouped.matches(name) || self.ungrouped.as_ref().is_some_and(|literal| literal.matches(name))
    }

    /// The pattern as its author wrote it.
    pub fn as_str(&self) -> &str {
        self.grouped.as_str()
    }

    /// What to tell the author of an alternation without a group around it.
    pub fn warning(&self) -> Option<String> {
        self.ungrouped.as_ref().map(|_| {
            let pattern = self.as_str();
            format!(
                "the keep pattern \"{pattern}\" has alternatives without a group around them: GitLab anchors only the \
                 first and the last of them, so every name that either reading matches is kept; write each alternative \
                 as its own pattern, or (?:{pattern})"
            )
        })
    }
}

impl Unanchored {
    /// # Errors
    /// As [`WholeName::new`].
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let parsed = parse::parse(pattern)?;
        Ok(Self { source: pattern.to_owned(), regex: build(pattern, &emit::emit(&parsed.node))? })
    }

    /// GitLab's literal reading of a pattern that was found valid by itself: anchors put around the text, no group.
    fn ungrouped(pattern: &str) -> Result<Self, PatternError> {
        let parsed = parse::parse_within(&format!(r"\A{pattern}\z"), MAX_LENGTH + 4)?;
        Ok(Self { source: pattern.to_owned(), regex: build(pattern, &emit::emit(&parsed.node))? })
    }

    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name.as_bytes())
    }

    /// The pattern as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for WholeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeName({:?})", self.source)
    }
}

impl fmt::Debug for Unanchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unanchored({:?})", self.source)
    }
}

/// Compiles what [`emit`] wrote; the only way left to fail is size.
fn build(pattern: &str, emitted: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(emitted)
        .unicode(false)
        .size_limit(MAX_PROGRAM)
        .dfa_size_limit(MAX_PROGRAM)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|_| PatternError::new(pattern, 0, Reason::TooLarge))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_is_grouped_before_it_is_anchored() {
        let pattern = WholeName::new("release|v.*").unwrap();
        for (name, expected) in [("release", true), ("v2", true), ("release-1", false), ("my-v2", false)] {
            assert_eq!(pattern.matches(name), expected, "{name}");
        }
    }

    #[test]
    fn a_keep_pattern_keeps_what_either_reading_keeps_and_warns() {
        let pattern = KeepName::new("stable|v.*").unwrap();
        for (name, expected) in [("stable", true), ("stable-1", true), ("x-v1", true), ("v1", true), ("foo", false)] {
            assert_eq!(pattern.matches(name), expected, "{name}");
        }
        assert!(pattern.warning().unwrap().contains("(?:stable|v.*)"));
        for grouped in ["(?:stable|v.*)", "(stable|v.*)", "v.*", "[|]", r"a\|b", r"\Qa|b\E"] {
            assert_eq!(KeepName::new(grouped).unwrap().warning(), None, "{grouped}");
        }
    }

    #[test]
    fn a_tag_rule_matches_anywhere() {
        let pattern = Unanchored::new(r"\d+\.\d+\.\d+").unwrap();
        assert!(pattern.matches("1.2.3-rc1") && pattern.matches("v1.2.3") && !pattern.matches("1.2"));
    }

    #[test]
    fn a_refusal_says_why_where_and_what_to_write() {
        for (pattern, at, text) in [
            ("(?!v).*", "character 1", "keep.tagsMatching"),
            (".*(?<=a)", "character 3", "keep.tagsMatching"),
            (r"(a)\1", "character 4", "back-reference"),
            ("*test*", "character 1", "nothing to repeat"),
            ("a**", "character 3", "group"),
            ("a{1001}", "character 2", "1000"),
            ("(a{100}){100}", "character 9", "1000"),
            ("[", "character 1", "closing ]"),
            ("a)|(b", "character 2", "unexpected )"),
            ("(a", "character 1", "closing )"),
            (r"a\Z", "character 2", r"\z"),
            (r"a\", "character 2", "backslash"),
            (r"\p{IsGreek}", "character 1", "IsGreek"),
            (r"\u{41}", "character 1", r"\x{41}"),
            ("(?x)a", "character 1", "flag"),
            ("[[:foo:]]", "character 2", "[:foo:]"),
            ("[z-a]", "character 2", "z-a"),
            ("ä-(?=x)", "character 3", "look-around"),
        ] {
            let error = WholeName::new(pattern).unwrap_err().to_string();
            assert!(error.contains(at) && error.contains(text), "{pattern}: {error}");
        }
    }

    #[test]
    fn long_and_large_patterns_are_refused() {
        assert!(WholeName::new(&"a".repeat(MAX_LENGTH)).is_ok());
        let error = WholeName::new(&"a".repeat(MAX_LENGTH + 1)).unwrap_err();
        assert_eq!(error.reason, Reason::TooLong);
        let large = format!("(?:{}){{1000}}", "[ab]?[cd]?".repeat(20));
        assert_eq!(WholeName::new(&large).unwrap_err().reason, Reason::TooLarge);
        let nested = format!("{}a{}", "(".repeat(127), ")".repeat(127));
        assert!(WholeName::new(&nested).unwrap().matches("a"));
        assert!(WholeName::new("[a-z]{1000}").is_ok());
    }
}
