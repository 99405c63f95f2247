//! `control.sock`: the operator asks, the registry beside it answers.
//!
//! | Request | Body | Answer |
//! |---|---|---|
//! | `GET /v1/loaded?after=<state>` | | 200 [`Loaded`], at once if its state is another one, else when it changes or after [`LONGEST_WAIT`] |
//! | `PUT /v1/in-use` | [`InUse`] | 204; it is in the bucket then. 409 when a newer record of the cluster is there |
//! | `POST /v1/repositories/<namespace>/<name>:purge` | | 200 [`Purged`] |
//! | `GET /v1/runs/<id>` | | 200 [`Run`]; 404 for one that nobody started or that is forgotten |
//!
//! Whatever is refused or fails is answered with [`Refused`]: 400 for a request that makes no sense, 503 when the bucket
//! is away and the same request may succeed later.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kinds::RunSummary;
use crate::name::RepositoryName;

/// Path of the question for [`Loaded`]; its one parameter is `after`.
pub const LOADED: &str = "/v1/loaded";
/// Path that takes [`InUse`] by PUT.
pub const IN_USE: &str = "/v1/in-use";
/// How long a question for [`Loaded`] waits for a change at most.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Path that removes the images of a repository, by POST.
pub fn purge(repository: &RepositoryName) -> String {
    format!("/v1/repositories/{repository}:purge")
}

/// Path of the question for [`Run`].
pub fn run(id: &str) -> String {
    format!("/v1/runs/{id}")
}

/// Which configuration is in force in this registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// What to name in `after`, so as to be told of the next change: the revision, and while something is wrong with a
    /// newer document also what that is.
    pub state: String,
    /// `revision` of the document in force.
    pub revision: String,
    /// Why the newest document is not in force, one sentence each; the last good one is kept. Empty when it is.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// What the workloads of one cluster use. Stored under `meta/in-use/<cluster>`; while a known cluster has no record of
/// the last hour, policies with `inUse: Required` delete nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InUse {
    /// Tells clusters apart that share a registry, such as the UID of `kube-system`: 1 to 63 lower-case letters, digits
    /// and hyphens.
    pub cluster: String,
    /// When the workloads were looked at.
    pub recorded_at: Timestamp,
    /// `[host/]path[:tag][@digest]`, as workloads name them and as nodes resolved them.
    pub references: Vec<String>,
}

/// What the removal of a repository's images removed. Zero everywhere when there was nothing left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    pub images: u64,
    pub tags: u64,
    /// Manifests, with indexes and referrers among them.
    pub manifests: u64,
}

/// A cleanup run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// `<namespace>/<name>` of its policy.
    pub policy: String,
    /// How it ended, as `registry cleanup` prints it; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunSummary>,
    /// What stopped the last attempt, if that failed. The same id continues the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// One sentence that says what to do.
    pub error: String,
}
