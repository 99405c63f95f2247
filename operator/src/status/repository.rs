//! The status of a ContainerRepository.

use berth_crds::kinds::{ContainerRepository, ContainerRepositoryStatus};
use berth_crds::name::RepositoryName;

use super::{View, set_conditions};
use crate::index::{Kept, Key, Watermark};

/// `None` while what was compiled is an older state of the object: the next one is on its way.
pub(crate) fn repository_status(
    key: &Key,
    kept: &Kept<ContainerRepository>,
    view: &View<'_>,
) -> Option<ContainerRepositoryStatus> {
    let before = kept.object.status.clone().unwrap_or_default();
    let outcome = view.outcome("ContainerRepository", key, kept.object.metadata.generation)?;
    let own = Watermark { repositories: kept.since, ..Watermark::default() };
    let enforcement = view.enforcement(own, outcome);
    let conditions = set_conditions(&before.conditions, outcome, kept.problem.as_deref(), &enforcement, view.now);
    let name = RepositoryName::new(&key.namespace, &key.name).ok();
    let entry = name.as_ref().and_then(|name| view.state.configuration.repositories.get(name));
    Some(ContainerRepositoryStatus {
        observed_generation: outcome.generation,
        address: entry.and_then(|_| Some(format!("{}/{}", view.address?, name.as_ref()?))),
        visibility: entry.map(|entry| entry.visibility),
        access: entry.map(|entry| entry.access),
        decided_by: entry.map(|entry| entry.decided_by.clone()).unwrap_or_default(),
        overruled: entry.map(|entry| entry.overruled.clone()).unwrap_or_default(),
        governed_by: entry.and_then(|entry| entry.governed_by.clone()),
        conditions,
        ..before
    })
}
