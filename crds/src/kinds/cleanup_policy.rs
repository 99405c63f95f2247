//! CleanupPolicy: which tags go, and when.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::grammar;
use super::selection::{LabelSelector, RepositorySelection};
use crate::duration::Span;

/// Which tags are removed from which images, and when. A tag is removed when `remove` selects it and nothing keeps it;
/// `latest` and protected tags are always kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "berth.dev",
    version = "v1alpha1",
    kind = "CleanupPolicy",
    plural = "cleanuppolicies",
    singular = "cleanuppolicy",
    namespaced,
    status = "CleanupPolicyStatus",
    derive = "PartialEq",
    shortname = "cpol",
    category = "berth",
    doc = "Removes old tags of repositories in this namespace on a schedule. What keeps a tag always wins over what removes it.",
    printcolumn(name = "Cadence", type_ = "string", json_path = ".spec.schedule.cadence"),
    printcolumn(name = "Cron", type_ = "string", json_path = ".spec.schedule.cron", priority = 1),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Dry Run", type_ = "boolean", json_path = ".spec.dryRun", priority = 1),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.lastRun.completionTime"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.lastRun.result"),
    printcolumn(name = "Deleted", type_ = "integer", json_path = ".status.lastRun.deleted"),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextRunTime", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a CleanupPolicy has at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.allowUnbounded || has(self.keep.mostRecent) || has(self.remove.olderThan)")
        .message(
            "without keep.mostRecent and remove.olderThan every selected tag is removed at once: set one of them, or \
             allowUnbounded: true"
        ),
    validation = Rule::new(
        "!has(self.namespaceSelector) || !has(self.repositories) || !has(self.repositories.names)"
    )
    .message("namespaceSelector and repositories.names exclude each other: names belong to one namespace")
)]
pub struct CleanupPolicySpec {
    /// The repositories this policy cleans. Without it: all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<RepositorySelection>,
    /// Only in Berth's own namespace: makes this policy the default of the namespaces with these labels, for images that
    /// no policy of their own namespace governs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The images of those repositories. Without it: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageSelection>,
    /// When the policy runs.
    pub schedule: Schedule,
    /// What keeps a tag although `remove` selects it.
    #[serde(default)]
    pub keep: Keep,
    /// Which tags are removed.
    pub remove: Remove,
    /// How much one run may do. A run that reaches a limit ends as Unfinished, and the next one goes on.
    #[serde(default)]
    pub limits: Limits,
    /// Must be true when neither keep.mostRecent nor remove.olderThan is set: then every tag that `remove` selects goes.
    #[serde(default)]
    pub allow_unbounded: bool,
    /// Runs plan and report, and delete nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Stops the schedule. Plans and dry runs still work.
    #[serde(default)]
    pub suspend: bool,
}

/// Images by their whole path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSelection {
    /// Patterns (RE2) of which one must match the whole image path, such as team-a/shop/.+
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new(grammar::PATTERNS_RULE).message("every pattern must be RE2"))]
    pub matching: Vec<String>,
}

/// When a policy runs: exactly one of `cadence` and `cron`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cadence) != has(self.cron)").message("give exactly one of cadence and cron")
)]
pub struct Schedule {
    /// How often: every day, week, second week, month or third month. The time of day, between midnight and six, is
    /// derived from the policy's namespace and name, so that policies do not all start at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// Five fields: minute, hour, day of month, month, day of week, as in a Kubernetes CronJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(
        validation = Rule::new(grammar::CRON_FIELDS_RULE).message(grammar::CRON_FIELDS_MESSAGE),
        validation = grammar::cron_rule(0),
        validation = grammar::cron_rule(1),
        validation = grammar::cron_rule(2),
        validation = grammar::cron_rule(3),
        validation = grammar::cron_rule(4),
    )]
    pub cron: Option<String>,
    /// The IANA time zone of the schedule, such as Europe/Berlin.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = grammar::TIME_ZONE))]
    #[x_kube(validation = Rule::new(grammar::TIME_ZONE_RULE).message("must be an IANA time zone, such as Europe/Berlin"))]
    pub time_zone: String,
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

/// How often a policy runs, in GitLab's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Cadence {
    #[serde(rename = "1d")]
    Daily,
    #[serde(rename = "7d")]
    Weekly,
    #[serde(rename = "14d")]
    Fortnightly,
    #[serde(rename = "1month")]
    Monthly,
    #[serde(rename = "3month")]
    Quarterly,
}

/// What keeps a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// How many of the newest tags of each image stay, of those that `remove` selects and no pattern keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub most_recent: Option<u32>,
    /// Patterns (RE2) of tags that always stay. A pattern must match the whole tag name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new(grammar::PATTERNS_RULE).message("every pattern must be RE2"))]
    pub tags_matching: Vec<String>,
    /// Required: tags in use by a workload of the cluster stay, and nothing is deleted while that is not known.
    /// Ignore: use does not matter.
    #[serde(default)]
    pub in_use: InUse,
}

/// Whether tags in use by workloads are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum InUse {
    #[default]
    Required,
    Ignore,
}

/// What is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// Patterns (RE2) of tags that may go. A pattern must match the whole tag name: .* is every tag.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new(grammar::PATTERNS_RULE).message("every pattern must be RE2"))]
    pub tags_matching: Vec<String>,
    /// Only tags whose last push is longer ago than this, such as 90d. Pushing a tag again, even unchanged, makes it
    /// young.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')").message("must be longer than zero"))]
    pub older_than: Option<Span>,
}

/// How much one run may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most tags that one run deletes.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_deletions: u32,
    /// Longest time that one run takes.
    #[serde(default = "ten_minutes")]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')").message("must be longer than zero"))]
    pub timeout: Span,
}

const fn thousand() -> u32 {
    1000
}

const fn ten_minutes() -> Span {
    Span::minutes(10)
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_deletions: thousand(), timeout: ten_minutes() }
    }
}

/// What became of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPolicyStatus {
    /// The generation of the object that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last run that ended, scheduled or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunSummary>,
    /// When the policy runs next; absent while suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub next_run_time: Option<Time>,
    /// Accepted, Enforced, LastRunSucceeded and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions::schema")]
    pub conditions: Vec<Condition>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// The run's id.
    #[schemars(length(max = 253))]
    pub id: String,
    /// When it started.
    #[schemars(length(max = 35))]
    pub start_time: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub completion_time: Option<Time>,
    /// Completed: everything planned is done. Unfinished: a limit stopped it. NothingToDo: no tag had to go. Failed: see
    /// the condition LastRunSucceeded.
    pub result: RunResult,
    /// Whether it only planned.
    #[serde(default)]
    pub dry_run: bool,
    /// Number of tags deleted: none in a dry run.
    #[serde(default)]
    pub deleted: u64,
    /// Number of tags that a dry run would have deleted; only in the report of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_delete: Option<u64>,
    /// Number of tags kept.
    #[serde(default)]
    pub kept: u64,
    /// Number of tags by the reason of their verdict, such as TooYoung: 12.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub by_reason: BTreeMap<String, u64>,
    /// Bytes that the deleted tags alone held, freed once they are no longer restorable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<crate::quantity::Quantity>,
    /// The repositories with the most deletions, done or (in a dry run) planned; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub repositories: Vec<RepositoryRun>,
    /// Number of further repositories that had deletions.
    #[serde(default)]
    pub more: u64,
    /// Id of the stored plan, for `registry plan show`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub plan: Option<String>,
}

impl RunSummary {
    /// A run that ended like this and of which nothing else is known.
    pub const fn ended(id: String, start_time: Time, completion_time: Time, result: RunResult) -> Self {
        Self {
            id,
            start_time,
            completion_time: Some(completion_time),
            result,
            dry_run: false,
            deleted: 0,
            would_delete: None,
            kept: 0,
            by_reason: BTreeMap::new(),
            bytes: None,
            repositories: Vec::new(),
            more: 0,
            plan: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunResult {
    Completed,
    Unfinished,
    NothingToDo,
    Failed,
}

/// What a run did in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryRun {
    /// Path of the repository, such as team-a/shop.
    #[schemars(length(max = 127))]
    pub repository: String,
    /// Number of tags deleted in it: none in a dry run.
    #[serde(default)]
    pub deleted: u64,
    /// Number of tags that a dry run would have deleted in it; only in the report of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_delete: Option<u64>,
    /// Number of tags kept in it.
    #[serde(default)]
    pub kept: u64,
}
