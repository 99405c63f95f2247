//! Every start examines its store: a good one passes and is left as it was, and each bad one is refused with a
//! sentence of its own that says what to do.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_registry::store::directory::DirectoryStore;
use berth_registry::store::memory::MemoryStore;
use berth_registry::store::probe::{Refusal, Warning, examine};
use berth_registry::store::s3::{Connection, S3Store};
use berth_registry::store::{Misconfiguration, NewObject, Store, list_all};
use berth_tests::fake_s3::{Defect, FakeS3};
use berth_tests::process::Process;
use berth_tests::s3_server::{ACCESS_KEY, REGION, S3Server, SECRET_KEY};
use berth_tests::tools::Built;
use tempfile::TempDir;
use tokio::process::Command;

/// What an examination may cost: it happens at every start of every replica.
const REQUESTS: usize = 32;

fn connection(endpoint: &str) -> Connection {
    Connection {
        endpoint: endpoint.to_owned(),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned(),
        ca_certificates: None,
    }
}

fn bucket_at(endpoint: &str) -> S3Store {
    S3Store::connect("images", "", connection(endpoint)).unwrap()
}

async fn refusal(store: &dyn Store) -> Refusal {
    let refusal = examine(store, "berth").await.unwrap_err();
    assert!(!refusal.is_temporary(), "{refusal}");
    refusal
}

/// The refusal of a server with a defect; whatever could be removed of the examination was.
async fn refusal_of(defect: Defect) -> Refusal {
    let server = FakeS3::start(&[defect]).await;
    let refusal = refusal(&bucket_at(&server.endpoint())).await;
    if !matches!(defect, Defect::DeniesDelete | Defect::DeniesList | Defect::ListsLate | Defect::SaysNothingOfDeletions)
    {
        assert_eq!(server.store().snapshot().len(), 0, "{defect:?} left scratch keys");
    }
    refusal
}

fn says(refusal: &Refusal, words: &[&str]) {
    let sentence = refusal.to_string();
    for word in words {
        assert!(sentence.contains(word), "{word:?} is missing in: {sentence}");
    }
}

async fn keys(store: &dyn Store) -> Vec<String> {
    list_all(store, "").await.unwrap().into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn good_stores_pass_and_are_left_as_they_were() {
    let root = TempDir::new().unwrap();
    let server = S3Server::start().await.unwrap();
    server.create_bucket("images").await.unwrap();
    let stores: [Arc<dyn Store>; 3] = [
        Arc::new(MemoryStore::new()),
        Arc::new(DirectoryStore::open(root.path()).unwrap()),
        Arc::new(bucket_at(&server.endpoint())),
    ];
    for store in stores {
        for start in 0..2 {
            let findings = examine(&*store, "berth").await.unwrap();
            assert_eq!(findings.warnings, [], "start {start} of {store:?}");
            assert_eq!(keys(&*store).await, ["meta/format", "meta/installation"]);
        }
    }
}

#[tokio::test]
async fn it_is_cheap_enough_for_every_start() {
    let server = FakeS3::start(&[]).await;
    let store = bucket_at(&server.endpoint());
    examine(&store, "berth").await.unwrap();
    server.take_seen();
    examine(&store, "berth").await.unwrap();
    let seen = server.take_seen();
    berth_tests::report(format!("examining a bucket: {} requests {seen:?}", seen.values().sum::<usize>()));
    assert_eq!(seen.values().sum::<usize>(), REQUESTS, "{seen:?}");
}

#[tokio::test]
async fn replicas_that_start_at_once_do_not_disturb_each_other() {
    let store = MemoryStore::new();
    let starts = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { examine(&store, "berth").await.map(|_| ()) })
    });
    for start in futures::future::join_all(starts).await {
        start.unwrap().unwrap();
    }
    assert_eq!(keys(&store).await, ["meta/format", "meta/installation"]);
}

#[tokio::test]
async fn scratch_keys_of_the_killed_are_removed_when_they_are_old() {
    let store = MemoryStore::new();
    store.put("meta/probe/killed/a", NewObject::marker()).await.unwrap();
    examine(&store, "berth").await.unwrap();
    assert!(store.snapshot().contains_key("meta/probe/killed/a"), "it may belong to somebody who is just starting");
    // The store's clock may not be far from ours.
    let store = MemoryStore::simulated(1, berth_registry::store::memory::Faults::NONE);
    store.put("meta/probe/killed/a", NewObject::marker()).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let then = store.head("meta/probe/killed/a").await.unwrap().unwrap().store_time;
    store.advance(now - then.duration_since(std::time::UNIX_EPOCH).unwrap());
    examine(&store, "berth").await.unwrap();
    assert_eq!(keys(&store).await, ["meta/format", "meta/installation"]);
}

#[tokio::test]
async fn a_prefix_of_another_installation_is_refused() {
    let store = MemoryStore::new();
    examine(&store, "production").await.unwrap();
    let refusal = examine(&store, "staging").await.unwrap_err();
    assert!(matches!(&refusal, Refusal::OtherInstallation { .. }) && !refusal.is_temporary());
    says(&refusal, &["production", "staging", "prefix of its own"]);
    examine(&store, "production").await.unwrap();
}

#[tokio::test]
async fn a_layout_from_the_future_is_refused() {
    for found in ["2", "twelve"] {
        let store = MemoryStore::new();
        store.put("meta/format", NewObject::bytes(found)).await.unwrap();
        let refusal = refusal(&store).await;
        assert!(matches!(refusal, Refusal::NewerFormat { .. }));
        says(&refusal, &[found, "newer version of Berth"]);
        assert_eq!(keys(&store).await, ["meta/format"], "nothing was claimed");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let server = S3Server::start().await.unwrap();
    let refusal = refusal(&bucket_at(&server.endpoint())).await;
    assert!(
        matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::NoSuchBucket { .. }))
    );
    says(&refusal, &["no bucket images", &server.endpoint(), "create it"]);
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_secret_are_told() {
    let server = S3Server::start().await.unwrap();
    server.create_bucket("images").await.unwrap();
    let right = connection(&server.endpoint());
    for wrong in [
        Connection { access_key_id: "somebody-else".to_owned(), ..right.clone() },
        Connection { secret_access_key: "a guess".to_owned(), ..right.clone() },
    ] {
        let refusal = refusal(&S3Store::connect("images", "", wrong).unwrap()).await;
        assert!(
            matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::WrongKey { .. }))
        );
        says(&refusal, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    }
}

#[tokio::test]
async fn a_wrong_region_is_told_with_the_right_one() {
    let refusal = refusal_of(Defect::OtherRegion).await;
    assert!(
        matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::WrongRegion { .. }))
    );
    says(&refusal, &["not in region us-east-1", "but in eu-north-1", "AWS_REGION"]);
    // A real server says it in another way.
    let server = S3Server::start().await.unwrap();
    server.create_bucket("images").await.unwrap();
    let elsewhere = Connection { region: "eu-north-1".to_owned(), ..connection(&server.endpoint()) };
    let refusal = self::refusal(&S3Store::connect("images", "", elsewhere).unwrap()).await;
    says(&refusal, &["not in region eu-north-1", "AWS_REGION"]);
}

#[tokio::test]
async fn a_web_page_is_not_s3() {
    let refusal = refusal_of(Defect::IsAWebPage).await;
    assert!(matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::NotS3 { .. })));
    says(&refusal, &["does not answer like S3", "AWS_ENDPOINT_URL_S3"]);
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_told() {
    let server = FakeS3::start(&[]).await;
    let refusal = refusal(&bucket_at(&server.endpoint().replace("http://", "https://"))).await;
    assert!(matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::NotS3 { .. })));
    says(&refusal, &["https://", "does not speak TLS", "the right one of http:// and https://"]);
}

/// An S3 server with a certificate from an authority nobody knows.
async fn encrypted_server(data: &Path) -> (Process, String) {
    let files = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for _ in 0..5 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new(Built::Versitygw.path().unwrap());
        command
            .envs([("ROOT_ACCESS_KEY", ACCESS_KEY), ("ROOT_SECRET_KEY", SECRET_KEY)])
            .args(["--region", REGION, "--port", &address, "--quiet", "--cert"])
            .arg(files.join("unknown-authority.pem"))
            .arg("--key")
            .arg(files.join("unknown-authority.key"))
            .arg("posix")
            .arg(data);
        let mut process = Process::start("the S3 server with TLS", command).unwrap();
        while !process.ended() {
            if tokio::net::TcpStream::connect(&address).await.is_ok() {
                return (process, format!("https://{address}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("the S3 server with TLS did not come up");
}

#[tokio::test]
async fn an_unknown_authority_is_told_and_trusted_once_it_is_named() {
    let data = TempDir::new().unwrap();
    let (_server, endpoint) = encrypted_server(data.path()).await;
    let refusal = refusal(&bucket_at(&endpoint)).await;
    assert!(
        matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::UntrustedCertificate { .. }))
    );
    says(&refusal, &["is not trusted", &endpoint, "AWS_CA_BUNDLE"]);
    // With the authority the examination gets as far as the bucket, which is missing; made, it passes.
    let pem = include_bytes!("data/unknown-authority.pem").to_vec();
    let trusting = Connection { ca_certificates: Some(pem), ..connection(&endpoint) };
    let store = S3Store::connect("images", "", trusting).unwrap();
    says(&self::refusal(&store).await, &["no bucket images"]);
    std::fs::create_dir(data.path().join("images")).unwrap();
    examine(&store, "berth").await.unwrap();
}

#[tokio::test]
async fn a_clock_off_by_twenty_minutes_is_told_whoever_notices() {
    let refusal = refusal_of(Defect::RefusesOurClock).await;
    assert!(
        matches!(&refusal, Refusal::Misconfigured(cause) if matches!(**cause, Misconfiguration::ClockSkewed { .. }))
    );
    says(&refusal, &["RequestTimeTooSkewed", "set the clock"]);
    let refusal = refusal_of(Defect::ClockAhead).await;
    assert!(matches!(refusal, Refusal::ClocksApart { .. }));
    says(&refusal, &["minutes apart", "set the clock"]);
}

#[tokio::test]
async fn each_missing_permission_is_named() {
    for (defect, permission) in [
        (Defect::DeniesList, "s3:ListBucket"),
        (Defect::DeniesPut, "s3:PutObject"),
        (Defect::DeniesGet, "s3:GetObject"),
        (Defect::DeniesDelete, "s3:DeleteObject"),
    ] {
        let refusal = refusal_of(defect).await;
        let own = match defect {
            Defect::DeniesList => matches!(refusal, Refusal::NoList(_)),
            Defect::DeniesPut => matches!(refusal, Refusal::NoPut(_)),
            Defect::DeniesGet => matches!(refusal, Refusal::NoGet(_)),
            _ => matches!(refusal, Refusal::NoDelete(_)),
        };
        assert!(own, "{defect:?}: {refusal:?}");
        says(&refusal, &[permission, "AccessDenied"]);
    }
}

#[tokio::test]
async fn lists_out_of_order_and_lists_that_lag_are_refused() {
    for defect in [Defect::ListsBackwards, Defect::ListsFromTheBeginning] {
        let refusal = refusal_of(defect).await;
        assert!(matches!(refusal, Refusal::Unordered(_)), "{defect:?}: {refusal:?}");
        says(&refusal, &["byte order", "directory bucket"]);
    }
    for defect in [Defect::ListsLate, Defect::ListsTheDeleted] {
        let refusal = refusal_of(defect).await;
        assert!(matches!(refusal, Refusal::StaleList(_)), "{defect:?}: {refusal:?}");
        says(&refusal, &["lag behind its writes", "strongly consistent"]);
    }
}

#[tokio::test]
async fn a_store_that_completes_other_parts_than_those_named_is_refused() {
    let refusal = refusal_of(Defect::CompletesAnyParts).await;
    assert!(matches!(refusal, Refusal::CompletesOtherParts));
    says(&refusal, &["other parts than those named"]);
}

#[tokio::test]
async fn a_store_that_cannot_set_metadata_by_copying_is_refused() {
    for defect in [Defect::NoCopy, Defect::CopiesMetadata] {
        let refusal = refusal_of(defect).await;
        assert!(matches!(refusal, Refusal::NoCopy(_)), "{defect:?}: {refusal:?}");
        says(&refusal, &["copy an object onto itself"]);
    }
}

#[tokio::test]
async fn ignored_conditions_are_a_warning_only() {
    let server = FakeS3::start(&[Defect::IgnoresConditions]).await;
    let findings = examine(&bucket_at(&server.endpoint()), "berth").await.unwrap();
    assert_eq!(findings.warnings, [Warning::IgnoresConditions]);
    assert!(findings.warnings[0].to_string().contains("ignores conditional headers"));
}

#[tokio::test]
async fn a_store_that_is_away_is_worth_another_try() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusal = examine(&bucket_at(&format!("http://{nobody}")), "berth").await.unwrap_err();
    assert!(matches!(&refusal, Refusal::Away(_)) && refusal.is_temporary(), "{refusal:?}");
    says(&refusal, &["did not answer"]);
}
