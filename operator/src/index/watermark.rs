//! How far somebody has seen the cluster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// For each kind the highest resourceVersion seen: every earlier change of that kind has been seen as well, because a
/// watch delivers them in order.
///
/// Resource versions of one kind are compared as numbers, which Kubernetes promises from 1.35 on and etcd has always
/// given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Watermark {
    pub(crate) namespaces: u64,
    pub(crate) repositories: u64,
    pub(crate) visibilities: u64,
    pub(crate) policies: u64,
}

impl Watermark {
    /// Whether everything that `required` names has been seen.
    pub(crate) const fn covers(&self, required: &Self) -> bool {
        self.namespaces >= required.namespaces
            && self.repositories >= required.repositories
            && self.visibilities >= required.visibilities
            && self.policies >= required.policies
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Watermark {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_counts_for_itself_and_the_text_reads_back() {
        let seen = Watermark { namespaces: 1, repositories: 5, visibilities: 7, policies: 0 };
        assert!(seen.covers(&Watermark { repositories: 5, ..Watermark::default() }));
        assert!(!seen.covers(&Watermark { repositories: 6, ..Watermark::default() }));
        assert!(!seen.covers(&Watermark { policies: 1, ..Watermark::default() }));
        assert_eq!(seen.to_string().parse::<Watermark>().unwrap(), seen);
    }
}
