//! The rules that protect tags, with their patterns ready to match.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_crds::access::Guard;
use berth_crds::configuration::Configuration;
use berth_crds::kinds::{Protection, TagRule};
use berth_crds::name::{RepositoryName, TagName};
use berth_crds::pattern::Unanchored;

/// The tag rules of every repository that has some.
#[derive(Clone, Debug, Default)]
pub(super) struct Guards(BTreeMap<RepositoryName, Arc<Rules>>);

/// The rules of one repository, in the order of its object.
#[derive(Debug)]
struct Rules {
    written: Vec<TagRule>,
    /// One per written rule.
    patterns: Vec<Vec<Unanchored>>,
}

impl Guards {
    /// The guards of a document. What did not change is taken over from `before`: making patterns ready is the slow
    /// part of putting a configuration in force.
    ///
    /// # Errors
    /// One sentence per pattern that cannot be matched; whoever made the document should have refused it.
    pub(super) fn of(configuration: &Configuration, before: &Self) -> Result<Self, Vec<String>> {
        let mut guards = BTreeMap::new();
        let mut problems = Vec::new();
        for (repository, entry) in configuration.repositories.iter().filter(|(_, entry)| !entry.tags.is_empty()) {
            match before.0.get(repository).filter(|rules| rules.written == entry.tags) {
                Some(unchanged) => {
                    guards.insert(repository.clone(), Arc::clone(unchanged));
                }
                None => match Rules::ready(&entry.tags) {
                    Ok(rules) => {
                        guards.insert(repository.clone(), Arc::new(rules));
                    }
                    Err(problem) => problems.push(format!("ContainerRepository {repository}: {problem}")),
                },
            }
        }
        if problems.is_empty() { Ok(Self(guards)) } else { Err(problems) }
    }

    /// What protects a tag: of each sort the first rule that matches it.
    pub(super) fn guard(&self, repository: &RepositoryName, tag: &TagName) -> Guard {
        let mut guard = Guard::default();
        let Some(rules) = self.0.get(repository) else { return guard };
        for (rule, patterns) in rules.written.iter().zip(&rules.patterns) {
            let found = match rule.rule {
                Protection::Protected => &mut guard.protected,
                Protection::Immutable => &mut guard.immutable,
            };
            if found.is_none() && patterns.iter().any(|pattern| pattern.matches(tag.as_str())) {
                *found = Some(rule.name.clone());
            }
        }
        guard
    }
}

impl Rules {
    fn ready(written: &[TagRule]) -> Result<Self, String> {
        let ready = |rule: &TagRule| -> Result<Vec<Unanchored>, String> {
            let patterns = rule.matching.iter().map(|pattern| Unanchored::new(pattern));
            patterns.collect::<Result<_, _>>().map_err(|reason| format!("tag rule \"{}\": {reason}", rule.name))
        };
        let patterns = written.iter().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { written: written.to_vec(), patterns })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::repository;
    use super::*;

    fn configuration(rules: &[(&str, &str, Protection)]) -> Configuration {
        let rule = |(name, pattern, rule): &(&str, &str, Protection)| TagRule {
            name: (*name).to_owned(),
            matching: vec!["^never$".to_owned(), (*pattern).to_owned()],
            rule: *rule,
        };
        let mut entry = repository();
        entry.tags = rules.iter().map(rule).collect();
        Configuration::new([("team-a/shop".parse().unwrap(), entry)].into(), BTreeMap::new())
    }

    #[test]
    fn of_each_sort_the_first_rule_that_matches_anywhere_in_the_tag() {
        let rules = [
            ("releases", "^v[0-9]", Protection::Immutable),
            ("versions", "v", Protection::Immutable),
            ("trunk", "main|^v2", Protection::Protected),
        ];
        let guards = Guards::of(&configuration(&rules), &Guards::default()).unwrap();
        let guard = |repository: &str, tag: &str| {
            let guard = guards.guard(&repository.parse().unwrap(), &tag.parse().unwrap());
            (guard.immutable.unwrap_or_default(), guard.protected.unwrap_or_default())
        };
        for (tag, immutable, protected) in [
            ("v1", "releases", ""),
            ("v2", "releases", "trunk"),
            ("dev", "versions", ""),
            ("on-main-1", "", "trunk"),
            ("latest", "", ""),
        ] {
            assert_eq!(guard("team-a/shop", tag), (immutable.to_owned(), protected.to_owned()), "{tag}");
        }
        assert_eq!(guard("team-a/other", "v1"), (String::new(), String::new()));
    }

    #[test]
    fn unchanged_rules_are_taken_over_and_changed_ones_made_anew() {
        let first = Guards::of(&configuration(&[("a", "^v", Protection::Immutable)]), &Guards::default()).unwrap();
        let rules = |guards: &Guards| Arc::clone(guards.0.values().next().unwrap());
        let same = Guards::of(&configuration(&[("a", "^v", Protection::Immutable)]), &first).unwrap();
        assert!(Arc::ptr_eq(&rules(&first), &rules(&same)));
        let other = Guards::of(&configuration(&[("a", "^w", Protection::Immutable)]), &first).unwrap();
        assert!(other.guard(&"team-a/shop".parse().unwrap(), &"w1".parse().unwrap()).immutable.is_some());
    }

    #[test]
    fn a_pattern_that_cannot_be_matched_spoils_the_document() {
        let problems = Guards::of(&configuration(&[("a", "(", Protection::Immutable)]), &Guards::default());
        let problem = problems.unwrap_err().join("");
        assert!(problem.starts_with("ContainerRepository team-a/shop: tag rule \"a\""), "{problem}");
    }
}
