//! The document parsed for use: patterns compiled once, lookups by name.

use std::collections::BTreeMap;

use super::document::{Configuration, PolicyEntry, RepositoryEntry};
use super::governance::Rank;
use crate::access::{Guard, Site, TagRules};
use crate::cleanup::{ImageSelector, Rules};
use crate::name::{ImageName, RepositoryName, TagName};
use crate::problem::Problem;
use crate::schedule::Slots;

/// A configuration document, ready to be asked.
#[derive(Clone, Debug)]
pub struct Compiled {
    document: Configuration,
    tag_rules: BTreeMap<RepositoryName, TagRules>,
    policies: BTreeMap<String, Policy>,
    /// Per repository the policies that select it, the most specific first, of equal rank by name.
    selecting: BTreeMap<RepositoryName, Vec<String>>,
}

/// A repository of the configuration in force.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'a> {
    pub name: &'a RepositoryName,
    pub entry: &'a RepositoryEntry,
    rules: &'a TagRules,
}

impl Repository<'_> {
    /// What [`crate::access::decide`] has to know.
    pub fn site(&self) -> Site {
        Site { repository: self.name.clone(), visibility: self.entry.visibility, access: self.entry.access }
    }

    /// The rules that guard a tag of any of its images.
    pub fn guard(&self, tag: &TagName) -> Guard {
        self.rules.guard(tag)
    }
}

/// A policy of the configuration in force.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `<namespace>/<name>`
    pub name: String,
    pub entry: PolicyEntry,
    pub rules: Rules,
    pub slots: Slots,
    images: ImageSelector,
    rank: Rank,
}

/// Which policy cleans an image.
#[derive(Clone, Debug)]
pub enum Governance<'a> {
    /// None: nothing is ever removed.
    Nobody,
    By(&'a Policy),
    /// Several of equal rank: none of them, until their owners agree.
    Conflict(Vec<&'a Policy>),
}

impl Compiled {
    /// Compiles a document.
    ///
    /// # Errors
    /// One [`Problem`] per pattern or schedule that cannot be used. [`super::compile`] makes no such document; who reads
    /// one keeps the last good one.
    pub fn new(document: Configuration) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut tag_rules = BTreeMap::new();
        for (name, entry) in &document.repositories {
            match TagRules::new(&entry.tags) {
                Ok(rules) => drop(tag_rules.insert(name.clone(), rules)),
                Err(found) => problems.extend(within(&format!("repositories.{name}"), found)),
            }
        }
        let mut policies = BTreeMap::new();
        for (name, entry) in &document.policies {
            match Policy::new(name, entry) {
                Ok(policy) => drop(policies.insert(name.clone(), policy)),
                Err(found) => problems.extend(within(&format!("policies.{name}"), found)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut selecting: BTreeMap<RepositoryName, Vec<String>> = BTreeMap::new();
        for (name, policy) in &policies {
            for repository in &policy.entry.repositories {
                selecting.entry(repository.clone()).or_default().push(name.clone());
            }
        }
        for names in selecting.values_mut() {
            // Stable: of equal rank they stay in the order of their names.
            names.sort_by_key(|name| std::cmp::Reverse(policies.get(name).map(|policy| policy.rank)));
        }
        Ok(Self { document, tag_rules, policies, selecting })
    }

    pub const fn document(&self) -> &Configuration {
        &self.document
    }

    pub fn repository(&self, name: &RepositoryName) -> Option<Repository<'_>> {
        let (name, entry) = self.document.repositories.get_key_value(name)?;
        Some(Repository { name, entry, rules: self.tag_rules.get(name)? })
    }

    /// The policy of this name, given as `<namespace>/<name>`.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(name)
    }

    /// Every policy, in the order of their names.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// The most specific policy that selects an image (DESIGN §3 "One image, one policy").
    pub fn policy_for(&self, image: &ImageName) -> Governance<'_> {
        let names = self.selecting.get(image.repository()).map(Vec::as_slice).unwrap_or_default();
        let mut selecting =
            names.iter().filter_map(|name| self.policies.get(name)).filter(|policy| policy.images.selects(image));
        let Some(first) = selecting.next() else { return Governance::Nobody };
        let mut equal = vec![first];
        equal.extend(selecting.take_while(|policy| policy.rank == first.rank));
        if equal.len() == 1 { Governance::By(first) } else { Governance::Conflict(equal) }
    }

    /// Whether a policy, given as `<namespace>/<name>`, is the one that cleans an image.
    pub fn governs(&self, policy: &str, image: &ImageName) -> bool {
        matches!(self.policy_for(image), Governance::By(governing) if governing.name == policy)
    }
}

impl Policy {
    /// Parses an accepted policy.
    ///
    /// # Errors
    /// One [`Problem`] per field that cannot be used.
    pub(super) fn new(name: &str, entry: &PolicyEntry) -> Result<Self, Vec<Problem>> {
        let slots = Slots::of(&entry.spec.schedule, name);
        Ok(Self {
            name: name.to_owned(),
            rules: Rules::new(&entry.spec)?,
            slots: slots.map_err(|error| vec![Problem::new(error.path(), error.to_string())])?,
            images: ImageSelector::new(entry.spec.images.as_ref())?,
            rank: Rank::of(entry),
            entry: entry.clone(),
        })
    }

    /// Whether the policy is about an image by its path; being the one that governs it is [`Compiled::governs`].
    pub fn selects(&self, image: &ImageName) -> bool {
        self.entry.selects(image.repository()) && self.images.selects(image)
    }

    pub(super) const fn rank(&self) -> Rank {
        self.rank
    }
}

fn within(entry: &str, problems: Vec<Problem>) -> impl Iterator<Item = Problem> {
    problems.into_iter().map(move |problem| Problem::new(format!("{entry}.{}", problem.path), problem.message))
}
