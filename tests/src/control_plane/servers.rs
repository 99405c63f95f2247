//! etcd, kube-apiserver and kube-controller-manager: their command lines, and when each of them is ready.

use super::guarded::Guarded;
use super::pki::Pki;
use crate::process::PATIENCE;
use crate::tools::Built;
use anyhow::Context as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who the API server says it is in ServiceAccount tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The audit log's policy: every request, once, when it is answered, without bodies.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// The three running servers. Dropping them kills them.
#[derive(Debug)]
pub(super) struct Servers {
    // In the order in which they are to go: none should complain about the absence of another.
    controllers: Guarded,
    apiserver: Guarded,
    etcd: Guarded,
    pub(super) kubeconfig: PathBuf,
    pub(super) address: String,
}

impl Servers {
    /// Starts everything in `folder` and waits until a namespace gets its default ServiceAccount.
    ///
    /// # Errors
    /// A tool is not built, a server ends, or [`PATIENCE`] does.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (etcd, kubernetes) = (Built::Etcd.path()?, Built::Kubernetes.path()?);
        let pki = Pki::create(folder.join("pki"))?;
        let [client, peer, api, controllers] = free_ports()?;
        let address = format!("https://127.0.0.1:{api}");
        let kubeconfig = pki.kubeconfig("admin", &address)?;
        let controllers_kubeconfig = pki.kubeconfig("controllers", &address)?;
        let audit_policy = folder.join("audit.yaml");
        std::fs::write(&audit_policy, AUDIT_POLICY)?;

        let database = format!("https://127.0.0.1:{client}");
        let mut etcd = Guarded::start("etcd", folder, &etcd, &etcd_flags(&pki, folder, client, peer))?;
        let flags = apiserver_flags(&pki, folder, &database, api, &audit_policy);
        let mut apiserver = Guarded::start("kube-apiserver", folder, &kubernetes, &flags)?;
        let http = client_of(&kubeconfig).await?;
        until_ready("kube-apiserver", &http, "/readyz", || {
            etcd.alive()?;
            apiserver.alive()
        })
        .await
        .with_context(|| apiserver.last_words())?;

        // Only now: without the roles that the API server makes at its start, the controller manager ends at once.
        let flags = controllers_flags(&pki, folder, &controllers_kubeconfig, controllers);
        let mut controllers = Guarded::start("kube-controller-manager", folder, &kubernetes, &flags)?;
        // Pods are refused until their namespace's default ServiceAccount exists.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        until_ready("kube-controller-manager", &http, account, || controllers.alive())
            .await
            .with_context(|| controllers.last_words())?;
        Ok(Self { controllers, apiserver, etcd, kubeconfig, address })
    }

    /// That all of them still run.
    ///
    /// # Errors
    /// One has ended; the message holds the end of its log.
    pub(super) fn alive(&mut self) -> anyhow::Result<()> {
        self.etcd.alive()?;
        self.apiserver.alive()?;
        self.controllers.alive()
    }
}

/// A client that logs in as the kubeconfig says.
pub(super) async fn client_of(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    Ok(kube::Client::try_from(super::clients::configuration(kubeconfig).await?)?)
}

async fn until_ready(
    name: &str,
    client: &kube::Client,
    path: &str,
    mut alive: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let request = http::Request::get(path).body(Vec::new())?;
        let Err(error) = client.request_text(request).await else { return Ok(()) };
        alive()?;
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "{name} is not ready within {PATIENCE:?}: {path}: {error}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ports that nobody listens on. All are held while the next is asked for, so that they differ.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("no free port")?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// A command line: pairs become `--name=value`.
fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn file(pki: &Pki, name: &str) -> String {
    pki.path(name).display().to_string()
}

fn etcd_flags(pki: &Pki, folder: &Path, client: u16, peer: u16) -> Vec<String> {
    let client = format!("https://127.0.0.1:{client}");
    let peer = format!("https://127.0.0.1:{peer}");
    flags(&[
        ("name", "berth".into()),
        ("data-dir", folder.join("etcd").display().to_string()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("berth={peer}")),
        ("cert-file", file(pki, "etcd.crt")),
        ("key-file", file(pki, "etcd.key")),
        ("trusted-ca-file", file(pki, "etcd-ca.crt")),
        ("client-cert-auth", "true".into()),
        ("peer-cert-file", file(pki, "etcd.crt")),
        ("peer-key-file", file(pki, "etcd.key")),
        ("peer-trusted-ca-file", file(pki, "etcd-ca.crt")),
        ("peer-client-cert-auth", "true".into()),
        // The data is thrown away.
        ("unsafe-no-fsync", "true".into()),
    ])
}

fn apiserver_flags(pki: &Pki, folder: &Path, database: &str, port: u16, audit_policy: &Path) -> Vec<String> {
    let mut arguments = vec!["kube-apiserver".to_owned()];
    arguments.extend(flags(&[
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", port.to_string()),
        // A loopback address cannot be the endpoint of a Service, and need not be here.
        ("endpoint-reconciler-type", "none".into()),
        ("etcd-servers", database.into()),
        ("etcd-cafile", file(pki, "etcd-ca.crt")),
        ("etcd-certfile", file(pki, "etcd-client.crt")),
        ("etcd-keyfile", file(pki, "etcd-client.key")),
        ("tls-cert-file", file(pki, "apiserver.crt")),
        ("tls-private-key-file", file(pki, "apiserver.key")),
        ("client-ca-file", file(pki, "cluster-ca.crt")),
        ("cert-dir", folder.join("apiserver").display().to_string()),
        ("authorization-mode", "RBAC".into()),
        ("service-account-issuer", ISSUER.into()),
        ("service-account-key-file", file(pki, "service-account.pub")),
        ("service-account-signing-key-file", file(pki, "service-account.key")),
        ("service-cluster-ip-range", "10.96.0.0/16".into()),
        ("profiling", "false".into()),
        ("audit-policy-file", audit_policy.display().to_string()),
        ("audit-log-path", folder.join(super::audit::FILE).display().to_string()),
    ]));
    arguments
}

fn controllers_flags(pki: &Pki, folder: &Path, kubeconfig: &Path, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig.display().to_string();
    let mut arguments = vec!["kube-controller-manager".to_owned()];
    arguments.extend(flags(&[
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", port.to_string()),
        ("cert-dir", folder.join("controllers").display().to_string()),
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("service-account-private-key-file", file(pki, "service-account.key")),
        ("root-ca-file", file(pki, "cluster-ca.crt")),
        // Each controller as its own ServiceAccount, as in every cluster: admission policies name two of them.
        ("use-service-account-credentials", "true".into()),
        ("leader-elect", "false".into()),
        ("profiling", "false".into()),
        // At the default of 20 requests a second, making the accounts of its own controllers takes five seconds.
        ("kube-api-qps", "500".into()),
        ("kube-api-burst", "500".into()),
    ]));
    arguments
}
