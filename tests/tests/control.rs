//! What the operator sees of a registry, without one: the document it writes, the socket it asks, and what is served
//! while it is silent. Every registry here is the real program.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use berth_crds::configuration::{Configuration, Objects, compile};
use berth_crds::name::RepositoryName;
use berth_crds::wire::control::{IN_USE, InUse, LOADED, Loaded, Purged, purge};
use berth_registry::auth::deploy_token::{self, NewDeployToken};
use berth_registry::configuration::LastDocument;
use berth_registry::store::location::StorageUrl;
use berth_tests::client::Client;
use berth_tests::images::Image;
use berth_tests::process::Process;
use berth_tests::tools;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// Everybody may pull it, and the holder of the deploy token push to it.
const OPEN: &str = "team-a/open";
/// Only with a deploy token.
const CLOSED: &str = "team-a/closed";
/// Begins like `OPEN`.
const NEIGHBOUR: &str = "team-a/open-too";

/// What an operator shares with its registry, and a bucket.
struct Pod {
    folder: TempDir,
    data: TempDir,
    /// The deploy token of each repository.
    tokens: BTreeMap<&'static str, NewDeployToken>,
}

/// A registry that was told where to listen, and may not do so yet.
struct Started {
    process: Process,
    admin: String,
    socket: PathBuf,
}

impl Pod {
    fn new() -> Self {
        let tokens = [OPEN, CLOSED, NEIGHBOUR].map(|repository| (repository, deploy_token::generate()));
        Self {
            folder: TempDir::with_prefix("berth-pod-").unwrap(),
            data: TempDir::with_prefix("berth-data-").unwrap(),
            tokens: tokens.into(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("config").join("current.json")
    }

    /// The document of these repositories, each with the deploy token.
    fn document(&self, repositories: &[&str]) -> Configuration {
        let mut text = String::new();
        for repository in repositories {
            let sha256 = &self.tokens[repository].sha256;
            let repository: RepositoryName = repository.parse().unwrap();
            text += &format!(
                "---\napiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\n\
                 metadata: {{namespace: {}, name: {}}}\n\
                 spec: {{deployTokens: [{{name: ci, scopes: [WriteRegistry], sha256: \"{sha256}\"}}]}}\n",
                repository.namespace(),
                repository.object_name(),
            );
        }
        text += "---\napiVersion: berth.dev/v1alpha1\nkind: RegistryVisibility\nmetadata: {namespace: team-a, name: open}\n\
                 spec: {repositories: {names: [open, open-too]}, visibility: Public}\n";
        let reading = berth_crds::manifest::read([("objects.yaml", text.as_str())]);
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        compile(&reading.objects.into_iter().collect::<Objects>()).0
    }

    /// As an operator writes: a whole file takes the place of another.
    fn write(&self, document: &Configuration) {
        let file = self.file();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let aside = self.folder.path().join("aside");
        std::fs::write(&aside, document.to_json_bytes()).unwrap();
        std::fs::rename(aside, file).unwrap();
    }

    async fn start(&self) -> Started {
        let socket = self.folder.path().join("control.sock");
        let mut command = Command::new(tools::registry().unwrap());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--storage"]);
        command.arg(format!("dir:{}", self.data.path().display())).arg("--config").arg(self.file());
        command.arg("--control").arg(format!("unix:{}", socket.display()));
        let mut process = Process::start("the registry", command).unwrap();
        let admin = process.wait_for_line("admin listening", |line| address(line, "admin listening")).await.unwrap();
        Started { process, admin: format!("http://{admin}"), socket }
    }

    /// Who may push to a repository and the images below it.
    fn client(&self, url: &str, repository: &str) -> Client {
        Client::with_login(url, "ci", &self.tokens[repository].token).unwrap()
    }

    async fn last_document(&self) -> Option<Configuration> {
        let url: StorageUrl = format!("dir:{}", self.data.path().display()).parse().unwrap();
        LastDocument::new(url.open().await.unwrap()).read().await.unwrap()
    }
}

impl Started {
    /// Waits until clients are served, and says where.
    async fn url(&mut self) -> String {
        let address = self.process.wait_for_line("listening", |line| address(line, "listening")).await.unwrap();
        format!("http://{address}")
    }

    async fn admin(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("{}{path}", self.admin)).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Asks over the socket.
    async fn ask(&self, method: Method, path: &str, body: Option<&InUse>) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().unix_socket(self.socket.as_path()).no_proxy().build().unwrap();
        let mut request = client.request(method, format!("http://registry{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn loaded(&self, after: &str) -> Loaded {
        let (status, answer) = self.ask(Method::GET, &format!("{LOADED}?after={after}"), None).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_value(answer).unwrap()
    }

    async fn stop(mut self) {
        self.process.terminate().unwrap();
        assert_eq!(self.process.wait().await.unwrap().code(), Some(0), "{}", self.process.printed());
        assert!(!self.socket.exists());
    }
}

fn address(line: &str, message: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == message).then(|| line["address"].as_str().map(str::to_owned))?
}

/// Asks again until it is so. Whoever waits in vain is stopped by the test runner.
async fn until(so: impl AsyncFn() -> bool) {
    while !so().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn head(client: &Client, image: &str) -> StatusCode {
    let path = format!("/v2/{image}/manifests/v1");
    let request = client.request(Method::HEAD, &path, &format!("repository:{image}:pull")).await.unwrap();
    client.send(request).await.unwrap().status
}

#[tokio::test]
async fn an_operator_learns_what_is_loaded_records_what_is_in_use_and_purges() {
    let pod = Pod::new();
    let all = pod.document(&[OPEN, NEIGHBOUR]);
    pod.write(&all);
    let mut registry = pod.start().await;
    let url = registry.url().await;
    for (repository, image) in [(OPEN, OPEN), (OPEN, "team-a/open/api"), (NEIGHBOUR, NEIGHBOUR)] {
        pod.client(&url, repository).push_image(image, "v1", &Image::small(1, 2)).await.unwrap();
    }
    let first = registry.loaded("").await;
    assert_eq!((&first.revision, &first.problems), (&all.revision, &Vec::new()));

    let record = InUse {
        cluster: "c-1".to_owned(),
        recorded_at: jiff::Timestamp::now(),
        references: vec![format!("registry.example.com/{OPEN}:v1")],
    };
    assert_eq!(registry.ask(Method::PUT, IN_USE, Some(&record)).await.0, StatusCode::NO_CONTENT);
    let older = InUse { recorded_at: record.recorded_at - jiff::SignedDuration::from_mins(1), ..record };
    assert_eq!(registry.ask(Method::PUT, IN_USE, Some(&older)).await.0, StatusCode::CONFLICT);

    let open = purge(&OPEN.parse().unwrap());
    assert_eq!(registry.ask(Method::POST, &open, None).await.0, StatusCode::CONFLICT, "it is in force");
    let rest = pod.document(&[NEIGHBOUR]);
    let (second, ()) = tokio::join!(registry.loaded(&first.state), async { pod.write(&rest) });
    assert_eq!(second.revision, rest.revision);
    let (status, purged) = registry.ask(Method::POST, &open, None).await;
    let purged: Purged = serde_json::from_value(purged).unwrap();
    assert_eq!((status, purged), (StatusCode::OK, Purged { images: 2, tags: 2, manifests: 2 }));
    let nobody = Client::anonymous(&url).unwrap();
    assert_eq!(head(&nobody, NEIGHBOUR).await, StatusCode::OK);

    // Made anew, the repository is empty.
    let (third, ()) = tokio::join!(registry.loaded(&second.state), async { pod.write(&all) });
    assert_eq!(third.revision, all.revision);
    assert_eq!(head(&nobody, OPEN).await, StatusCode::NOT_FOUND);
    registry.stop().await;
}

#[tokio::test]
async fn without_a_word_of_the_operator_pulls_go_on_and_pushes_wait() {
    let pod = Pod::new();
    let document = pod.document(&[OPEN, CLOSED]);
    pod.write(&document);
    let mut registry = pod.start().await;
    let url = registry.url().await;
    for image in [OPEN, CLOSED] {
        pod.client(&url, image).push_image(image, "v1", &Image::small(2, 2)).await.unwrap();
    }
    until(async || pod.last_document().await.as_ref() == Some(&document)).await;
    let written = std::fs::read_to_string(pod.file()).unwrap();
    let NewDeployToken { token, sha256 } = &pod.tokens[OPEN];
    assert!(!written.contains(token) && written.contains(sha256), "documents hold hashes only");
    registry.stop().await;
    std::fs::remove_file(pod.file()).unwrap();

    let mut registry = pod.start().await;
    assert_eq!(registry.admin("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let url = registry.url().await;
    until(async || registry.admin("/readyz").await.0 == StatusCode::OK).await;
    let (client, nobody) = (pod.client(&url, OPEN), Client::anonymous(&url).unwrap());
    assert_eq!(head(&nobody, OPEN).await, StatusCode::OK);
    assert_eq!(head(&pod.client(&url, CLOSED), CLOSED).await, StatusCode::OK);
    assert_eq!(head(&nobody, CLOSED).await, StatusCode::UNAUTHORIZED, "as before");

    let begin = async |client: &Client| {
        let path = format!("/v2/{OPEN}/blobs/uploads/");
        let scope = format!("repository:{OPEN}:pull,push");
        client.send(client.request(Method::POST, &path, &scope).await.unwrap()).await.unwrap()
    };
    let refused = begin(&client).await;
    assert_eq!(
        (refused.status, refused.error_code().as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("UNAVAILABLE"))
    );
    assert!(refused.header("retry-after").is_some());
    assert!(refused.json().unwrap()["errors"][0]["message"].as_str().unwrap().contains("pushes and deletions wait"));
    assert_eq!(begin(&nobody).await.status, StatusCode::UNAUTHORIZED, "who may not push is told that");
    let metric = async |value: u8| {
        let (_, text) = registry.admin("/metrics").await;
        text.contains(&format!("berth_configuration_last_document {value}"))
    };
    until(async || metric(1).await).await;
    assert!(registry.process.printed().contains("reads are served by the bucket's last one"));
    let told = registry.loaded("").await;
    assert!(told.revision == document.revision && told.problems[0].contains("has not appeared"), "{told:?}");

    let (recovered, ()) = tokio::join!(registry.loaded(&told.state), async { pod.write(&document) });
    assert!(recovered.problems.is_empty() && recovered.revision == document.revision, "{recovered:?}");
    assert_eq!(begin(&client).await.status, StatusCode::ACCEPTED);
    until(async || metric(0).await).await;
    registry.stop().await;
}

#[tokio::test]
async fn a_new_bucket_waits_for_its_operator_and_can_be_told_to_stop() {
    let pod = Pod::new();
    let registry = pod.start().await;
    assert_eq!(registry.admin("/healthz").await.0, StatusCode::OK);
    assert_eq!(registry.admin("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    registry.stop().await;

    let mut registry = pod.start().await;
    assert_eq!(registry.admin("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    pod.write(&pod.document(&[OPEN]));
    let url = registry.url().await;
    pod.client(&url, OPEN).push_image(OPEN, "v1", &Image::small(3, 1)).await.unwrap();
    registry.stop().await;
}
