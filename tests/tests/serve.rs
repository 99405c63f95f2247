//! `registry serve` as a program: what each of its flags changes, how it refuses to start, and how it stops.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_tests::process::Process;
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::site::{PASSWORD, Site};
use berth_tests::tools;
use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

const REPOSITORY: &str = "team-a/shop";

struct Bed {
    site: Site,
    data: TempDir,
}

impl Bed {
    fn new() -> Self {
        Self {
            site: Site::of_public_repositories(&[REPOSITORY, "team-a/other"]).unwrap(),
            data: TempDir::with_prefix("berth-data-").unwrap(),
        }
    }

    fn settings(&self, arguments: &[&str]) -> Settings {
        Settings::on_directory(self.data.path(), &self.site).arguments(arguments)
    }

    async fn start(&self, arguments: &[&str]) -> Registry {
        self.settings(arguments).start().await.unwrap()
    }

    /// Runs `registry serve` with exactly these arguments and the storage; for starts that end by themselves.
    async fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let storage = format!("dir:{}", self.data.path().display());
        let output = run(&[&["serve", "--storage", &storage, "--admin", "127.0.0.1:0"], arguments].concat()).await;
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

async fn run(arguments: &[&str]) -> Output {
    let command = Command::new(tools::registry().unwrap()).args(arguments).kill_on_drop(true).output();
    tokio::time::timeout(Duration::from_secs(60), command).await.expect("it ends by itself").unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn sha256(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A blob pushed at once, by a developer.
async fn push(registry: &Registry, image: &str, content: &'static [u8]) -> StatusCode {
    let url = format!("{}/v2/{image}/blobs/uploads/?digest={}", registry.url(), sha256(content));
    let request = reqwest::Client::new().post(url).basic_auth("developer", Some(PASSWORD)).body(content);
    request.send().await.unwrap().status()
}

async fn head(registry: &Registry, image: &str, content: &[u8]) -> StatusCode {
    let url = format!("{}/v2/{image}/blobs/{}", registry.url(), sha256(content));
    reqwest::Client::new().head(url).send().await.unwrap().status()
}

/// The challenge that a request with these headers gets.
async fn challenge(registry: &Registry, headers: &[(&str, &str)]) -> String {
    let mut request = reqwest::Client::new().get(format!("{}/v2/", registry.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    answer.headers()["www-authenticate"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_start_that_cannot_work_ends_with_a_code_and_a_sentence() {
    let bed = Bed::new();
    let broken = TempDir::new().unwrap();
    std::fs::write(broken.path().join("bad.yaml"), "kind: Nothing").unwrap();
    let (manifests, users) = (bed.site.manifests(), bed.site.users());
    let (manifests, users) = (text(&manifests), text(&users));
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let loopback = ["--listen", "127.0.0.1:0"];
    for (arguments, code, sentence) in [
        (
            vec!["--listen", "0.0.0.0:0", "--manifests", manifests],
            78,
            "without --users or --identity nobody can log in",
        ),
        (vec!["--manifests", manifests, "--config", "x"], 78, "cannot be used with"),
        (vec![], 78, "required arguments were not provided"),
        (vec!["--manifests", "/does/not/exist"], 78, "/does/not/exist: "),
        (vec!["--manifests", text(broken.path())], 78, "bad.yaml"),
        (vec!["--config", text(&broken.path().join("bad.yaml"))], 78, "bad.yaml: "),
        (vec!["--manifests", manifests, "--users", "/does/not/exist"], 78, "/does/not/exist"),
        (vec!["--manifests", manifests, "--users", users, "--identity", "unix:x"], 78, "cannot be used with"),
        (vec!["--manifests", manifests, "--identity", "/run/x.sock"], 78, "write unix:PATH"),
        (vec!["--manifests", manifests, "--control", "unix:x"], 78, "with --manifests the files decide alone"),
        (vec!["--config", "x", "--control", "/run/x.sock"], 78, "write unix:PATH"),
        (vec!["--manifests", manifests, "--grace", "1m"], 78, "--allow-short-grace"),
        (vec!["--manifests", manifests, "--quarantine", "0s"], 78, "--allow-short-grace"),
        (vec!["--manifests", manifests, "--undo", "9m"], 78, "--allow-short-grace"),
        (vec!["--manifests", manifests, "--grace", "soon"], 78, "is not a duration"),
        (vec!["--manifests", manifests, "--trusted-proxies", "proxy"], 78, "10.0.0.0/8"),
        (vec!["--manifests", manifests, "--upload-memory", "much"], 78, "--upload-memory"),
        (vec!["--manifests", manifests, "--service", ""], 78, "is no service name"),
        (vec!["--manifests", manifests, "--log-level", "loud"], 78, "write error, warn, info"),
        (vec!["--manifests", manifests, "--listen", &taken], 75, "--listen"),
    ] {
        let with_listen = arguments.contains(&"--listen");
        let all = [if with_listen { &[] } else { &loopback[..] }, &arguments].concat();
        let (actual, printed) = bed.refused(&all).await;
        assert_eq!(actual, code, "{arguments:?}: {printed}");
        assert!(printed.contains(sentence), "{arguments:?}: {printed}");
    }
    let output = run(&["serve", "--storage", "tape:0", "--manifests", manifests]).await;
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dir:PATH"));
    let help = run(&["serve", "--help"]).await;
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
}

#[tokio::test]
async fn without_users_everybody_is_anonymous_and_the_log_says_so() {
    let bed = Bed::new();
    let storage = format!("dir:{}", bed.data.path().display());
    let mut command = Command::new(tools::registry().unwrap());
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--storage", &storage]);
    command.arg("--manifests").arg(bed.site.manifests());
    let mut process = Process::start("the registry", command).unwrap();
    let says = process.wait_for_line("who may log in", |line| line.contains("everybody is anonymous").then_some(()));
    says.await.unwrap();
    let address = process.wait_for_line("listening", listening).await.unwrap();
    let answer = reqwest::get(format!("http://{address}/v2/{REPOSITORY}/tags/list")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "public, and nothing was pushed");
}

fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?
}

#[tokio::test]
async fn the_installations_name_the_life_of_tokens_and_the_proxies_are_what_the_flags_say() {
    let bed = Bed::new();
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example.com")];
    let registry = bed.start(&["--service", "here", "--token-ttl", "2m", "--trusted-proxies", "127.0.0.0/8"]).await;
    let realm = "Bearer realm=\"https://registry.example.com/token\",service=\"here\"";
    assert_eq!(challenge(&registry, &forwarded).await, realm);
    let token = format!("{}/token?service=here", registry.url());
    let token: Value = reqwest::get(token).await.unwrap().json().await.unwrap();
    assert_eq!(token["expires_in"], 120);
    registry.stop().await.unwrap();

    let (code, printed) = bed
        .refused(&["--listen", "127.0.0.1:0", "--manifests", text(&bed.site.manifests()), "--service", "there"])
        .await;
    assert_eq!(code, 78, "{printed}");
    assert!(printed.contains("belongs to the installation here"), "{printed}");

    let bed = Bed::new();
    let registry = bed.start(&[]).await;
    let realm = format!("Bearer realm=\"{}/token\",service=\"registry.berth.dev\"", registry.url());
    assert_eq!(challenge(&registry, &forwarded).await, realm, "nobody is trusted by default");
    let token = format!("{}/token?service=registry.berth.dev", registry.url());
    let token: Value = reqwest::get(token).await.unwrap().json().await.unwrap();
    assert_eq!(token["expires_in"], 300);
}

#[tokio::test]
async fn an_existence_check_is_exact_unless_told_otherwise() {
    let bed = Bed::new();
    let other = bed.start(&[]).await;
    for (flags, after) in [(&[][..], StatusCode::NOT_FOUND), (&["--head-cache", "10m"], StatusCode::OK)] {
        let registry = bed.start(flags).await;
        assert_eq!(push(&other, REPOSITORY, b"blob").await, StatusCode::CREATED);
        assert_eq!(head(&registry, REPOSITORY, b"blob").await, StatusCode::OK);
        let url = format!("{}/v2/{REPOSITORY}/blobs/{}", other.url(), sha256(b"blob"));
        let deleted = reqwest::Client::new().delete(url).basic_auth("developer", Some(PASSWORD)).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::ACCEPTED);
        assert_eq!(head(&registry, REPOSITORY, b"blob").await, after, "{flags:?}");
    }
}

#[tokio::test]
async fn blobs_are_looked_for_everywhere_only_with_global_dedup() {
    for (flags, expected) in [(&[][..], StatusCode::ACCEPTED), (&["--global-dedup"], StatusCode::CREATED)] {
        let bed = Bed::new();
        let registry = bed.start(flags).await;
        assert_eq!(push(&registry, "team-a/other", b"shared").await, StatusCode::CREATED);
        let url = format!("{}/v2/{REPOSITORY}/blobs/uploads/?mount={}", registry.url(), sha256(b"shared"));
        let mounted = reqwest::Client::new().post(url).basic_auth("developer", Some(PASSWORD)).send().await.unwrap();
        assert_eq!(mounted.status(), expected, "{flags:?}");
    }
}

#[tokio::test]
async fn objects_are_in_force_when_their_file_changes_and_a_bad_one_is_reported() {
    let bed = Bed::new();
    let registry = bed.start(&[]).await;
    let client = reqwest::Client::new();
    let status = |name: &'static str| {
        let request = client
            .post(format!("{}/v2/team-a/{name}/blobs/uploads/", registry.url()))
            .basic_auth("developer", Some(PASSWORD));
        async move { request.send().await.unwrap().status() }
    };
    let object = |name: &str| {
        format!(
            "apiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\nmetadata: {{namespace: team-a, name: {name}}}\n"
        )
    };
    assert_eq!(status("new").await, StatusCode::NOT_FOUND);
    bed.site.write_manifest("new", &object("new")).unwrap();
    until(async || status("new").await == StatusCode::ACCEPTED).await;

    bed.site.write_manifest("new", "kind: [").unwrap();
    until(async || registry.log().contains("the last good one stays in force")).await;
    assert!(registry.log().contains("new.yaml"), "{}", registry.log());
    let metrics = format!("{}/metrics", registry.admin_url());
    let text = async || reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    until(async || text().await.contains("berth_configuration_problems 1")).await;
    assert_eq!(status("new").await, StatusCode::ACCEPTED);
}

/// Asks again until it is so. Whoever waits in vain is stopped by the test runner.
async fn until(so: impl AsyncFn() -> bool) {
    while !so().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_second_port_has_health_metrics_and_the_log_level() {
    let bed = Bed::new();
    let registry = bed.start(&["--log-level", "info,berth_registry=debug"]).await;
    let admin = registry.admin_url();
    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/loglevel", "berth_registry=debug,info\n")]
    {
        assert_eq!(reqwest::get(format!("{admin}{path}")).await.unwrap().text().await.unwrap(), expected);
    }
    let asked = reqwest::Client::new().get(format!("{}/v2/", registry.url())).header("x-request-id", "seen-1");
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    until(async || registry.log().contains("seen-1")).await;
    let line = registry.log().lines().find(|line| line.contains("seen-1")).unwrap().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["method"], &line["path"], &line["status"]), (&"GET".into(), &"/v2/".into(), &401.into()));
    assert!(line["duration_ms"].is_number() && line["sent"].is_number(), "{line}");

    let changed = reqwest::Client::new().put(format!("{admin}/loglevel")).body("error").send().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    let asked = reqwest::Client::new().get(format!("{}/v2/", registry.url())).header("x-request-id", "unseen-2");
    asked.send().await.unwrap();
    let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("berth_http_requests_total{endpoint=\"base\",method=\"GET\",status=\"401\"} 2"),
        "{metrics}"
    );
    assert!(!registry.log().contains("unseen-2"), "{}", registry.log());
}

/// A push whose body stops in the middle, once the registry has begun to read it.
async fn stopped_push(registry: &Registry, content: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(registry.address()).await.unwrap();
    let credentials = STANDARD.encode(format!("developer:{PASSWORD}"));
    let head = format!(
        "POST /v2/{REPOSITORY}/blobs/uploads/?digest={} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {credentials}\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        sha256(content),
        registry.address(),
        content.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n", "the registry reads the body");
    stream
}

#[tokio::test]
async fn sigterm_lets_a_push_come_to_its_end() {
    let bed = Bed::new();
    let mut registry = bed.start(&[]).await;
    let content = b"half and half";
    let mut push = stopped_push(&registry, content).await;
    push.write_all(&content[..6]).await.unwrap();
    registry.terminate().unwrap();
    until(async || TcpStream::connect(registry.address()).await.is_err()).await;
    push.write_all(&content[6..]).await.unwrap();
    let mut answer = String::new();
    push.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    drop(push);
    assert_eq!(registry.ended().await.unwrap().code(), Some(0));
    let again = bed.start(&[]).await;
    assert_eq!(head(&again, REPOSITORY, content).await, StatusCode::OK);
}

#[tokio::test]
async fn a_push_that_never_ends_is_cut_after_the_time_to_drain() {
    let bed = Bed::new();
    let mut registry = bed.start(&["--drain", "1s"]).await;
    let _push = stopped_push(&registry, b"never sent").await;
    registry.terminate().unwrap();
    assert_eq!(registry.ended().await.unwrap().code(), Some(0));
    assert!(registry.log().contains("longer than --drain"), "{}", registry.log());
}
