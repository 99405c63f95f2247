//! A registry killed at every request of a push: what was acknowledged is there, and the push can be repeated.
#![allow(clippy::unwrap_used)]

use berth_tests::images::{self, Image};
use berth_tests::proxy::{Proxy, When};
use berth_tests::registry_process::Settings;
use berth_tests::s3_server::S3Server;
use berth_tests::site::{Site, developer};
use berth_tests::{command, report, tools};
use std::collections::BTreeMap;
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

    /// Collects until nothing more goes, and returns what is left by kind of key and size. Ids, times and counters
    /// differ from push to push, and the registry's own keys from start to start.
    async fn collected(&self, prefix: &str) -> Left {
        self.run(prefix, &["fsck", "--repair"]).await;
        self.run(prefix, &["gc", "--once"]).await;
        let mut kinds: BTreeMap<(String, u64), usize> = BTreeMap::new();
        let mut sessions = 0;
        for (key, size) in self.server.list(&self.bucket).await.unwrap() {
            let Some(key) = key.strip_prefix(&format!("{prefix}/")) else { continue };
            // Notes are reminders for a later review; their number follows the processes that wrote them.
            if key.starts_with("u/") {
                sessions += 1;
            } else if !key.starts_with("meta/") && !key.starts_with("g/") {
                *kinds.entry((shape(key), size)).or_default() += 1;
            }
        }
        let certificates = kinds.remove(&("a/*/*".to_owned(), 0)).unwrap_or_default();
        Left { kinds, certificates, sessions }
    }
}

/// What a bucket holds after a collection, apart from the registry's own keys.
#[derive(Debug)]
struct Left {
    /// How many of each kind of key and size.
    kinds: BTreeMap<(String, u64), usize>,
    certificates: usize,
    /// Uploads that were cut off and may be continued for a day. Each keeps its record, and a certificate unless its data
    /// was complete.
    sessions: usize,
}

impl Left {
    fn is_that_of(&self, undisturbed: &Self) -> bool {
        let surplus = self.certificates.checked_sub(undisturbed.certificates);
        self.kinds == undisturbed.kinds && surplus.is_some_and(|surplus| surplus <= self.sessions)
    }
}

/// The key without its ids: `a/*/*`, `r/team!app!/t/v1!/*`, `b/sha256/ab/<hash>/team!app!/*`.
fn shape(key: &str) -> String {
    let is_id = |text: &str| text.len() >= 26 && !text.contains('-') && !text.contains('!') && text.len() != 64;
    let mut segments: Vec<&str> = key.split('/').collect();
    if matches!(segments[0], "a" | "k") {
        segments[1] = "*";
    }
    for segment in &mut segments {
        let first = segment.split('.').next().unwrap_or_default();
        if is_id(first) || segment.contains(".sha256-") {
            *segment = if segment.contains('.') { "*.*" } else { "*" };
        }
    }
    segments.join("/")
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
    assert!(
        requests > 10 && expected.kinds.keys().any(|(shape, _)| shape.starts_with("r/")),
        "{requests} {expected:?}"
    );

    let mut struck = 0;
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
            assert!(left.is_that_of(&expected), "{at}: left {left:#?}\ninstead of {expected:#?}");
        }
    }
    report(format!("N = {requests} S3 requests of a push ({counts})"));
    report(format!(
        "killed {struck} times of {}: nothing lost, all repeated, left for the collector {leftovers:?}",
        2 * requests
    ));
    // Requests that a replica makes on its own initiative may move the last ones; none else may be missed.
    assert!(struck + 4 >= 2 * requests, "only {struck} kills struck");
}
