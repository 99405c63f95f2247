//! How many S3 requests each operation costs, against the committed table `requests.md` beside this file.
//!
//! A figure above the table's fails, and so does one below it until the table is lowered: what is won stays won.
#![allow(clippy::unwrap_used)]

use berth_tests::client::Client;
use berth_tests::images::{self, Content, Image};
use berth_tests::proxy::{Counts, Kind, Operation, Proxy, Seen};
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::report;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};
use std::fmt::Write as _;
use std::time::Duration;

const IMAGE: &str = "team/app";
const OTHER: &str = "team/other";
const MB: usize = 1_000_000;

/// A registry behind a counting proxy.
struct Bench {
    proxy: Proxy,
    settings: Settings,
    measured: Vec<(&'static str, Counts)>,
    _site: Site,
    _server: S3Server,
}

/// Requests that belong to no operation: each replica's own, once a minute or more rarely. Records of finished uploads
/// go together with the notes.
fn background(seen: &Seen) -> bool {
    matches!(seen.kind, Kind::Note | Kind::Meta)
        || (seen.operation == Operation::DeleteObjects && seen.kind == Kind::Upload)
}

impl Bench {
    async fn start() -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = server.create_bucket("counted").await.unwrap();
        let site = Site::of_public_repositories(&[IMAGE, OTHER]).unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let settings = Settings::on_bucket(&proxy.endpoint(), &bucket, &site);
        Self { proxy, settings, measured: Vec::new(), _site: site, _server: server }
    }

    /// A replica that has seen nothing, with a client that has its tokens already.
    async fn replica(&self) -> (Registry, Client) {
        let replica = self.settings.start().await.unwrap();
        let client = developer(&replica.url()).unwrap();
        for image in [IMAGE, OTHER] {
            client.token(&berth_tests::client::pushing(image)).await.unwrap();
            client.token(&berth_tests::client::pulling(image)).await.unwrap();
        }
        self.settle().await;
        (replica, client)
    }

    /// Waits for what the registry does after it has answered, and forgets everything counted.
    async fn settle(&self) -> Counts {
        let mut counts = self.proxy.take();
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let more = self.proxy.take();
            if more.total() == 0 {
                return counts.without(background);
            }
            counts.0.extend(more.0);
        }
    }

    /// Counts what `operation` costs.
    async fn measure<T>(&mut self, row: &'static str, operation: impl Future<Output = anyhow::Result<T>>) -> T {
        self.settle().await;
        let result = operation.await;
        let counts = self.settle().await;
        self.measured.push((row, counts));
        result.unwrap_or_else(|error| panic!("{row}: {error:#}"))
    }
}

fn blob(seed: u64, length: usize) -> Content {
    Content::new("application/octet-stream", images::noise(seed, length))
}

/// Ten small blobs and one of 200 MB: what the figures of other registries were measured with.
fn eleven_blobs(seed: u64) -> Image {
    let mut layers: Vec<_> = (0..9).map(|number| images::layer(seed * 100 + number, MB / 10)).collect();
    layers.push(images::layer(seed * 100 + 9, 200 * MB));
    Image::of_layers("amd64", &layers)
}

#[tokio::test]
async fn every_operation_costs_what_the_table_says() {
    let mut bench = Bench::start().await;
    let (_warm, warm) = bench.replica().await;

    // The first large upload of a replica makes a certificate for the next one too: what "warm" is about.
    warm.push_blob_at_once(IMAGE, &blob(20, 9 * MB)).await.unwrap();
    let absent = blob(1, 10);
    bench.measure("HEAD blob, absent", warm.has_blob(IMAGE, &absent.digest)).await;
    bench.measure("POST upload", warm.open_upload(IMAGE)).await;
    let small = blob(2, MB / 10);
    bench.measure("blob 100 KB, streamed", warm.push_blob_streamed(IMAGE, &small)).await;
    bench
        .measure("blob 100 KB, PATCH with Content-Range", warm.push_blob_in_chunks(IMAGE, &blob(3, MB / 10), MB))
        .await;
    bench.measure("blob 100 KB, POST and PUT", warm.push_blob_at_once(IMAGE, &blob(4, MB / 10))).await;
    bench.measure("blob 50 MB, POST and PUT", warm.push_blob_at_once(IMAGE, &blob(5, 50 * MB))).await;
    bench.measure("blob 200 MB, POST and PUT", warm.push_blob_at_once(IMAGE, &blob(6, 200 * MB))).await;
    bench.measure("blob 200 MB, streamed", warm.push_blob_streamed(IMAGE, &blob(7, 200 * MB))).await;
    bench.measure("HEAD blob, present", warm.has_blob(IMAGE, &small.digest)).await;
    bench.measure("GET blob, warm", warm.blob(IMAGE, &small.digest)).await;
    bench.measure("mount of a small blob, warm", warm.mount(OTHER, IMAGE, &small.digest)).await;

    let image = eleven_blobs(1);
    for layer in image.blobs() {
        warm.push_blob_streamed(IMAGE, layer).await.unwrap();
    }
    bench.measure("manifest PUT, 11 blobs, warm", warm.put_manifest(IMAGE, "manifest-warm", &image.manifest)).await;
    bench.measure("manifest PUT, another tag", warm.put_manifest(IMAGE, "another", &image.manifest)).await;
    bench.measure("push of the 11-blob image, warm", warm.push_image(IMAGE, "v1", &eleven_blobs(2))).await;
    bench.measure("push again, everything exists", warm.push_image(IMAGE, "v1", &eleven_blobs(2))).await;
    let pushed = eleven_blobs(2);
    bench.measure("GET manifest by tag, warm", warm.manifest(IMAGE, "v1")).await;
    bench.measure("GET manifest by digest, warm", warm.manifest(IMAGE, &pushed.manifest.digest)).await;
    bench.measure("GET manifest, absent tag", warm.manifest(IMAGE, "absent")).await;
    bench.measure("pull of the 11-blob image, warm", warm.check_image(IMAGE, "v1", &pushed)).await;
    bench.measure("tags/list", warm.tags(IMAGE)).await;
    let mounts = async {
        for layer in pushed.blobs() {
            anyhow::ensure!(warm.mount(OTHER, IMAGE, &layer.digest).await?, "not mounted");
        }
        warm.put_manifest(OTHER, "v1", &pushed.manifest).await
    };
    bench.measure("mount 11 blobs, manifest PUT, warm", mounts).await;

    // Replicas that saw none of it.
    let (_cold, cold) = bench.replica().await;
    bench.measure("push of the 11-blob image, cold", cold.push_image(IMAGE, "v2", &eleven_blobs(3))).await;
    let (_cold, cold) = bench.replica().await;
    bench.measure("pull of the 11-blob image, cold", cold.check_image(IMAGE, "v1", &pushed)).await;
    let (_cold, cold) = bench.replica().await;
    let by_digest = cold.check_image(IMAGE, &pushed.manifest.digest, &pushed);
    bench.measure("pull of the 11-blob image by digest, cold", by_digest).await;
    let (_cold, cold) = bench.replica().await;
    bench.measure("GET manifest by tag, cold", cold.manifest(IMAGE, "v1")).await;
    let (_cold, cold) = bench.replica().await;
    bench.measure("GET manifest by digest, cold", cold.manifest(IMAGE, &pushed.manifest.digest)).await;
    let (_cold, cold) = bench.replica().await;
    bench.measure("GET blob, cold", cold.blob(IMAGE, &small.digest)).await;
    let (_cold, cold) = bench.replica().await;
    bench.measure("mount of a small blob, cold", cold.mount(OTHER, IMAGE, &pushed.layers[0].digest)).await;
    let late = eleven_blobs(4);
    for layer in late.blobs() {
        warm.push_blob_streamed(IMAGE, layer).await.unwrap();
    }
    let (_cold, cold) = bench.replica().await;
    bench.measure("manifest PUT, 11 blobs, cold", cold.put_manifest(IMAGE, "manifest-cold", &late.manifest)).await;

    bench.measure("DELETE tag", warm.delete_manifest(IMAGE, "another")).await;
    let doomed = Image::small(9, 2);
    for tag in ["doomed-1", "doomed-2"] {
        warm.push_image(IMAGE, tag, &doomed).await.unwrap();
    }
    let owner = Client::with_login(warm.base().as_str(), "owner", berth_tests::site::PASSWORD).unwrap();
    bench.measure("DELETE manifest, 2 tags", owner.delete_manifest(IMAGE, &doomed.manifest.digest)).await;
    let lonely = blob(10, 1000);
    warm.push_blob_at_once(IMAGE, &lonely).await.unwrap();
    bench.measure("DELETE blob", owner.delete_blob(IMAGE, &lonely.digest)).await;

    compare(&bench.measured);
}

/// One row of the table: the figure that holds, and the budget it may never exceed.
struct Row<'a> {
    name: &'a str,
    figure: usize,
    budget: usize,
}

fn table() -> Vec<Row<'static>> {
    include_str!("requests.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ").map(|cell| cell.trim_end_matches('|').trim());
            let name = cells.next()?;
            Some(Row { name, figure: cells.next()?.parse().ok()?, budget: cells.next()?.parse().ok()? })
        })
        .collect()
}

fn compare(measured: &[(&'static str, Counts)]) {
    let table = table();
    let mut wrong = String::new();
    for (name, counts) in measured {
        let total = counts.total();
        report(format!("{name}: {total} ({counts})"));
        let Some(row) = table.iter().find(|row| row.name == *name) else {
            writeln!(wrong, "{name}: {total}, and the table has no such row").unwrap();
            continue;
        };
        assert!(
            row.figure <= row.budget,
            "{name}: the table's figure {} exceeds its budget {}",
            row.figure,
            row.budget
        );
        if total > row.figure {
            writeln!(wrong, "{name}: {total} requests, the table says {}", row.figure).unwrap();
        } else if total < row.figure {
            writeln!(wrong, "{name}: only {total} requests: lower the table from {}", row.figure).unwrap();
        }
    }
    for row in &table {
        if !measured.iter().any(|(name, _)| *name == row.name) {
            writeln!(wrong, "{}: in the table, but not measured", row.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "tests/tests/requests.md does not hold:\n{wrong}");
}

#[tokio::test]
async fn an_idle_replica_asks_the_store_hardly_anything() {
    const SECONDS: u64 = 30;
    let bench = Bench::start().await;
    let (_replica, _client) = bench.replica().await;
    bench.proxy.take();
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let counts = bench.proxy.take();
    report(format!("idle for {SECONDS} s: {} requests ({counts})", counts.total()));
    assert!(counts.total() as u64 <= SECONDS / 10, "more than one request in ten seconds: {counts}");
}
