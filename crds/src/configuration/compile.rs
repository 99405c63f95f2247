//! From all objects at once to one document, and one outcome per object.
//!
//! Nothing depends on the order of the objects, on clocks or on what was there before, so every replica that sees the
//! same objects writes the same bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::document::{Configuration, DeployTokenEntry, RepositoryEntry, Source};
use super::objects::Objects;
use super::outcome::Outcome;
use super::policies::compile_policies;
use super::visibilities::apply_visibilities;
use crate::access::TagRules;
use crate::kinds::{Access, ConditionReason, ContainerRepository, MadeToken, Scope, TagRule, Visibility};
use crate::manifest::ObjectId;
use crate::name::RepositoryName;
use crate::pattern::Unanchored;

/// Characters of a deploy token's SHA-256 that name it.
const TOKEN_ID: usize = 16;

/// Compiles all objects. The outcomes are in the order of kind, namespace and name; there is one for every object but
/// namespaces.
pub fn compile(objects: &Objects) -> (Configuration, Vec<Outcome>) {
    let mut outcomes = Vec::new();
    let mut repositories = BTreeMap::new();
    for object in &objects.repositories {
        let (entry, outcome) = compile_repository(object, objects);
        repositories.extend(entry);
        outcomes.push(outcome);
    }
    outcomes.extend(apply_visibilities(objects, &mut repositories));
    let (policies, judged) = compile_policies(objects, &mut repositories);
    outcomes.extend(judged);
    outcomes.sort_by(|one, other| one.object.cmp(&other.object));
    (Configuration::new(repositories, policies), outcomes)
}

/// An object's identity and where its entry comes from.
pub(super) fn identify(kind: &'static str, metadata: &ObjectMeta) -> (ObjectId, Source) {
    // Absent names are refused by validate(), which every object passes before anything is made of it.
    let object = ObjectId {
        kind,
        namespace: Some(metadata.namespace.clone().unwrap_or_default()),
        name: metadata.name.clone().unwrap_or_default(),
    };
    let source = Source { uid: metadata.uid.clone(), generation: metadata.generation };
    (object, source)
}

fn compile_repository(
    object: &ContainerRepository,
    objects: &Objects,
) -> (Option<(RepositoryName, RepositoryEntry)>, Outcome) {
    let (id, source) = identify("ContainerRepository", &object.metadata);
    let namespace = id.namespace.clone().unwrap_or_default();
    let name = RepositoryName::new(&namespace, &id.name);
    let mut outcome = Outcome::new(id, object.metadata.generation);
    let problems = object.validate_shape();
    if !problems.is_empty() {
        outcome.refuse_for(ConditionReason::Invalid, &problems);
        return (None, outcome);
    }
    let name = match name {
        Ok(name) => name,
        Err(error) => {
            outcome.refuse(ConditionReason::Invalid, format!("metadata.name: {error}"));
            return (None, outcome);
        }
    };
    let spec = &object.spec;
    match TagRules::new(&spec.tags) {
        Ok(_) => outcome.message = format!("images live at {name} and up to two levels below"),
        Err(problems) => {
            outcome.refuse_for(ConditionReason::InvalidPattern, &problems);
            outcome.message.push_str("; until this is changed the rule holds for every tag");
        }
    }
    outcome.repositories.push(name.clone());
    let entry = RepositoryEntry {
        source,
        namespace_uid: objects.namespace(&namespace).uid.clone(),
        adopt: spec.adopt,
        labels: object.metadata.labels.clone().unwrap_or_default(),
        visibility: Visibility::default(),
        access: Access::default(),
        decided_by: Vec::new(),
        overruled: Vec::new(),
        tags: spec.tags.iter().map(usable_rule).collect(),
        quota: spec.quota,
        indexes: spec.indexes,
        undo_window: spec.undo_window,
        deploy_tokens: deploy_tokens(
            object,
            objects.made_tokens.get(&name).map(Vec::as_slice).unwrap_or_default(),
            &mut outcome,
        ),
        deletion_policy: spec.deletion_policy,
        governed_by: None,
    };
    (Some((name, entry)), outcome)
}

/// A tag rule as it can be used: a pattern that RE2 refuses becomes one that matches every tag, because a repository
/// whose author wanted protection must not be served with less of it.
fn usable_rule(rule: &TagRule) -> TagRule {
    let usable = |pattern: &String| if Unanchored::new(pattern).is_ok() { pattern.clone() } else { ".*".to_owned() };
    TagRule { name: rule.name.clone(), matching: rule.matching.iter().map(usable).collect(), rule: rule.rule }
}

/// The tokens whose hash is known: those of the spec, those made for it, and those of the pull secret.
fn deploy_tokens(object: &ContainerRepository, made: &[MadeToken], outcome: &mut Outcome) -> Vec<DeployTokenEntry> {
    let mut entries = Vec::with_capacity(object.spec.deploy_tokens.len());
    for token in &object.spec.deploy_tokens {
        let made = made.iter().filter(|made| made.token.as_ref() == Some(&token.name)).map(|made| &made.sha256);
        let known: Vec<&String> = token.sha256.as_ref().map_or_else(|| made.collect(), |given| vec![given]);
        if known.is_empty() {
            outcome.warnings.push(format!(
                "deploy token \"{}\" does not work, because it has no sha256 and none was made for it: \
                 `registry deploy-token` prints a token and its sha256",
                token.name
            ));
        }
        let expires_at = token.expires_at.as_ref().map(|time| time.0);
        entries.extend(known.into_iter().map(|sha256| entry(&token.name, token.scopes.clone(), expires_at, sha256)));
    }
    // A name no deploy token can have: theirs are DNS labels.
    let of_pull_secret = |made: &&MadeToken| {
        made.token.is_none() && object.spec.pull_secret.as_ref().is_some_and(|wanted| wanted.name == made.secret)
    };
    entries.extend(made.iter().filter(of_pull_secret).map(|made| {
        let expires_at = made.expires_at.as_ref().map(|time| time.0);
        entry(&format!("secret/{}", made.secret), vec![Scope::ReadRegistry], expires_at, &made.sha256)
    }));
    entries
}

fn entry(name: &str, scopes: Vec<Scope>, expires_at: Option<Timestamp>, sha256: &str) -> DeployTokenEntry {
    DeployTokenEntry {
        name: name.to_owned(),
        id: sha256.chars().take(TOKEN_ID).collect(),
        scopes,
        expires_at,
        sha256: sha256.to_owned(),
    }
}
