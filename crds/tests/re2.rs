//! Patterns against RE2 itself: `vectors/re2.json` holds what RE2 said (`vectors/ask_re2.py` asks it anew).
#![allow(clippy::unwrap_used)]

use berth_crds::pattern::{KeepName, Unanchored, WholeName};
use serde::Deserialize;

#[derive(Deserialize)]
struct Oracle {
    names: Vec<String>,
    patterns: Vec<Verdict>,
}

/// RE2's verdict; the lists hold the numbers of matching names.
#[derive(Deserialize)]
struct Verdict {
    pattern: String,
    error: Option<String>,
    #[serde(default)]
    anywhere: Vec<usize>,
    #[serde(default)]
    whole: Vec<usize>,
    ungrouped: Option<Vec<usize>>,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("vectors/re2.json")).unwrap()
}

fn matching(names: &[String], matches: impl Fn(&str) -> bool) -> Vec<usize> {
    (0..names.len()).filter(|number| matches(&names[*number])).collect()
}

#[test]
fn a_pattern_is_accepted_and_matches_exactly_as_in_re2() {
    let Oracle { names, patterns } = oracle();
    let (mut accepted, mut differences) = (0, Vec::new());
    for verdict in &patterns {
        let pattern = &verdict.pattern;
        match (&verdict.error, WholeName::new(pattern)) {
            (Some(_), Err(_)) => {}
            (None, Ok(whole)) => {
                accepted += 1;
                let anywhere = Unanchored::new(pattern).unwrap();
                if matching(&names, |name| whole.matches(name)) != verdict.whole {
                    differences.push(format!("{pattern}: whole"));
                }
                if matching(&names, |name| anywhere.matches(name)) != verdict.anywhere {
                    differences.push(format!("{pattern}: anywhere"));
                }
            }
            (Some(error), Ok(_)) => differences.push(format!("{pattern}: RE2 refuses it ({error})")),
            (None, Err(error)) => differences.push(format!("RE2 accepts: {error}")),
        }
    }
    assert!(patterns.len() >= 300 && accepted >= 300, "{accepted} accepted of {}", patterns.len());
    assert!(patterns.len() - accepted >= 150, "{accepted} accepted of {}", patterns.len());
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn a_keep_pattern_keeps_what_either_reading_of_re2_keeps() {
    let Oracle { names, patterns } = oracle();
    let mut wider = 0;
    for verdict in patterns.iter().filter(|verdict| verdict.error.is_none()) {
        let keep = KeepName::new(&verdict.pattern).unwrap();
        let kept = matching(&names, |name| keep.matches(name));
        let ungrouped = verdict.ungrouped.as_deref().unwrap_or_default();
        if keep.warning().is_some() {
            let either = matching(&names, |name| {
                let number = names.iter().position(|other| other == name).unwrap();
                verdict.whole.contains(&number) || ungrouped.contains(&number)
            });
            assert_eq!(kept, either, "{}", verdict.pattern);
            wider += usize::from(kept != verdict.whole);
        } else {
            assert_eq!(kept, verdict.whole, "{}", verdict.pattern);
            // Without a warning GitLab's reading keeps nothing more. (It keeps less for an unclosed \Q, which swallows
            // the anchor.)
            let missed: Vec<_> = ungrouped.iter().filter(|number| !kept.contains(number)).collect();
            assert!(missed.is_empty(), "{}: GitLab keeps more, and nobody is warned", verdict.pattern);
        }
    }
    assert!(wider >= 20, "only {wider} patterns whose two readings differ");
}
