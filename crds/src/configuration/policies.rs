//! Which policies are accepted, what they select, and where two of equal rank meet (DESIGN §3 "Cleanup").

use std::collections::{BTreeMap, BTreeSet};

use super::compile::identify;
use super::compiled::Policy;
use super::document::{PolicyEntry, RepositoryEntry, Source};
use super::governance::{Governed, govern};
use super::objects::{Objects, Reach};
use super::outcome::{Outcome, repositories as count};
use super::visibilities::not_in_system_namespace;
use crate::cleanup::{ImageSelector, Rules};
use crate::kinds::{CleanupPolicy, ConditionReason};
use crate::name::RepositoryName;

/// The accepted policies by `<namespace>/<name>`, and what became of each object. Repositories learn who governs them.
pub(super) fn compile_policies(
    objects: &Objects,
    repositories: &mut BTreeMap<RepositoryName, RepositoryEntry>,
) -> (BTreeMap<String, PolicyEntry>, Vec<Outcome>) {
    let mut outcomes = Vec::new();
    let mut policies = BTreeMap::new();
    let mut open = BTreeMap::new();
    for object in &objects.policies {
        let (id, source) = identify("CleanupPolicy", &object.metadata);
        let mut outcome = Outcome::new(id, object.metadata.generation);
        match judge(object, source, objects, repositories, &mut outcome) {
            Some(policy) => {
                open.insert(policy.name.clone(), outcome);
                policies.insert(policy.name.clone(), policy);
            }
            None => outcomes.push(outcome),
        }
    }
    let mut governed = BTreeMap::new();
    for (name, entry) in &mut *repositories {
        let of_repository = govern(name, &policies);
        entry.governed_by = of_repository.by.as_ref().map(|policy| reference(policy, name));
        governed.insert(name.clone(), of_repository);
    }
    for (name, outcome) in &mut open {
        conclude(name, outcome, &governed);
    }
    outcomes.extend(open.into_values());
    (policies.into_iter().map(|(name, policy)| (name, policy.entry)).collect(), outcomes)
}

/// `CleanupPolicy/<name>`, with the namespace in front of the name where it is another one.
fn reference(policy: &str, repository: &RepositoryName) -> String {
    match policy.split_once('/') {
        Some((namespace, name)) if namespace == repository.namespace() => format!("CleanupPolicy/{name}"),
        _ => format!("CleanupPolicy/{policy}"),
    }
}

/// The policy with what it selects, or `None` when it is refused.
fn judge(
    object: &CleanupPolicy,
    source: Source,
    objects: &Objects,
    repositories: &BTreeMap<RepositoryName, RepositoryEntry>,
    outcome: &mut Outcome,
) -> Option<Policy> {
    let namespace = outcome.object.namespace.clone().unwrap_or_default();
    let name = format!("{namespace}/{}", outcome.object.name);
    let problems = object.validate_shape();
    if !problems.is_empty() {
        outcome.refuse_for(ConditionReason::Invalid, &problems);
        return None;
    }
    let spec = &object.spec;
    if spec.namespace_selector.is_some() && objects.system_namespace.as_deref() != Some(namespace.as_str()) {
        outcome.refuse(ConditionReason::NotInSystemNamespace, not_in_system_namespace(objects));
        return None;
    }
    // Judged while suspended too: whoever resumes a policy must not find out then.
    let mut problems = Rules::new(spec).err().unwrap_or_default();
    problems.extend(ImageSelector::new(spec.images.as_ref()).err().unwrap_or_default());
    if !problems.is_empty() {
        outcome.refuse_for(ConditionReason::InvalidPattern, &problems);
        return None;
    }
    let problems = object.validate_schedule();
    if !problems.is_empty() {
        outcome.refuse_for(ConditionReason::InvalidSchedule, &problems);
        return None;
    }
    let reach = Reach {
        namespace: &namespace,
        repositories: spec.repositories.as_ref(),
        namespaces: spec.namespace_selector.as_ref(),
    };
    let selected: Vec<RepositoryName> = repositories
        .iter()
        .filter(|(name, entry)| reach.selects(name, &entry.labels, &objects.namespace(name.namespace()).labels))
        .map(|(name, _)| name.clone())
        .collect();
    if reach.namespaces.is_none() {
        outcome.warnings.extend(
            reach
                .missing(&selected)
                .into_iter()
                .map(|missing| format!("there is no ContainerRepository \"{missing}\" in the namespace {namespace}")),
        );
    }
    outcome.repositories.clone_from(&selected);
    let entry =
        PolicyEntry { source, repositories: selected, default: spec.namespace_selector.is_some(), spec: spec.clone() };
    let policy = Policy::new(&name, &entry).map_err(|problems| outcome.refuse_for(ConditionReason::Invalid, &problems));
    let policy = policy.ok()?;
    outcome.warnings.extend(policy.rules.warnings());
    Some(policy)
}

/// What an accepted policy's outcome is beside the others.
fn conclude(name: &str, outcome: &mut Outcome, governed: &BTreeMap<RepositoryName, Governed>) {
    let of_selected: Vec<(&RepositoryName, &Governed)> =
        outcome.repositories.iter().filter_map(|name| governed.get_key_value(name)).collect();
    let selected = of_selected.len();
    let conflicts: Vec<_> = of_selected.iter().filter(|(_, governed)| governed.conflicting.contains(name)).collect();
    let overruled = of_selected.iter().filter(|(_, governed)| governed.overruled.contains(name)).count();
    if !conflicts.is_empty() {
        let others: BTreeSet<&str> = conflicts
            .iter()
            .flat_map(|(_, governed)| &governed.conflicting)
            .map(String::as_str)
            .filter(|other| *other != name)
            .collect();
        let places: Vec<&str> = conflicts.iter().take(5).map(|(repository, _)| repository.as_str()).collect();
        let more = if conflicts.len() > places.len() { " and more" } else { "" };
        let message = format!(
            "{} equally specific about {}{more}: none of them cleans there; select images by path, repositories by name, \
             by label or the whole namespace, each less specific than the one before",
            match others.into_iter().collect::<Vec<_>>().as_slice() {
                [other] => format!("CleanupPolicy {other} is"),
                others => format!("CleanupPolicies {} are", others.join(", ")),
            },
            places.join(", "),
        );
        outcome.refuse(ConditionReason::Conflict, message);
    } else if selected == 0 {
        outcome.accept(ConditionReason::NothingSelected, "no ContainerRepository is selected");
    } else if overruled == selected {
        let message = format!("selects {}, and more specific policies govern all of them", count(selected));
        outcome.accept(ConditionReason::Overruled, message);
    } else {
        outcome.message = format!("selects {}", count(selected));
        if overruled > 0 {
            outcome.warnings.push(format!("{overruled} of them are governed by more specific policies"));
        }
    }
}
