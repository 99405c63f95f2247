//! The three kinds a user writes, group `berth.dev`, version `v1alpha1`, all namespaced (DESIGN §3).
//!
//! The doc comment of every field is what `kubectl explain` shows: it is written for a user of the cluster.

// The derive of `KubeSchema` repeats each struct inside a function, where `pub` reaches nothing.
#![allow(unreachable_pub)]

pub mod cleanup_policy;
pub mod conditions;
pub mod grammar;
pub mod repository;
mod rules;
pub mod selection;
pub mod visibility;

pub use cleanup_policy::{
    Cadence, CleanupPolicy, CleanupPolicySpec, CleanupPolicyStatus, ImageSelection, InUse, Keep, Limits, Remove,
    RepositoryRun, RunResult, RunSummary, Schedule,
};
pub use conditions::{ConditionReason, ConditionType};
pub use repository::{
    ByteTotals, ContainerRepository, ContainerRepositorySpec, ContainerRepositoryStatus, DeletionPolicy, DeployToken,
    Indexes, MadeToken, Protection, PullSecret, Scope, TagRule,
};
pub use selection::{LabelExpression, LabelOperator, LabelSelector, RepositorySelection};
pub use visibility::{Access, RegistryVisibility, RegistryVisibilitySpec, RegistryVisibilityStatus, Visibility};

/// API group of the kinds.
pub const GROUP: &str = "berth.dev";
/// API version of the kinds.
pub const VERSION: &str = "v1alpha1";
/// Group and version as objects name them.
pub const API_VERSION: &str = "berth.dev/v1alpha1";
/// Berth's own namespace, unless it is installed elsewhere: objects there may be defaults for other namespaces.
pub const SYSTEM_NAMESPACE: &str = "berth-system";
