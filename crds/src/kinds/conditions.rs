//! Conditions: what every object says about itself, with reasons that programs may rely on.
//!
//! Every condition of a kind is present after the first reconcile, with the generation it speaks of. Types and reasons
//! are API: they stay; messages are for people and may change.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The conditions that objects carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// The spec is valid, conflicts with no other object and belongs to its namespace.
    Accepted,
    /// Every replica of the registry acts on this generation.
    Enforced,
    /// The last run of a CleanupPolicy did what it had planned.
    LastRunSucceeded,
    /// The summary people and `kubectl wait` look at.
    Ready,
}

impl ConditionType {
    /// What a ContainerRepository and a RegistryVisibility carry.
    pub const OF_REPOSITORIES: [Self; 3] = [Self::Accepted, Self::Enforced, Self::Ready];
    /// What a CleanupPolicy carries.
    pub const OF_POLICIES: [Self; 4] = [Self::Accepted, Self::Enforced, Self::LastRunSucceeded, Self::Ready];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Enforced => "Enforced",
            Self::LastRunSucceeded => "LastRunSucceeded",
            Self::Ready => "Ready",
        }
    }
}

/// Why a condition is what it is: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionReason {
    /// Accepted: nothing is wrong with the object.
    Accepted,
    /// Not accepted: the object breaks a rule of its kind; the message names field and rule.
    Invalid,
    /// Not accepted: a pattern is not RE2, or too large.
    InvalidPattern,
    /// Not accepted: the cron expression or the time zone is wrong, or the schedule never comes due.
    InvalidSchedule,
    /// Not accepted: another object of equal rank says something else about the same image.
    Conflict,
    /// Not accepted: `spec.namespaceSelector` works in Berth's own namespace only.
    NotInSystemNamespace,
    /// Not accepted: the images at this path belonged to a namespace that was deleted, see `spec.adopt`.
    RetainedFromAnotherNamespace,
    /// Accepted, but it selects no repository.
    NothingSelected,
    /// Accepted, but a more restrictive or more specific object decides instead, everywhere.
    Overruled,
    /// Enforced, and Ready: everything is as the spec says.
    Enforced,
    /// Not known yet: nobody has looked at this generation, or not every replica has loaded it.
    Pending,
    /// Not enforced, and not Ready: see the condition Accepted.
    NotAccepted,
    /// Ready, and doing nothing: the schedule is suspended.
    Suspended,
    /// LastRunSucceeded is unknown: no run has ended yet.
    NeverRun,
    /// The last run deleted everything it had planned.
    Completed,
    /// The last run found nothing to delete.
    NothingToDo,
    /// The last run was stopped by a limit; the next one goes on.
    Unfinished,
    /// The last run failed; the message says how.
    Failed,
}

impl ConditionReason {
    pub const ALL: [Self; 18] = [
        Self::Accepted,
        Self::Invalid,
        Self::InvalidPattern,
        Self::InvalidSchedule,
        Self::Conflict,
        Self::NotInSystemNamespace,
        Self::RetainedFromAnotherNamespace,
        Self::NothingSelected,
        Self::Overruled,
        Self::Enforced,
        Self::Pending,
        Self::NotAccepted,
        Self::Suspended,
        Self::NeverRun,
        Self::Completed,
        Self::NothingToDo,
        Self::Unfinished,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Invalid => "Invalid",
            Self::InvalidPattern => "InvalidPattern",
            Self::InvalidSchedule => "InvalidSchedule",
            Self::Conflict => "Conflict",
            Self::NotInSystemNamespace => "NotInSystemNamespace",
            Self::RetainedFromAnotherNamespace => "RetainedFromAnotherNamespace",
            Self::NothingSelected => "NothingSelected",
            Self::Overruled => "Overruled",
            Self::Enforced => "Enforced",
            Self::Pending => "Pending",
            Self::NotAccepted => "NotAccepted",
            Self::Suspended => "Suspended",
            Self::NeverRun => "NeverRun",
            Self::Completed => "Completed",
            Self::NothingToDo => "NothingToDo",
            Self::Unfinished => "Unfinished",
            Self::Failed => "Failed",
        }
    }
}

/// Whether a condition holds; `None` means it is not known yet.
pub type Holds = Option<bool>;

/// Sets one condition. Its `lastTransitionTime` moves only when its status changes, so that setting what is already
/// there changes nothing and an operator can compare before it writes.
///
/// `now` is passed in because nothing in this crate reads a clock. The list stays in the order of [`ConditionType`].
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: ConditionType,
    holds: Holds,
    reason: ConditionReason,
    message: impl Into<String>,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let before = conditions.iter().position(|condition| condition.type_ == kind.as_str());
    let before = before.map(|position| conditions.remove(position));
    let last_transition_time = match before {
        Some(before) if before.status == status => before.last_transition_time,
        _ => Time(now),
    };
    let condition = Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: bounded(message.into()),
        observed_generation,
        last_transition_time,
    };
    let order =
        |condition: &Condition| ConditionType::OF_POLICIES.iter().position(|known| known.as_str() == condition.type_);
    let at = conditions.partition_point(|other| order(other) < order(&condition));
    conditions.insert(at, condition);
}

/// Longest message of a condition, in characters (`metav1.Condition`).
const MAX_MESSAGE: usize = 32_768;

/// The message cut at the limit of the API server, which would refuse the whole status otherwise.
fn bounded(mut message: String) -> String {
    if message.chars().count() > MAX_MESSAGE {
        message = message.chars().take(MAX_MESSAGE - 1).chain(['…']).collect();
    }
    message
}

/// The schema of a list of conditions, with the bounds `metav1.Condition` has in Go; the generated types carry none.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "What the condition is about.",
                    "maxLength": 316,
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
                },
                "status": {
                    "type": "string",
                    "description": "Whether it holds.",
                    "enum": ["True", "False", "Unknown"]
                },
                "reason": {
                    "type": "string",
                    "description": "Why, in one word for programs.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
                },
                "message": {
                    "type": "string",
                    "description": "Why, in a sentence for people.",
                    "maxLength": MAX_MESSAGE
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The generation of the object that this condition describes."
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status of the condition last changed."
                }
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        let mut accepted = |holds, message: &str, generation, second| {
            set(
                &mut conditions,
                ConditionType::Accepted,
                holds,
                ConditionReason::Accepted,
                message,
                Some(generation),
                at(second),
            );
            conditions[0].clone()
        };
        let first = accepted(Some(true), "fine", 1, 10);
        assert_eq!(first.status, "True");
        let second = accepted(Some(true), "still fine", 2, 20);
        assert_eq!((second.last_transition_time, second.observed_generation), (Time(at(10)), Some(2)));
        assert_eq!(second.message, "still fine");
        assert_eq!(accepted(None, "", 2, 30).last_transition_time, Time(at(30)));
    }

    #[test]
    fn conditions_keep_their_order_whatever_the_order_of_setting() {
        let mut conditions = Vec::new();
        for kind in
            [ConditionType::Ready, ConditionType::LastRunSucceeded, ConditionType::Accepted, ConditionType::Enforced]
        {
            set(&mut conditions, kind, None, ConditionReason::Pending, "", None, at(0));
        }
        let order: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(order, ["Accepted", "Enforced", "LastRunSucceeded", "Ready"]);
    }

    #[test]
    fn a_message_never_exceeds_what_the_api_server_takes() {
        assert_eq!(bounded("ä".repeat(MAX_MESSAGE)).chars().count(), MAX_MESSAGE);
        assert_eq!(bounded("ä".repeat(MAX_MESSAGE + 1)).chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn every_reason_fits_the_pattern_of_the_api_server() {
        let pattern = regex::Regex::new("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$").unwrap();
        let names: std::collections::BTreeSet<_> = ConditionReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), ConditionReason::ALL.len());
        assert!(names.iter().all(|name| pattern.is_match(name)));
    }
}
