//! Whether every replica acts on something.

use crate::index::Watermark;

/// A live replica of the registry: an endpoint of its Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    /// Name of its pod.
    pub(crate) pod: String,
    /// How far its registry has loaded what its operator saw; `None` before the first time.
    pub(crate) loaded: Option<Watermark>,
}

/// What is known of everybody's acting on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enforcement {
    /// Every live replica acts on it.
    Everywhere { replicas: usize },
    /// These do not act on it, of so many.
    Behind { pods: Vec<String>, replicas: usize },
    /// There is no live replica.
    NoReplica,
}

impl Enforcement {
    /// Judges something that takes effect with `required`.
    pub(crate) fn of(required: &Watermark, replicas: &[Replica]) -> Self {
        if replicas.is_empty() {
            return Self::NoReplica;
        }
        let acts = |replica: &&Replica| replica.loaded.is_some_and(|loaded| loaded.covers(required));
        let behind: Vec<String> =
            replicas.iter().filter(|replica| !acts(replica)).map(|replica| replica.pod.clone()).collect();
        let replicas = replicas.len();
        if behind.is_empty() { Self::Everywhere { replicas } } else { Self::Behind { pods: behind, replicas } }
    }

    /// A sentence for people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Everywhere { replicas: 1 } => "the one replica of the registry acts on this".to_owned(),
            Self::Everywhere { replicas } => format!("all {replicas} replicas of the registry act on this"),
            Self::Behind { pods, replicas } => {
                let (shown, more) = pods.split_at(pods.len().min(5));
                let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                format!("of {replicas} replicas these do not act on this so far: {}{more}", shown.join(", "))
            }
            Self::NoReplica => "no replica of the registry is ready: its Service has no endpoint".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(pod: &str, repositories: Option<u64>) -> Replica {
        let loaded = repositories.map(|repositories| Watermark { repositories, ..Watermark::default() });
        Replica { pod: pod.to_owned(), loaded }
    }

    #[test]
    fn enforced_is_what_the_slowest_replica_acts_on() {
        let required = Watermark { repositories: 5, ..Watermark::default() };
        let judge = |replicas: &[Replica]| Enforcement::of(&required, replicas);
        assert_eq!(judge(&[]), Enforcement::NoReplica);
        assert_eq!(judge(&[replica("a", Some(5)), replica("b", Some(9))]), Enforcement::Everywhere { replicas: 2 });
        let behind = judge(&[replica("a", Some(4)), replica("b", Some(5)), replica("c", None)]);
        assert_eq!(behind, Enforcement::Behind { pods: vec!["a".to_owned(), "c".to_owned()], replicas: 3 });
        assert_eq!(behind.message(), "of 3 replicas these do not act on this so far: a, c");
    }
}
