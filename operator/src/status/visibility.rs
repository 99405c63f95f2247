//! The status of a RegistryVisibility.

use berth_crds::kinds::{RegistryVisibility, RegistryVisibilityStatus};

use super::{View, set_conditions};
use crate::index::{Kept, Key, Watermark};

/// `None` while what was compiled is an older state of the object: the next one is on its way.
pub(crate) fn visibility_status(
    key: &Key,
    kept: &Kept<RegistryVisibility>,
    view: &View<'_>,
) -> Option<RegistryVisibilityStatus> {
    let before = kept.object.status.clone().unwrap_or_default();
    let outcome = view.outcome("RegistryVisibility", key, kept.object.metadata.generation)?;
    let own = Watermark { visibilities: kept.since, ..Watermark::default() };
    let enforcement = view.enforcement(own, outcome);
    Some(RegistryVisibilityStatus {
        observed_generation: outcome.generation,
        repositories: u64::try_from(outcome.repositories.len()).ok(),
        conditions: set_conditions(&before.conditions, outcome, kept.problem.as_deref(), &enforcement, view.now),
    })
}
