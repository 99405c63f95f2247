//! `registry cleanup --policy-file --inventory` as a program: the vectors of the decision, and what it says to bad input.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const NOW: &str = "2026-11-24T12:00:00Z";

struct Bed(tempfile::TempDir);

impl Bed {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn plan(&self, more: &[&str]) -> Output {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        Command::new(env!("CARGO_BIN_EXE_registry"))
            .args(["cleanup", "--policy-file", &file("policy.yaml"), "--inventory", &file("tags.json"), "--now", NOW])
            .args(more)
            .output()
            .unwrap()
    }
}

fn policy(spec: &Value) -> String {
    let meta = json!({ "namespace": "team-a", "name": "nightly" });
    json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "CleanupPolicy", "metadata": meta, "spec": spec }).to_string()
}

fn spec() -> Value {
    json!({ "schedule": {"cadence": "1d"}, "keep": {"mostRecent": 1}, "remove": {"tagsMatching": [".*"]} })
}

fn inventory(tags: &[Value]) -> String {
    json!({ "images": [{ "image": "team-a/shop/api", "repository": "team-a/shop", "tags": tags }] }).to_string()
}

fn tag(name: &str, pushed_at: Option<Timestamp>) -> Value {
    json!({ "tag": name, "digest": format!("sha256:{}", "a".repeat(64)), "pushedAt": pushed_at })
}

fn two_tags() -> String {
    let now: Timestamp = NOW.parse().unwrap();
    let ago = |hours| Some(now - SignedDuration::from_hours(hours));
    inventory(&[tag("old", ago(48)), tag("new", ago(1))])
}

/// The vectors that the decision itself is judged by go through files, command line and JSON unharmed. Those without
/// protected tags, which an inventory states and does not derive, and those that DESIGN §3 answers differently (judged
/// where the decision is) are left out.
#[test]
fn vectors_survive_the_way_through_files_and_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/vectors/cleanup.json");
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let now: Timestamp = NOW.parse().unwrap();
    let deviations = ["off-01-disabled", "alt-02-keep-grouped"];
    let (mut planned, mut refused) = (0, 0);
    for vector in vectors {
        let id = vector["id"].as_str().unwrap();
        let class = vector["class"].as_str().unwrap();
        let rules = &vector["policy"];
        if deviations.contains(&id)
            || matches!(class, "gitlab-quirk" | "partial")
            || vector.get("protectedTagPatterns").is_some()
        {
            continue;
        }
        let mut spec = json!({
            "schedule": {"cadence": "1d"},
            "keep": {"inUse": "Ignore"},
            "remove": {"tagsMatching": [rules["nameRegexDelete"]]},
        });
        if !rules["nameRegexKeep"].is_null() {
            spec["keep"]["tagsMatching"] = json!([rules["nameRegexKeep"]]);
        }
        if !rules["keepN"].is_null() {
            spec["keep"]["mostRecent"] = rules["keepN"].clone();
        }
        if !rules["olderThan"].is_null() {
            spec["remove"]["olderThan"] = rules["olderThan"].clone();
        }
        spec["allowUnbounded"] = json!(rules["keepN"].is_null() && rules["olderThan"].is_null());
        let tags = vector["tags"].as_array().unwrap().iter().map(|one| {
            let age = one["age_seconds"].as_i64();
            tag(one["name"].as_str().unwrap(), age.map(|age| now - SignedDuration::from_secs(age)))
        });
        let bed = Bed::new();
        bed.write("policy.yaml", &policy(&spec));
        bed.write("tags.json", &inventory(&tags.collect::<Vec<_>>()));
        let output = bed.plan(&["--output", "json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if class == "invalid" || id == "re2-05-double-star" {
            assert_eq!(output.status.code(), Some(78), "{id}: {said}");
            assert!(output.stdout.is_empty(), "{id}: a policy that is invalid plans nothing");
            assert!(said.contains("tagsMatching"), "{id} names the field: {said}");
            refused += 1;
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{id}: {said}");
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let verdicts = plan["images"][0]["verdicts"].as_array().unwrap();
        let deleted: BTreeSet<&str> = verdicts
            .iter()
            .filter(|verdict| verdict["action"] == "delete")
            .map(|verdict| verdict["tag"].as_str().unwrap())
            .collect();
        let expected: BTreeSet<&str> =
            vector["deleted"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(deleted, expected, "{id}");
        planned += 1;
    }
    assert_eq!((planned, refused), (24, 6));
}

#[test]
fn the_table_shows_what_goes_and_why_and_counts_what_stays() {
    let bed = Bed::new();
    bed.write("policy.yaml", &policy(&spec()));
    bed.write("tags.json", &two_tags());
    let text = String::from_utf8(bed.plan(&[]).stdout).unwrap();
    assert!(text.starts_with("Plan of team-a/nightly, 2026-11-24 12:00 UTC\n"), "{text}");
    assert!(text.contains("\ndelete  old  NameSelected"), "{text}");
    assert!(text.contains("\nkeep    1 Recent\n") && !text.contains("keep    new"), "{text}");
    assert!(text.ends_with("1 of 2 tags to delete, 1 to keep.\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text:?}");
    let all = String::from_utf8(bed.plan(&["--all"]).stdout).unwrap();
    assert!(all.contains("\nkeep    new  Recent"), "{all}");
}

#[test]
fn what_cannot_be_planned_ends_with_78_and_the_reason() {
    let by_label = json!({"selector": {"matchLabels": {"tier": "prod"}}});
    let mut selecting = spec();
    selecting["repositories"] = by_label;
    let mut unbounded = spec();
    unbounded["keep"] = json!({});
    let mut unknown = spec();
    unknown["keepN"] = json!(3);
    let (good, tags) = (policy(&spec()), two_tags());
    let twice = format!("{good}\n---\n{}", good.replace("nightly", "weekly"));
    for (policy, tags, reason) in [
        (policy(&selecting).as_str(), tags.as_str(), "gives none for team-a/shop/api"),
        (policy(&unbounded).as_str(), &tags, "allowUnbounded"),
        (policy(&unknown).as_str(), &tags, "keepN"),
        ("kind: [", &tags, "policy.yaml"),
        ("", &tags, "holds no CleanupPolicy"),
        (twice.as_str(), &tags, "several CleanupPolicies"),
        (good.as_str(), "[]", "is not an inventory"),
        (good.as_str(), &tags.replace("\"new\"", "\"old\""), "listed twice"),
    ] {
        let bed = Bed::new();
        bed.write("policy.yaml", policy);
        bed.write("tags.json", tags);
        let output = bed.plan(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{reason}: {said}");
        assert!(said.starts_with("error: ") && said.contains(reason), "{reason}: {said}");
        assert!(output.stdout.is_empty(), "{reason}");
    }
}

#[test]
fn an_inventory_may_come_through_a_pipe() {
    use std::io::Write as _;
    let bed = Bed::new();
    bed.write("policy.yaml", &policy(&spec()));
    let file = bed.0.path().join("policy.yaml").display().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_registry"))
        .args(["cleanup", "--policy-file", &file, "--inventory", "-", "--now", NOW])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(two_tags().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 of 2 tags to delete"));
}

#[test]
fn a_command_line_that_names_nothing_to_do_is_invalid() {
    for arguments in [
        vec!["cleanup"],
        vec!["cleanup", "--policy", "team-a/nightly", "--plan", "x.json"],
        vec!["cleanup", "--policy-file", "x.yaml"],
        vec!["cleanup", "--policy", "nightly"],
        vec!["cleanup", "--policy", "team-a/nightly", "--run-id", "../x"],
        vec!["cleanup", "--policy", "team-a/nightly"],
        vec!["tags", "team-a/shop", "--registry", "ftp://x"],
        vec!["tags", "team-a/shop", "--username", "alice"],
        vec!["gc", "--once", "--storage", "dir:/nonexistent/berth"],
        vec!["fsck", "--storage", "dir:/nonexistent/berth"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_registry"))
            .args(&arguments)
            .env_remove("BERTH_REGISTRY")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
}
