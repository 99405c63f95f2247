//! Cleanup plans against vectors taken from GitLab's specs, source, documentation and issues.
//!
//! `vectors/cleanup.json` holds, per policy and list of tags, what GitLab deletes. Where DESIGN §3 decides otherwise the
//! vector stands in [`DEVIATIONS`] with our answer and the reason; a vector that is in neither place fails.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use berth_crds::cleanup::{Action, InUseRecord, Inventory, InventoryImage, InventoryTag, Rules, plan};
use berth_crds::kinds::CleanupPolicySpec;
use berth_crds::pattern::Unanchored;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    id: String,
    class: String,
    tags: Vec<Tag>,
    policy: Policy,
    deleted: BTreeSet<String>,
    kept: BTreeSet<String>,
    #[serde(default)]
    protected_tag_patterns: Vec<String>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    age_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    enabled: bool,
    name_regex_delete: String,
    name_regex_keep: Option<String>,
    keep_n: Option<u32>,
    older_than: Option<String>,
}

/// Vectors that we answer differently: what we delete, and why.
const DEVIATIONS: [(&str, &[&str], &str); 6] = [
    (
        "off-01-disabled",
        &["A", "Ba", "Bb", "C", "D", "E"],
        "`suspend` stops the schedule; plans and dry runs ignore it (DESIGN §3)",
    ),
    (
        "page-01-keep-n-per-page",
        &["Ba", "Bb", "C"],
        "mostRecent counts per image over the whole list, never per page: only A, the newest, stays",
    ),
    (
        "page-03-all-params-per-page",
        &["Ba", "Bb", "C"],
        "mostRecent counts per image over the whole list, never per page",
    ),
    (
        "page-05-timeout-after-two-pages",
        &["A", "Ba", "Bb", "C", "D", "E"],
        "a plan knows no pages and no clock: the run's limits stop its execution, and the next run goes on",
    ),
    (
        "alt-01-delete-literal",
        &["release", "v2"],
        "patterns are grouped before anchoring: of two readings of a remove pattern the one that deletes less is safe",
    ),
    (
        "alt-02-keep-grouped",
        &["foo"],
        "a keep pattern with an ungrouped alternation keeps what either reading keeps, with a warning",
    ),
];

/// Tag names that this project's own grammar allows; vectors use nothing else.
fn inventory(vector: &Vector, now: Timestamp) -> Inventory {
    let rules: Vec<Unanchored> =
        vector.protected_tag_patterns.iter().map(|pattern| Unanchored::new(pattern).unwrap()).collect();
    let tags = vector.tags.iter().enumerate().map(|(number, tag)| InventoryTag {
        tag: tag.name.parse().unwrap(),
        digest: Some(format!("sha256:{number:064x}").parse().unwrap()),
        pushed_at: tag.age_seconds.map(|age| now - SignedDuration::from_secs(age)),
        protected: rules.iter().any(|rule| rule.matches(&tag.name)),
        immutable: false,
        in_use: false,
    });
    let image = "team-a/shop/api".parse().unwrap();
    let repository = "team-a/shop".parse().unwrap();
    let image = InventoryImage { image, repository, labels: Default::default(), tags: tags.collect() };
    Inventory { images: vec![image], in_use: InUseRecord::Complete }
}

fn spec(policy: &Policy) -> CleanupPolicySpec {
    let keep: Vec<&String> = policy.name_regex_keep.iter().collect();
    serde_json::from_value(json!({
        "schedule": {"cadence": "1d"},
        "keep": {"mostRecent": policy.keep_n, "tagsMatching": keep},
        "remove": {"tagsMatching": [policy.name_regex_delete], "olderThan": policy.older_than},
        "allowUnbounded": policy.keep_n.is_none() && policy.older_than.is_none(),
        "suspend": !policy.enabled,
    }))
    .unwrap()
}

/// What we delete; an invalid policy deletes nothing, as in GitLab.
fn deleted(vector: &Vector) -> Result<BTreeSet<String>, String> {
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let rules = Rules::new(&spec(&vector.policy))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let plan = plan("team-a/nightly", &rules, &inventory(vector, now), now);
    assert_eq!(plan.images[0].verdicts.len(), vector.tags.len(), "{}", vector.id);
    let going = plan.images[0].verdicts.iter().filter(|verdict| verdict.action == Action::Delete);
    Ok(going.map(|verdict| verdict.tag.to_string()).collect())
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/cleanup.json")).unwrap()
}

#[test]
fn every_vector_is_answered_as_gitlab_does_or_differs_for_a_reason() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 40);
    for vector in &vectors {
        let (id, answer) = (&vector.id, deleted(vector));
        if let Some((_, expected, reason)) = DEVIATIONS.iter().find(|(deviation, ..)| deviation == id) {
            let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(answer.as_ref(), Ok(&expected), "{id}: {reason}");
            assert_ne!(expected, vector.deleted, "{id} is no deviation");
            continue;
        }
        match vector.class.as_str() {
            "invalid" => assert!(answer.is_err(), "{id}: {answer:?}"),
            "core" | "edge" | "recommended" | "re2-vs-rust" => {
                let accepted = answer.unwrap_or_default();
                assert_eq!(accepted, vector.deleted, "{id}");
                let all: BTreeSet<String> = vector.tags.iter().map(|tag| tag.name.clone()).collect();
                assert_eq!(&all - &accepted, vector.kept, "{id}");
            }
            "gitlab-quirk" if id == "alt-02-keep-literal" => {
                assert_eq!(
                    answer.unwrap(),
                    vector.deleted,
                    "{id}: the safe reading of a keep pattern is GitLab's here"
                );
            }
            other => panic!("{id} of class {other} is neither followed nor explained"),
        }
    }
    for (id, ..) in DEVIATIONS {
        assert!(vectors.iter().any(|vector| vector.id == id), "{id} is gone from the vectors");
    }
}

#[test]
fn a_pattern_that_re2_refuses_is_refused_and_one_it_accepts_is_translated() {
    for vector in vectors().iter().filter(|vector| vector.class == "re2-vs-rust") {
        assert_eq!(deleted(vector).is_err(), vector.id == "re2-05-double-star", "{}", vector.id);
    }
}
