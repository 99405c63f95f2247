//! What objects say about themselves: pure functions from what is known to a whole status.
//!
//! A status is always made whole and compared with what is there; nothing is written when nothing changed.

mod enforcement;
mod policy;
mod repository;
mod visibility;

use std::collections::BTreeMap;

use berth_crds::configuration::Outcome;
use berth_crds::kinds::ConditionReason;
use berth_crds::kinds::conditions::{self, ConditionType};
use berth_crds::manifest::ObjectId;
use berth_crds::name::RepositoryName;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::error_boundary::InvalidObject;
use serde_json::{Value, json};

use crate::configuration::State;
use crate::index::{Index, Key, Watermark};

pub(crate) use enforcement::{Enforcement, Replica};
pub(crate) use policy::{LastRun, policy_status};
pub(crate) use repository::repository_status;
pub(crate) use visibility::visibility_status;

/// What statuses are made from, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) index: &'a Index,
    pub(crate) state: &'a State,
    pub(crate) replicas: &'a [Replica],
    /// Of each policy the last run whose Job is there.
    pub(crate) runs: &'a BTreeMap<Key, LastRun>,
    /// Where clients reach the registry, such as `registry.example.com`.
    pub(crate) address: Option<&'a str>,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    /// The outcome of an object, if what was compiled is this generation of it.
    fn outcome(&self, kind: &'static str, key: &Key, generation: Option<i64>) -> Option<&Outcome> {
        let id = ObjectId { kind, namespace: Some(key.namespace.clone()), name: key.name.clone() };
        self.state.outcomes.get(&id).filter(|outcome| outcome.generation == generation)
    }

    /// Whether every replica acts on something that changed at `own`, and on the repositories that it selects.
    fn enforcement(&self, own: Watermark, outcome: &Outcome) -> Enforcement {
        let since = |name: &RepositoryName| {
            let key = Key { namespace: name.namespace().to_owned(), name: name.object_name().to_owned() };
            self.index.repositories.get(&key).map(|kept| kept.since)
        };
        let selected = outcome.repositories.iter().filter_map(since).max().unwrap_or(0);
        let required = Watermark { repositories: own.repositories.max(selected), ..own };
        Enforcement::of(&required, self.replicas)
    }
}

/// The conditions that every kind has, beside those of its own.
fn set_conditions(
    before: &[Condition],
    outcome: &Outcome,
    problem: Option<&str>,
    enforcement: &Enforcement,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = before.to_vec();
    let generation = outcome.generation;
    let mut set = |kind, holds, reason, message: String| {
        conditions::set(&mut conditions, kind, holds, reason, message, generation, now);
    };
    let (accepted, reason, message) = match problem {
        None => (outcome.accepted, outcome.reason, with_warnings(outcome)),
        Some(problem) => {
            let message = format!("the object cannot be read, and its last readable state stays in force: {problem}");
            (false, ConditionReason::Invalid, message)
        }
    };
    set(ConditionType::Accepted, Some(accepted), reason, message.clone());
    let everywhere = matches!(enforcement, Enforcement::Everywhere { .. });
    let (holds, why, what) = match (accepted, everywhere) {
        (false, _) => (Some(false), ConditionReason::NotAccepted, format!("see Accepted: {message}")),
        (true, true) => (Some(true), ConditionReason::Enforced, enforcement.message()),
        (true, false) => (Some(false), ConditionReason::Pending, enforcement.message()),
    };
    set(ConditionType::Enforced, holds, why, what.clone());
    set(ConditionType::Ready, holds, why, what);
    conditions
}

/// The status of an object that cannot be read and is as good as absent. What it said before cannot be read either, so its
/// conditions are dated by the object, and making it again gives the same.
pub(crate) fn unreadable_status(invalid: &InvalidObject, kinds: &[ConditionType]) -> Value {
    let generation = invalid.metadata.generation;
    let since = invalid.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let mut all = Vec::new();
    for kind in kinds {
        let (reason, message) = match kind {
            ConditionType::Accepted => {
                (ConditionReason::Invalid, format!("the object cannot be read and has no effect: {}", invalid.error))
            }
            _ => (ConditionReason::NotAccepted, "see Accepted".to_owned()),
        };
        conditions::set(&mut all, *kind, Some(false), reason, message, generation, since);
    }
    json!({"observedGeneration": generation, "conditions": all})
}

/// The message of Accepted: what became of the object, then what its author should know besides.
fn with_warnings(outcome: &Outcome) -> String {
    let mut sentences = vec![outcome.message.clone()];
    sentences.extend(outcome.warnings.iter().cloned());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join("; ")
}

#[cfg(test)]
mod tests;
