//! What a plan says (DESIGN §7, "Plan"): one verdict per tag, from closed lists.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{ImageName, TagName};

/// What a policy would do to every tag of the images it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `<namespace>/<name>` of the policy.
    pub policy: String,
    /// The moment that ages were measured at.
    pub now: Timestamp,
    /// What a reader should know beyond single tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// In the order of their names.
    pub images: Vec<ImagePlan>,
    pub summary: Summary,
}

/// The verdicts on one image's tags, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    pub image: ImageName,
    pub verdicts: Vec<Verdict>,
}

/// What happens to one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub tag: TagName,
    /// What the tag named when the plan was made; a deletion is carried out only while it still does.
    pub digest: Option<Digest>,
    pub action: Action,
    pub reason: Reason,
    /// The reason for people, with the numbers.
    pub message: String,
}

/// What to do with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Delete,
    Keep,
    /// To be deleted by a later run, because this one has a limit.
    Later,
}

/// Why: DESIGN §3's closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// Kept: the tag is `latest`.
    Latest,
    /// Kept: `remove.tagsMatching` does not select it.
    NameNotSelected,
    /// Kept: `keep.tagsMatching` keeps it.
    NameKept,
    /// Kept: the tag names no manifest.
    NoManifest,
    /// Kept: one of the newest.
    Recent,
    /// Kept: pushed too short a time ago, or nobody knows when.
    TooYoung,
    /// Kept: a rule of the repository protects it.
    Protected,
    /// Kept: a rule of the repository makes it immutable.
    Immutable,
    /// Kept: a workload uses it, or nobody knows whether one does.
    InUse,
    /// Kept: signature, attestation or list of referrers of an image that is kept.
    PartOfKept,
    /// Deleted: selected, and old enough.
    Expired,
    /// Deleted: selected, and the policy asks for no age.
    NameSelected,
    /// Later: the run's limit is reached.
    LimitReached,
    /// When carried out: the tag names something else by now.
    Changed,
    /// When carried out: the tag is no longer there.
    Gone,
    /// When carried out: a rule that is newer than the plan forbids it.
    Refused,
}

impl Reason {
    pub const ALL: [Self; 16] = [
        Self::Latest,
        Self::NameNotSelected,
        Self::NameKept,
        Self::NoManifest,
        Self::Recent,
        Self::TooYoung,
        Self::Protected,
        Self::Immutable,
        Self::InUse,
        Self::PartOfKept,
        Self::Expired,
        Self::NameSelected,
        Self::LimitReached,
        Self::Changed,
        Self::Gone,
        Self::Refused,
    ];

    /// The reason as plans, reports and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "Latest",
            Self::NameNotSelected => "NameNotSelected",
            Self::NameKept => "NameKept",
            Self::NoManifest => "NoManifest",
            Self::Recent => "Recent",
            Self::TooYoung => "TooYoung",
            Self::Protected => "Protected",
            Self::Immutable => "Immutable",
            Self::InUse => "InUse",
            Self::PartOfKept => "PartOfKept",
            Self::Expired => "Expired",
            Self::NameSelected => "NameSelected",
            Self::LimitReached => "LimitReached",
            Self::Changed => "Changed",
            Self::Gone => "Gone",
            Self::Refused => "Refused",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Numbers of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub tags: u64,
    pub delete: u64,
    pub keep: u64,
    pub later: u64,
}

impl Plan {
    /// Counts the verdicts anew, for who changes them: a person who shortens a saved plan, a run that reports what became
    /// of it.
    pub fn recount(&mut self) {
        let mut summary = Summary::default();
        for verdict in self.images.iter().flat_map(|image| &image.verdicts) {
            summary.tags += 1;
            match verdict.action {
                Action::Delete => summary.delete += 1,
                Action::Keep => summary.keep += 1,
                Action::Later => summary.later += 1,
            }
        }
        self.summary = summary;
    }
}
