//! ContainerRepository: the space of one path, `<namespace>/<name>`, and everything below it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::grammar;
use super::visibility::{Access, Visibility};
use crate::duration::Span;
use crate::quantity::Quantity;

/// What is wanted of a repository. Every field is optional: an empty spec is a private repository with defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "berth.dev",
    version = "v1alpha1",
    kind = "ContainerRepository",
    plural = "containerrepositories",
    singular = "containerrepository",
    namespaced,
    status = "ContainerRepositoryStatus",
    derive = "PartialEq",
    shortname = "crepo",
    category = "berth",
    doc = "The space of one path of the registry, <namespace>/<name>: images live at it and up to two levels below it.",
    printcolumn(name = "Visibility", type_ = "string", json_path = ".status.visibility"),
    printcolumn(name = "Access", type_ = "string", json_path = ".status.access", priority = 1),
    printcolumn(name = "Images", type_ = "integer", json_path = ".status.images", priority = 1),
    printcolumn(name = "Tags", type_ = "integer", json_path = ".status.tags"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.bytes.live"),
    printcolumn(name = "Last Push", type_ = "date", json_path = ".status.lastPushTime"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".status.governedBy", priority = 1),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a ContainerRepository is part of every image path and has at most 63 characters"),
    validation = Rule::new(
        "!has(self.spec.pullSecret) || !has(self.spec.deployTokens) || \
         !self.spec.pullSecret.name.startsWith(self.metadata.name + '-') || self.spec.deployTokens.all(token, \
         has(token.sha256) || token.name != self.spec.pullSecret.name.substring(size(self.metadata.name) + 1))"
    )
    .message("pullSecret.name is the name of a deploy token's Secret, <repository>-<token>: choose another")
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRepositorySpec {
    /// Rules that protect tags of every image in this repository. A tag that several rules match gets the strictest of
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub tags: Vec<TagRule>,
    /// Most bytes that this repository's images may take, such as 50Gi. Data shared between images counts once per
    /// repository; what is deleted but still restorable does not count. A push beyond it is refused. 0 refuses every
    /// push. Without a quota only the bucket limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quantity>,
    /// Whether an image index may name images that the registry does not have. Lenient accepts it and names the missing
    /// ones in a Warning header; Strict refuses it.
    #[serde(default)]
    pub indexes: Indexes,
    /// How long an image deleted by a person or a policy stays restorable, such as 24h. Without it the registry's
    /// setting applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_window: Option<Span>,
    /// Passwords for machines outside the cluster, for this repository only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".to_owned()]),
        validation = Rule::new(
            "self.all(one, !has(one.sha256) || self.exists_one(other, has(other.sha256) && other.sha256 == one.sha256))"
        )
        .message("two tokens have the same sha256: every token is a random text of its own")
    )]
    pub deploy_tokens: Vec<DeployToken>,
    /// A Secret for `imagePullSecrets` in this namespace, holding a read-only deploy token for this repository that is
    /// renewed at half its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<PullSecret>,
    /// What happens to the images when this object is deleted. Retain keeps them, out of reach, for an object of the
    /// same name; Delete removes them.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Take over the images that an earlier namespace of the same name left behind. Without it a repository whose images
    /// were retained from another namespace is not served.
    #[serde(default)]
    pub adopt: bool,
}

/// Which tags are protected, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagRule {
    /// The rule's name, unique in this repository.
    #[schemars(length(min = 1, max = 63), regex(pattern = grammar::LABEL_NAME))]
    pub name: String,
    /// Patterns (RE2). A tag is matched if any of them matches anywhere in it: write ^v[0-9] for tags that begin with v
    /// and a digit, ^main$ for exactly main.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new(grammar::PATTERNS_RULE).message("every pattern must be RE2"))]
    pub matching: Vec<String>,
    /// Protected: only who holds the verb on containerrepositories/protectedtags may push or delete such a tag.
    /// Immutable: the tag can be created, but nobody may move or delete it; the tags that cosign keeps beside an image
    /// (sha256-<hash>.sig, .att, .sbom) stay movable, because every further signature moves them.
    pub rule: Protection,
}

/// How strictly a tag is protected, from the weaker to the stricter, so that `max` is what several rules demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protection {
    Protected,
    Immutable,
}

/// What an image index may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Indexes {
    #[default]
    Lenient,
    Strict,
}

/// A password for machines: a random token of which only the SHA-256 is ever stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployToken {
    /// The token's name, unique in this repository; logs and the name of its Secret show it.
    #[schemars(length(min = 1, max = 63), regex(pattern = grammar::LABEL_NAME))]
    pub name: String,
    /// What the token may do. ReadRegistry pulls and lists; WriteRegistry also pushes. No token ever deletes.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<Scope>,
    /// When the token stops working (RFC 3339). Without it the token works until it is removed from this list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35), regex(pattern = grammar::TIME))]
    pub expires_at: Option<Time>,
    /// SHA-256 of the whole token in lower-case hexadecimal, as `registry deploy-token` prints it. Without it a token is
    /// made and put into the Secret <repository>-<name> in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = grammar::SHA256))]
    pub sha256: Option<String>,
}

/// What a deploy token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    ReadRegistry,
    WriteRegistry,
}

/// The Secret that lets pods of this namespace pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Name of the Secret, of type kubernetes.io/dockerconfigjson. A Secret of this name made by somebody else is never
    /// overwritten.
    #[schemars(length(min = 1, max = 253), regex(pattern = grammar::OBJECT_NAME))]
    pub name: String,
}

/// What happens to images when their object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

/// What is known of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRepositoryStatus {
    /// The generation of the object that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where to push and pull, such as registry.example.com/team-a/shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub address: Option<String>,
    /// The visibility in force: the most restrictive of all RegistryVisibility objects that select this repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// The access in force, decided like the visibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The objects that decide visibility and access, such as RegistryVisibility/internal. Empty when the defaults do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 160)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub decided_by: Vec<String>,
    /// Objects that select this repository and are overruled by a more restrictive one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 160)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub overruled: Vec<String>,
    /// The policy that cleans this repository's images up, such as CleanupPolicy/nightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub governed_by: Option<String>,
    /// Number of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// Number of tags of all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<u64>,
    /// Bytes in the bucket, by what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteTotals>,
    /// When something was last pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub last_push_time: Option<Time>,
    /// Tokens that Berth made and put into Secrets: those of deployTokens without a sha256, and of pullSecret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub made_tokens: Vec<MadeToken>,
    /// Accepted, Enforced and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions::schema")]
    pub conditions: Vec<Condition>,
}

/// A token that Berth made. The token itself is in the Secret and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeToken {
    /// Name of the deploy token; absent for a token of the pull secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub token: Option<String>,
    /// Name of the Secret that holds it.
    #[schemars(length(max = 253))]
    pub secret: String,
    /// SHA-256 of the token in lower-case hexadecimal.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Whether the Secret is known to hold this token. A token is recorded before its Secret is written, so that none
    /// is ever handed out that the registry does not know.
    #[serde(default)]
    pub written: bool,
    /// When it was made.
    #[schemars(length(max = 35))]
    pub made_at: Time,
    /// When it stops working; absent: with the deploy token it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub expires_at: Option<Time>,
}

/// Bytes of a repository, rounded for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ByteTotals {
    /// Reachable from a tag; what the quota counts.
    #[serde(default)]
    pub live: Quantity,
    /// Deleted, and still restorable.
    #[serde(default)]
    pub restorable: Quantity,
    /// No longer restorable, and about to be deleted from the bucket.
    #[serde(default)]
    pub retired: Quantity,
}
