//! Putting right what the judge found, by the same sweeps that follow from notes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::super::facade::Storage;
use super::super::super::id::Id;
use super::super::super::layout::{self, Holding, ManifestKey, TagVersion};
use super::super::Collected;
use super::super::notes::Review;
use super::survey::Survey;
use super::{Class, Finding};
use crate::store::{StoreError, list_all};

impl Storage {
    pub(super) async fn repair(&self, survey: &Survey, findings: &[Finding]) -> Result<Collected, StoreError> {
        let keys =
            |class: Class| findings.iter().filter(move |finding| finding.class == class).map(|finding| &finding.key);
        // Links first: they may be all that keeps the rest.
        for class in [Class::StrayTagVersion, Class::StraySeal, Class::StrayChildLink, Class::StrayReferrer] {
            self.remove(keys(class).cloned().collect()).await?;
        }
        self.remove_outranked_versions(keys(Class::OutrankedTagVersion)).await?;
        let simple = [Class::DeadHolding, Class::StrayCertificate, Class::StaleWatchKey];
        for class in simple {
            self.remove(keys(class).cloned().collect()).await?;
        }
        let mut freed = Collected::default();
        let mut instances: BTreeMap<ImageName, Vec<(Digest, Id)>> = BTreeMap::new();
        for key in keys(Class::UnreferencedManifest).filter_map(|key| ManifestKey::parse(key)) {
            instances.entry(key.image).or_default().push((key.digest, key.instance));
        }
        for (image, instances) in instances {
            freed.add(&self.sweep_instances(&image, instances).await?);
        }
        let mut blobs: BTreeMap<ImageName, BTreeSet<Digest>> = BTreeMap::new();
        for holding in keys(Class::UnreferencedBlob).filter_map(|key| Holding::parse(key)) {
            blobs.entry(holding.image).or_default().insert(holding.digest);
        }
        for (image, digests) in blobs {
            self.retire_blobs(&image, digests.into_iter().collect()).await?;
        }
        self.retire_unheld(keys(Class::UnheldData).filter_map(|key| layout::id_of(key)).collect()).await?;
        for (session, _) in &survey.uploads {
            if keys(Class::AbandonedUpload).any(|key| *key == layout::upload_record(*session)) {
                freed.add(&self.reap_upload(*session).await?);
            }
        }
        Ok(freed)
    }

    async fn remove(&self, keys: Vec<String>) -> Result<(), StoreError> {
        for batch in keys.chunks(crate::store::ListQuery::MAX_KEYS) {
            if let Some(error) = self.inner.delete_keys(batch.to_vec()).await.into_values().next() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Oldest first, so that a tag never falls back.
    async fn remove_outranked_versions<'a>(&self, keys: impl Iterator<Item = &'a String>) -> Result<(), StoreError> {
        let mut versions: Vec<TagVersion> = keys.filter_map(|key| TagVersion::parse(key)).collect();
        versions.sort_by_key(TagVersion::rank);
        for version in versions {
            self.inner.store.delete(&version.key()).await?;
            let TagVersion { image, digest, instance, .. } = version;
            self.note(Review::Instance { image, digest, instance });
        }
        Ok(())
    }

    /// Data without a holding has no known digest, so the second look goes through every holding there is.
    async fn retire_unheld(&self, unheld: Vec<Id>) -> Result<(), StoreError> {
        if unheld.is_empty() {
            return Ok(());
        }
        for data in &unheld {
            self.inner.store.delete(&layout::certificate(*data)).await?;
        }
        let held = self.inner.held_data().await?;
        for data in unheld.into_iter().filter(|data| !held.contains(data)) {
            self.note(Review::Orphan { data });
        }
        Ok(())
    }
}

impl super::super::super::facade::Inner {
    /// All large data that some holding names.
    pub(in crate::storage::collector) async fn held_data(&self) -> Result<HashSet<Id>, StoreError> {
        let entries = list_all(&*self.store, layout::HOLDINGS).await?;
        Ok(entries.iter().filter_map(|entry| Holding::parse(&entry.key)?.data).collect())
    }
}
