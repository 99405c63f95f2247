//! Amounts of bytes as users write them: `50Gi`, `1.5Ti`, `500M`.
//!
//! A subset of Kubernetes' quantity: whole bytes or a decimal number with a binary (`Ki` … `Pi`) or decimal (`k` … `P`)
//! suffix. Fractions of a byte (`100m`) and exponents (`5e9`) mean nothing useful for storage and are refused.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The grammar as a regular expression, for schemas. The numbers of digits are chosen so that whatever matches fits
/// into 64 bits: a schema that accepts a quantity and a parser that refuses it cannot disagree.
pub const PATTERN: &str = r"^([0-9]{1,19}|[0-9]{1,7}(\.[0-9]{1,3})?([kMGT]|[KMGT]i)|[0-9]{1,4}(\.[0-9]{1,3})?Pi?)$";
/// Longest text of a quantity, in characters.
pub const MAX_LENGTH: usize = 19;

/// Suffixes from the smallest to the largest; binary ones are what `Display` uses.
const BINARY: [(&str, u64); 5] = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("Pi", 1 << 50)];
const DECIMAL: [(&str, u64); 5] =
    [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("P", 1_000_000_000_000_000)];

/// A number of bytes. `Display` writes the shortest exact text; [`Quantity::rounded`] one for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity {
    bytes: u64,
}

impl Quantity {
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// The nearest value that reads well in a table: at most three digits before and one after the period.
    ///
    /// `13_194_139_533` becomes `12.3Gi`. Below 1 KiB nothing is lost.
    #[must_use]
    pub fn rounded(self) -> Self {
        let Some((_, unit)) = BINARY.iter().rev().find(|(_, unit)| self.bytes >= *unit) else { return self };
        let tenths = (u128::from(self.bytes) * 10 + u128::from(*unit) / 2) / u128::from(*unit);
        // Rounding up as parsing does, so that the text of the rounded value is the rounded text.
        let bytes = (tenths * u128::from(*unit)).div_ceil(10);
        Self { bytes: u64::try_from(bytes).unwrap_or(self.bytes) }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, unit) in BINARY.iter().rev() {
            if self.bytes < *unit {
                continue;
            }
            let most = if *suffix == "Pi" { 9_999 } else { 9_999_999 };
            if self.bytes.is_multiple_of(*unit) && self.bytes / unit <= most {
                return write!(f, "{}{suffix}", self.bytes / unit);
            }
            // One decimal is written where it is exact in the sense of parsing, which rounds up to whole bytes.
            let tenths = u128::from(self.bytes) * 10 / u128::from(*unit);
            if tenths < 10_000 && (tenths * u128::from(*unit)).div_ceil(10) == u128::from(self.bytes) {
                return write!(f, "{}.{}{suffix}", tenths / 10, tenths % 10);
            }
        }
        write!(f, "{}", self.bytes)
    }
}

/// A text that is no quantity of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a quantity of bytes: write a number with a suffix Ki, Mi, Gi, Ti, Pi or k, M, G, T, P, such as \
     \"50Gi\" or \"1.5Ti\""
)]
pub struct QuantityError(String);

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError(text.to_owned()))
    }
}

/// The number of bytes, rounded up to a whole one, as Kubernetes does.
fn parse(text: &str) -> Option<Quantity> {
    let digits_only =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    if suffix.is_empty() {
        return if digits_only(number, 19) { number.parse().ok().map(Quantity::from_bytes) } else { None };
    }
    let (_, unit) = BINARY.iter().chain(&DECIMAL).find(|(known, _)| *known == suffix)?;
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let most = if suffix.starts_with('P') { 4 } else { 7 };
    if !digits_only(whole, most) || fraction.is_some_and(|fraction| !digits_only(fraction, 3)) {
        return None;
    }
    let fraction = fraction.unwrap_or("0");
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    let bytes = (scaled * u128::from(*unit)).div_ceil(scale);
    u64::try_from(bytes).ok().map(Quantity::from_bytes)
}

impl Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH})
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_binary_and_decimal_suffixes() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("50Gi", 50 << 30),
            ("1.5Ti", 3 << 39),
            ("500M", 500_000_000),
            ("1k", 1000),
            ("0.001Ki", 2),
            ("9999.999Pi", 11_258_997_942_526_333_158),
            ("9999999999999999999", 9_999_999_999_999_999_999),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_amount_of_bytes() {
        for text in [
            "", "Gi", "-1Gi", "+1Gi", "1.Gi", ".5Gi", "1 Gi", "1gi", "1K", "100m", "5e9", "1.5", "1Ei", "50GB",
            "1.2.3Gi",
        ] {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(error.contains("such as \"50Gi\""), "{text}: {error}");
        }
    }

    #[test]
    fn is_shown_short_where_that_is_exact() {
        for (bytes, text) in [(0, "0"), (1023, "1023"), (50 << 30, "50Gi"), (3 << 39, "1.5Ti"), (1025, "1025")] {
            assert_eq!(Quantity::from_bytes(bytes).to_string(), text);
        }
        for (bytes, text) in [(13_194_139_533, "12.3Gi"), (1025, "1Ki"), (999, "999"), ((1 << 20) - 1, "1Mi")] {
            assert_eq!(Quantity::from_bytes(bytes).rounded().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn the_text_reads_back(bytes in prop_oneof![0..9_999_999_999_999_999_999_u64, 0..100_000_000_u64]) {
            for quantity in [Quantity { bytes }, Quantity { bytes }.rounded()] {
                prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
            }
        }

        #[test]
        fn grammar_and_schema_agree(text in "[0-9.kMKGTPi]{0,21}|[0-9]{1,9}(\\.[0-9]{0,4})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?") {
            let schema = regex::Regex::new(PATTERN).unwrap().is_match(&text) && text.len() <= MAX_LENGTH;
            prop_assert_eq!(text.parse::<Quantity>().is_ok(), schema, "{}", text);
        }
    }
}
