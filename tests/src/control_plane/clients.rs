//! In whose name requests are made.

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::Path;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Somebody who is signed in to the API server. Tests act as people by impersonation, which needs no credential of theirs
/// and is decided, admitted and audited like a request of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    username: String,
    groups: Vec<String>,
}

impl Person {
    /// A user, known by name only.
    pub fn user(name: impl Into<String>) -> Self {
        Self { username: name.into(), groups: vec!["system:authenticated".to_owned()] }
    }

    /// A ServiceAccount, with the groups that its tokens give it.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            username: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
        }
    }

    /// The name that RBAC and the audit log know.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The groups that RBAC knows this person by.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// `--as` and `--as-group` of kubectl.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--as={}", self.username)];
        flags.extend(self.groups.iter().map(|group| format!("--as-group={group}")));
        flags
    }

    /// A RoleBinding that gives this person a ClusterRole in a namespace.
    pub fn binding(&self, cluster_role: &str, namespace: &str) -> RoleBinding {
        let mut binding = RoleBinding {
            role_ref: RoleRef { api_group: RBAC.into(), kind: "ClusterRole".into(), name: cluster_role.into() },
            subjects: Some(vec![Subject {
                api_group: Some(RBAC.into()),
                kind: "User".into(),
                name: self.username.clone(),
                namespace: None,
            }]),
            ..RoleBinding::default()
        };
        binding.metadata.name = Some(format!("{}-{cluster_role}", self.username));
        binding.metadata.namespace = Some(namespace.into());
        binding
    }
}

/// How to reach the API server as the user of a kubeconfig.
pub(super) async fn configuration(kubeconfig: &Path) -> anyhow::Result<kube::Config> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    Ok(kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)
}

/// The same as somebody else.
pub(super) fn acting_as(mut configuration: kube::Config, person: &Person) -> kube::Config {
    configuration.auth_info.impersonate = Some(person.username.clone());
    configuration.auth_info.impersonate_groups = Some(person.groups.clone());
    configuration
}
