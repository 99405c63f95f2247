//! A policy's rules about tags, parsed: patterns compiled, nothing left that could be invalid.

use jiff::SignedDuration;

use crate::duration::Span;
use crate::kinds::{CleanupPolicySpec, InUse};
use crate::pattern::{KeepName, PatternError, WholeName};
use crate::problem::Problem;

/// What a policy says about tags.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) most_recent: Option<u32>,
    pub(super) keep: Vec<KeepName>,
    pub(super) remove: Vec<WholeName>,
    pub(super) older_than: Option<Age>,
    pub(super) in_use: InUse,
    pub(super) max_deletions: u32,
}

/// `remove.olderThan`: as text and as what it means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) span: Span,
    pub(super) duration: SignedDuration,
}

impl Rules {
    /// Parses a policy's rules.
    ///
    /// # Errors
    /// One [`Problem`] per field that cannot be used: patterns that RE2 refuses, nothing to select by, no bound without
    /// `allowUnbounded`. A policy with a problem deletes nothing.
    pub fn new(spec: &CleanupPolicySpec) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let keep = patterns("spec.keep.tagsMatching", &spec.keep.tags_matching, KeepName::new, &mut problems);
        let remove = patterns("spec.remove.tagsMatching", &spec.remove.tags_matching, WholeName::new, &mut problems);
        if spec.remove.tags_matching.is_empty() {
            problems.push(Problem::new("spec.remove.tagsMatching", "needs a pattern: write .* for every tag"));
        }
        if spec.keep.most_recent.is_none() && spec.remove.older_than.is_none() && !spec.allow_unbounded {
            let message = "without keep.mostRecent and remove.olderThan every selected tag goes: set one of them, or \
                           allowUnbounded: true";
            problems.push(Problem::new("spec", message));
        }
        if spec.keep.most_recent == Some(0) {
            problems
                .push(Problem::new("spec.keep.mostRecent", "is at least 1: leave it out to keep no number of tags"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let age = |span: Span| Age {
            span,
            // Beyond 292 billion years nothing is older.
            duration: SignedDuration::from_secs(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)),
        };
        Ok(Self {
            most_recent: spec.keep.most_recent,
            keep,
            remove,
            older_than: spec.remove.older_than.map(age),
            in_use: spec.keep.in_use,
            max_deletions: spec.limits.max_deletions,
        })
    }

    /// What to tell the author of rules that work and may not mean what they seem to.
    pub fn warnings(&self) -> Vec<String> {
        self.keep.iter().filter_map(KeepName::warning).collect()
    }
}

/// Compiles the patterns of a list, each problem with the path of its item.
pub(super) fn patterns<P>(
    path: &str,
    texts: &[String],
    compile: impl Fn(&str) -> Result<P, PatternError>,
    problems: &mut Vec<Problem>,
) -> Vec<P> {
    let mut compiled = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        let path = || format!("{path}[{position}]");
        if text.is_empty() {
            problems.push(Problem::new(path(), "an empty pattern matches no name: leave it out, or write .*"));
            continue;
        }
        match compile(text) {
            Ok(pattern) => compiled.push(pattern),
            Err(error) => problems.push(Problem::new(path(), error.to_string())),
        }
    }
    compiled
}
