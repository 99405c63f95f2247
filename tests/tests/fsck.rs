//! fsck beside traffic: a healthy store in use shows nothing, however often it is looked at.
#![allow(clippy::unwrap_used)]

use berth_tests::client::Client;
use berth_tests::images::{self, Image};
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::report;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{PASSWORD, Site};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const IMAGE: &str = "team/app";
/// How often the store is looked at; the traffic goes on until the last look.
const LOOKS: u64 = 30;

/// Pushes images, moves one tag that everybody moves, and deletes every other image again.
async fn traffic(replica: String, worker: u64, over: Arc<AtomicBool>, pushes: Arc<AtomicU64>) {
    let client = Client::with_login(&replica, "owner", PASSWORD).unwrap();
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let image =
            Image::of_layers("amd64", &[images::layer(77, 4096), images::layer(worker * 10_000 + number, 2048)]);
        let tag = format!("w{worker}-{number}");
        client.push_image(IMAGE, &tag, &image).await.unwrap();
        client.put_manifest(IMAGE, "latest", &image.manifest).await.unwrap();
        if number % 2 == 1 {
            client.delete_manifest(IMAGE, &tag).await.unwrap();
        }
        pushes.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
}

async fn look(settings: &Settings) -> serde_json::Value {
    let output = settings.command(&["fsck", "--output", "json"]).unwrap().output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("fsck printed no JSON ({error}): {complaint}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_store_under_load_has_no_findings() {
    let server = S3Server::start().await.unwrap();
    let bucket = server.create_bucket("busy").await.unwrap();
    let site = Site::of_public_repositories(&[IMAGE]).unwrap();
    let settings = Settings::on_bucket(&server.endpoint(), &bucket, &site);
    let replicas: [Registry; 2] = [settings.start().await.unwrap(), settings.start().await.unwrap()];
    let (over, pushes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let replica = replicas[usize::try_from(worker % 2).unwrap()].url();
            tokio::spawn(traffic(replica, worker, Arc::clone(&over), Arc::clone(&pushes)))
        })
        .collect();
    let mut objects = 0;
    for number in 1..=LOOKS {
        let seen = look(&settings).await;
        let findings = seen["findings"].as_array().unwrap();
        assert!(findings.is_empty(), "look {number} found {findings:?}");
        objects = seen["objects"].as_u64().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let pushes = pushes.load(Ordering::Relaxed);
    assert!(pushes > LOOKS, "hardly any traffic: {pushes} pushes");
    report(format!("{LOOKS} looks at up to {objects} objects beside {pushes} pushes: no finding"));
}
