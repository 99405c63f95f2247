//! Which rules guard a tag.

use super::Guard;
use crate::kinds::{Protection, TagRule};
use crate::name::TagName;
use crate::pattern::Unanchored;
use crate::problem::Problem;

/// A repository's tag rules, with patterns compiled.
#[derive(Clone, Debug, Default)]
pub struct TagRules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    protection: Protection,
    patterns: Vec<Unanchored>,
}

/// Endings of the tags that cosign keeps beside an image: signature, attestation, bill of materials.
const COSIGN_ENDINGS: [&str; 3] = [".sig", ".att", ".sbom"];

impl TagRules {
    /// # Errors
    /// One [`Problem`] per pattern that RE2 refuses.
    pub fn new(rules: &[TagRule]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut compiled = Vec::with_capacity(rules.len());
        for (number, rule) in rules.iter().enumerate() {
            let mut patterns = Vec::with_capacity(rule.matching.len());
            for (position, pattern) in rule.matching.iter().enumerate() {
                match Unanchored::new(pattern) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(error) => {
                        let path = format!("spec.tags[{number}].matching[{position}]");
                        problems.push(Problem::new(path, error.to_string()));
                    }
                }
            }
            compiled.push(Rule { name: rule.name.clone(), protection: rule.rule, patterns });
        }
        if problems.is_empty() { Ok(Self(compiled)) } else { Err(problems) }
    }

    /// What guards a tag: the first matching rule of each sort. Both may apply, and both then hold.
    ///
    /// A rule `Immutable` does not reach the tags that cosign writes beside an image (`sha256-<hash>.sig` and the like):
    /// every further signature moves them, and they say of themselves which immutable content they speak of.
    pub fn guard(&self, tag: &TagName) -> Guard {
        let first = |protection: Protection| {
            let matching = |rule: &&Rule| {
                rule.protection == protection && rule.patterns.iter().any(|pattern| pattern.matches(tag.as_str()))
            };
            self.0.iter().find(matching).map(|rule| rule.name.clone())
        };
        let immutable = if is_cosign_tag(tag) { None } else { first(Protection::Immutable) };
        Guard { protected: first(Protection::Protected), immutable }
    }
}

/// Whether a tag is of the form `sha256-<64 hexadecimal characters>` with one of [`COSIGN_ENDINGS`].
fn is_cosign_tag(tag: &TagName) -> bool {
    let hash = tag.as_str().strip_prefix("sha256-");
    let hash = hash.and_then(|rest| COSIGN_ENDINGS.iter().find_map(|ending| rest.strip_suffix(ending)));
    hash.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rule(name: &str, matching: &[&str], rule: Protection) -> TagRule {
        TagRule { name: name.to_owned(), matching: matching.iter().map(ToString::to_string).collect(), rule }
    }

    #[test]
    fn matching_anywhere_protects_and_every_sort_of_rule_holds() {
        let rules = TagRules::new(&[
            rule("releases", &["^v[0-9]", "stable"], Protection::Immutable),
            rule("mains", &["main"], Protection::Protected),
            rule("all-v", &["v"], Protection::Protected),
        ])
        .unwrap();
        for (tag, protected, immutable) in [
            ("v1.0", Some("all-v"), Some("releases")),
            ("unstable-1", None, Some("releases")),
            ("my-main-2", Some("mains"), None),
            ("dev", Some("all-v"), None),
            ("feature", None, None),
        ] {
            let guard = rules.guard(&tag.parse().unwrap());
            assert_eq!((guard.protected.as_deref(), guard.immutable.as_deref()), (protected, immutable), "{tag}");
        }
    }

    #[test]
    fn cosigns_tags_stay_movable_and_can_still_be_protected() {
        let rules = TagRules::new(&[
            rule("frozen", &[".*"], Protection::Immutable),
            rule("guarded", &["^sha"], Protection::Protected),
        ])
        .unwrap();
        let hash = "0f".repeat(32);
        for (tag, immutable) in [
            (format!("sha256-{hash}.sig"), false),
            (format!("sha256-{hash}.att"), false),
            (format!("sha256-{hash}.sbom"), false),
            (format!("sha256-{hash}"), true),
            (format!("sha256-{hash}.exe"), true),
            (format!("sha256-{}.sig", &hash[1..]), true),
            (format!("sha256-{}.sig", hash.to_uppercase()), true),
            (format!("sha512-{hash}.sig"), true),
        ] {
            let guard = rules.guard(&tag.parse().unwrap());
            assert_eq!(guard.immutable.is_some(), immutable, "{tag}");
            assert!(guard.protected.is_some());
        }
    }

    #[test]
    fn a_refused_pattern_is_named_by_its_field() {
        let problems = TagRules::new(&[rule("a", &["v", "(?=v)"], Protection::Protected)]).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "spec.tags[0].matching[1]");
    }
}
