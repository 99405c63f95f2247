//! Where a plan begins and ends: which images a policy selects from an inventory, which inventories are refused, and
//! what goes first when not everything may go.

#![allow(clippy::unwrap_used)]

use berth_crds::cleanup::{Action, InUseRecord, Inventory, Plan, Reason, Rules, Selection, SelectionError, plan};
use berth_crds::kinds::CleanupPolicySpec;
use serde_json::{Value, json};

/// A policy that removes everything older than a day, with further fields.
fn policy(fields: &Value) -> CleanupPolicySpec {
    let mut spec = json!({"schedule": {"cadence": "1d"}, "remove": {"tagsMatching": [".*"], "olderThan": "1d"}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn image(name: &str, labels: &Value, tags: &[Value]) -> Value {
    let repository = name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    json!({"image": name, "repository": repository, "labels": labels, "tags": tags})
}

fn tag(name: &str, hash: u8, pushed_at: &str) -> Value {
    json!({"tag": name, "digest": format!("sha256:{hash:064x}"), "pushedAt": format!("{pushed_at}T00:00:00Z")})
}

fn inventory(images: &[Value]) -> Result<Inventory, String> {
    serde_json::from_value(json!({"images": images})).map_err(|error| error.to_string())
}

fn select(fields: &Value, images: &[Value]) -> Result<Vec<String>, SelectionError> {
    let selected = Selection::new("team-a", &policy(fields)).unwrap().select(&inventory(images).unwrap())?;
    Ok(selected.images.iter().map(|image| image.image.to_string()).collect())
}

#[test]
fn a_policy_selects_within_its_namespace() {
    let images = [
        image("team-a/shop", &json!({"tier": "prod"}), &[]),
        image("team-a/shop/api", &json!({"tier": "prod"}), &[]),
        image("team-a/site", &json!({"tier": "test"}), &[]),
        image("team-b/shop", &json!({"tier": "prod"}), &[]),
    ];
    for (fields, expected) in [
        (json!({}), vec!["team-a/shop", "team-a/shop/api", "team-a/site"]),
        (json!({"repositories": {"names": ["shop"]}}), vec!["team-a/shop", "team-a/shop/api"]),
        (
            json!({"repositories": {"selector": {"matchLabels": {"tier": "prod"}}}}),
            vec!["team-a/shop", "team-a/shop/api"],
        ),
        (json!({"images": {"matching": ["team-a/shop/.+"]}}), vec!["team-a/shop/api"]),
        (json!({"images": {"matching": ["shop"]}}), vec![]),
    ] {
        assert_eq!(select(&fields, &images).unwrap(), expected, "{fields}");
    }
}

#[test]
fn a_selector_needs_labels_unless_it_holds_without_any() {
    let unlabelled = [image("team-a/shop", &json!({}), &[])];
    let by_label = json!({"repositories": {"selector": {"matchLabels": {"tier": "prod"}}}});
    let missing = select(&by_label, &unlabelled).unwrap_err();
    assert_eq!(missing, SelectionError::NoLabels { image: "team-a/shop".parse().unwrap() });
    assert!(missing.to_string().contains("spec.repositories.names"), "says what to do: {missing}");
    let without =
        json!({"repositories": {"selector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}});
    assert_eq!(select(&without, &unlabelled).unwrap(), ["team-a/shop"]);
    // Labels of images that it cannot be about anyway are not asked for.
    assert!(select(&by_label, &[image("team-b/shop", &json!({}), &[])]).unwrap().is_empty());
    let of_namespaces = json!({"namespaceSelector": {}});
    assert_eq!(select(&of_namespaces, &unlabelled).unwrap_err(), SelectionError::NamespaceSelector);
}

#[test]
fn an_inventory_that_contradicts_itself_is_refused() {
    let one = || image("team-a/shop", &json!({}), &[tag("a", 1, "2026-01-01"), tag("b", 1, "2026-01-01")]);
    assert_eq!(inventory(&[one()]).unwrap().images[0].tags.len(), 2);
    let twice = inventory(&[one(), one()]).unwrap_err();
    assert!(twice.contains("team-a/shop is listed twice"), "{twice}");
    let tags = [tag("a", 1, "2026-01-01"), tag("a", 2, "2026-01-02")];
    let twice = inventory(&[image("team-a/shop", &json!({}), &tags)]).unwrap_err();
    assert!(twice.contains("the tag a of team-a/shop is listed twice"), "{twice}");
    let mut elsewhere = image("team-a/shop/api", &json!({}), &[]);
    elsewhere["repository"] = json!("team-a/site");
    let elsewhere = inventory(&[elsewhere]).unwrap_err();
    assert!(elsewhere.contains("its repository is team-a/shop"), "{elsewhere}");
}

fn planned(fields: &Value, inventory: &Inventory) -> Plan {
    plan("team-a/x", &Rules::new(&policy(fields)).unwrap(), inventory, "2026-11-24T00:00:00Z".parse().unwrap())
}

/// The deleted tags, as `image:tag`.
fn deleted(plan: &Plan) -> Vec<String> {
    let verdicts = plan.images.iter().flat_map(|image| image.verdicts.iter().map(move |verdict| (image, verdict)));
    let going = verdicts.filter(|(_, verdict)| verdict.action == Action::Delete);
    going.map(|(image, verdict)| format!("{}:{}", image.image, verdict.tag)).collect()
}

#[test]
fn at_the_limit_the_oldest_go_first_over_all_images() {
    let inventory = inventory(&[
        image("team-a/shop", &json!({}), &[tag("old", 1, "2026-02-01"), tag("new", 2, "2026-04-01")]),
        image("team-a/site", &json!({}), &[tag("old", 3, "2026-01-01"), tag("new", 4, "2026-03-01")]),
    ])
    .unwrap();
    let order = ["team-a/site:old", "team-a/shop:old", "team-a/site:new", "team-a/shop:new"];
    for limit in 1..=order.len() {
        let plan = planned(&json!({"limits": {"maxDeletions": limit}}), &inventory);
        let mut expected = order[..limit].to_vec();
        expected.sort_unstable();
        assert_eq!(deleted(&plan), expected, "at most {limit}");
        let verdicts = || plan.images.iter().flat_map(|image| &image.verdicts);
        let later = verdicts().filter(|verdict| verdict.action == Action::Later);
        assert_eq!(later.filter(|verdict| verdict.reason == Reason::LimitReached).count(), order.len() - limit);
        assert_eq!(plan.summary.later, u64::try_from(order.len() - limit).unwrap());
    }
}

#[test]
fn at_the_limit_a_signature_never_goes_before_its_image() {
    // Pushed before its image, as a copied image's signature may be; the image is the youngest of all.
    let signature = format!("sha256-{:064x}.sig", 1);
    let tags = [tag(&signature, 9, "2026-01-01"), tag("other", 2, "2026-02-01"), tag("image", 1, "2026-03-01")];
    let inventory = inventory(&[image("team-a/shop", &json!({}), &tags)]).unwrap();
    let order = ["team-a/shop:other".to_owned(), "team-a/shop:image".to_owned(), format!("team-a/shop:{signature}")];
    for limit in 1..=order.len() {
        let mut expected = order[..limit].to_vec();
        expected.sort_unstable();
        assert_eq!(deleted(&planned(&json!({"limits": {"maxDeletions": limit}}), &inventory)), expected, "{limit}");
    }
}

#[test]
fn nothing_goes_while_it_is_not_known_what_is_in_use() {
    let images = [image("team-a/shop", &json!({}), &[tag("a", 1, "2026-01-01"), tag("b", 2, "2026-01-02")])];
    let ignore = json!({"keep": {"inUse": "Ignore"}});
    for (record, required, noted) in
        [(InUseRecord::Complete, 2, false), (InUseRecord::NoCluster, 2, true), (InUseRecord::Unknown, 0, true)]
    {
        let inventory = Inventory { in_use: record, ..inventory(&images).unwrap() };
        let plan = planned(&json!({}), &inventory);
        assert_eq!((deleted(&plan).len(), !plan.notes.is_empty()), (required, noted), "{record:?}");
        let in_use = plan.images[0].verdicts.iter().filter(|verdict| verdict.reason == Reason::InUse).count();
        assert_eq!(in_use, 2 - required, "{record:?}");
        assert_eq!(deleted(&planned(&ignore, &inventory)).len(), 2, "{record:?}: Ignore does not care");
    }
}
