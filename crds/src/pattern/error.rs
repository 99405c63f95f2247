//! Why a pattern is refused, and how to say the same thing in RE2.

use std::fmt;

/// A pattern that RE2 refuses, or that is too long or too large for a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern as its author wrote it.
    pub pattern: String,
    /// Where, in characters from the start, counted from 0.
    pub at: usize,
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it is longer than {} characters: split it into several patterns of the list", super::MAX_LENGTH)]
    TooLong,
    #[error("it is too large once its repetitions are written out: repeat less, or a shorter group")]
    TooLarge,
    #[error(
        "RE2 has no look-around: to remove everything except some names, write \".*\" in remove.tagsMatching and those \
         names in keep.tagsMatching, which always wins"
    )]
    LookAround,
    #[error("RE2 has no back-references: write the alternatives out")]
    BackReference,
    #[error("a repetition of a repetition is ambiguous: put the inner one into a group, such as (?:a*)*")]
    RepeatedRepetition,
    #[error("a repetition takes at most 1000, nested ones multiplied, and no smaller upper than lower bound")]
    RepeatCount,
    #[error("there is nothing to repeat here: write .* for any text, or \\* for a star itself")]
    NothingToRepeat,
    #[error("a character class lacks its closing ]")]
    MissingBracket,
    #[error("the range {0} in a character class runs backwards")]
    BackwardsRange(String),
    #[error("there is no character class {0}")]
    UnknownClass(String),
    #[error("there is no Unicode property \"{0}\": write a general category such as Lu or a script such as Greek")]
    UnknownProperty(String),
    #[error("an unexpected ) closes a group that was never opened: write \\) for a parenthesis itself")]
    UnexpectedParenthesis,
    #[error("a group lacks its closing )")]
    MissingParenthesis,
    #[error("RE2 knows no group or flag \"{0}\": groups are (…), (?:…) and (?P<name>…), flags are i, m, s and U")]
    UnknownGroup(String),
    #[error("the name of a group consists of letters, digits and underscores")]
    GroupName,
    #[error("RE2 has no \\Z: write \\z or $ for the end of the name (patterns of whole names need neither)")]
    EndOfLine,
    #[error("RE2 has no \\u: write \\x{{41}} for a character by its number")]
    UnicodeEscape,
    #[error("RE2 has no escape \"{0}\"")]
    UnknownEscape(String),
    #[error("a backslash at the end escapes nothing: write \\\\ for a backslash itself")]
    TrailingBackslash,
}

impl PatternError {
    pub(super) fn new(pattern: &str, at: usize, reason: Reason) -> Self {
        Self { pattern: pattern.to_owned(), at, reason }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pattern that is refused for its length would drown its own message.
        let shown: String = self.pattern.chars().take(super::MAX_LENGTH).collect();
        let dots = if shown.len() < self.pattern.len() { "…" } else { "" };
        write!(f, "the pattern \"{shown}{dots}\" is refused at character {}: {}", self.at + 1, self.reason)
    }
}

impl std::error::Error for PatternError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
