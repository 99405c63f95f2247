//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, without a node.
//!
//! One runs per test program ([`ControlPlane::shared`]); tests keep apart by namespaces ([`ControlPlane::namespace`]). It
//! has Berth's definitions, roles and admission policies, and takes a few seconds to start.
//!
//! Make a client in each test: a client works only as long as the runtime that made it, and every test has its own.
//!
//! There is no node: pods stay Pending. Everything else is the real thing: RBAC, admission, tokens, garbage collection,
//! Jobs, CronJobs.

mod audit;
mod clients;
mod guarded;
mod installation;
mod kubectl;
mod pki;
mod servers;

pub use audit::{Event, ObjectRef, Response, Stage, User};
pub use clients::Person;
pub use installation::{root, yaml_files};
pub use kubectl::{Kubectl, Printed};
pub use servers::ISSUER;

use crate::process::PATIENCE;
use crate::tools::Built;
use anyhow::Context as _;
use guarded::Guarded;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::{Api, Client};
use servers::Servers;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::OnceCell;

/// A port that was free may be taken a moment later: then everything is started once more, with others.
const ATTEMPTS: u32 = 3;

/// A running control plane. Dropping it, or the end of this program, kills its servers and deletes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the sweeper: nobody writes into a folder that is being deleted.
    servers: Mutex<Servers>,
    _sweeper: Guarded,
    folder: PathBuf,
    kubeconfig: PathBuf,
    address: String,
}

impl ControlPlane {
    /// The control plane of this test program, started by whoever asks first.
    ///
    /// # Errors
    /// A tool is not built (the message names it and `make tools`), or a server does not start.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_try_init(async || {
                // Kept: the sweeper deletes it, which no destructor of a static would.
                let folder = tempfile::TempDir::with_prefix("berth-control-plane-")?.keep();
                Self::start(&folder).await
            })
            .await
    }

    /// Starts one in `folder`, which is deleted at the end.
    ///
    /// # Errors
    /// As [`ControlPlane::shared`].
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let sweeper = guarded::sweep(folder)?;
        let mut attempt = 1;
        let servers = loop {
            let own = folder.join(attempt.to_string());
            match Servers::start(&own).await {
                Ok(servers) => break servers,
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") => {
                    attempt += 1;
                }
                Err(error) => return Err(error.context("the control plane does not start")),
            }
        };
        let started = Self {
            folder: folder.join(attempt.to_string()),
            kubeconfig: servers.kubeconfig.clone(),
            address: servers.address.clone(),
            servers: Mutex::new(servers),
            _sweeper: sweeper,
        };
        installation::install(&started.admin().await?).await.context("the installation")?;
        Ok(started)
    }

    /// Where the API server listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A file to set KUBECONFIG to: the administrator, who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Everything needed to reach the API server as the administrator.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn configuration(&self) -> anyhow::Result<kube::Config> {
        clients::configuration(&self.kubeconfig).await
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// As [`ControlPlane::configuration`].
    pub async fn admin(&self) -> anyhow::Result<Client> {
        servers::client_of(&self.kubeconfig).await
    }

    /// A client that may do what `person` may.
    ///
    /// # Errors
    /// As [`ControlPlane::configuration`].
    pub async fn client_as(&self, person: &Person) -> anyhow::Result<Client> {
        Ok(Client::try_from(clients::acting_as(self.configuration().await?, person))?)
    }

    /// kubectl in the administrator's name.
    ///
    /// # Errors
    /// kubectl is not built.
    pub fn kubectl(&self) -> anyhow::Result<Kubectl> {
        Ok(Kubectl {
            program: Built::Kubernetes.path()?,
            kubeconfig: self.kubeconfig.clone(),
            cache: self.folder.join("kubectl-cache"),
            person: None,
        })
    }

    /// A new namespace `<prefix>-<number>`, ready for pods.
    ///
    /// # Errors
    /// A server has ended, or refuses.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let name = format!("{prefix}-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.namespace_named(&name).await?;
        Ok(name)
    }

    /// A new namespace of exactly this name, for what shows it in a text.
    ///
    /// # Errors
    /// As [`ControlPlane::namespace`], or the name is taken.
    pub async fn namespace_named(&self, name: &str) -> anyhow::Result<()> {
        self.servers.lock().expect("no holder of this lock panics").alive()?;
        let client = self.admin().await?;
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while accounts.get_opt("default").await?.is_none() {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{name} got no default ServiceAccount");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Gives a person a ClusterRole in a namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn bind(&self, person: &Person, cluster_role: &str, namespace: &str) -> anyhow::Result<()> {
        let bindings: Api<RoleBinding> = Api::namespaced(self.admin().await?, namespace);
        bindings.create(&PostParams::default(), &person.binding(cluster_role, namespace)).await?;
        Ok(())
    }

    /// Applies every object of a YAML text as the administrator.
    ///
    /// # Errors
    /// The API server refuses one; those before it stay.
    pub async fn apply(&self, text: &str) -> anyhow::Result<()> {
        installation::apply(&self.admin().await?, text).await
    }

    /// Every request that the API server has answered so far.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit(&self) -> anyhow::Result<Vec<Event>> {
        audit::read(&self.folder)
    }
}
