//! The endpoints over a store in memory, with a configuration that is followed from a file.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use berth_crds::configuration::{Configuration, Objects, compile};
use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::ImageName;
use berth_crds::wire::control::{IN_USE, LOADED, LONGEST_WAIT, Loaded, purge, run};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::*;
use crate::auth::authority::Nobody;
use crate::auth::{self, Access, Clock, Keys};
use crate::cleanup::{Clusters, PolicyName, RunState, Start};
use crate::configuration::{Current, Source, follow};
use crate::oci::media_type::OCI_INDEX;
use crate::storage::{ManifestPush, Reference, Settings, Storage, TagPush};
use crate::store::memory::MemoryStore;

const POLICY: &str = "
apiVersion: berth.dev/v1alpha1
kind: CleanupPolicy
metadata: {namespace: team-a, name: nightly}
spec:
  schedule: {cron: '0 3 * * *'}
  keep: {mostRecent: 1}
  remove: {tagsMatching: ['.*']}
";

/// A registry on a document, and what an operator would see of it.
struct Bed {
    folder: tempfile::TempDir,
    store: MemoryStore,
    control: Control,
    router: Router,
}

fn object(repository: &str) -> String {
    let (namespace, name) = repository.split_once('/').unwrap();
    format!(
        "---\napiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\nmetadata: {{namespace: {namespace}, name: {name}}}\n"
    )
}

fn document(text: &str) -> Configuration {
    let reading = berth_crds::manifest::read([("objects.yaml", text)]);
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let objects: Objects = reading.objects.into_iter().collect();
    compile(&objects).0
}

fn write(folder: &Path, bytes: &[u8]) {
    std::fs::write(folder.join("aside"), bytes).unwrap();
    std::fs::rename(folder.join("aside"), folder.join("current.json")).unwrap();
}

impl Bed {
    async fn new(repositories: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects: String = repositories.iter().map(|repository| object(repository)).collect();
        write(folder.path(), &document(&format!("{objects}---{POLICY}")).to_json_bytes());
        let source = Source::Document(folder.path().join("current.json"));
        let configuration = Current::new(source.read().unwrap()).unwrap();
        let store = MemoryStore::new();
        let storage = Storage::new(Arc::new(store.clone()), Settings::default());
        let clock = Clock::system();
        let keys = Arc::new(Keys::open(Arc::new(store.clone()), clock.clone()).await.unwrap());
        let settings = auth::Settings {
            service: "registry.berth.dev".parse().unwrap(),
            token_ttl: jiff::SignedDuration::from_mins(5),
            session_ttl: jiff::SignedDuration::from_hours(24),
            trusted_proxies: "".parse().unwrap(),
            tls: false,
        };
        let access = Arc::new(Access::new(settings, keys, configuration.document(), Arc::new(Nobody), clock));
        let runs = Runs::new(storage.clone(), configuration.clone(), Clusters::Recorded);
        let api = Api { storage, access, configuration, tasks: TaskTracker::new() };
        let control = Control { api, runs, stop: CancellationToken::new() };
        let router = router(control.clone());
        Self { folder, store, control, router }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn loaded(&self, after: &str) -> Loaded {
        let (status, answer) = self.send("GET", &format!("{LOADED}?after={after}"), Body::empty()).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_value(answer).unwrap()
    }

    fn storage(&self) -> &Storage {
        &self.control.api.storage
    }

    /// Pushes an index.
    async fn push(&self, image: &str, tags: &[&str], manifest: &Value) -> Digest {
        let bytes = Bytes::from(manifest.to_string());
        let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        let digest = Digest::new(Algorithm::Sha256, hex).unwrap();
        let tags = tags.iter().map(|tag| TagPush { name: tag.parse().unwrap(), immutable: false }).collect();
        let media_type = OCI_INDEX.to_owned();
        let push = ManifestPush { digest: digest.clone(), media_type, bytes, tags, lenient: true };
        self.storage().push_manifest(&image.parse().unwrap(), push).await.unwrap();
        digest
    }

    /// An index under a tag that lists an index that lists two empty ones, with a referrer to the outermost.
    async fn push_everything(&self, image: &str) -> Vec<Digest> {
        let index = |children: &[&Digest], subject: Option<&Digest>, text: &str| {
            let descriptor = |digest: &&Digest| json!({"mediaType": OCI_INDEX, "digest": digest, "size": 2});
            let children: Vec<Value> = children.iter().map(descriptor).collect();
            let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children,
                "annotations": {"text": text}});
            if let Some(subject) = subject {
                index["subject"] = descriptor(&subject);
            }
            index
        };
        let one = self.push(image, &["one"], &index(&[], None, "1")).await;
        let two = self.push(image, &[], &index(&[], None, "2")).await;
        let inner = self.push(image, &[], &index(&[&one, &two], None, "inner")).await;
        let outer = self.push(image, &["v1", "v2"], &index(&[&inner], None, "outer")).await;
        let referrer = self.push(image, &[], &index(&[], Some(&outer), "signature")).await;
        vec![one, two, inner, outer, referrer]
    }

    async fn visible(&self, image: &str, digests: &[Digest]) -> usize {
        let image: ImageName = image.parse().unwrap();
        let mut visible = self.storage().tags(&image, None, 100).await.unwrap().items.len();
        for digest in digests {
            let found = self.storage().get_manifest(&image, &Reference::Digest(digest.clone())).await.unwrap();
            visible += usize::from(found.is_some());
        }
        visible
    }
}

#[tokio::test]
async fn a_change_is_told_once_it_is_in_force_and_a_bad_document_is_told_too() {
    let bed = Bed::new(&["team-a/shop"]).await;
    let source = Source::Document(bed.folder.path().join("current.json"));
    let following = tokio::spawn(follow(bed.control.api.configuration.clone(), source));
    let first = bed.loaded("").await;
    assert_eq!((first.state.as_str(), &first.problems), (first.revision.as_str(), &Vec::new()));

    let next = document(&object("team-a/other"));
    let (second, ()) = tokio::join!(bed.loaded(&first.state), async {
        write(bed.folder.path(), &next.to_json_bytes());
    });
    assert_eq!((&second.revision, &second.state), (&next.revision, &next.revision));

    let (broken, ()) = tokio::join!(bed.loaded(&second.state), async { write(bed.folder.path(), b"{") });
    assert_eq!(broken.revision, next.revision, "the last good one stays");
    assert!(broken.problems[0].contains("current.json"), "{broken:?}");
    assert_ne!(broken.state, second.state);
    let (mended, ()) = tokio::join!(bed.loaded(&broken.state), async {
        write(bed.folder.path(), &next.to_json_bytes());
    });
    assert_eq!(mended, second);
    following.abort();
}

#[tokio::test]
async fn who_waits_for_a_change_is_answered_when_the_registry_stops() {
    let bed = Bed::new(&[]).await;
    let first = bed.loaded("").await;
    let waiting = bed.loaded(&first.state);
    bed.control.stop.cancel();
    // Without the stop it would take all of the time.
    let answer = tokio::time::timeout(LONGEST_WAIT / 2, waiting).await.expect("nobody is left waiting");
    assert_eq!(answer, first);
}

#[tokio::test]
async fn a_purge_takes_everything_of_one_repository_and_nothing_of_its_neighbours() {
    let bed = Bed::new(&["team-a/kept"]).await;
    let neighbours = ["team-a/shop-other", "team-a/sho", "team-a/shopping/api", "team-b/shop", "team-a/kept"];
    let mut before = Vec::new();
    for image in neighbours {
        before.push((image, bed.push_everything(image).await));
    }
    let (shop, api) = (bed.push_everything("team-a/shop").await, bed.push_everything("team-a/shop/api/v2").await);

    let path = purge(&"team-a/shop".parse().unwrap());
    let (status, purged) = bed.send("POST", &path, Body::empty()).await;
    assert_eq!((status, purged), (StatusCode::OK, json!({"images": 2, "tags": 6, "manifests": 10})));
    assert_eq!(bed.visible("team-a/shop", &shop).await + bed.visible("team-a/shop/api/v2", &api).await, 0);
    let referrers = bed.storage().referrers(&"team-a/shop".parse().unwrap(), &shop[3]).await.unwrap();
    assert!(referrers.is_empty());
    for (image, digests) in &before {
        assert_eq!(bed.visible(image, digests).await, 3 + 5, "{image}");
    }
    let (status, purged) = bed.send("POST", &path, Body::empty()).await;
    assert_eq!((status, purged), (StatusCode::OK, json!({"images": 0, "tags": 0, "manifests": 0})), "idempotent");

    let (status, refused) = bed.send("POST", &purge(&"team-a/kept".parse().unwrap()), Body::empty()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["error"].as_str().unwrap().contains("out of the configuration first"), "{refused}");
    for path in ["/v1/repositories/team-a/shop", "/v1/repositories/team-a/shop:burn"] {
        assert_eq!(bed.send("POST", path, Body::empty()).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(bed.send("POST", "/v1/repositories/team-a/Shop:purge", Body::empty()).await.0, StatusCode::BAD_REQUEST);
}

/// Deleted by a person, so kept for the undo window: a collector that finds everything due frees nothing yet.
#[tokio::test]
async fn what_was_purged_waits_for_the_undo_window() {
    let bed = Bed::new(&[]).await;
    let digests = bed.push_everything("team-a/shop").await;
    let bodies = || bed.store.snapshot().into_keys().filter(|key| key.starts_with("r/team-a!shop!/m/")).count();
    let (before, sealed) = (bodies(), digests.len());
    assert_eq!(bed.send("POST", &purge(&"team-a/shop".parse().unwrap()), Body::empty()).await.0, StatusCode::OK);
    bed.storage().settle().await;
    bed.storage().collect_all().await.unwrap();
    assert_eq!(bodies(), before - sealed, "the seals went, the bodies wait");
}

#[tokio::test]
async fn an_in_use_record_is_stored_and_an_older_one_does_not_replace_it() {
    let bed = Bed::new(&[]).await;
    let put = async |body: Value| bed.send("PUT", IN_USE, body.to_string()).await;
    let record = |at: &str, references: &[&str]| json!({"cluster": "c-1", "recordedAt": at, "references": references});
    let stored = || {
        let snapshot = bed.store.snapshot();
        serde_json::from_slice::<Value>(&snapshot["meta/in-use/c-1"].bytes).unwrap()
    };
    assert_eq!(put(record("2026-01-01T00:00:01Z", &["a/b:1"])).await.0, StatusCode::NO_CONTENT);
    assert_eq!(stored(), json!({"recordedAt": "2026-01-01T00:00:01Z", "references": ["a/b:1"]}));
    assert_eq!(put(record("2026-01-01T00:00:01Z", &["a/b:2"])).await.0, StatusCode::NO_CONTENT, "a repeated one");
    let (status, refused) = put(record("2026-01-01T00:00:00Z", &[])).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["error"].as_str().unwrap().contains("another leader"), "{refused}");
    assert_eq!(stored()["references"], json!(["a/b:2"]));

    let far = record("2999-01-01T00:00:00Z", &[]);
    assert!(put(far).await.1["error"].as_str().unwrap().contains("in the future"));
    let nowhere = json!({"cluster": "../keys", "recordedAt": "2026-01-01T00:00:00Z", "references": []});
    assert!(put(nowhere).await.1["error"].as_str().unwrap().contains("cannot name a cluster"));
    assert_eq!(put(json!({"cluster": "c-1"})).await.0, StatusCode::BAD_REQUEST);
    let long = vec![b' '; in_use::LIMIT + 1];
    assert_eq!(bed.send("PUT", IN_USE, long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(stored()["references"], json!(["a/b:2"]));
}

#[tokio::test]
async fn a_run_is_told_with_its_policy_and_report() {
    let bed = Bed::new(&["team-a/shop"]).await;
    bed.push_everything("team-a/shop").await;
    let policy: PolicyName = "team-a/nightly".parse().unwrap();
    let start = Start { run: "run-1".parse().unwrap(), dry_run: true, minimum_revision: None };
    let mut states = bed.control.runs.start(&policy, start).await.unwrap();
    states.wait_for(RunState::is_final).await.unwrap();
    let (status, told) = bed.send("GET", &run("run-1"), Body::empty()).await;
    assert_eq!(
        (status, &told["policy"], &told["report"]["id"]),
        (StatusCode::OK, &json!("team-a/nightly"), &json!("run-1"))
    );
    assert_eq!(bed.send("GET", &run("run-2"), Body::empty()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(bed.send("GET", &run("..."), Body::empty()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bed.send("GET", "/v2/", Body::empty()).await.0, StatusCode::NOT_FOUND);
}
