//! A registry killed at every request of a push: what was acknowledged is there, and the push can be repeated.
#![allow(clippy::unwrap_used)]

use berth_tests::images::{self, Image};
use berth_tests::proxy::{Proxy, When};
use berth_tests::registry_process::Settings;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};
use berth_tests::{command, report, tools};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

const IMAGE: &str = "team/app";
/// A killed registry leaves what nobody refers to: space, never content. These are the classes such things have.
const LEFTOVERS: [&str; 8] = [
    "UnreferencedManifest",
    "UnreferencedBlob",
    "UnheldData",
    "StrayCertificate",
    "OutrankedTagVersion",
    "StrayTagVersion",
    "StrayReferrer",
    "AbandonedUpload",
];
const CLOCKS: [&str; 7] = ["--grace", "0s", "--quarantine", "0s", "--undo", "0s", "--allow-short-grace"];

/// Two small layers and one that becomes a multipart upload of two parts.
fn image() -> Image {
    Image::of_layers("amd64", &[images::layer(1, 1000), images::layer(2, 9_000_000), images::layer(3, 1000)])
}

struct Bench {
    server: S3Server,
    bucket: String,
    site: Site,
}

impl Bench {
    async fn start() -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = server.create_bucket("crash").await.unwrap();
        Self { server, bucket, site: Site::of_public_repositories(&[IMAGE]).unwrap() }
    }

    fn settings(&self, endpoint: &str, prefix: &str) -> Settings {
        Settings::on_bucket(endpoint, &format!("{}/{prefix}", self.bucket), &self.site)
    }

    /// Runs a command of the registry beside it, without the proxy, with all clocks at 0, and returns its JSON.
    async fn run(&self, prefix: &str, command: &[&str]) -> serde_json::Value {
        let storage = format!("s3://{}/{prefix}", self.bucket);
        let arguments = [command, &CLOCKS, &["--output", "json", "--storage", &storage]].concat();
        let environment = berth_tests::s3_server::environment(&self.server.endpoint());
        let environment: Vec<(&str, &OsStr)> =
            environment.iter().map(|(name, value)| (*name, OsStr::new(value))).collect();
        let output = command::run_with(&tools::registry().unwrap(), &arguments, &environment).await.unwrap();
        serde_json::from_str(&output).unwrap()
    }

    /// Collects until nothing more goes, unfinished uploads included, and returns what is left: each key with its
    /// content, both without what differs from push to push.
    async fn collected(&self, prefix: &str) -> Left {
        self.run(prefix, &["fsck", "--repair"]).await;
        self.run(prefix, &["gc", "--once", "--unfinished", "0s"]).await;
        let open = self
            .server
            .client()
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(format!("{prefix}/"))
            .send()
            .await;
        let mut left = Left { parts: open.unwrap().uploads().len(), ..Left::default() };
        for (key, _) in self.server.list(&self.bucket).await.unwrap() {
            let Some(own) = key.strip_prefix(&format!("{prefix}/")) else { continue };
            if own.starts_with(KEYS) {
                left.keys += 1;
                continue;
            }
            let content = self.server.read(&self.bucket, &key).await.unwrap();
            let content = match std::str::from_utf8(&content) {
                Ok(status) if own == STATUS => without_times(status),
                Ok(text) => without_ids(text),
                Err(_) => hash(&content),
            };
            *left.objects.entry((without_ids(own), content)).or_default() += 1;
        }
        left
    }
}

/// The public half of the pair a registry signs with: each process that starts publishes one, and it is kept as long as
/// something it signed may be shown. The only keys of which a bucket may hold more than an undisturbed one.
const KEYS: &str = "meta/keys/";

/// What the registry says of its objects. It changes with the objects, and the moment of that is the start of the process.
const STATUS: &str = "meta/status";

/// What a bucket holds after a collection.
#[derive(Debug, Default)]
struct Left {
    /// How often each key with each content is there.
    objects: BTreeMap<(String, String), usize>,
    /// How many keys of signatures.
    keys: usize,
    /// Multipart uploads that are still open.
    parts: usize,
}

impl Left {
    /// What is here and not there, or there and not here, or another number of times: with both numbers.
    fn differences<'a>(&'a self, other: &'a Self) -> Vec<(&'a (String, String), usize, usize)> {
        let count = |left: &Self, object| left.objects.get(object).copied().unwrap_or_default();
        let all: BTreeSet<_> = self.objects.keys().chain(other.objects.keys()).collect();
        let counted = all.into_iter().map(|object| (object, count(self, object), count(other, object)));
        counted.filter(|(_, here, there)| here != there).collect()
    }
}

fn without_times(status: &str) -> String {
    status.lines().filter(|line| !line.contains("\"lastTransitionTime\"")).collect()
}

fn hash(content: &[u8]) -> String {
    images::Content::new("", content.to_vec()).digest
}

/// A key or text without ids (and their last two characters, where `a/` and `k/` begin with them), the counter of a tag's
/// versions, and the check of hints, which covers ids: `a/*/*`, `r/team!app!/t/v1!/*.*.*.sha256-….image.7d5`.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 26 && word.starts_with('0');
    let is_counter = |word: &str| word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_check = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut without = String::new();
    for piece in text.split_inclusive(|character: char| !character.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
        let differs = is_id(word) || is_counter(word) || is_check(word);
        without.push_str(if differs { "*" } else { word });
        without.push_str(&piece[word.len()..]);
    }
    match without.split_once('/') {
        Some((folder @ ("a" | "k"), rest)) if rest.ends_with("/*") => format!("{folder}/*/*"),
        _ => without,
    }
}

#[tokio::test]
async fn a_kill_at_any_request_of_a_push_loses_nothing_that_was_acknowledged() {
    let bench = Bench::start().await;
    let image = image();

    // Undisturbed, to know the number of requests and what is left in the end.
    let proxy = Proxy::start(bench.server.address()).await.unwrap();
    let registry = bench.settings(&proxy.endpoint(), "undisturbed").start().await.unwrap();
    let client = developer(&registry.url()).unwrap();
    client.token(&berth_tests::client::pushing(IMAGE)).await.unwrap();
    client.token(&berth_tests::client::pulling(IMAGE)).await.unwrap();
    proxy.take();
    client.push_image(IMAGE, "v1", &image).await.unwrap();
    let counts = proxy.take();
    let requests = counts.total();
    registry.stop().await.unwrap();
    let expected = bench.collected("undisturbed").await;
    assert_eq!((expected.keys, expected.parts), (1, 0));
    assert!(requests > 10 && expected.objects.keys().any(|(key, _)| key.starts_with("r/")), "{requests} {expected:?}");

    let (mut struck, mut unrecorded) = (0, 0);
    let mut leftovers: BTreeMap<String, usize> = BTreeMap::new();
    for number in 1..=requests {
        for when in [When::Before, When::After] {
            let at = format!("killed {when:?} request {number} of {requests}");
            let prefix = format!("{when:?}-{number}").to_lowercase();
            let proxy = Proxy::start(bench.server.address()).await.unwrap();
            let settings = bench.settings(&proxy.endpoint(), &prefix);
            let mut registry = settings.start().await.unwrap();
            let client = developer(&registry.url()).unwrap();
            client.token(&berth_tests::client::pushing(IMAGE)).await.unwrap();
            client.token(&berth_tests::client::pulling(IMAGE)).await.unwrap();
            let caught = proxy.stop_at(number, when);
            let pushing = {
                let (client, image) = (client.clone(), image.clone());
                tokio::spawn(async move { client.push_image(IMAGE, "v1", &image).await })
            };
            // The last requests may come after the answer; then the push has been acknowledged.
            let caught = tokio::time::timeout(std::time::Duration::from_secs(20), caught).await;
            registry.kill().await.unwrap();
            let acknowledged = pushing.await.unwrap().is_ok();
            struck += usize::from(caught.is_ok());

            let registry = bench.settings(&bench.server.endpoint(), &prefix).start().await.unwrap();
            let client = developer(&registry.url()).unwrap();
            if acknowledged {
                client.check_image(IMAGE, "v1", &image).await.unwrap_or_else(|error| panic!("{at}: {error:#}"));
            }
            client.push_image(IMAGE, "v1", &image).await.unwrap_or_else(|error| panic!("{at}: again: {error:#}"));
            client.check_image(IMAGE, "v1", &image).await.unwrap_or_else(|error| panic!("{at}: {error:#}"));
            registry.stop().await.unwrap();

            let checked = bench.run(&prefix, &["fsck"]).await;
            for finding in checked["findings"].as_array().unwrap() {
                let class = finding["class"].as_str().unwrap();
                assert!(LEFTOVERS.contains(&class), "{at}: fsck found {finding}");
                *leftovers.entry(class.to_owned()).or_default() += 1;
            }
            let left = bench.collected(&prefix).await;
            let differences = left.differences(&expected);
            assert!(differences.is_empty(), "{at}: other than after an undisturbed push: {differences:#?}");
            // Until its record is written only its registry knows of a multipart upload; the bucket's lifecycle rule ends it.
            assert!(left.parts <= 1, "{at}: {} multipart uploads are open", left.parts);
            unrecorded += left.parts;
            assert!(left.keys <= 2, "{at}: {} keys, and two registries were started", left.keys);
        }
    }
    report(format!("N = {requests} S3 requests of a push ({counts})"));
    report(format!(
        "killed {struck} times of {}: nothing lost, all repeated, left for the collector {leftovers:?}, and {unrecorded} \
         multipart uploads that no record names",
        2 * requests
    ));
    // Requests that a replica makes on its own initiative may move the last ones; none else may be missed.
    assert!(struck + 4 >= 2 * requests, "only {struck} kills struck");
}
