//! What travels over `/api/v1`, for the registry and its command line alike.

use berth_crds::cleanup::{InUseRecord, InventoryImage, Plan};
use berth_crds::kinds::{Access, Visibility};
use berth_crds::name::{ImageName, RepositoryName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cleanup::RunId;

/// Body of `POST /api/v1/policies/{namespace}/{name}/runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRun {
    pub run_id: RunId,
    /// Plan only.
    #[serde(default)]
    pub dry_run: bool,
    /// The `resourceVersion` of the policy that the replica must have loaded; 412 until it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_revision: Option<u64>,
}

/// Body of `POST /api/v1/plans`: a saved plan, to be executed with the caller's own rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecutePlan {
    pub run_id: RunId,
    pub plan: Plan,
}

/// Answer of `GET /api/v1/images`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    pub images: Vec<ImageName>,
    /// Whether more follow; ask again with `last` set to the last one.
    pub more: bool,
}

/// Answer of `GET /api/v1/tags`: a page of an inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags {
    pub images: Vec<InventoryImage>,
    #[serde(default)]
    pub in_use: InUseRecord,
    /// Whether more tags follow; ask again with `last` set to the last one.
    pub more: bool,
}

/// Answer of `GET /api/v1/repositories`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repositories {
    pub repositories: Vec<Repository>,
}

/// A repository as a listing shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    pub repository: RepositoryName,
    /// There is no ContainerRepository any more, only what it left behind. Nobody can pull it.
    pub retained: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The objects that decide visibility and access; empty when the defaults do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed_by: Option<String>,
    /// Images that hold something, their tags, and the last push of any of these.
    pub images: u64,
    pub tags: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_push_time: Option<Timestamp>,
}
