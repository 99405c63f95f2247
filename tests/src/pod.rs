//! A pod of Berth without a node: the operator and the registry as processes, and the folder that they share.
//!
//! The operator acts as its ServiceAccount, with the rights that the installation gives it and no others.

use crate::control_plane::{ControlPlane, Person};
use crate::process::Process;
use crate::registry_process::{Registry, Settings};
use anyhow::Context as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// Where the installation is.
pub const SYSTEM_NAMESPACE: &str = "berth-system";
/// Where clients are told to reach it.
pub const ADDRESS: &str = "registry.example.com";

/// An operator and a registry. Dropping it kills both.
#[derive(Debug)]
pub struct Pod {
    name: String,
    operator: Process,
    registry: Option<Registry>,
    shared: TempDir,
}

impl Pod {
    /// Starts the operator of a pod, and waits until it can be asked whether it is ready.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub async fn start(plane: &ControlPlane, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let shared = TempDir::with_prefix("berth-pod-")?;
        let mut command = Command::new(crate::tools::operator()?);
        command
            .args(["run", "--admin", "127.0.0.1:0", "--pod", name, "--address", ADDRESS])
            .args(["--namespace", SYSTEM_NAMESPACE, "--shared"])
            .arg(shared.path())
            .args(arguments)
            .env("KUBECONFIG", operators_kubeconfig(plane, shared.path())?);
        let mut operator = Process::start("the operator", command)?;
        operator.wait_for_line("admin listening", |line| line.contains("admin listening").then_some(())).await?;
        Ok(Self { name: name.to_owned(), operator, registry: None, shared })
    }

    /// Starts the registry beside the operator, once that has written the configuration.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub async fn start_registry(&mut self, data: &Path) -> anyhow::Result<&Registry> {
        self.operator.wait_for_line("the configuration", |line| line.contains("is written").then_some(())).await?;
        let registry = Settings::beside_operator(data, self.shared.path()).start().await?;
        Ok(self.registry.insert(registry))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the operator has logged so far.
    pub fn log(&self) -> String {
        self.operator.printed()
    }
}

/// Says which pods are endpoints of the registry's Service, as the cluster would once they are ready.
///
/// # Errors
/// The API server refuses.
pub async fn publish_endpoints(plane: &ControlPlane, pods: &[&Pod]) -> anyhow::Result<()> {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| {
            json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true},
                "targetRef": {"kind": "Pod", "namespace": SYSTEM_NAMESPACE, "name": pod.name()}})
        })
        .collect();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "berth-tests", "labels": {"kubernetes.io/service-name": "berth"}}, "endpoints": endpoints});
    let slices: Api<EndpointSlice> = Api::namespaced(plane.admin().await?, SYSTEM_NAMESPACE);
    slices.patch("berth-tests", &PatchParams::apply("tests").force(), &Patch::Apply(slice)).await?;
    Ok(())
}

/// The administrator's kubeconfig, acting as the operator's ServiceAccount.
fn operators_kubeconfig(plane: &ControlPlane, folder: &Path) -> anyhow::Result<PathBuf> {
    let account = Person::service_account(SYSTEM_NAMESPACE, "berth-operator");
    let text = std::fs::read_to_string(plane.kubeconfig())?;
    let mut file: serde_json::Value = serde_yaml::from_str(&text)?;
    let user = file.pointer_mut("/users/0/user").and_then(serde_json::Value::as_object_mut).context("no user")?;
    user.insert("as".to_owned(), json!(account.username()));
    user.insert("as-groups".to_owned(), json!(account.groups()));
    let path = folder.join("kubeconfig");
    std::fs::write(&path, file.to_string())?;
    Ok(path)
}
