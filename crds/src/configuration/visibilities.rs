//! Who may see which repository: all RegistryVisibility objects together (DESIGN §3 "Visibility").

use std::collections::BTreeMap;

use super::compile::identify;
use super::document::RepositoryEntry;
use super::objects::{Objects, Reach};
use super::outcome::{Outcome, repositories as count};
use crate::access::strictest;
use crate::kinds::{Access, ConditionReason, RegistryVisibility, Visibility};
use crate::name::RepositoryName;

/// An object that is accepted, and what it wants of whom.
struct Wish<'a> {
    reach: Reach<'a>,
    wanted: (Visibility, Access),
    outcome: Outcome,
    /// In how many repositories it decides something.
    decides: usize,
}

/// Sets visibility and access of every repository, and says what became of each object.
pub(super) fn apply_visibilities(
    objects: &Objects,
    repositories: &mut BTreeMap<RepositoryName, RepositoryEntry>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut wishes = Vec::new();
    for object in &objects.visibilities {
        let (id, _) = identify("RegistryVisibility", &object.metadata);
        let mut outcome = Outcome::new(id, object.metadata.generation);
        match judge(object, objects, &mut outcome) {
            Some(reach) => {
                let wanted = (object.spec.visibility, object.spec.access);
                wishes.push(Wish { reach, wanted, outcome, decides: 0 });
            }
            None => outcomes.push(outcome),
        }
    }
    wishes.sort_by(|one, other| one.outcome.object.cmp(&other.outcome.object));
    for (name, entry) in &mut *repositories {
        let namespace = objects.namespace(name.namespace());
        let mut selecting: Vec<&mut Wish<'_>> =
            wishes.iter_mut().filter(|wish| wish.reach.selects(name, &entry.labels, &namespace.labels)).collect();
        decide(name, entry, &mut selecting);
    }
    let all: Vec<RepositoryName> = repositories.keys().cloned().collect();
    outcomes.extend(wishes.into_iter().map(|wish| conclude(wish, &all)));
    outcomes
}

/// What an object selects, or `None` when it is refused.
fn judge<'a>(object: &'a RegistryVisibility, objects: &Objects, outcome: &mut Outcome) -> Option<Reach<'a>> {
    let problems = object.validate();
    if !problems.is_empty() {
        outcome.refuse_for(ConditionReason::Invalid, &problems);
        return None;
    }
    let spec = &object.spec;
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    if spec.namespace_selector.is_some() && objects.system_namespace.as_deref() != Some(namespace) {
        outcome.refuse(ConditionReason::NotInSystemNamespace, not_in_system_namespace(objects));
        return None;
    }
    let (repositories, namespaces) = (spec.repositories.as_ref(), spec.namespace_selector.as_ref());
    Some(Reach { namespace, repositories, namespaces })
}

/// Why `spec.namespaceSelector` is refused outside the system namespace.
pub(super) fn not_in_system_namespace(objects: &Objects) -> String {
    match &objects.system_namespace {
        Some(system) => format!("spec.namespaceSelector works only in the namespace {system}: leave it out here"),
        None => "spec.namespaceSelector works only in Berth's own namespace, and none is known here: leave it out"
            .to_owned(),
    }
}

/// The most restrictive wish, each axis for itself. Defaults only narrow: where the namespace's own objects say nothing,
/// a repository is Private and Enabled before they are looked at.
fn decide(name: &RepositoryName, entry: &mut RepositoryEntry, selecting: &mut [&mut Wish<'_>]) {
    let own = strictest(selecting.iter().filter(|wish| wish.reach.namespaces.is_none()).map(|wish| wish.wanted));
    let base = own.unwrap_or_default();
    let defaults = selecting.iter().filter(|wish| wish.reach.namespaces.is_some()).map(|wish| wish.wanted);
    let decided = strictest(defaults.chain([base])).unwrap_or_default();
    (entry.visibility, entry.access) = decided;
    for wish in selecting {
        wish.outcome.repositories.push(name.clone());
        let object = &wish.outcome.object;
        let reference = match &object.namespace {
            Some(namespace) if namespace != name.namespace() => format!("{}/{namespace}/{}", object.kind, object.name),
            _ => format!("{}/{}", object.kind, object.name),
        };
        // An axis is decided by who wants what it became, unless everybody could have it anyway.
        let (visibility, access) = wish.wanted;
        let decides = (visibility == decided.0 && visibility != Visibility::Public)
            || (access == decided.1 && access != Access::Enabled)
            || wish.wanted == decided;
        if decides {
            wish.decides += 1;
            entry.decided_by.push(reference.clone());
        }
        if visibility < decided.0 || access < decided.1 {
            entry.overruled.push(reference);
        }
    }
}

fn conclude(wish: Wish<'_>, all: &[RepositoryName]) -> Outcome {
    let Wish { reach, mut outcome, decides, .. } = wish;
    if reach.namespaces.is_none() {
        let of_namespace: Vec<RepositoryName> =
            all.iter().filter(|name| name.namespace() == reach.namespace).cloned().collect();
        outcome.warnings.extend(
            reach
                .missing(&of_namespace)
                .into_iter()
                .map(|name| format!("there is no ContainerRepository \"{name}\" in the namespace {}", reach.namespace)),
        );
    }
    let selected = outcome.repositories.len();
    if selected == 0 {
        outcome.accept(ConditionReason::NothingSelected, "no ContainerRepository is selected");
    } else if decides == 0 {
        let message = format!("selects {}, and more restrictive objects decide about all of them", count(selected));
        outcome.accept(ConditionReason::Overruled, message);
    } else {
        outcome.message = format!("decides about {} of {} it selects", decides, count(selected));
    }
    outcome
}
