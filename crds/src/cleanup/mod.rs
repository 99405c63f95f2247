//! Cleanup: which tags go, which stay, and why (DESIGN §3 "Cleanup", "Verdicts", "In use"; formats of DESIGN §7).
//!
//! [`plan`] gives every tag of an [`Inventory`] exactly one verdict. It follows GitLab's documentation and source step by
//! step: all tags, minus `latest`, only what `remove.tagsMatching` selects, minus what `keep.tagsMatching` keeps, minus
//! tags without a manifest, newest first, minus the first `keep.mostRecent`, minus what is younger than
//! `remove.olderThan`, minus protected, immutable and used tags, minus what belongs to a kept image; the rest is deleted,
//! as far as `limits.maxDeletions` goes. What keeps always wins over what removes.
//!
//! A policy is parsed once into [`Rules`], so that planning cannot fail. Suspension, cadence and dry runs are no business
//! of a plan: it says what a run would do now.

mod inventory;
mod plan;
mod planning;
mod report;
mod rules;
mod selection;

pub use inventory::{InUseRecord, Inventory, InventoryImage, InventoryTag};
pub use plan::{Action, ImagePlan, Plan, Reason, Summary, Verdict};
pub use planning::plan;
pub use report::{MAX_REPORT, MAX_REPOSITORIES, bounded};
pub use rules::Rules;
pub use selection::{ImageSelector, Selection, SelectionError};
