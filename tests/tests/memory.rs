//! Memory is bounded, whatever the size and number of uploads: parts are buffered in a pool, and who finds it empty waits.
#![allow(clippy::unwrap_used)]

use berth_tests::client::{Client, pulling};
use berth_tests::images::noise;
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::report;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{Body, Method};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const IMAGE: &str = "team/app";
const MIB: u64 = 1024 * 1024;

/// `mebibytes` of noise without ever holding more than one: the same MiB over and over, numbered.
fn pieces(seed: u64, mebibytes: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
    let template = noise(seed, MIB as usize);
    (0..mebibytes).map(move |number| {
        let mut piece = template.to_vec();
        piece[..8].copy_from_slice(&number.to_le_bytes());
        piece.into()
    })
}

fn digest_of_all(pieces: impl Iterator<Item = Bytes>) -> String {
    let mut hash = Sha256::new();
    pieces.for_each(|piece| hash.update(&piece));
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    let mut text = "sha256:".to_owned();
    hash.finalize().iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    text
}

/// As docker pushes: one PATCH whose length nobody knows.
async fn push(client: &Client, seed: u64, mebibytes: u64) -> anyhow::Result<String> {
    let digest = tokio::task::spawn_blocking(move || digest_of_all(pieces(seed, mebibytes))).await?;
    let location = client.open_upload(IMAGE).await?;
    let body = Body::wrap_stream(futures::stream::iter(pieces(seed, mebibytes).map(Ok::<_, std::io::Error>)));
    let location = client.patch(IMAGE, &location, body, None).await?;
    client.close_upload(IMAGE, &location, &digest, Body::default()).await?;
    Ok(digest)
}

/// Reads a blob to its end without keeping it, and compares its digest.
async fn pull(client: &Client, digest: &str) -> anyhow::Result<()> {
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let answer = client.request(Method::GET, &path, &pulling(IMAGE)).await?.send().await?.error_for_status()?;
    let hash = answer.bytes_stream().try_fold(Sha256::new(), |hash, piece| async move { Ok(hash.chain_update(piece)) });
    anyhow::ensure!(hex(hash.await?) == digest, "{digest} came back as other bytes");
    Ok(())
}

struct Bench {
    registry: Registry,
    client: Client,
    _site: Site,
    _server: S3Server,
}

impl Bench {
    async fn start() -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = server.create_bucket("memory").await.unwrap();
        let site = Site::of_public_repositories(&[IMAGE]).unwrap();
        let registry = Settings::on_bucket(&server.endpoint(), &bucket, &site).start().await.unwrap();
        let client = developer(&registry.url()).unwrap();
        Self { registry, client, _site: site, _server: server }
    }

    fn check_peak(&self, what: &str, limit: u64) {
        let peak = self.registry.peak_memory().unwrap();
        report(format!("{what}: peak memory {} MiB (limit {} MiB)", peak / MIB, limit / MIB));
        assert!(peak < limit, "{what} took {} MiB", peak / MIB);
    }
}

#[tokio::test]
async fn a_layer_of_two_gibibytes_takes_less_than_150_mebibytes() {
    let bench = Bench::start().await;
    let digest = push(&bench.client, 1, 2048).await.unwrap();
    bench.check_peak("push of 2 GiB", 150 * MIB);
    pull(&bench.client, &digest).await.unwrap();
    bench.check_peak("push and pull of 2 GiB", 150 * MIB);
}

#[tokio::test]
async fn sixty_four_pushes_at_once_take_less_than_250_mebibytes() {
    let bench = Bench::start().await;
    let digests: Vec<_> = futures::stream::iter(0..64)
        .map(|seed| push(&bench.client, 100 + seed, 24))
        .buffer_unordered(64)
        .collect()
        .await;
    for digest in digests {
        pull(&bench.client, &digest.unwrap()).await.unwrap();
    }
    bench.check_peak("64 pushes of 24 MiB at once", 250 * MIB);
}
