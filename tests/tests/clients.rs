//! Other people's clients, unchanged: skopeo, podman, buildah, crane.
#![allow(clippy::unwrap_used)]

use berth_tests::command::{run, run_expecting_failure, run_with};
use berth_tests::images::{self, Image, Index};
use berth_tests::registry_process::{Registry, Settings};
use berth_tests::s3_server::S3Server;
use berth_tests::site::{PASSWORD, Site};
use berth_tests::tools::{Built, installed};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A registry over a bucket, with a folder for the clients' own files.
struct Bench {
    registry: Registry,
    folder: TempDir,
    _site: Site,
    _server: S3Server,
}

impl Bench {
    async fn start() -> Self {
        let server = S3Server::start().await.unwrap();
        let bucket = server.create_bucket("clients").await.unwrap();
        let site = Site::of_public_repositories(&["team/app"]).unwrap();
        let registry = Settings::on_bucket(&server.endpoint(), &bucket, &site).start().await.unwrap();
        Self { registry, folder: TempDir::with_prefix("berth-clients-").unwrap(), _site: site, _server: server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `127.0.0.1:PORT/team/app` and what follows.
    fn image(&self, rest: &str) -> String {
        format!("{}/team/app{rest}", self.registry.address())
    }

    /// A folder with docker's config.json for the user `developer`, as `docker login` leaves it.
    fn docker_login(&self) -> PathBuf {
        use base64::Engine as _;
        let secret = base64::engine::general_purpose::STANDARD.encode(format!("developer:{PASSWORD}"));
        let folder = self.path("docker");
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"{secret}"}}}}}}"#, self.registry.address());
        std::fs::write(folder.join("config.json"), text).unwrap();
        folder
    }

    /// A signature policy that accepts everything, so that the machine's own does not matter.
    fn policy(&self) -> PathBuf {
        let path = self.path("policy.json");
        std::fs::write(&path, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        path
    }
}

fn layout(folder: &Path) -> String {
    format!("oci:{}:v1", folder.display())
}

#[tokio::test]
async fn skopeo_copies_a_multi_arch_image_in_and_out_and_keeps_every_byte() {
    let skopeo = installed("skopeo").unwrap();
    let bench = Bench::start().await;
    let index = Index::of_architectures(1, &["amd64", "arm64", "s390x"]);
    let (made, pulled) = (bench.path("made"), bench.path("pulled"));
    images::write_layout(&made, "v1", &index.manifest, index.contents()).unwrap();
    let (source, target) = (layout(&made), layout(&pulled));
    let remote = format!("docker://{}", bench.image(":v1"));
    let login = format!("developer:{PASSWORD}");
    let copy = ["--insecure-policy", "copy", "--quiet", "--all"];

    let anonymous = [&copy[..], &["--dest-tls-verify=false", "--dest-no-creds", &source, &remote]].concat();
    run_expecting_failure(&skopeo, &anonymous, &[]).await.unwrap();
    let push = [&copy[..], &["--dest-tls-verify=false", "--dest-creds", &login, &source, &remote]].concat();
    run(&skopeo, &push).await.unwrap();
    // A public repository: nobody needs a name to pull.
    let pull = [&copy[..], &["--src-tls-verify=false", "--src-no-creds", &remote, &target]].concat();
    run(&skopeo, &pull).await.unwrap();
    // Not assert_eq!: nobody wants to read the bytes.
    assert!(images::read_layout(&pulled).unwrap() == images::read_layout(&made).unwrap());

    let inspect = ["inspect", "--tls-verify=false", "--no-creds", "--raw", &remote];
    assert_eq!(run(&skopeo, &inspect).await.unwrap().as_bytes(), index.manifest.bytes);
    let tags = ["list-tags", "--tls-verify=false", "--no-creds", &format!("docker://{}", bench.image(""))];
    assert!(run(&skopeo, &tags).await.unwrap().contains("\"v1\""));
}

#[tokio::test]
async fn skopeo_converts_between_dockers_and_ocis_media_types() {
    let skopeo = installed("skopeo").unwrap();
    let bench = Bench::start().await;
    let image = Image::small(2, 3);
    let made = bench.path("made");
    images::write_layout(&made, "v1", &image.manifest, image.blobs()).unwrap();
    let login = format!("developer:{PASSWORD}");
    for (format, tag) in [("v2s2", ":docker"), ("oci", ":oci")] {
        let remote = format!("docker://{}", bench.image(tag));
        let options = ["--insecure-policy", "copy", "--quiet", "--format", format, "--dest-tls-verify=false"];
        run(&skopeo, &[&options[..], &["--dest-creds", &login, &layout(&made), &remote]].concat()).await.unwrap();
        let inspect = ["inspect", "--tls-verify=false", "--no-creds", "--raw", &remote];
        let manifest = run(&skopeo, &inspect).await.unwrap();
        assert_eq!(manifest.contains("vnd.docker.distribution.manifest.v2+json"), format == "v2s2", "{manifest}");
    }
}

#[tokio::test]
async fn buildah_builds_and_pushes_what_podman_pulls_and_pushes_again() {
    let (buildah, podman) = (installed("buildah").unwrap(), installed("podman").unwrap());
    let bench = Bench::start().await;
    let policy = bench.policy();
    let policy = policy.to_str().unwrap();
    // vfs and folders of their own: they work in any container, and leave the machine's images alone.
    let root = |name: &str| bench.path(name).display().to_string();
    let (build_root, build_run) = (root("build-root"), root("build-run"));
    let build = ["--root", &build_root, "--runroot", &build_run, "--storage-driver", "vfs"];
    let login = format!("developer:{PASSWORD}");
    let file = bench.path("greeting");
    std::fs::write(&file, "hello from a layer\n").unwrap();

    let container = run(&buildah, &[&build[..], &["from", "scratch"]].concat()).await.unwrap();
    let container = container.trim();
    let copy = ["copy", "--quiet", container, file.to_str().unwrap(), "/greeting"];
    run(&buildah, &[&build[..], &copy].concat()).await.unwrap();
    let commit = ["commit", "--quiet", "--signature-policy", policy, container, "local/app"];
    run(&buildah, &[&build[..], &commit].concat()).await.unwrap();
    let (built, again) = (bench.image(":built"), bench.image(":again"));
    let push = ["push", "--quiet", "--signature-policy", policy, "--tls-verify=false", "--creds", &login];
    run(&buildah, &[&build[..], &push, &["local/app", &format!("docker://{built}")]].concat()).await.unwrap();

    let (pull_root, pull_run) = (root("pull-root"), root("pull-run"));
    let store = ["--root", &pull_root, "--runroot", &pull_run, "--storage-driver", "vfs"];
    let pull = ["pull", "--quiet", "--signature-policy", policy, "--tls-verify=false", "--creds", &login, &built];
    run(&podman, &[&store[..], &pull].concat()).await.unwrap();
    run(&podman, &[&store[..], &push, &[&built, &again]].concat()).await.unwrap();
    let mounted = run(&podman, &[&store[..], &["image", "mount", &built]].concat()).await.unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(mounted.trim()).join("greeting")).unwrap(), "hello from a layer\n");
}

#[tokio::test]
async fn crane_pushes_pulls_validates_lists_copies_and_deletes() {
    let crane = Built::Crane.path().unwrap();
    let bench = Bench::start().await;
    let image = Image::small(3, 4);
    let (made, pulled) = (bench.path("made"), bench.path("pulled"));
    images::write_layout(&made, "v1", &image.manifest, image.blobs()).unwrap();
    let (developer, nobody) = (bench.docker_login(), bench.path("no-login"));
    std::fs::create_dir(&nobody).unwrap();
    let signed_in: [(&str, &OsStr); 1] = [("DOCKER_CONFIG", developer.as_os_str())];
    let anonymous: [(&str, &OsStr); 1] = [("DOCKER_CONFIG", nobody.as_os_str())];
    let (v1, v2) = (bench.image(":v1"), bench.image(":v2"));
    let made = made.to_str().unwrap();

    run_expecting_failure(&crane, &["push", "--insecure", made, &v1], &anonymous).await.unwrap();
    run_with(&crane, &["push", "--insecure", made, &v1], &signed_in).await.unwrap();
    assert_eq!(
        run_with(&crane, &["digest", "--insecure", &v1], &anonymous).await.unwrap().trim(),
        image.manifest.digest
    );
    run_with(&crane, &["validate", "--insecure", "--remote", &v1], &anonymous).await.unwrap();
    run_with(&crane, &["copy", "--insecure", &v1, &v2], &signed_in).await.unwrap();
    let tags = run_with(&crane, &["ls", "--insecure", &bench.image("")], &anonymous).await.unwrap();
    assert_eq!(tags.lines().collect::<Vec<_>>(), ["v1", "v2"]);
    let catalog = run_with(&crane, &["catalog", "--insecure", bench.registry.address()], &signed_in).await.unwrap();
    assert_eq!(catalog.trim(), "team/app");
    let target = pulled.to_str().unwrap();
    run_with(&crane, &["pull", "--insecure", "--format", "oci", &v1, target], &anonymous).await.unwrap();
    assert!(images::read_layout(&pulled).unwrap() == images::read_layout(Path::new(made)).unwrap());

    run_expecting_failure(&crane, &["delete", "--insecure", &v1], &anonymous).await.unwrap();
    run_with(&crane, &["delete", "--insecure", &v1], &signed_in).await.unwrap();
    let tags = run_with(&crane, &["ls", "--insecure", &bench.image("")], &anonymous).await.unwrap();
    assert_eq!(tags.trim(), "v2");
}
