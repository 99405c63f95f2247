//! What workloads use, as the leaders of clusters have recorded it in the bucket (DESIGN §3, "In use").
//!
//! ```text
//! meta/in-use/<cluster>    {"recordedAt": "…", "references": ["registry.example.com/team-a/shop/api:v1", …]}
//! ```
//!
//! Every cluster that ever wrote a record is a known one, until its record is removed. A reference is ours when its path
//! is one of our images, whatever the host: mirrors and old addresses of a registry are none of its business.

use std::collections::{BTreeMap, BTreeSet};

use berth_crds::cleanup::{InUseRecord, InventoryImage};
use berth_crds::digest::Digest;
use berth_crds::name::{ImageName, TagName};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::ClusterName;
use crate::storage::{ManifestKind, Reference, Storage, TagRecord};
use crate::store::{NewObject, Store, StoreError, list_all, read_all};

/// Where the records are.
const RECORDS: &str = "meta/in-use/";

/// Older records say nothing about now.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// Whether there are clusters whose workloads may use images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clusters {
    /// The registry was started with `--manifests`: there is none.
    None,
    /// Leaders record what their clusters use.
    Recorded,
}

/// What is used, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse {
    pub(crate) record: InUseRecord,
    tags: BTreeSet<(ImageName, TagName)>,
    digests: BTreeMap<ImageName, BTreeSet<Digest>>,
    /// Tags named in references that could not be understood: they protect that tag in every image.
    anywhere: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    recorded_at: Timestamp,
    references: Vec<String>,
}

/// Records what the workloads of a cluster used at `recorded_at`, in the place of an older record. A newer one stays,
/// and its time is returned: a leader that was replaced does not take back what its successor has written. (Two that
/// write at the same moment may leave the older record, until the next one minutes later.)
///
/// # Errors
/// When the store fails; whether the record was written is unknown then, and it may be written again.
pub async fn record(
    store: &dyn Store,
    cluster: &ClusterName,
    recorded_at: Timestamp,
    references: Vec<String>,
) -> Result<Option<Timestamp>, StoreError> {
    let key = format!("{RECORDS}{cluster}");
    if let Some(object) = store.get(&key, None).await? {
        let text = read_all(object.body).await?;
        // One that cannot be read stops every cleanup: a good one mends that.
        if let Ok(stored) = serde_json::from_slice::<Recorded>(&text)
            && stored.recorded_at > recorded_at
        {
            return Ok(Some(stored.recorded_at));
        }
    }
    let text = serde_json::to_vec(&Recorded { recorded_at, references }).expect("times and texts always serialise");
    store.put(&key, NewObject::bytes(text)).await?;
    Ok(None)
}

impl InUse {
    /// Reads the records of all known clusters.
    ///
    /// # Errors
    /// When the store fails. A record that is stale or cannot be read makes the whole [`InUseRecord::Unknown`].
    pub(crate) async fn read(store: &dyn Store, clusters: Clusters, now: Timestamp) -> Result<Self, StoreError> {
        if clusters == Clusters::None {
            return Ok(Self { record: InUseRecord::NoCluster, ..Self::default() });
        }
        let mut in_use = Self { record: InUseRecord::Unknown, ..Self::default() };
        let records = list_all(store, RECORDS).await?;
        let mut fresh = !records.is_empty();
        for entry in records {
            let Some(object) = store.get(&entry.key, None).await? else { continue };
            let text = read_all(object.body).await?;
            match serde_json::from_slice::<Recorded>(&text) {
                Ok(recorded) => {
                    fresh &= now.duration_since(recorded.recorded_at) <= FRESH;
                    recorded.references.iter().for_each(|reference| in_use.add(reference));
                }
                Err(error) => {
                    tracing::warn!(key = entry.key, %error, "what a cluster uses cannot be read: nothing is deleted");
                    fresh = false;
                }
            }
        }
        if fresh {
            in_use.record = InUseRecord::Complete;
        }
        Ok(in_use)
    }

    /// Takes a reference in: `[host/]path[:tag][@digest]`.
    fn add(&mut self, reference: &str) {
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (reference, None),
        };
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let digest = digest.map(str::parse::<Digest>).transpose();
        let tag_name = tag.map(str::parse::<TagName>).transpose();
        match (ours(path), tag_name, digest) {
            (Some(images), Ok(tag), Ok(digest)) => {
                // A bare name means latest, which is never removed.
                for image in images {
                    if let Some(digest) = &digest {
                        self.digests.entry(image.clone()).or_default().insert(digest.clone());
                    }
                    self.tags.extend(tag.clone().map(|tag| (image, tag)));
                }
            }
            _ => {
                tracing::warn!(reference, "a workload's reference cannot be understood: its tag is kept everywhere");
                self.anywhere.extend(tag.map(str::to_owned));
            }
        }
    }

    /// Marks the tags of an image that are used: named themselves, or naming a manifest that is, or an index that lists
    /// one that is.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub(crate) async fn mark(
        &self,
        storage: &Storage,
        records: &[TagRecord],
        image: &mut InventoryImage,
    ) -> Result<(), StoreError> {
        let none = BTreeSet::new();
        let digests = self.digests.get(&image.image).unwrap_or(&none);
        for (tag, record) in image.tags.iter_mut().zip(records) {
            let named = self.tags.contains(&(image.image.clone(), tag.tag.clone()))
                || self.anywhere.contains(tag.tag.as_str())
                || digests.contains(&record.digest);
            let listed = || lists_any(storage, &image.image, record, digests);
            tag.in_use = named || (!digests.is_empty() && record.kind == ManifestKind::Index && listed().await?);
        }
        Ok(())
    }
}

/// The images that a path may mean: all of it, or all behind a host.
fn ours(path: &str) -> Option<Vec<ImageName>> {
    let behind_host = path.split_once('/').map(|(_, rest)| rest);
    let images: Vec<ImageName> =
        [Some(path), behind_host].into_iter().flatten().filter_map(|p| p.parse().ok()).collect();
    (!images.is_empty()).then_some(images)
}

async fn lists_any(
    storage: &Storage,
    image: &ImageName,
    index: &TagRecord,
    digests: &BTreeSet<Digest>,
) -> Result<bool, StoreError> {
    #[derive(Deserialize)]
    struct Index {
        #[serde(default)]
        manifests: Vec<Child>,
    }
    #[derive(Deserialize)]
    struct Child {
        digest: String,
    }
    let reference = Reference::Digest(index.digest.clone());
    let Some(manifest) = storage.get_manifest(image, &reference).await? else { return Ok(false) };
    // An index that cannot be read lists nothing that a client could use.
    let Ok(index) = serde_json::from_slice::<Index>(&manifest.bytes) else { return Ok(false) };
    Ok(index.manifests.iter().filter_map(|child| child.digest.parse().ok()).any(|child| digests.contains(&child)))
}
