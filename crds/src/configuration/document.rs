//! The document as bytes: plain values, no compiled patterns, deterministic.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::duration::Span;
use crate::kinds::{Access, CleanupPolicySpec, DeletionPolicy, Indexes, Scope, TagRule, Visibility};
use crate::name::RepositoryName;
use crate::quantity::Quantity;

/// Version of the document's format; a reader refuses any other.
pub const VERSION: u32 = 1;

/// Everything that the registry has to know of the objects. Contains hashes of deploy tokens, and no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// [`VERSION`].
    pub version: u32,
    /// SHA-256 in hexadecimal over the content, that is over everything below; equal content has an equal revision.
    pub revision: String,
    pub repositories: BTreeMap<RepositoryName, RepositoryEntry>,
    /// Accepted cleanup policies by `<namespace>/<name>`. A refused policy is absent: it deletes nothing.
    pub policies: BTreeMap<String, PolicyEntry>,
}

/// Which state of which object an entry was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// UID of the object; absent for objects read from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Generation of the object. Its resourceVersion is left out on purpose: every write of a status moves that, and the
    /// document would be another one without meaning anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

/// One ContainerRepository, with what other objects say about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositoryEntry {
    pub source: Source,
    /// UID of the namespace, so that a new namespace of the same name does not inherit images; absent without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// Somebody with the right to has said that images retained from another namespace may be taken over.
    pub adopt: bool,
    pub labels: BTreeMap<String, String>,
    pub visibility: Visibility,
    pub access: Access,
    /// The objects that decide visibility and access, such as `RegistryVisibility/internal`; empty when the defaults do.
    pub decided_by: Vec<String>,
    /// The objects that are overruled by more restrictive ones.
    pub overruled: Vec<String>,
    pub tags: Vec<TagRule>,
    /// Bytes that live images may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quantity>,
    pub indexes: Indexes,
    /// How long deletions stay restorable, if not as the registry's flag says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_window: Option<Span>,
    pub deploy_tokens: Vec<DeployTokenEntry>,
    pub deletion_policy: DeletionPolicy,
    /// The policy that governs every image of the repository that no policy names by path, or else the only policy that
    /// governs any, such as `CleanupPolicy/nightly`. For one image ask [`super::Compiled::policy_for`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed_by: Option<String>,
}

/// A deploy token as a verifier needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeployTokenEntry {
    /// Unique in the repository.
    pub name: String,
    /// The first 16 characters of `sha256`: names this very secret in signed tokens and logs, so that a new secret under
    /// an old name does not revive what was signed for the old one.
    pub id: String,
    pub scopes: Vec<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the whole token in lower-case hexadecimal.
    pub sha256: String,
}

/// One accepted CleanupPolicy, with its selection worked out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    pub source: Source,
    /// The repositories it selects, by names, labels or namespace, in order; which of their images it governs is decided
    /// per image.
    pub repositories: Vec<RepositoryName>,
    /// It comes from the system namespace and governs only what no other policy does.
    pub default: bool,
    pub spec: CleanupPolicySpec,
}

impl PolicyEntry {
    /// Whether the policy selects a repository.
    pub fn selects(&self, repository: &RepositoryName) -> bool {
        self.repositories.binary_search(repository).is_ok()
    }
}

impl Configuration {
    /// A document of this content, with its revision.
    pub fn new(
        repositories: BTreeMap<RepositoryName, RepositoryEntry>,
        policies: BTreeMap<String, PolicyEntry>,
    ) -> Self {
        let content = serde_json::to_vec(&(VERSION, &repositories, &policies))
            .expect("maps with text keys and plain values always serialise");
        let revision = data_encoding::HEXLOWER.encode(&Sha256::digest(&content));
        Self { version: VERSION, revision, repositories, policies }
    }

    /// The document as JSON: equal content gives equal bytes (every map is sorted).
    pub fn to_json_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps with text keys and plain values always serialise")
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ConfigurationError`] when it is not JSON of this version's shape, or was altered after it was written.
    pub fn from_json_bytes(bytes: &[u8]) -> Result<Self, ConfigurationError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes).map_err(ConfigurationError::Malformed)?;
        if version != VERSION {
            return Err(ConfigurationError::Version(version));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(ConfigurationError::Malformed)?;
        let written = Self::new(read.repositories, read.policies);
        if written.revision == read.revision { Ok(written) } else { Err(ConfigurationError::Altered) }
    }
}

/// Why a configuration document cannot be used; the reader keeps the last good one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("the configuration document is not valid: {0}")]
    Malformed(#[source] serde_json::Error),
    #[error(
        "the configuration document has version {0}, this binary reads version {VERSION}: run the operator and the \
         registry of one release"
    )]
    Version(u32),
    #[error("the configuration document does not have the content that its revision names: have it written again")]
    Altered,
}
