//! RegistryVisibility: who may see repositories beyond their members.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selection::{LabelSelector, RepositorySelection};

/// Who may see which repositories. A repository that no object selects is Private and Enabled; where several objects
/// select one, the most restrictive visibility and the most restrictive access apply, each for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "berth.dev",
    version = "v1alpha1",
    kind = "RegistryVisibility",
    plural = "registryvisibilities",
    singular = "registryvisibility",
    namespaced,
    status = "RegistryVisibilityStatus",
    derive = "PartialEq",
    shortname = "rvis",
    category = "berth",
    doc = "Who may see and pull repositories of this namespace: everybody, everybody signed in, or members only.",
    selectable = ".spec.visibility",
    selectable = ".spec.access",
    printcolumn(name = "Visibility", type_ = "string", json_path = ".spec.visibility"),
    printcolumn(name = "Access", type_ = "string", json_path = ".spec.access"),
    printcolumn(name = "Repositories", type_ = "integer", json_path = ".status.repositories"),
    printcolumn(name = "Names", type_ = "string", json_path = ".spec.repositories.names", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a RegistryVisibility has at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.visibility == 'Private' || (has(self.repositories) && has(self.repositories.names))"
    )
    .message("Public and Internal must give repositories.names, so that no edit of labels can publish a repository"),
    validation = Rule::new(
        "!has(self.namespaceSelector) || !has(self.repositories) || !has(self.repositories.names)"
    )
    .message("namespaceSelector and repositories.names exclude each other: names belong to one namespace")
)]
pub struct RegistryVisibilitySpec {
    /// The repositories this object is about. Without it: all of the namespace. Public and Internal must give names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<RepositorySelection>,
    /// Only in Berth's own namespace: makes this object a default for the namespaces with these labels. A default only
    /// narrows: it never shows anything that the namespace's own objects do not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Who may see and pull. Public: everybody, also without signing in. Internal: everybody who is signed in, every
    /// ServiceAccount of the cluster included. Private: members, that is who may get containerrepositories/images.
    pub visibility: Visibility,
    /// Enabled: as visibility says. MembersOnly: members only, whatever the visibility. Disabled: nobody may pull, push
    /// or delete, owners included.
    #[serde(default)]
    pub access: Access,
}

/// Who may see a repository, from open to closed, so that `max` is the most restrictive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Visibility {
    Public,
    Internal,
    #[default]
    Private,
}

/// Whether a repository can be used at all, from open to closed, so that `max` is the most restrictive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    #[default]
    Enabled,
    MembersOnly,
    Disabled,
}

/// What became of a RegistryVisibility.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryVisibilityStatus {
    /// The generation of the object that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of repositories this object selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<u64>,
    /// Accepted, Enforced and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions::schema")]
    pub conditions: Vec<Condition>,
}
