//! What became of an object.

use crate::kinds::ConditionReason;
use crate::manifest::ObjectId;
use crate::name::RepositoryName;
use crate::problem::Problem;

/// What became of one object: its condition `Accepted`, and what its author should know besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub object: ObjectId,
    /// The generation that was judged; absent for objects from files.
    pub generation: Option<i64>,
    pub accepted: bool,
    pub reason: ConditionReason,
    pub message: String,
    /// One sentence each; the object works.
    pub warnings: Vec<String>,
    /// The repositories that the object selects, or is.
    pub repositories: Vec<RepositoryName>,
}

impl Outcome {
    pub(super) const fn new(object: ObjectId, generation: Option<i64>) -> Self {
        Self {
            object,
            generation,
            accepted: true,
            reason: ConditionReason::Accepted,
            message: String::new(),
            warnings: Vec::new(),
            repositories: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, reason: ConditionReason, message: impl Into<String>) {
        self.accepted = false;
        self.reason = reason;
        self.message = message.into();
    }

    pub(super) fn refuse_for(&mut self, reason: ConditionReason, problems: &[Problem]) {
        let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
        self.refuse(reason, sentences.join("; "));
    }

    /// Accepted, with the outcome that the reason names.
    pub(super) fn accept(&mut self, reason: ConditionReason, message: impl Into<String>) {
        self.reason = reason;
        self.message = message.into();
    }
}

/// "1 repository", "3 repositories".
pub(super) fn repositories(count: usize) -> String {
    if count == 1 { "1 repository".to_owned() } else { format!("{count} repositories") }
}
