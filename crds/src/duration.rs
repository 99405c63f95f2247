//! Durations as users write them: `90d`, `1d12h`, `10m`.
//!
//! One grammar everywhere, in objects as on command lines: days, hours, minutes and seconds, in that order, each at
//! most once, at least one of them. A day is 24 hours: a duration is a length of time, never a calendar distance
//! (months are the business of a policy's cadence).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The grammar as a regular expression, for schemas. It also takes the empty text, which [`MIN_LENGTH`] refuses.
pub const PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";
/// Shortest text of a duration: one digit and its unit.
pub const MIN_LENGTH: usize = 2;
/// Longest text of a duration. No text of this length can overflow 64 bits of seconds (13 digits of days are
/// 8.6 × 10¹⁷ seconds), so whatever matches [`PATTERN`] within the bounds is a duration: schema and parser agree.
pub const MAX_LENGTH: usize = 14;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A length of time in whole seconds, zero included.
///
/// `Display` writes the canonical text, which parses to the same value: `36h` becomes `1d12h`, zero is `0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    seconds: u64,
}

impl Span {
    /// The longest span: what [`MAX_LENGTH`] characters can say.
    pub const MAX: Self = Self { seconds: 9_999_999_999_999 * DAY };

    /// # Panics
    /// At compile time, or when called with more days than [`Span::MAX`] has.
    pub const fn days(days: u64) -> Self {
        assert!(days <= Self::MAX.seconds / DAY, "beyond Span::MAX");
        Self { seconds: days * DAY }
    }

    /// # Panics
    /// At compile time, or when called with more minutes than [`Span::MAX`] has.
    pub const fn minutes(minutes: u64) -> Self {
        assert!(minutes <= Self::MAX.seconds / MINUTE, "beyond Span::MAX");
        Self { seconds: minutes * MINUTE }
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.seconds
    }

    pub const fn is_zero(self) -> bool {
        self.seconds == 0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_secs(span.seconds)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.seconds;
        for (unit, length) in [("d", DAY), ("h", HOUR), ("m", MINUTE)] {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        if rest > 0 || self.seconds == 0 { write!(f, "{rest}s") } else { Ok(()) }
    }
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error(
        "\"{0}\" is not a duration: write days, hours, minutes and seconds in this order, each at most once, such as \
         \"90d\", \"1d12h\" or \"10m\""
    )]
    Grammar(String),
    #[error("\"{0}\" has too many characters for a duration, at most {MAX_LENGTH} are allowed")]
    TooLong(String),
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let grammar = || SpanError::Grammar(text.to_owned());
        if text.is_empty() {
            return Err(grammar());
        }
        let mut rest = text;
        let mut seconds: u128 = 0;
        for (unit, length) in [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', 1)] {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 && rest[digits..].starts_with(unit) {
                // More digits than 128 bits hold are far beyond the longest text, which is refused below.
                let number: u128 = rest[..digits].parse().map_err(|_| SpanError::TooLong(text.to_owned()))?;
                seconds = seconds.saturating_add(number.saturating_mul(u128::from(length)));
                rest = &rest[digits + 1..];
            }
        }
        if !rest.is_empty() {
            return Err(grammar());
        }
        if text.len() > MAX_LENGTH {
            return Err(SpanError::TooLong(text.to_owned()));
        }
        let seconds = u64::try_from(seconds).map_err(|_| SpanError::TooLong(text.to_owned()))?;
        Ok(Self { seconds })
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH})
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_units_in_order() {
        for (text, seconds) in [
            ("90d", 90 * 86_400),
            ("1d12h", 129_600),
            ("36h", 129_600),
            ("10m", 600),
            ("1d2h3m4s", 93_784),
            ("0s", 0),
            ("007m", 420),
            ("9999999999999d", Span::MAX.as_secs()),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else_and_says_how() {
        for text in ["", "90", "d", "1w", "1h1d", "1d1d", "1.5h", "-1d", "+1d", " 1d", "1d ", "1D", "1M", "P1D", "٣d"]
        {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("such as \"90d\""), "{text}: {error}");
        }
        for text in ["99999999999999d", &format!("{}d", "9".repeat(60)), "11111d23h59m59s"] {
            assert!(text.parse::<Span>().unwrap_err().to_string().contains("at most 14"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_text_reads_back(seconds in 0..=Span::MAX.as_secs()) {
            let span = Span { seconds };
            let text = span.to_string();
            // Canonical texts may be longer than a user may write; below ten thousand days they never are.
            if text.len() <= MAX_LENGTH {
                prop_assert_eq!(text.parse::<Span>().unwrap(), span);
            }
            prop_assert!(seconds >= 10_000 * DAY || text.len() <= MAX_LENGTH);
        }

        #[test]
        fn grammar_and_schema_agree(text in "[0-9dhms]{0,16}|([0-9]{1,4}d)?([0-9]{1,2}h)?([0-9]{1,2}m)?([0-9]{1,2}s)?") {
            let schema = regex::Regex::new(PATTERN).unwrap().is_match(&text)
                && (MIN_LENGTH..=MAX_LENGTH).contains(&text.len());
            prop_assert_eq!(text.parse::<Span>().is_ok(), schema, "{}", text);
        }
    }
}
