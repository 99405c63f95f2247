//! The images there are.

use berth_crds::name::ImageName;

use super::api::{ImagePage, Page};
use super::facade::Storage;
use super::layout;
use crate::store::{ListQuery, StoreError};

impl Storage {
    /// Up to `limit` images after `last`, in path order. The listing is the truth: nothing is kept beside it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn images(&self, last: Option<&str>, limit: usize) -> Result<ImagePage, StoreError> {
        let mut after = last.map(layout::after_image);
        let mut images: Vec<ImageName> = Vec::new();
        loop {
            let wanted = (limit - images.len().min(limit)).saturating_add(1).min(ListQuery::MAX_KEYS);
            let query = ListQuery { fold: true, ..ListQuery::below(layout::IMAGES) };
            let page = self.inner.store.list(query.after(after.as_deref()).at_most(wanted)).await?;
            images.extend(page.folders.iter().filter_map(|folder| layout::image_of_key(folder)));
            if !page.more || images.len() > limit {
                break;
            }
            after = page.folders.last().map(|folder| format!("{folder}~"));
        }
        let more = images.len() > limit;
        images.truncate(limit);
        Ok(Page { items: images, more })
    }

    /// Whether the image holds any manifest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn image_exists(&self, image: &ImageName) -> Result<bool, StoreError> {
        let prefix = layout::manifests(image);
        let page = self.inner.store.list(ListQuery::below(&prefix).at_most(1)).await?;
        Ok(!page.entries.is_empty())
    }
}
