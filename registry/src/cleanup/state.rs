//! What a run says about itself while it goes on: the lines of the progress stream, and the answer to a question.

use berth_crds::cleanup::Plan;
use berth_crds::kinds::RunSummary;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::execute::planned;
use super::names::{PolicyName, RunId};
use crate::store::StoreError;

/// The state of a run. A stream of these, one JSON line each, is the answer to starting a run; the last one is
/// [`Phase::Finished`] or [`Phase::Failed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunState {
    pub run: RunId,
    pub policy: PolicyName,
    pub phase: Phase,
    pub dry_run: bool,
    pub start_time: Timestamp,
    /// Images and tags that were looked at; grows while the run is planned.
    pub images: u64,
    pub tags: u64,
    /// Tags that the plan deletes, and those of them that are settled: deleted, or found changed, gone or refused.
    pub planned: u64,
    pub settled: u64,
    /// How it ended; only when it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunSummary>,
    /// What stopped it; only when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Images and tags are being listed.
    Planning,
    /// The plan is stored and can be read; deletions are under way.
    Deleting,
    /// It has a report; asking for it again changes nothing.
    Finished,
    /// This attempt failed. The same id continues the run.
    Failed,
    /// Nobody executes it at the moment, as far as this replica knows.
    Interrupted,
}

/// What stopped an attempt at a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFailure {
    /// What went wrong, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub temporary: bool,
}

impl RunState {
    /// A run that begins to plan.
    pub fn planning(run: RunId, policy: PolicyName, dry_run: bool, start_time: Timestamp) -> Self {
        Self {
            run,
            policy,
            phase: Phase::Planning,
            dry_run,
            start_time,
            images: 0,
            tags: 0,
            planned: 0,
            settled: 0,
            report: None,
            failure: None,
        }
    }

    /// Takes the numbers of a plan over.
    pub(super) fn count(&mut self, plan: &Plan) {
        self.images = plan.images.len() as u64;
        self.tags = plan.images.iter().map(|image| image.verdicts.len() as u64).sum();
        self.planned = planned(plan) as u64;
    }

    /// Whether nothing more will happen in this attempt.
    pub fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Failed | Phase::Interrupted)
    }
}

impl RunFailure {
    pub(super) fn temporary(message: impl Into<String>) -> Self {
        Self { message: message.into(), temporary: true }
    }

    /// A retry will not help.
    pub(super) fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), temporary: false }
    }
}

impl From<StoreError> for RunFailure {
    fn from(error: StoreError) -> Self {
        Self::temporary(error.to_string())
    }
}
