//! Several registries over one bucket, behind a balancer without affinity: they behave as one.
#![allow(clippy::unwrap_used)]

use berth_tests::client::{Client, pushing};
use berth_tests::images::{self, Content, Image};
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::report;
use berth_tests::round_robin::RoundRobin;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};
use futures::StreamExt as _;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const IMAGE: &str = "team/app";
/// What a well-known registry loses 54 of.
const TAGS: u64 = 120;
const WORKERS: usize = 16;
const REFERRERS: u64 = 24;

struct Fleet {
    replicas: Vec<Registry>,
    balancer: RoundRobin,
    _site: Site,
    _server: S3Server,
}

impl Fleet {
    async fn of(count: usize) -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = server.create_bucket("shared").await.unwrap();
        let site = Site::of_public_repositories(&[IMAGE]).unwrap();
        let settings = Settings::on_bucket(&server.endpoint(), &bucket, &site);
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(settings.start().await.unwrap());
        }
        let balancer = RoundRobin::start(replicas.iter().map(|replica| replica.address().to_owned())).await.unwrap();
        Self { replicas, balancer, _site: site, _server: server }
    }

    /// A client that meets another replica with each request.
    fn client(&self) -> Client {
        developer(&self.balancer.url()).unwrap()
    }
}

/// The image behind tag number `number`: a layer that all share, and one of its own.
fn numbered(number: u64) -> Image {
    Image::of_layers("amd64", &[images::layer(1_000_000, 4096), images::layer(number, 512)])
}

async fn push_numbered(client: &Client, number: u64) -> anyhow::Result<()> {
    client.push_image(IMAGE, &format!("v{number}"), &numbered(number)).await
}

/// Every tag of `numbers` is listed by this replica, and none else, and names its image.
async fn check_tags(replica: &Registry, numbers: impl Iterator<Item = u64> + Clone) {
    let client = developer(&replica.url()).unwrap();
    let listed: BTreeSet<String> = client.tags(IMAGE).await.unwrap().into_iter().collect();
    let expected: BTreeSet<String> = numbers.clone().map(|number| format!("v{number}")).collect();
    assert_eq!(listed, expected);
    for number in numbers {
        client.check_image(IMAGE, &format!("v{number}"), &numbered(number)).await.unwrap();
    }
}

async fn tags_pushed_at_once_are_all_there(replicas: usize) {
    let fleet = Fleet::of(replicas).await;
    let client = fleet.client();
    let results: Vec<_> = futures::stream::iter(0..TAGS)
        .map(|number| {
            let client = client.clone();
            async move { push_numbered(&client, number).await }
        })
        .buffer_unordered(WORKERS)
        .collect()
        .await;
    for result in results {
        result.unwrap();
    }
    for replica in &fleet.replicas {
        check_tags(replica, 0..TAGS).await;
    }
    report(format!(
        "{replicas} replicas, {TAGS} tags by {WORKERS} workers: 0 lost, requests {:?}",
        fleet.balancer.served()
    ));
}

#[tokio::test]
async fn tags_pushed_at_once_over_two_replicas_are_all_there() {
    tags_pushed_at_once_are_all_there(2).await;
}

#[tokio::test]
async fn tags_pushed_at_once_over_three_replicas_are_all_there() {
    tags_pushed_at_once_are_all_there(3).await;
}

#[tokio::test]
async fn referrers_pushed_at_once_are_all_listed() {
    for replicas in [2, 3] {
        let fleet = Fleet::of(replicas).await;
        let client = fleet.client();
        let subject = Image::small(1, 2);
        client.push_image(IMAGE, "v1", &subject).await.unwrap();
        let signatures: Vec<Image> = (0..REFERRERS)
            .map(|number| images::referrer(number, "application/vnd.example.signature", &subject.manifest))
            .collect();
        for blob in signatures[0].blobs() {
            client.push_blob_at_once(IMAGE, blob).await.unwrap();
        }
        let pushes = signatures.iter().map(|signature| {
            let manifest = &signature.manifest;
            client.put_manifest(IMAGE, &manifest.digest, manifest)
        });
        for result in futures::future::join_all(pushes).await {
            result.unwrap();
        }
        let expected: BTreeSet<&str> = signatures.iter().map(|signature| signature.manifest.digest.as_str()).collect();
        for replica in &fleet.replicas {
            let listed = developer(&replica.url()).unwrap().referrers(IMAGE, &subject.manifest.digest).await.unwrap();
            let listed: BTreeSet<&str> = listed.iter().filter_map(|descriptor| descriptor["digest"].as_str()).collect();
            assert_eq!(listed, expected);
        }
    }
}

#[tokio::test]
async fn each_request_of_an_upload_may_meet_another_replica() {
    let fleet = Fleet::of(2).await;
    let client = fleet.client();
    // The token first, so that the upload's own requests alternate.
    client.token(&pushing(IMAGE)).await.unwrap();
    // Both patches within one part of the store, across one, and far beyond.
    for (seed, first, second) in [(1, 1000, 500), (2, 5_000_000, 5_000_000), (3, 9_000_000, 17_000_000)] {
        let blob = Content::new("application/octet-stream", images::noise(seed, first + second));
        let (head, tail) = (blob.bytes.slice(..first), blob.bytes.slice(first..));
        let before = fleet.balancer.served();
        let location = client.open_upload(IMAGE).await.unwrap();
        let location = client.patch(IMAGE, &location, head.into(), Some((0, first as u64))).await.unwrap();
        let location = client.patch(IMAGE, &location, tail.into(), Some((first as u64, second as u64))).await.unwrap();
        client.close_upload(IMAGE, &location, &blob.digest, reqwest::Body::default()).await.unwrap();
        let after = fleet.balancer.served();
        assert_eq!([after[0] - before[0], after[1] - before[1]], [2, 2], "POST, PATCH, PATCH and PUT alternate");
        for replica in &fleet.replicas {
            let bytes = developer(&replica.url()).unwrap().blob(IMAGE, &blob.digest).await.unwrap();
            assert!(bytes == blob.bytes);
        }
    }
}

#[tokio::test]
async fn a_killed_replica_takes_only_the_requests_in_its_hands() {
    const VICTIM: usize = 1;
    let mut fleet = Fleet::of(3).await;
    let client = fleet.client();
    let (done, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let middle = tokio::sync::Notify::new();
    let (mut victim, survivors) = {
        let victim = fleet.replicas.remove(VICTIM);
        (victim, &fleet.replicas)
    };
    let pushes = futures::stream::iter(0..TAGS)
        .map(|number| {
            let (client, done, failures, middle) = (client.clone(), &done, &failures, &middle);
            async move {
                // As a client does: one failed request fails the push, and the user starts it again.
                while let Err(error) = push_numbered(&client, number).await {
                    let error = format!("{error:#}");
                    assert!(error.contains("502 Bad Gateway"), "only the balancer may report a failure: {error}");
                    failures.fetch_add(1, Ordering::SeqCst);
                }
                if done.fetch_add(1, Ordering::SeqCst) + 1 == TAGS as usize / 3 {
                    middle.notify_one();
                }
            }
        })
        .buffer_unordered(WORKERS)
        .collect::<Vec<()>>();
    let kill = async {
        middle.notified().await;
        victim.kill().await.unwrap();
        fleet.balancer.take_out(VICTIM);
    };
    tokio::join!(pushes, kill);
    let (failures, dropped) = (failures.load(Ordering::SeqCst), fleet.balancer.dropped());
    assert_eq!(failures, dropped, "a request failed that was not in the hands of the killed replica");
    for replica in survivors {
        check_tags(replica, 0..TAGS).await;
    }
    report(format!(
        "3 replicas, one killed in the middle: {dropped} requests in its hands failed, 0 others, 0 tags lost"
    ));
}
