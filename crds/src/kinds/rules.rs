//! The CEL rules once more, in Rust.
//!
//! An API server evaluates the rules that stand beside the types; files are judged here. Each function names the rule it
//! is the twin of by sitting on the same type; `crds/tests/corpus` holds a case for every one of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

use super::grammar::{self, LABEL_KEY, MAX_LABEL_KEY, MAX_OBJECT_NAME, OBJECT_NAME};
use super::{
    CleanupPolicy, ContainerRepository, LabelOperator, LabelSelector, RegistryVisibility, RepositorySelection,
    Schedule, Visibility,
};
use crate::duration::Span;
use crate::pattern::{KeepName, PatternError, Unanchored, WholeName};
use crate::problem::Problem;
use crate::schedule::Slots;
use crate::schema;

static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(OBJECT_NAME).expect("a constant that the tests compile"));
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(LABEL_KEY).expect("a constant that the tests compile"));

impl ContainerRepository {
    /// Everything that an API server would refuse, and what it cannot judge: nothing, for a valid object.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.validate_shape();
        for (position, rule) in self.spec.tags.iter().enumerate() {
            patterns(&format!("spec.tags[{position}].matching"), &rule.matching, Unanchored::new, &mut problems);
        }
        problems
    }

    /// Everything but whether the patterns are RE2: an object with a bad one is still served, under stricter rules.
    pub(crate) fn validate_shape(&self) -> Vec<Problem> {
        validated(self, schema::REPOSITORY, |problems| {
            name("ContainerRepository", self.metadata.name.as_deref(), problems);
            let spec = &self.spec;
            let mut hashes = BTreeSet::new();
            for (position, token) in spec.deploy_tokens.iter().enumerate() {
                let path = format!("spec.deployTokens[{position}]");
                match (&token.sha256, &spec.pull_secret) {
                    (Some(hash), _) if !hashes.insert(hash) => {
                        let message = "another token has the same sha256: every token is a random text of its own";
                        problems.push(Problem::new(format!("{path}.sha256"), message));
                    }
                    (None, Some(secret))
                        if self
                            .metadata
                            .name
                            .as_ref()
                            .is_some_and(|own| format!("{own}-{}", token.name) == secret.name) =>
                    {
                        let message =
                            format!("is the name of the Secret of deploy token \"{}\": choose another", token.name);
                        problems.push(Problem::new("spec.pullSecret.name", message));
                    }
                    _ => {}
                }
            }
        })
    }
}

impl RegistryVisibility {
    /// Everything that an API server would refuse, and what it cannot judge: nothing, for a valid object.
    pub fn validate(&self) -> Vec<Problem> {
        validated(self, schema::VISIBILITY, |problems| {
            name("RegistryVisibility", self.metadata.name.as_deref(), problems);
            let spec = &self.spec;
            let named = spec.repositories.as_ref().is_some_and(|repositories| repositories.names.is_some());
            if spec.visibility != Visibility::Private && !named {
                let message = "Public and Internal must give repositories.names, so that no edit of labels can publish a \
                               repository";
                problems.push(Problem::new("spec", message));
            }
            selection(spec.repositories.as_ref(), spec.namespace_selector.as_ref(), problems);
        })
    }
}

impl CleanupPolicy {
    /// Everything that an API server would refuse, and what it cannot judge: nothing, for a valid object.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.validate_shape();
        let spec = &self.spec;
        problems.extend(self.validate_schedule());
        if let Some(images) = &spec.images {
            patterns("spec.images.matching", &images.matching, WholeName::new, &mut problems);
        }
        patterns("spec.keep.tagsMatching", &spec.keep.tags_matching, KeepName::new, &mut problems);
        patterns("spec.remove.tagsMatching", &spec.remove.tags_matching, WholeName::new, &mut problems);
        problems
    }

    /// Everything but its patterns and its schedule, which have conditions of their own.
    pub(crate) fn validate_shape(&self) -> Vec<Problem> {
        validated(self, schema::POLICY, |problems| {
            name("CleanupPolicy", self.metadata.name.as_deref(), problems);
            let spec = &self.spec;
            if !spec.allow_unbounded && spec.keep.most_recent.is_none() && spec.remove.older_than.is_none() {
                let message = "without keep.mostRecent and remove.olderThan every selected tag is removed at once: set one of \
                               them, or allowUnbounded: true";
                problems.push(Problem::new("spec", message));
            }
            selection(spec.repositories.as_ref(), spec.namespace_selector.as_ref(), problems);
            positive("spec.remove.olderThan", spec.remove.older_than, problems);
            positive("spec.limits.timeout", Some(spec.limits.timeout), problems);
        })
    }

    /// What is wrong with its schedule.
    pub(crate) fn validate_schedule(&self) -> Vec<Problem> {
        let (namespace, name) = (self.metadata.namespace.as_deref(), self.metadata.name.as_deref());
        let policy = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
        let mut problems = Vec::new();
        schedule(&self.spec.schedule, &policy, &mut problems);
        problems
    }
}

/// The schema's verdict followed by the rules'.
fn validated<K: Serialize>(object: &K, definition: usize, rules: impl FnOnce(&mut Vec<Problem>)) -> Vec<Problem> {
    let mut problems = Vec::new();
    match serde_json::to_value(object) {
        Ok(value) => schema::judge(definition, &value, &mut problems),
        // Only a map with keys that are no texts cannot be written as JSON, and no kind has one.
        Err(error) => problems.push(Problem::new("", error.to_string())),
    }
    rules(&mut problems);
    problems
}

fn name(kind: &str, name: Option<&str>, problems: &mut Vec<Problem>) {
    let message = match name {
        None | Some("") => "is required".to_owned(),
        Some(name) if name.len() > MAX_OBJECT_NAME => {
            format!("the name of a {kind} has at most {MAX_OBJECT_NAME} characters, this one has {}", name.len())
        }
        Some(name) if !NAME.is_match(name) => format!(
            "\"{name}\" is not a name: use lower-case letters, digits and hyphens, with a letter or digit at both ends"
        ),
        Some(_) => return,
    };
    problems.push(Problem::new("metadata.name", message));
}

fn selection(
    repositories: Option<&RepositorySelection>,
    namespaces: Option<&LabelSelector>,
    problems: &mut Vec<Problem>,
) {
    if let Some(repositories) = repositories {
        if repositories.names.is_some() == repositories.selector.is_some() {
            let message = "give exactly one of names and selector; leave repositories out to select all of them";
            problems.push(Problem::new("spec.repositories", message));
        }
        if namespaces.is_some() && repositories.names.is_some() {
            let message = "namespaceSelector and repositories.names exclude each other: names belong to one namespace";
            problems.push(Problem::new("spec", message));
        }
        selector("spec.repositories.selector", repositories.selector.as_ref(), problems);
    }
    selector("spec.namespaceSelector", namespaces, problems);
}

fn selector(path: &str, selector: Option<&LabelSelector>, problems: &mut Vec<Problem>) {
    let Some(selector) = selector else { return };
    for key in selector.match_labels.iter().flatten().map(|(key, _)| key) {
        if key.len() > MAX_LABEL_KEY || !KEY.is_match(key) {
            let message = format!("\"{key}\" is not a label key such as \"tier\" or \"example.com/tier\"");
            problems.push(Problem::new(format!("{path}.matchLabels"), message));
        }
    }
    for (position, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let compares = matches!(expression.operator, LabelOperator::In | LabelOperator::NotIn);
        if compares != expression.values.as_ref().is_some_and(|values| !values.is_empty()) {
            let message = "In and NotIn need values; Exists and DoesNotExist take none";
            problems.push(Problem::new(format!("{path}.matchExpressions[{position}]"), message));
        }
    }
}

/// Judges a schedule by what the registry makes of it, then by the shape that the CEL rules demand: an expression with
/// two spaces between fields is understood, but refused in a cluster.
fn schedule(schedule: &Schedule, policy: &str, problems: &mut Vec<Problem>) {
    if let Err(error) = Slots::of(schedule, policy) {
        problems.push(Problem::new(error.path(), error.to_string()));
    } else if let Some(message) = schedule.cron.as_deref().and_then(grammar::cron_problem) {
        problems.push(Problem::new("spec.schedule.cron", message));
    }
}

/// Judges each pattern by how it is going to be read.
fn patterns<P>(
    path: &str,
    patterns: &[String],
    read: fn(&str) -> Result<P, PatternError>,
    problems: &mut Vec<Problem>,
) {
    for (position, pattern) in patterns.iter().enumerate() {
        if let Err(error) = read(pattern) {
            problems.push(Problem::new(format!("{path}[{position}]"), error.to_string()));
        }
    }
}

fn positive(path: &str, span: Option<Span>, problems: &mut Vec<Problem>) {
    if span.is_some_and(Span::is_zero) {
        problems.push(Problem::new(path, "must be longer than zero"));
    }
}
