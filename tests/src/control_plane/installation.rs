//! What an administrator applies before the first repository: definitions, roles, admission policies. The very files that
//! the chart installs.

use crate::process::PATIENCE;
use anyhow::Context as _;
use berth_crds::kinds::SYSTEM_NAMESPACE;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders of the repository whose YAML files are applied, in this order.
const FOLDERS: [&str; 3] = ["crds/manifests", "charts/berth/files/roles", "charts/berth/files/admission"];

const FIELD_MANAGER: &str = "berth-tests";

/// A policy that refuses one ConfigMap that nobody wants. Policies come into force together, some time after they were
/// created: this one is created last, so when it is in force, all are.
const SENTINEL: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: berth-sentinel}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  matchConditions: [{name: the-sentinel, expression: "object.metadata.name == 'berth-sentinel'"}]
  validations: [{expression: "false", message: "admission policies are in force"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: berth-sentinel}
spec: {policyName: berth-sentinel, validationActions: [Deny]}
"#;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// Applies everything, and returns when the API server acts by it.
pub(super) async fn install(client: &Client) -> anyhow::Result<()> {
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {SYSTEM_NAMESPACE}}}}}");
    apply(client, &namespace).await?;
    for folder in FOLDERS {
        for file in yaml_files(&root().join(folder))? {
            let text = std::fs::read_to_string(&file)?;
            apply(client, &text).await.with_context(|| format!("{}", file.display()))?;
        }
    }
    apply(client, SENTINEL).await?;
    definitions_are_established(client).await?;
    policies_are_in_force(client).await
}

/// Applies every object of a text, as `kubectl apply --server-side` does.
pub(super) async fn apply(client: &Client, text: &str) -> anyhow::Result<()> {
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = serde_json::Value::deserialize(document)?;
        if value.is_null() {
            continue;
        }
        let object: DynamicObject = serde_json::from_value(value)?;
        let TypeMeta { api_version, kind } = object.types.clone().context("an object says its kind")?;
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object.metadata.name.clone().context("an object has a name")?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&object)).await.with_context(|| format!("{kind} {name}"))?;
    }
    Ok(())
}

/// The YAML files of a folder, by name.
pub fn yaml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    Ok(files)
}

async fn definitions_are_established(client: &Client) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    until("the definitions are not established", async || {
        let ours = api.list(&Default::default()).await?;
        let established = ours.items.iter().all(|definition| {
            let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
        });
        Ok(established && !ours.items.is_empty())
    })
    .await
}

async fn policies_are_in_force(client: &Client) -> anyhow::Result<()> {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let mut probe = k8s_openapi::api::core::v1::ConfigMap::default();
    probe.metadata.name = Some("berth-sentinel".into());
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    until("the admission policies are not in force", async || match api.create(&dry_run, &probe).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) if status.message.contains("admission policies are in force") => Ok(true),
        Err(error) => Err(error.into()),
    })
    .await
}

/// Asks until the answer is yes.
async fn until(otherwise: &str, ask: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ask().await? {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{otherwise} after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
