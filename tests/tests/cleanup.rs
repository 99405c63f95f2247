//! Cleanup as a program: a registry on a folder, and every command that asks it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use berth_registry::store::location::StorageUrl;
use berth_registry::store::{NewObject, list_all};
use berth_tests::client::Client;
use berth_tests::images::Content;
use berth_tests::process::Process;
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::site::{PASSWORD, Site};
use berth_tests::tools;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const IMAGE: &str = "team-a/shop/api";

/// The policy of these tests; `{}` takes further lines of its spec.
fn policy(name: &str, more: &str) -> String {
    format!(
        "apiVersion: berth.dev/v1alpha1\n\
         kind: CleanupPolicy\n\
         metadata: {{namespace: team-a, name: {name}}}\n\
         spec:\n  schedule: {{cadence: 7d}}\n  keep: {{mostRecent: 1}}\n  remove: {{tagsMatching: [\".*\"]}}\n{more}"
    )
}

struct Bed {
    site: Site,
    data: TempDir,
    settings: Settings,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Bed {
    fn new(policy: &str, arguments: &[&str]) -> Self {
        let site = Site::of_public_repositories(&["team-a/shop"]).unwrap();
        site.write_manifest("policy", policy).unwrap();
        let data = TempDir::with_prefix("berth-data-").unwrap();
        let settings = Settings::on_directory(data.path(), &site).arguments(arguments);
        Self { site, data, settings }
    }

    /// A running registry, and tags pushed in this order.
    async fn start(&self, tags: &[&str]) -> Registry {
        let registry = self.settings.start().await.unwrap();
        let client = Client::with_login(&registry.url(), "maintainer", PASSWORD).unwrap();
        for tag in tags {
            client.put_manifest(IMAGE, tag, &index(tag)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        registry
    }

    fn storage(&self) -> String {
        format!("dir:{}", self.data.path().display())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.site.manifests().parent().unwrap().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// An index of nothing: a manifest that needs no blobs.
fn index(name: &str) -> Content {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let text = json!({
        "schemaVersion": 2, "mediaType": media_type, "manifests": [], "annotations": { "name": name },
    });
    Content::new(media_type, text.to_string())
}

async fn run(command: &mut Command, stdin: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    // A command that ends without reading is judged by what it says.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()).await;
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command without any login but the ones its arguments name.
fn command(registry: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::registry().unwrap());
    command.args(arguments).args(["--registry", registry]);
    command.env("REGISTRY_AUTH_FILE", "/nonexistent/auth.json").env_remove("BERTH_TOKEN_FILE");
    command
}

async fn by(user: &str, registry: &Registry, arguments: &[&str]) -> Said {
    let mut command = command(registry.address(), arguments);
    run(command.args(["--username", user, "--password-stdin"]), PASSWORD).await
}

async fn tags(registry: &Registry) -> Vec<String> {
    Client::anonymous(&registry.url()).unwrap().tags(IMAGE).await.unwrap()
}

#[tokio::test]
async fn a_policy_is_tried_read_shortened_and_run() {
    let bed = Bed::new(&policy("nightly", ""), &[]);
    let registry = bed.start(&["a", "b", "c", "d"]).await;

    let listed = by("reporter", &registry, &["tags", IMAGE]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.stdout.starts_with("TAG  DIGEST ") && listed.stdout.contains("\nd "), "{listed:?}");
    assert!(listed.stdout.ends_with("4 tags\n"), "{listed:?}");

    // What `tags` prints is what the offline planner takes.
    let inventory = by("reporter", &registry, &["tags", IMAGE, "--output", "json"]).await;
    let inventory = bed.file("tags.json", &inventory.stdout).display().to_string();
    let file = bed.site.manifests().join("policy.yaml").display().to_string();
    let mut offline = Command::new(tools::registry().unwrap());
    let offline = run(offline.args(["cleanup", "--policy-file", &file, "--inventory", &inventory]), "").await;
    assert!(offline.stdout.contains("3 of 4 tags to delete, 1 to keep."), "{offline:?}");
    assert!(offline.stdout.contains("knows no cluster"), "{offline:?}");

    let tried = by("maintainer", &registry, &["cleanup", "--policy", "team-a/nightly", "--dry-run", "--run-id", "try"]);
    let tried = tried.await;
    assert_eq!(tried.code, 0, "{tried:?}");
    assert!(tried.stdout.contains("\ndelete  a "), "{tried:?}");
    let found = "Dry run, nothing was deleted: 3 tags would go, 1 would stay.\n";
    assert!(tried.stdout.contains(found), "{tried:?}");
    assert_eq!(tags(&registry).await.len(), 4);

    let plan = by("maintainer", &registry, &["plan", "show", "try", "--output", "json"]).await;
    let mut plan = plan.json();
    let verdicts = plan["images"][0]["verdicts"].as_array_mut().unwrap();
    verdicts.retain(|verdict| verdict["tag"] == "a");
    let plan = bed.file("plan.json", &plan.to_string()).display().to_string();
    let refused = by("reporter", &registry, &["cleanup", "--plan", &plan]).await;
    assert_eq!(refused.code, 77, "{refused:?}");
    assert_eq!(tags(&registry).await.len(), 4);
    // One tag takes the right to delete, not the right to run policies.
    let executed = by("developer", &registry, &["cleanup", "--plan", &plan]).await;
    assert_eq!(executed.code, 0, "{executed:?}");
    assert!(executed.stdout.contains("Completed: 1 tag deleted"), "{executed:?}");
    assert_eq!(tags(&registry).await, ["b", "c", "d"]);

    let done = by("maintainer", &registry, &["cleanup", "--policy", "team-a/nightly", "--run-id", "one"]).await;
    assert!(done.stdout.contains("Completed: 2 tags deleted, 1 kept"), "{done:?}");
    assert_eq!(tags(&registry).await, ["d"]);
    let again = by("maintainer", &registry, &["cleanup", "--policy", "team-a/nightly", "--run-id", "one"]).await;
    assert!(again.stdout.contains("Completed: 2 tags deleted, 1 kept"), "the same run: {again:?}");
    let shown = by("maintainer", &registry, &["plan", "show", "one", "--all"]).await;
    assert!(shown.stdout.contains("\nkeep    d    Recent"), "{shown:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn exit_codes_tell_a_script_what_to_do() {
    let bed = Bed::new(&policy("nightly", "  limits: {maxDeletions: 1}\n"), &[]);
    let registry = bed.start(&["a", "b", "c"]).await;
    let run_policy = ["cleanup", "--policy", "team-a/nightly"];
    let run_strictly = [&run_policy[..], &["--fail-unfinished", "--output", "json"]].concat();

    let anonymous = run(&mut command(registry.address(), &run_policy), "").await;
    assert_eq!(anonymous.code, 77, "{anonymous:?}");
    assert!(anonymous.stderr.contains("--token-file"), "it says how to log in: {anonymous:?}");
    let reporter = by("reporter", &registry, &run_policy).await;
    assert_eq!((reporter.code, reporter.stdout.as_str()), (77, ""), "{reporter:?}");
    let unknown = by("maintainer", &registry, &["cleanup", "--policy", "team-a/weekly"]).await;
    assert_eq!(unknown.code, 78, "{unknown:?}");
    assert!(unknown.stderr.contains("registry status"), "{unknown:?}");
    let revision = by("maintainer", &registry, &[&run_policy[..], &["--minimum-revision", "1"]].concat()).await;
    assert_eq!(revision.code, 78, "a file has none to wait for: {revision:?}");
    let nowhere = run(&mut command("127.0.0.1:1", &run_policy), "").await;
    assert_eq!(nowhere.code, 69, "{nowhere:?}");

    let dry = [&run_policy[..], &["--dry-run"]].concat();
    let tried = by("maintainer", &registry, &dry).await;
    let found = "Dry run, nothing was deleted: 1 tag would go, 1 would stay, 1 left for a later run by the limit.\n";
    assert!(tried.stdout.contains(found), "{tried:?}");
    let tried = by("maintainer", &registry, &[&dry[..], &["--output", "json"]].concat()).await.json();
    assert_eq!((&tried["dryRun"], &tried["deleted"], &tried["wouldDelete"]), (&json!(true), &json!(0), &json!(1)));
    let repository = &tried["repositories"][0];
    assert_eq!((&repository["deleted"], &repository["wouldDelete"]), (&json!(0), &json!(1)), "{tried}");

    let limited = by("maintainer", &registry, &run_policy).await;
    assert_eq!(limited.code, 0, "a limit is no failure: {limited:?}");
    assert!(limited.stdout.contains("Unfinished: 1 tag deleted"), "{limited:?}");
    let strict = by("maintainer", &registry, &run_strictly).await;
    // Two tags were left and one of them is the newest.
    assert_eq!((strict.code, strict.json()["result"].as_str()), (0, Some("Completed")), "{strict:?}");
    let client = Client::with_login(&registry.url(), "maintainer", PASSWORD).unwrap();
    for tag in ["d", "e"] {
        client.put_manifest(IMAGE, tag, &index(tag)).await.unwrap();
    }
    let strict = by("maintainer", &registry, &run_strictly).await;
    assert_eq!((strict.code, strict.json()["result"].as_str()), (75, Some("Unfinished")), "{strict:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_leaves_its_report_and_logs_in_by_file() {
    let bed = Bed::new(&policy("nightly", ""), &[]);
    let registry = bed.start(&["a", "b"]).await;
    let report = bed.file("termination-log", "").display().to_string();
    let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("maintainer:{PASSWORD}"));
    let auths = json!({ "auths": { registry.address(): { "auth": auth } } }).to_string();
    let auth_file = bed.file("auth.json", &auths);

    let arguments = ["cleanup", "--policy", "team-a/nightly", "--run-id", "job-uid", "--report", &report];
    let mut job = command(registry.address(), &arguments);
    let job = run(job.env("REGISTRY_AUTH_FILE", &auth_file), "").await;
    assert_eq!(job.code, 0, "{job:?}");
    let text = std::fs::read(&report).unwrap();
    assert!(text.len() <= 4096);
    let left: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((left["id"].as_str(), left["deleted"].as_u64()), (Some("job-uid"), Some(1)), "{left}");
    assert_eq!(left.get("wouldDelete"), None, "only of a dry run: {left}");

    let password = bed.file("password", PASSWORD).display().to_string();
    let mut refused = command(registry.address(), &["cleanup", "--policy", "team-a/nightly", "--report", &report]);
    let refused = run(refused.args(["--token-file", &password]), "").await;
    assert_eq!(refused.code, 77, "a password is no token: {refused:?}");
    let left: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert!(left["error"].as_str().unwrap().starts_with("not permitted"), "{left}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn status_says_what_became_of_each_object_and_the_file_says_the_same() {
    let bed = Bed::new(&policy("nightly", "  suspend: true\n"), &[]);
    bed.site.write_manifest("bad", &policy("loose", "  namespaceSelector: {matchLabels: {a: b}}\n")).unwrap();
    let registry = bed.start(&["a", "b"]).await;
    let run = by("maintainer", &registry, &["cleanup", "--policy", "team-a/nightly", "--dry-run"]).await;
    assert_eq!(run.code, 0, "suspension stops the schedule only: {run:?}");

    let status = by("maintainer", &registry, &["status"]).await;
    let line = |object: &str| status.stdout.lines().find(|line| line.contains(object)).unwrap_or_default().to_owned();
    assert!(line("CleanupPolicy team-a/nightly").contains("Suspended"), "{status:?}");
    assert!(line("CleanupPolicy team-a/nightly").contains("(dry run)"), "{status:?}");
    assert!(line("CleanupPolicy team-a/loose").contains("False (NotAccepted)"), "{status:?}");
    assert!(
        line("ContainerRepository team-a/shop").contains("Public, Enabled (RegistryVisibility/shop)"),
        "{status:?}"
    );
    let asked = by("maintainer", &registry, &["status", "--output", "json"]).await.json();
    let file = std::fs::read(bed.data.path().join("status.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&file).unwrap()["objects"], asked["objects"]);

    let reporter = by("reporter", &registry, &["status"]).await;
    assert!(!reporter.stdout.contains("CleanupPolicy team-a"), "who may not run policies: {reporter:?}");
    let found = by("reporter", &registry, &["repositories"]).await;
    assert!(found.stdout.contains("team-a/shop  Public"), "{found:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn repositories_without_their_object_are_shown_on_demand() {
    let bed = Bed::new(&policy("nightly", ""), &[]);
    let registry = bed.start(&["a"]).await;
    registry.stop().await.unwrap();
    bed.site.write_manifest("team-a-shop", "").unwrap();
    let registry = bed.settings.start().await.unwrap();
    let without = by("maintainer", &registry, &["repositories"]).await;
    assert!(!without.stdout.contains("team-a/shop"), "{without:?}");
    let with = by("maintainer", &registry, &["repositories", "--retained"]).await;
    assert!(with.stdout.contains("team-a/shop  retained"), "{with:?}");
    let reporter = by("reporter", &registry, &["repositories", "--retained"]).await;
    assert!(!reporter.stdout.contains("team-a/shop"), "{reporter:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn due_policies_run_by_themselves_unless_the_schedule_is_off() {
    let daily = policy("nightly", "").replace("7d", "1d");
    let off = Bed::new(&daily, &["--schedule", "off"]);
    let on = Bed::new(&daily, &[]);
    for bed in [&off, &on] {
        bed.start(&["a", "b"]).await.stop().await.unwrap();
    }
    // As if the policy had been there for long: its latest slot was missed.
    let seen = |bed: &Bed| {
        let storage: StorageUrl = bed.storage().parse().unwrap();
        async move {
            let store = storage.open().await.unwrap();
            let keys = list_all(store.as_ref(), "meta/policies/team-a!nightly/").await.unwrap();
            (store, keys.into_iter().map(|entry| entry.key).find(|key| key.contains("/since.")))
        }
    };
    assert_eq!(seen(&off).await.1, None, "nobody looked at the schedule");
    let (store, since) = seen(&on).await;
    store.put(&since.unwrap(), NewObject::bytes("2026-01-01T00:00:00Z")).await.unwrap();
    drop(store);

    let registry = on.settings.start().await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while tags(&registry).await != ["b"] {
        assert!(tokio::time::Instant::now() < deadline, "{}", registry.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = by("maintainer", &registry, &["status"]).await;
    assert!(status.stdout.contains("Completed, 1 tag deleted"), "{status:?}");
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn space_is_reclaimed_and_checked_on_demand() {
    let bed = Bed::new(&policy("nightly", ""), &["--grace", "1h", "--undo", "1h"]);
    let registry = bed.start(&["a", "b"]).await;
    by("maintainer", &registry, &["cleanup", "--policy", "team-a/nightly"]).await;
    registry.stop().await.unwrap();
    let now = ["--grace", "0s", "--quarantine", "0s", "--undo", "0s", "--allow-short-grace"];
    let command = |arguments: &[&str]| {
        let mut command = Command::new(tools::registry().unwrap());
        command.args(arguments).args(["--storage", &bed.storage()]).args(now);
        command
    };
    let dirty = run(&mut command(&["fsck"]), "").await;
    assert_eq!(dirty.code, 0, "{dirty:?}");
    assert!(dirty.stdout.contains("UnreferencedManifest") && dirty.stdout.contains("add --repair"), "{dirty:?}");
    let freed = run(&mut command(&["gc", "--once"]), "").await;
    assert!(freed.stdout.starts_with("Freed ") && freed.stdout.contains("1 manifest,"), "{freed:?}");
    let again = run(&mut command(&["gc", "--once", "--output", "json"]), "").await;
    assert_eq!(again.json(), json!({ "manifests": 0, "blobs": 0, "uploads": 0, "bytes": 0 }), "{again:?}");
    let clean = run(&mut command(&["fsck"]), "").await;
    assert!(clean.stdout.ends_with("Nothing is wrong.\n"), "{clean:?}");

    // Without --once it goes on until it is told to end.
    let mut gc = Process::start("gc", command(&["gc"])).unwrap();
    gc.wait_for_line("told to end", |line| line.contains("told to end").then_some(())).await.unwrap();
    gc.terminate().unwrap();
    assert!(gc.wait().await.unwrap().success());
}
