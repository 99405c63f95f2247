//! What a plan is made from: the tags of images, with everything that may keep them.

use berth_crds::cleanup::{Inventory, InventoryImage, InventoryTag};
use berth_crds::name::ImageName;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::in_use::{Clusters, InUse};
use crate::configuration::Current;
use crate::storage::{Storage, TagRecord};
use crate::store::StoreError;

/// Names per page of a listing: what one LIST of a bucket returns.
const PAGE: usize = 1000;
/// Images whose tags are listed at once.
const PARALLEL: usize = 8;

/// Every image that holds something, in path order.
pub(crate) async fn all_images(storage: &Storage) -> Result<Vec<ImageName>, StoreError> {
    let mut images: Vec<ImageName> = Vec::new();
    loop {
        let page = storage.images(images.last().map(ImageName::as_str), PAGE).await?;
        images.extend(page.items);
        if !page.more {
            return Ok(images);
        }
    }
}

/// Every tag of an image, in name order.
pub(crate) async fn all_tags(storage: &Storage, image: &ImageName) -> Result<Vec<TagRecord>, StoreError> {
    let mut tags: Vec<TagRecord> = Vec::new();
    loop {
        let page = storage.tags(image, tags.last().map(|tag| tag.name.as_str()), PAGE).await?;
        tags.extend(page.items);
        if !page.more {
            return Ok(tags);
        }
    }
}

/// What inventories are made from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) storage: Storage,
    pub(crate) configuration: Current,
    pub(crate) clusters: Clusters,
}

impl Source {
    /// Up to `limit` tags of an image after `last`, and whether there are more.
    pub(crate) async fn page(
        &self,
        image: &ImageName,
        last: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Inventory, bool), StoreError> {
        let in_use = self.in_use(now).await?;
        let page = self.storage.tags(image, last, limit.max(1)).await?;
        let mut items = page.items;
        items.truncate(limit);
        let image = self.describe(image, items, &in_use).await?;
        Ok((Inventory { images: vec![image], in_use: in_use.record }, page.more))
    }

    /// The images that `governs` chooses, with all of their tags. `seen` hears of every image and its number of tags.
    pub(crate) async fn of_images(
        &self,
        governs: impl Fn(&ImageName) -> bool,
        now: Timestamp,
        mut seen: impl FnMut(usize),
    ) -> Result<Inventory, StoreError> {
        let in_use = self.in_use(now).await?;
        let images = all_images(&self.storage).await?.into_iter().filter(governs);
        let mut found = stream::iter(images)
            .map(|image| {
                let in_use = &in_use;
                async move { self.describe(&image, all_tags(&self.storage, &image).await?, in_use).await }
            })
            .buffered(PARALLEL);
        let mut inventory = Inventory { images: Vec::new(), in_use: in_use.record };
        while let Some(image) = found.try_next().await? {
            seen(image.tags.len());
            inventory.images.push(image);
        }
        Ok(inventory)
    }

    async fn in_use(&self, now: Timestamp) -> Result<InUse, StoreError> {
        InUse::read(self.storage.store().as_ref(), self.clusters, now).await
    }

    /// Tags with what the configuration and the workloads say about them.
    async fn describe(
        &self,
        image: &ImageName,
        records: Vec<TagRecord>,
        in_use: &InUse,
    ) -> Result<InventoryImage, StoreError> {
        let repository = image.repository().clone();
        let tags = records.iter().map(|record| {
            let guard = self.configuration.guard(&repository, &record.name);
            InventoryTag {
                tag: record.name.clone(),
                digest: Some(record.digest.clone()),
                pushed_at: Timestamp::try_from(record.pushed_at).ok(),
                protected: guard.protected.is_some(),
                immutable: guard.immutable.is_some(),
                in_use: false,
            }
        });
        let tags = tags.collect();
        let document = self.configuration.document().load_full();
        let labels = document.repositories.get(&repository).map(|entry| entry.labels.clone()).unwrap_or_default();
        let mut image = InventoryImage { image: image.clone(), repository, labels, tags };
        in_use.mark(&self.storage, &records, &mut image).await?;
        Ok(image)
    }
}
