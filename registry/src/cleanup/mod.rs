//! Cleanup: which tags go, when, and what became of them (DESIGN §6).
//!
//! The decision is `berth_crds::cleanup`; this folder brings it what it needs and carries it out. A run is planned from
//! the policy as this replica has loaded it, kept in the bucket, executed batch by batch, and continued under its id by
//! whatever replica is asked.
//!
//! | File | Is |
//! |---|---|
//! | `inventory`, `in_use`, `planning` | from images and tags to a plan |
//! | `run` | starting, continuing and asking about runs |
//! | `execute` | the deletions, within limits |
//! | `store` | runs in the bucket |
//! | `agreement` | how replicas settle on one plan, or on who runs a slot |
//! | `summary`, `state` | what a run says of itself, at the end and meanwhile |
//! | `schedule`, `claims` | due policies, of `serve --manifests` |
//! | `status` | what became of each object, of `serve --manifests` |

mod agreement;
mod claims;
mod execute;
mod in_use;
pub(crate) mod inventory;
mod names;
mod planning;
mod run;
mod schedule;
mod state;
mod status;
mod store;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use execute::{Permit, planned};
pub use in_use::{Clusters, record as record_in_use};
pub use names::{ClusterName, ClusterNameError, PolicyName, PolicyNameError, RunId, RunIdError};
pub use run::{Runs, Start, StartError};
pub use schedule::Scheduler;
pub use state::{Phase, RunFailure, RunState};
pub use status::{KindStatus, ObjectStatus, Status, StatusDocument, StatusPlace};
pub use store::LastRun;

/// A run says something at least this often, so that nobody takes silence for death.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
