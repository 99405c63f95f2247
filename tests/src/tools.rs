//! Where the programs are that the tests run.

use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A program that `make tools` builds from source, at the version its go.mod pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    Crane,
    Versitygw,
    Minio,
    Etcd,
    /// kube-apiserver, kube-controller-manager and kubectl in one file: the first argument says which.
    Kubernetes,
}

impl Built {
    fn name(self) -> &'static str {
        match self {
            Self::Crane => "crane",
            Self::Versitygw => "versitygw",
            Self::Minio => "minio",
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The module that holds the program, and the go.mod that states its version.
    fn pin(self) -> (&'static str, &'static str) {
        match self {
            Self::Crane => ("github.com/google/go-containerregistry", include_str!("../tools/crane/go.mod")),
            Self::Versitygw => ("github.com/versity/versitygw", include_str!("../tools/versitygw/go.mod")),
            Self::Minio => ("github.com/minio/minio", include_str!("../tools/minio/go.mod")),
            Self::Etcd => ("go.etcd.io/etcd/server/v3", include_str!("../tools/etcd/go.mod")),
            Self::Kubernetes => ("k8s.io/kubernetes", include_str!("../tools/kubernetes/go.mod")),
        }
    }

    /// The pinned version, such as `v1.8.0`.
    pub fn version(self) -> &'static str {
        let (module, go_mod) = self.pin();
        go_mod
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("require ").strip_prefix(module))
            .find_map(|rest| rest.strip_prefix(' ')?.split(' ').next())
            .expect("every go.mod of tests/tools requires the module of its tool")
    }

    /// The program, where `tests/tools/prepare` puts it.
    ///
    /// # Errors
    /// It is not there; the message says what builds it.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        let (name, version) = (self.name(), self.version());
        let path = cache().join("tools").join(format!("{name}-{version}")).join("bin").join(name);
        if !path.is_file() {
            let server = if self == Self::Minio { " S3=minio" } else { "" };
            bail!("{name} {version} is not built: run `make tools{server}` (looked for {})", path.display());
        }
        Ok(path)
    }
}

/// Where built tools are kept, as in tests/tools/lib.sh.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("BERTH_CACHE").unwrap_or_else(|| {
        variable("XDG_CACHE_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_else(|| "/root".into()).join(".cache"))
            .join("berth")
    })
}

/// A program of the distribution: skopeo, podman, buildah.
///
/// # Errors
/// It is not on the PATH; the message says what installs it.
pub fn installed(name: &str) -> anyhow::Result<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").context("PATH is not set")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed: run `make tools`"))
}

/// The `registry` program of this tree: `BERTH_REGISTRY_BIN`, or freshly built, so that a test never judges an old one.
///
/// # Errors
/// It does not build.
pub fn registry() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    ours("registry", "BERTH_REGISTRY_BIN", &BUILT)
}

/// The `operator` program of this tree: `BERTH_OPERATOR_BIN`, or freshly built.
///
/// # Errors
/// It does not build.
pub fn operator() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    ours("operator", "BERTH_OPERATOR_BIN", &BUILT)
}

fn ours(name: &str, variable: &str, built: &OnceLock<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        return path
            .is_file()
            .then(|| path.clone())
            .with_context(|| format!("{variable} is {}, and no such file exists: run `make build`", path.display()));
    }
    if let Some(path) = built.get() {
        return Ok(path.clone());
    }
    // --workspace: one package alone would be built with other features of its dependencies, and all of them again.
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--bin", name, "--message-format", "json", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cargo build")?;
    if !output.status.success() {
        bail!("the {name} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let path = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .with_context(|| format!("cargo built the {name} without naming its file"))?;
    Ok(built.get_or_init(|| path).clone())
}
