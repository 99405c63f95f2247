//! Removing everything of an image that anybody could see: what becomes of a repository whose ContainerRepository is
//! deleted with `deletionPolicy: Delete`.
//!
//! It is made of the deletions that a person could do one by one (docs/storage.md, "Deletes by clients"), and like
//! those it frees nothing at once: bytes go when the undo window has passed and a collector comes by.

use std::collections::BTreeSet;

use berth_crds::digest::Digest;
use berth_crds::name::{ImageName, RepositoryName};

use super::api::{DeleteError, DeletionOutcome, PlannedDeletion};
use super::facade::{Inner, Storage};
use super::layout::{self, ManifestKey};
use super::manifest::Listing;
use crate::store::{ListQuery, StoreError, list_all};

/// Tags removed at once: one page of a listing.
const PAGE: usize = 1000;

/// What [`Storage::purge_image`] removed. Zero everywhere when nothing was visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgedImage {
    pub tags: u64,
    pub manifests: u64,
}

impl Storage {
    /// The images of a repository, at it and below, in path order. Those without anything visible are among them until
    /// a collector has removed their last key.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn images_of(&self, repository: &RepositoryName) -> Result<Vec<ImageName>, StoreError> {
        let prefix = layout::images_of(repository);
        let mut images: Vec<ImageName> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.inner.store.list(ListQuery::folders_below(&prefix).after(after.as_deref())).await?;
            let found = page.folders.iter().filter_map(|folder| layout::image_of_key(folder));
            images.extend(found.filter(|image| image.repository() == repository));
            if !page.more {
                return Ok(images);
            }
            after = page.folders.last().cloned();
        }
    }

    /// Removes every tag, manifest, index and referrer of an image, as a person would delete them. Repeated, it goes on
    /// where it stopped. What is pushed meanwhile may stay, whole.
    ///
    /// # Errors
    /// When the store fails, also while an index is pushed that lists a manifest of the image: the same request may
    /// succeed later.
    pub async fn purge_image(&self, image: &ImageName) -> Result<PurgedImage, StoreError> {
        let mut purged = PurgedImage { tags: self.purge_tags(image).await?, manifests: 0 };
        let mut left = self.inner.visible_manifests(image).await?;
        // Each round removes what no visible index lists: first the outermost indexes, at last what they list.
        while !left.is_empty() {
            let mut listed = BTreeSet::new();
            for digest in &left {
                match self.remove_manifest(image, digest, Listing::Visible).await {
                    Ok(()) => purged.manifests += 1,
                    Err(DeleteError::Unknown) => {}
                    Err(DeleteError::PartOf { .. }) => {
                        listed.insert(digest.clone());
                    }
                    Err(DeleteError::Store(error)) => return Err(error),
                }
            }
            if listed.len() == left.len() {
                let reason = "an index that is being pushed lists what is to be removed; try again".to_owned();
                return Err(StoreError::Unavailable { key: layout::manifests(image), reason });
            }
            left = listed;
        }
        Ok(purged)
    }

    async fn purge_tags(&self, image: &ImageName) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let page = self.tags(image, None, PAGE).await?;
            let planned: Vec<PlannedDeletion> =
                page.items.into_iter().map(|tag| PlannedDeletion { tag: tag.name, digest: None }).collect();
            for outcome in self.delete_tags(image, &planned).await? {
                match outcome {
                    DeletionOutcome::Deleted => removed += 1,
                    DeletionOutcome::Gone | DeletionOutcome::Changed(_) => {}
                    DeletionOutcome::Failed(error) => return Err(error),
                }
            }
            if !page.more {
                return Ok(removed);
            }
        }
    }
}

impl Inner {
    /// The manifests that can be read by digest.
    async fn visible_manifests(&self, image: &ImageName) -> Result<BTreeSet<Digest>, StoreError> {
        let keys = list_all(&*self.store, &layout::manifests(image)).await?;
        let keys = keys.iter().filter_map(|entry| ManifestKey::parse(&entry.key));
        Ok(keys.filter(|key| key.seal.is_some()).map(|key| key.digest).collect())
    }
}
