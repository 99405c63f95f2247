//! Properties of cleanup plans, each over 10 000 generated inventories, and a second implementation written from GitLab's
//! nine sentences without looking at the first.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use berth_crds::cleanup::{Action, InUseRecord, Inventory, InventoryImage, InventoryTag, Plan, Reason, Rules, plan};
use berth_crds::kinds::CleanupPolicySpec;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

const NAMES: [&str; 14] =
    ["latest", "v1", "v2", "v3", "v10", "main", "main-1", "dev-1", "dev-2", "dev-3", "rc1", "rc2", "a", "b"];
const PATTERNS: [&str; 8] = [".*", "v.*", "dev-.*", "main", "rc[0-9]", "[a-b]", "(?:v1|rc1)", ".+-1"];

/// The patterns as the naive implementation reads them; they mean the same in every dialect.
static COMPILED: LazyLock<Vec<regex::Regex>> =
    LazyLock::new(|| PATTERNS.iter().map(|pattern| regex::Regex::new(&format!("^(?:{pattern})$")).unwrap()).collect());

/// A policy in numbers, so that a test can change one of them.
#[derive(Clone, Debug)]
struct Wanted {
    keep: Vec<&'static str>,
    remove: Vec<&'static str>,
    most_recent: Option<u32>,
    older_than_days: Option<u32>,
    max_deletions: u32,
}

impl Wanted {
    fn rules(&self) -> Rules {
        let older_than = self.older_than_days.map(|days| format!("{days}d"));
        let spec: CleanupPolicySpec = serde_json::from_value(json!({
            "schedule": {"cadence": "1d"},
            "keep": {"mostRecent": self.most_recent, "tagsMatching": self.keep},
            "remove": {"tagsMatching": self.remove, "olderThan": older_than},
            "limits": {"maxDeletions": self.max_deletions},
            "allowUnbounded": true,
        }))
        .unwrap();
        Rules::new(&spec).unwrap()
    }
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let patterns = |least| prop::collection::vec(prop::sample::select(PATTERNS.to_vec()), least..3);
    let some = |range| prop::option::of(range);
    (patterns(0), patterns(1), some(1..6_u32), some(1..30_u32), prop_oneof![Just(1000), 1..6_u32]).prop_map(
        |(keep, remove, most_recent, older_than_days, max_deletions)| Wanted {
            keep,
            remove,
            most_recent,
            older_than_days,
            max_deletions,
        },
    )
}

fn tag(name: &'static str) -> impl Strategy<Value = InventoryTag> {
    let marks = (prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (prop::option::weighted(0.9, 0..4_u8), prop::option::weighted(0.9, -2..40_i64), marks).prop_map(
        move |(digest, days, (protected, immutable, in_use))| InventoryTag {
            tag: name.parse().unwrap(),
            digest: digest.map(|digest| format!("sha256:{digest:064x}").parse().unwrap()),
            pushed_at: days.map(|days| now() - SignedDuration::from_hours(24 * days)),
            protected,
            immutable,
            in_use,
        },
    )
}

/// One or two images; some tags are companions of digests that others have.
fn inventory() -> impl Strategy<Value = Inventory> {
    let companions: Vec<&'static str> =
        (0..2).map(|digest| &*Box::leak(format!("sha256-{digest:064x}.sig").into_boxed_str())).collect();
    let names: Vec<&'static str> = NAMES.into_iter().chain(companions).collect();
    let tags = prop::sample::subsequence(names.clone(), 0..names.len())
        .prop_flat_map(|names| names.into_iter().map(tag).collect::<Vec<_>>())
        .prop_shuffle();
    prop::collection::vec(tags, 1..3).prop_map(|images| Inventory {
        images: images
            .into_iter()
            .enumerate()
            .map(|(number, tags)| InventoryImage {
                image: format!("team-a/shop/image-{number}").parse().unwrap(),
                repository: "team-a/shop".parse().unwrap(),
                labels: Default::default(),
                tags,
            })
            .collect(),
        in_use: InUseRecord::Complete,
    })
}

fn planned(wanted: &Wanted, inventory: &Inventory) -> Plan {
    plan("team-a/nightly", &wanted.rules(), inventory, now())
}

/// Tags that the policy removes, now or in a later run.
fn going(plan: &Plan) -> BTreeSet<(String, String)> {
    let of = |image: &berth_crds::cleanup::ImagePlan| {
        let name = image.image.to_string();
        let going = image.verdicts.iter().filter(|verdict| verdict.action != Action::Keep);
        going.map(move |verdict| (name.clone(), verdict.tag.to_string())).collect::<Vec<_>>()
    };
    plan.images.iter().flat_map(of).collect()
}

/// GitLab's sentences, one after the other, on lists; and the project's own about companions.
fn naive(wanted: &Wanted, image: &InventoryImage) -> BTreeSet<String> {
    let matching = |patterns: &[&str], name: &str| {
        PATTERNS.iter().zip(COMPILED.iter()).any(|(pattern, regex)| patterns.contains(pattern) && regex.is_match(name))
    };
    let mut list: Vec<&InventoryTag> = image.tags.iter().collect();
    list.retain(|tag| tag.tag.as_str() != "latest");
    list.retain(|tag| matching(&wanted.remove, tag.tag.as_str()));
    list.retain(|tag| !matching(&wanted.keep, tag.tag.as_str()));
    list.retain(|tag| tag.digest.is_some());
    list.sort_by(|one, other| {
        let time = |tag: &InventoryTag| tag.pushed_at.unwrap_or(now());
        time(other).cmp(&time(one)).then(other.tag.cmp(&one.tag))
    });
    let mut list = list.split_off(list.len().min(wanted.most_recent.unwrap_or(0) as usize));
    if let Some(days) = wanted.older_than_days {
        let limit = now() - SignedDuration::from_hours(24 * i64::from(days));
        list.retain(|tag| tag.pushed_at.is_some_and(|pushed_at| pushed_at < limit));
    }
    list.retain(|tag| !tag.protected && !tag.immutable && !tag.in_use);
    let mut gone: BTreeSet<String> = list.iter().map(|tag| tag.tag.to_string()).collect();
    loop {
        let kept: BTreeSet<String> = image
            .tags
            .iter()
            .filter(|tag| !gone.contains(tag.tag.as_str()))
            .filter_map(|tag| tag.digest.as_ref().map(|digest| format!("sha256-{}.sig", digest.hex())))
            .collect();
        let before = gone.len();
        gone.retain(|tag| !kept.contains(tag));
        if gone.len() == before {
            return gone;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_tag_has_exactly_one_verdict_and_latest_stays(wanted in wanted(), inventory in inventory()) {
        let plan = planned(&wanted, &inventory);
        for image in &inventory.images {
            let planned = plan.images.iter().find(|planned| planned.image == image.image).unwrap();
            let names: Vec<_> = planned.verdicts.iter().map(|verdict| &verdict.tag).collect();
            let mut expected: Vec<_> = image.tags.iter().map(|tag| &tag.tag).collect();
            expected.sort();
            prop_assert_eq!(names, expected);
            prop_assert!(planned.verdicts.iter().all(|verdict| verdict.tag.as_str() != "latest" || verdict.reason == Reason::Latest));
        }
        prop_assert!(plan.summary.delete <= u64::from(wanted.max_deletions));
        prop_assert_eq!(plan.summary.tags, plan.summary.delete + plan.summary.keep + plan.summary.later);
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(wanted in wanted(), inventory in inventory()) {
        let mut reversed = inventory.clone();
        reversed.images.reverse();
        reversed.images.iter_mut().for_each(|image| image.tags.reverse());
        prop_assert_eq!(planned(&wanted, &inventory), planned(&wanted, &reversed));
    }

    #[test]
    fn planning_again_after_the_deletions_deletes_nothing(mut wanted in wanted(), mut inventory in inventory()) {
        wanted.max_deletions = 1000;
        let gone = going(&planned(&wanted, &inventory));
        for image in &mut inventory.images {
            let name = image.image.to_string();
            image.tags.retain(|tag| !gone.contains(&(name.clone(), tag.tag.to_string())));
        }
        prop_assert!(going(&planned(&wanted, &inventory)).is_empty());
    }

    #[test]
    fn keeping_more_never_removes_more(
        wanted in wanted(), inventory in inventory(), more in 0..5_u8, pattern in prop::sample::select(PATTERNS.to_vec()), at in any::<prop::sample::Index>(),
    ) {
        let (mut kinder, mut guarded) = (wanted.clone(), inventory.clone());
        let image = at.index(guarded.images.len());
        let tags = &mut guarded.images[image].tags;
        let tag = if tags.is_empty() { None } else { let tag = at.index(tags.len()); tags.get_mut(tag) };
        match (more, tag) {
            (0, _) => kinder.keep.push(pattern),
            (1, _) => kinder.most_recent = Some(wanted.most_recent.unwrap_or(0) + 1),
            (2, _) => kinder.older_than_days = Some(wanted.older_than_days.unwrap_or(0) + 1),
            (3, Some(tag)) => tag.protected = true,
            (_, Some(tag)) => tag.in_use = true,
            (_, None) => {}
        }
        let (before, after) = (going(&planned(&wanted, &inventory)), going(&planned(&kinder, &guarded)));
        prop_assert!(after.is_subset(&before), "{:?} are new", after.difference(&before).collect::<Vec<_>>());
    }

    #[test]
    fn a_second_implementation_agrees(wanted in wanted(), inventory in inventory()) {
        let expected: BTreeSet<(String, String)> = inventory.images.iter().flat_map(|image| {
            naive(&wanted, image).into_iter().map(|tag| (image.image.to_string(), tag))
        }).collect();
        prop_assert_eq!(going(&planned(&wanted, &inventory)), expected);
    }
}
