//! What a plan is made from (DESIGN §7, "Inventory").

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{ImageName, RepositoryName, TagName};

/// Images with their tags, and what may keep those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked")]
pub struct Inventory {
    pub images: Vec<InventoryImage>,
    /// How much the `inUse` marks are worth.
    #[serde(skip_serializing_if = "InUseRecord::is_complete")]
    pub in_use: InUseRecord,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryImage {
    pub image: ImageName,
    pub repository: RepositoryName,
    /// Labels of the repository's object, which policies select by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub tags: Vec<InventoryTag>,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryTag {
    pub tag: TagName,
    /// What the tag names; `None` for a tag without a manifest.
    pub digest: Option<Digest>,
    /// The last push of the tag, identical ones included; `None` for an unknown age.
    pub pushed_at: Option<Timestamp>,
    /// A rule `Protected` of the repository matches.
    #[serde(default)]
    pub protected: bool,
    /// A rule `Immutable` of the repository matches.
    #[serde(default)]
    pub immutable: bool,
    /// A workload uses the tag, or the manifest it names, or an index that lists that manifest (DESIGN §3, "In use").
    #[serde(default)]
    pub in_use: bool,
}

/// How much the `inUse` marks of an inventory are worth. A policy with `keep.inUse: Ignore` does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InUseRecord {
    /// Every use is marked. Also what a file without a word about it means: its author speaks for it.
    #[default]
    Complete,
    /// There is no cluster that could use anything; plans note it.
    NoCluster,
    /// What some known cluster uses is not known, or not freshly (one hour): nothing may be deleted.
    Unknown,
}

impl InUseRecord {
    fn is_complete(&self) -> bool {
        *self == Self::Complete
    }
}

/// An inventory as it is written, before its rules of shape are checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    images: Vec<InventoryImage>,
    #[serde(default)]
    in_use: InUseRecord,
}

impl TryFrom<Unchecked> for Inventory {
    type Error = InventoryError;

    fn try_from(Unchecked { images, in_use }: Unchecked) -> Result<Self, InventoryError> {
        let mut seen = BTreeSet::new();
        for image in &images {
            let name = &image.image;
            if *name.repository() != image.repository {
                let (image, repository) = (name.clone(), image.repository.clone());
                return Err(InventoryError::Repository { image, repository });
            }
            if !seen.insert(name) {
                return Err(InventoryError::ImageTwice(name.clone()));
            }
            let mut tags = BTreeSet::new();
            if let Some(twice) = image.tags.iter().find(|tag| !tags.insert(&tag.tag)) {
                return Err(InventoryError::TagTwice { image: name.clone(), tag: twice.tag.clone() });
            }
        }
        Ok(Self { images, in_use })
    }
}

/// Why an inventory contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InventoryError {
    #[error("the image {image} is listed under the repository {repository}: its repository is {}", image.repository())]
    Repository { image: ImageName, repository: RepositoryName },
    #[error("the image {0} is listed twice: list it once, with all of its tags")]
    ImageTwice(ImageName),
    #[error("the tag {tag} of {image} is listed twice")]
    TagTwice { image: ImageName, tag: TagName },
}
