//! One image, one policy: who governs what, and where two policies of equal rank meet (DESIGN §3).

use std::collections::{BTreeMap, BTreeSet};

use super::compiled::Policy;
use super::document::PolicyEntry;
use crate::name::{ImageName, RepositoryName};

/// How specific a policy's selection is, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A default from the system namespace.
    Default,
    /// Every repository of its namespace.
    Namespace,
    /// Repositories by label.
    Selector,
    /// Repositories by name.
    Names,
    /// Images by path.
    Images,
}

impl Rank {
    pub(super) fn of(entry: &PolicyEntry) -> Self {
        let repositories = entry.spec.repositories.as_ref();
        match () {
            () if entry.default => Self::Default,
            () if entry.spec.images.is_some() => Self::Images,
            () if repositories.is_some_and(|by| by.names.is_some()) => Self::Names,
            () if repositories.is_some_and(|by| by.selector.is_some()) => Self::Selector,
            () => Self::Namespace,
        }
    }
}

/// Who governs a repository, as far as that can be said without knowing its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Governed {
    /// The one policy that governs every image which no policy names by path; or the only policy at all.
    pub(super) by: Option<String>,
    /// Policies that meet another one of equal rank here.
    pub(super) conflicting: BTreeSet<String>,
    /// Policies that select the repository and govern no image of it, because a more specific one governs all.
    pub(super) overruled: BTreeSet<String>,
}

/// Works out a repository's governance from the policies that select it.
pub(super) fn govern(repository: &RepositoryName, policies: &BTreeMap<String, Policy>) -> Governed {
    let selecting: Vec<&Policy> = policies.values().filter(|policy| policy.entry.selects(repository)).collect();
    let (by_path, whole): (Vec<&Policy>, Vec<&Policy>) =
        selecting.into_iter().partition(|policy| policy.entry.spec.images.is_some());
    let mut governed = Governed::default();
    if let Some(rank) = whole.iter().map(|policy| policy.rank()).max() {
        let (top, lower): (Vec<&Policy>, Vec<&Policy>) = whole.iter().partition(|policy| policy.rank() == rank);
        match top.as_slice() {
            [only] => governed.by = Some(only.name.clone()),
            several => governed.conflicting.extend(several.iter().map(|policy| policy.name.clone())),
        }
        governed.overruled.extend(lower.iter().map(|policy| policy.name.clone()));
        // A default may name images by path and is still less specific than any policy of the namespace.
        let defaults = by_path.iter().filter(|policy| policy.rank() < rank);
        governed.overruled.extend(defaults.map(|policy| policy.name.clone()));
    } else if let [only] = by_path.as_slice() {
        governed.by = Some(only.name.clone());
    }
    for (position, one) in by_path.iter().enumerate() {
        for other in &by_path[position + 1..] {
            if one.rank() == other.rank() && meet(repository, one, other) {
                governed.conflicting.extend([one.name.clone(), other.name.clone()]);
            }
        }
    }
    governed
}

/// Whether two policies by path are seen to meet in a repository: they share a pattern, or both select an image that is
/// known by name, be it the repository's own or one that a pattern spells out. Others meet only on images that exist,
/// which [`super::Compiled::policy_for`] finds when it is asked.
fn meet(repository: &RepositoryName, one: &Policy, other: &Policy) -> bool {
    let patterns = |policy: &Policy| -> BTreeSet<String> {
        policy.entry.spec.images.iter().flat_map(|images| images.matching.iter().cloned()).collect()
    };
    let (of_one, of_other) = (patterns(one), patterns(other));
    if !of_one.is_disjoint(&of_other) {
        return true;
    }
    let spelled = of_one.iter().chain(&of_other).filter_map(|pattern| pattern.parse::<ImageName>().ok());
    let mut known =
        spelled.filter(|image| image.repository() == repository).chain([ImageName::from(repository.clone())]);
    known.any(|image| one.selects(&image) && other.selects(&image))
}
