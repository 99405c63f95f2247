//! Names of policies, runs and clusters, parsed once: each is a segment of a key and of a URL as it stands.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest name of a namespace or policy, in characters (a rule of the kinds).
const MAX_OBJECT_NAME: usize = 63;

/// A CleanupPolicy, `<namespace>/<name>`.
///
/// Invariant: two Kubernetes names (RFC 1123) of at most 63 characters; the namespace has no period.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyName {
    path: String,
    slash: usize,
}

impl PolicyName {
    /// Joins a namespace and an object name.
    ///
    /// # Errors
    /// [`PolicyNameError`] when one of them is no Kubernetes name.
    pub fn new(namespace: &str, name: &str) -> Result<Self, PolicyNameError> {
        if is_name(namespace) && !namespace.contains('.') && is_name(name) {
            Ok(Self { path: format!("{namespace}/{name}"), slash: namespace.len() })
        } else {
            Err(PolicyNameError(format!("{namespace}/{name}")))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.path
    }

    pub fn namespace(&self) -> &str {
        &self.path[..self.slash]
    }

    pub fn name(&self) -> &str {
        &self.path[self.slash + 1..]
    }
}

/// RFC 1123: lower-case letters, digits, hyphens and periods, with a letter or digit at both ends of every part.
fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX_OBJECT_NAME
        && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(|first| alphanumeric(*first))
                && bytes.last().is_some_and(|last| alphanumeric(*last))
                && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
        })
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" does not name a cleanup policy: write <namespace>/<name>, such as team-a/nightly")]
pub struct PolicyNameError(String);

impl FromStr for PolicyName {
    type Err = PolicyNameError;

    fn from_str(text: &str) -> Result<Self, PolicyNameError> {
        let (namespace, name) = text.split_once('/').ok_or_else(|| PolicyNameError(text.to_owned()))?;
        Self::new(namespace, name)
    }
}

/// The name of a run, chosen by whoever starts it: the UID of a Job, policy and slot of a schedule, or a fresh id. The
/// same name continues the same run, on any replica (DESIGN §6).
///
/// Invariant: 1 to [`RunId::MAX_LENGTH`] characters of `[a-zA-Z0-9._-]`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// Longest name, in characters: with a time before it, it still fits one segment of a key (255 bytes).
    pub const MAX_LENGTH: usize = 200;

    /// A name nobody used before.
    pub fn fresh() -> Self {
        Self(ulid::Ulid::generate().to_string().to_ascii_lowercase())
    }

    /// The run of a policy's slot: every scheduler that finds the slot due gives its run the same name.
    pub fn of_slot(policy: &PolicyName, slot: Timestamp) -> Self {
        // A namespace has no period and a slot has no period: no two slots of two policies share a name.
        Self(format!("{}.{}.{}", policy.namespace(), policy.name(), slot.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// Whether a client may start a run of this name, of a policy or of a saved plan. Names with a period are those of
    /// slots: whoever takes another policy's would keep its schedule from running.
    pub(super) fn may_be_given_to(&self, policy: Option<&PolicyName>) -> bool {
        let slots = policy.map(|policy| format!("{}.{}.", policy.namespace(), policy.name()));
        !self.0.contains('.') || slots.is_some_and(|slots| self.0.starts_with(&slots))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" cannot name a run: use 1 to {max} letters, digits, periods, underscores and hyphens, beginning with a \
     letter or digit",
    max = RunId::MAX_LENGTH
)]
pub struct RunIdError(String);

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let first_ok = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest_ok = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if first_ok && rest_ok && text.len() <= Self::MAX_LENGTH {
            Ok(Self(text.to_owned()))
        } else {
            Err(RunIdError(text.chars().take(Self::MAX_LENGTH + 1).collect()))
        }
    }
}

/// Tells clusters apart that share a registry, such as the UID of `kube-system`.
///
/// Invariant: 1 to [`ClusterName::MAX_LENGTH`] lower-case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(String);

impl ClusterName {
    /// Longest name, in characters.
    pub const MAX_LENGTH: usize = 63;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that names no cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" cannot name a cluster: use 1 to {max} lower-case letters, digits and hyphens, such as the UID of kube-system",
    max = ClusterName::MAX_LENGTH
)]
pub struct ClusterNameError(String);

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClusterNameError(text.chars().take(Self::MAX_LENGTH + 1).collect()))
        }
    }
}

macro_rules! text_value {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_value!(PolicyName);
text_value!(RunId);
text_value!(ClusterName);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_a_namespace_and_a_name() {
        let policy: PolicyName = "team-a/nightly.v2".parse().unwrap();
        assert_eq!((policy.namespace(), policy.name()), ("team-a", "nightly.v2"));
        for text in ["nightly", "a/b/c", "/a", "a/", "A/b", "a.b/c", "a/-b", "a/b.", "a/b..c", &"a".repeat(64)] {
            let error = text.parse::<PolicyName>().unwrap_err().to_string();
            assert!(error.contains("such as team-a/nightly"), "{text}: {error}");
        }
    }

    #[test]
    fn a_run_is_named_by_one_segment() {
        for text in ["a", "01j9z", "0f2c3b1e-7c1d-4a52-9f7e-5f3f0c1d2e3f", "team-a.nightly.20261124T030000Z"] {
            assert_eq!(text.parse::<RunId>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "-a", "a/b", "a b", "ä", "a!", &"a".repeat(201)] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_cluster_is_named_by_one_segment() {
        for text in ["a", "0f2c3b1e-7c1d-4a52-9f7e-5f3f0c1d2e3f", &"a".repeat(63)] {
            assert_eq!(text.parse::<ClusterName>().unwrap().as_str(), text);
        }
        for text in ["", "A", "a.b", "a/b", "..", "ä", &"a".repeat(64)] {
            assert!(text.parse::<ClusterName>().is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_takes_the_name_of_another_policys_slot() {
        let (nightly, weekly): (PolicyName, PolicyName) = ("a/nightly".parse().unwrap(), "a/weekly".parse().unwrap());
        let slot = RunId::of_slot(&nightly, Timestamp::UNIX_EPOCH);
        assert!(slot.may_be_given_to(Some(&nightly)));
        assert!(!slot.may_be_given_to(Some(&weekly)));
        assert!(!slot.may_be_given_to(None));
        let free: RunId = "0f2c3b1e-7c1d-4a52-9f7e-5f3f0c1d2e3f".parse().unwrap();
        assert!(free.may_be_given_to(Some(&nightly)) && free.may_be_given_to(None));
    }

    #[test]
    fn every_slot_of_every_policy_has_its_own_run() {
        let slot: Timestamp = "2026-11-24T03:00:00Z".parse().unwrap();
        let id = |policy: &str| RunId::of_slot(&policy.parse().unwrap(), slot);
        assert_eq!(id("team-a/nightly").as_str(), "team-a.nightly.20261124T030000Z");
        assert_ne!(id("a/b.c"), id("a/b"));
        let longest = RunId::of_slot(&format!("{}/{}", "n".repeat(63), "p".repeat(63)).parse().unwrap(), slot);
        assert!(longest.as_str().parse::<RunId>().is_ok());
    }
}
