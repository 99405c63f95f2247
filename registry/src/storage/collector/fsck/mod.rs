//! fsck: looks at every key, names what should not be there, and, if asked, repairs it (docs/storage.md, "fsck").
//!
//! Safe beside everything else: what looks wrong in a listing may only be young, so ages are judged by the store's
//! clock, and every finding is decided by a fresh read of the deciding key.

mod judge;
mod repair;
mod survey;

use std::collections::BTreeMap;

use serde::Serialize;

use self::survey::Survey;
use super::super::facade::Storage;
use super::Collected;
use crate::store::StoreError;

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Class {
    /// A manifest instance that no tag, index or subject keeps.
    UnreferencedManifest,
    /// A blob of an image that no manifest of it mentions.
    UnreferencedBlob,
    /// Large data without a holding.
    UnheldData,
    /// A certificate without manifest or data.
    StrayCertificate,
    /// A large holding whose data is gone for good.
    DeadHolding,
    /// A tag version whose manifest is gone.
    StrayTagVersion,
    /// A tag version below a confirmed one.
    OutrankedTagVersion,
    /// A seal without its manifest.
    StraySeal,
    /// A link from a child to an index that is gone.
    StrayChildLink,
    /// A referrer entry whose manifest is gone.
    StrayReferrer,
    /// A watch key older than a day.
    StaleWatchKey,
    /// The record of an upload whose session is over.
    AbandonedUpload,
    /// A visible manifest that lacks a blob. Nothing can repair it but another push.
    MissingBlob,
    /// Stored bytes of another length than their key says.
    DamagedBlob,
    /// A key that is none of ours. Never touched.
    ForeignKey,
}

impl Class {
    /// Whether content was lost, as opposed to space.
    pub const fn is_damage(self) -> bool {
        matches!(self, Self::MissingBlob | Self::DamagedBlob)
    }

    /// Whether [`Storage::fsck`] can put it right.
    pub const fn is_repairable(self) -> bool {
        !matches!(self, Self::MissingBlob | Self::DamagedBlob | Self::ForeignKey)
    }
}

/// One thing that should not be there, or should.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub class: Class,
    pub key: String,
    /// More for a reader, such as the blob that a manifest lacks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What fsck saw.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsckReport {
    pub findings: Vec<Finding>,
    /// Objects in the store, and the bytes they take.
    pub objects: u64,
    pub bytes: u64,
    /// Of those, what can be reached from tags, and what belongs to the registry itself.
    pub reachable_objects: u64,
    pub reachable_bytes: u64,
    /// What a repair freed.
    pub freed: Collected,
}

impl FsckReport {
    /// Number of findings of each class.
    pub fn by_class(&self) -> BTreeMap<Class, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.class).or_insert(0) += 1;
        }
        counts
    }
}

impl Storage {
    /// Looks at every key; with `repair` also puts right what can be. Freed content goes through the same steps and
    /// clocks as any other collection.
    ///
    /// # Errors
    /// The first failure of the store.
    pub async fn fsck(&self, repair: bool) -> Result<FsckReport, StoreError> {
        let survey = Survey::take(self).await?;
        let findings = self.judge(&survey).await?;
        let mut report = survey.report();
        if repair {
            report.freed = self.repair(&survey, &findings).await?;
        }
        report.findings = findings;
        report.findings.sort();
        Ok(report)
    }
}
