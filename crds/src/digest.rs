//! Content digests as OCI writes them (image-spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A hash algorithm that a registry accepts for content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the encoded part in characters.
    pub const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other => Err(DigestError::UnknownAlgorithm(other.to_owned())),
        }
    }
}

/// A digest of a known algorithm with the right number of lower-case hexadecimal characters.
///
/// Invariant: `hex` has exactly [`Algorithm::hex_len`] characters of `0-9a-f`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// Makes a digest from its two parts.
    ///
    /// # Errors
    /// [`DigestError::Encoded`] when `hex` is not what the algorithm demands.
    pub fn new(algorithm: Algorithm, hex: impl Into<String>) -> Result<Self, DigestError> {
        let hex = hex.into();
        let well_formed =
            hex.len() == algorithm.hex_len() && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Self { algorithm, hex }) } else { Err(DigestError::Encoded { algorithm, encoded: hex }) }
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The encoded part, lower-case hexadecimal.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or_else(|| DigestError::Grammar(text.to_owned()))?;
        let algorithm_ok = !algorithm.is_empty()
            && algorithm
                .split(['+', '.', '_', '-'])
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        let encoded_ok = !encoded.is_empty()
            && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'));
        if !algorithm_ok || !encoded_ok {
            return Err(DigestError::Grammar(text.to_owned()));
        }
        Self::new(algorithm.parse()?, encoded)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a digest. The first variant is not even of the OCI grammar; the second is well formed but of
/// an algorithm nobody can have content for here (400 on push, 404 on read).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error(
        "\"{0}\" is not a digest: write the algorithm, a colon and the hash, such as sha256:<64 hexadecimal characters>"
    )]
    Grammar(String),
    #[error("digest algorithm \"{0}\" is not supported: use sha256 or sha512")]
    UnknownAlgorithm(String),
    #[error("a {algorithm} digest needs {} lower-case hexadecimal characters, got \"{encoded}\"", algorithm.hex_len())]
    Encoded { algorithm: Algorithm, encoded: String },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [format!("sha256:{}", "a0".repeat(32)), format!("sha512:{}", "0f".repeat(64))] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn tells_bad_grammar_from_unknown_algorithm_from_bad_hash() {
        let grammar = ["", "sha256", "sha256:", ":abc", "SHA256:abc", "sha256:a b", "sha++256:ab", "sha256:ab/cd"];
        for text in grammar {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Grammar(_))), "{text}");
        }
        assert!(matches!("md5:abcd".parse::<Digest>(), Err(DigestError::UnknownAlgorithm(_))));
        for text in
            [format!("sha256:{}", "A".repeat(64)), "sha256:abc".to_owned(), format!("sha512:{}", "a".repeat(64))]
        {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Encoded { .. })), "{text}");
        }
    }
}
