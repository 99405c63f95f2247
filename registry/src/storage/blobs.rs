//! Blobs: holdings looked up, read, mounted, confirmed and healed.

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use futures::future::BoxFuture;

use super::api::{BlobError, BlobReader, RangeRequest, StoredBlob};
use super::collector::notes::Review;
use super::facade::{Inner, Storage};
use super::layout::{self, Holding};
use super::listed::read_listed;
use crate::store::{ByteRange, ListQuery, Object, StoreError, list_all};

/// Holdings looked at by a read; an image rarely has two.
const FIRST_HOLDINGS: usize = 16;

/// What a push learned about a blob it references.
pub(super) enum Confirmation {
    /// This holding was read as live after the reference to it was written (rule 2), or born after it (rule 11).
    Live(Holding),
    /// The image does not have it.
    Absent,
}

impl Storage {
    /// The size of a blob of the image.
    ///
    /// # Errors
    /// [`BlobError::Unknown`] when the image has no such blob.
    pub async fn head_blob(&self, image: &ImageName, digest: &Digest) -> Result<u64, BlobError> {
        if !self.inner.settings.head_cache.is_zero()
            && let Some(size) = self.inner.caches.sizes.get(&(image.clone(), digest.clone())).await
        {
            return Ok(size);
        }
        // A LIST answers: the size is in the key. A flagged holding answers too; a push that relies on it heals it.
        let newest = self.inner.holdings(image, digest).await?.into_iter().next().ok_or(BlobError::Unknown)?;
        self.remember(&newest).await;
        Ok(newest.size)
    }

    /// A blob of the image, or a part of it.
    ///
    /// # Errors
    /// [`BlobError::Unknown`], or [`BlobError::OutOfRange`] for a range that begins behind the end.
    pub async fn get_blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        range: Option<RangeRequest>,
    ) -> Result<BlobReader, BlobError> {
        let of = (image.clone(), digest.clone());
        let known = match self.inner.caches.holdings.get(&of).await {
            Some(seen) => Some(seen),
            None => self.inner.caches.hints.get(&of).await,
        };
        if let Some(holding) = known {
            match self.inner.read_holding(&holding, range).await? {
                Some(reader) => return Ok(reader),
                None => self.forget(image, digest).await,
            }
        }
        let list =
            || -> BoxFuture<'_, Result<Vec<Holding>, StoreError>> { Box::pin(self.inner.holdings(image, digest)) };
        let read = |holding: Holding| -> BoxFuture<'_, Result<Option<BlobReader>, BlobError>> {
            Box::pin(async move {
                let reader = self.inner.read_holding(&holding, range).await?;
                if reader.is_some() {
                    self.remember(&holding).await;
                }
                Ok(reader)
            })
        };
        read_listed(list, read).await?.ok_or(BlobError::Unknown)
    }

    /// Makes a blob of another image available here, if one of `sources` (images the caller may pull) has it.
    ///
    /// # Errors
    /// When the store fails; a blob that is nowhere is `None`.
    pub async fn mount(
        &self,
        image: &ImageName,
        digest: &Digest,
        sources: &[ImageName],
    ) -> Result<Option<StoredBlob>, StoreError> {
        for source in sources {
            if let Some(holding) = self.mount_from(source, image, digest).await? {
                self.remember(&holding).await;
                self.note(Review::Blob { image: image.clone(), digest: digest.clone() });
                return Ok(Some(StoredBlob { digest: digest.clone(), size: holding.size }));
            }
        }
        Ok(None)
    }

    async fn mount_from(
        &self,
        source: &ImageName,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Option<Holding>, StoreError> {
        if let Some(known) = self.inner.caches.holdings.get(&(source.clone(), digest.clone())).await {
            if let Some(holding) = self.inner.mount_holding(image, &known).await? {
                return Ok(Some(holding));
            }
            self.forget(source, digest).await;
        }
        for candidate in self.inner.holdings(source, digest).await? {
            if let Some(holding) = self.inner.mount_holding(image, &candidate).await? {
                return Ok(Some(holding));
            }
        }
        Ok(None)
    }

    /// The images that have a blob, for a mount that names no source.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn images_with_blob(&self, digest: &Digest) -> Result<Vec<ImageName>, StoreError> {
        let prefix = layout::holdings(digest);
        let page = self.inner.store.list(ListQuery::below(&prefix)).await?;
        let mut images: Vec<ImageName> =
            page.entries.iter().filter_map(|entry| Holding::parse(&entry.key)).map(|holding| holding.image).collect();
        images.dedup();
        Ok(images)
    }

    /// Reads a blob as live after a reference to it was written, healing it where its bytes are still there
    /// (rules 2 and 5, amendment R3).
    pub(super) async fn confirm_blob(&self, image: &ImageName, digest: &Digest) -> Result<Confirmation, StoreError> {
        let known = self.inner.caches.holdings.get(&(image.clone(), digest.clone())).await;
        if let Some(holding) = known
            && self.inner.is_live(&holding).await? == Liveness::Live
        {
            self.inner.notes.forget_blob(image, digest);
            return Ok(Confirmation::Live(holding));
        }
        self.forget(image, digest).await;
        let mut healable = Vec::new();
        for holding in self.inner.all_holdings(image, digest).await? {
            match self.inner.is_live(&holding).await? {
                Liveness::Live => {
                    self.remember(&holding).await;
                    self.inner.notes.forget_blob(image, digest);
                    return Ok(Confirmation::Live(holding));
                }
                Liveness::Retired { data_certified } => healable.push((holding, data_certified)),
                Liveness::Absent => {}
            }
        }
        for (holding, data_certified) in healable {
            if let Some(healed) = self.heal(&holding, data_certified).await? {
                tracing::info!(%image, %digest, "a retired blob was revived by a push");
                self.remember(&healed).await;
                return Ok(Confirmation::Live(healed));
            }
        }
        Ok(Confirmation::Absent)
    }

    /// Gives the image a live copy of a blob whose holding (or data) was retired but whose bytes are there. The
    /// copy is born after the reference to it, so it needs no further read (rule 11).
    async fn heal(&self, retired: &Holding, data_certified: bool) -> Result<Option<Holding>, StoreError> {
        let Some(data) = retired.data else {
            return self.inner.copy_small(&retired.image, retired).await;
        };
        if data_certified {
            let fresh = self.inner.birth_large(&retired.image, &retired.digest, retired.size, data).await?;
            if self.inner.store.confirm(&layout::certificate(data)).await?.is_some() {
                self.inner.caches.confirmed.insert(fresh.id, ()).await;
                return Ok(Some(fresh));
            }
        }
        let fresh_data = self.take_certificate().await?;
        match self.inner.store.copy_new(&layout::data(data), &layout::data(fresh_data), None).await {
            Ok(()) => {}
            Err(StoreError::NotFound(_)) => {
                self.delete_dead(retired).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let fresh = self.inner.birth_large(&retired.image, &retired.digest, retired.size, fresh_data).await?;
        let certified = self.inner.store.confirm(&layout::certificate(fresh_data)).await?.is_some();
        if certified {
            self.inner.caches.confirmed.insert(fresh.id, ()).await;
        }
        Ok(certified.then_some(fresh))
    }

    /// A large holding without certificate and without data can never be read again; left alone it would keep HEAD
    /// saying 200. Data is complete before its first holding, so absent data is gone for good.
    async fn delete_dead(&self, holding: &Holding) -> Result<(), StoreError> {
        let Some(data) = holding.data else {
            return Ok(());
        };
        let dead = self.inner.store.head(&layout::certificate(data)).await?.is_none()
            && self.inner.store.head(&layout::data(data)).await?.is_none();
        if dead {
            self.inner.store.delete(&holding.key()).await?;
        }
        Ok(())
    }

    pub(super) async fn remember(&self, holding: &Holding) {
        let of = (holding.image.clone(), holding.digest.clone());
        if !self.inner.settings.head_cache.is_zero() {
            self.inner.caches.sizes.insert(of.clone(), holding.size).await;
        }
        self.inner.caches.holdings.insert(of, holding.clone()).await;
    }

    pub(super) async fn forget(&self, image: &ImageName, digest: &Digest) {
        let of = (image.clone(), digest.clone());
        self.inner.caches.holdings.invalidate(&of).await;
        self.inner.caches.hints.invalidate(&of).await;
        self.inner.caches.sizes.invalidate(&of).await;
    }
}

/// Whether a holding may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Liveness {
    Live,
    /// Flagged, or its data has lost the certificate. The bytes may still be there.
    Retired {
        data_certified: bool,
    },
    Absent,
}

impl Inner {
    /// The first holdings of a blob in an image, newest first.
    pub(super) async fn holdings(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Holding>, StoreError> {
        let prefix = layout::holdings_of(digest, image);
        let page = self.store.list(ListQuery::below(&prefix).at_most(FIRST_HOLDINGS)).await?;
        if page.more {
            return self.all_holdings(image, digest).await;
        }
        Ok(newest_first(page.entries.iter().filter_map(|entry| Holding::parse(&entry.key)).collect()))
    }

    /// Every holding of a blob in an image, newest first (amendment R3: all of them count).
    pub(super) async fn all_holdings(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Holding>, StoreError> {
        let entries = list_all(&*self.store, &layout::holdings_of(digest, image)).await?;
        Ok(newest_first(entries.iter().filter_map(|entry| Holding::parse(&entry.key)).collect()))
    }

    async fn is_live(&self, holding: &Holding) -> Result<Liveness, StoreError> {
        let key = holding.key();
        let Some(data) = holding.data else {
            return Ok(match self.store.confirm(&key).await? {
                None => Liveness::Absent,
                Some(head) if head.retired => Liveness::Retired { data_certified: false },
                Some(_) => Liveness::Live,
            });
        };
        let certificate = layout::certificate(data);
        let checked_before = self.caches.confirmed.contains_key(&holding.id);
        // Whoever sees a large holding checks its data, until one check has succeeded (rule 5). Both reads come
        // after the holding was seen: it is named by a LIST or was written by this process.
        let (head, certified) = tokio::try_join!(self.store.confirm(&key), async {
            if checked_before { Ok(true) } else { Ok(self.store.confirm(&certificate).await?.is_some()) }
        })?;
        match head {
            None => Ok(Liveness::Absent),
            Some(head) if head.retired || !certified => Ok(Liveness::Retired { data_certified: certified }),
            Some(_) => {
                self.caches.confirmed.insert(holding.id, ()).await;
                Ok(Liveness::Live)
            }
        }
    }

    async fn read_holding(
        &self,
        holding: &Holding,
        range: Option<RangeRequest>,
    ) -> Result<Option<BlobReader>, BlobError> {
        let range = range.map(|range| range.within(holding.size)).transpose()?;
        let object: Option<Object> = self.store.get(&holding.bytes_key(), range).await?;
        Ok(object.map(|object| BlobReader { size: holding.size, range, body: object.body }))
    }

    /// A holding for `image` of the blob that `source` has; `None` when the source turns out to be gone.
    async fn mount_holding(&self, image: &ImageName, source: &Holding) -> Result<Option<Holding>, StoreError> {
        let Some(data) = source.data else {
            return self.copy_small(image, source).await;
        };
        // A failing mount leaves its holding to the sweeper (rule 6): another push may already rely on it.
        let holding = self.birth_large(image, &source.digest, source.size, data).await?;
        if self.store.confirm(&layout::certificate(data)).await?.is_none() {
            return Ok(None);
        }
        self.caches.confirmed.insert(holding.id, ()).await;
        Ok(Some(holding))
    }

    async fn copy_small(&self, image: &ImageName, source: &Holding) -> Result<Option<Holding>, StoreError> {
        let holding = Holding { image: image.clone(), id: self.ids.next(), ..source.clone() };
        match self.store.copy_new(&source.key(), &holding.key(), None).await {
            Ok(()) => Ok(Some(holding)),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RangeRequest {
    /// The bytes meant, once the size is known; an end beyond the blob is cut (RFC 9110 §14.1.2).
    fn within(self, size: u64) -> Result<ByteRange, BlobError> {
        let out_of_range = BlobError::OutOfRange { size };
        let end = size.checked_sub(1);
        let range = match (self, end) {
            (_, None) => None,
            (Self::From { first, last }, Some(end)) => ByteRange::new(first, last.unwrap_or(end).min(end)),
            (Self::Suffix { length: 0 }, _) => None,
            (Self::Suffix { length }, Some(end)) => ByteRange::new(size.saturating_sub(length), end),
        };
        range.ok_or(out_of_range)
    }
}

fn newest_first(mut holdings: Vec<Holding>) -> Vec<Holding> {
    holdings.sort_by_key(|holding| std::cmp::Reverse(holding.id));
    holdings
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        let range = |request: RangeRequest, size| request.within(size).ok().map(|range| (range.first(), range.last()));
        assert_eq!(range(RangeRequest::From { first: 0, last: None }, 10), Some((0, 9)));
        assert_eq!(range(RangeRequest::From { first: 3, last: Some(99) }, 10), Some((3, 9)));
        assert_eq!(range(RangeRequest::From { first: 10, last: None }, 10), None);
        assert_eq!(range(RangeRequest::From { first: 5, last: Some(4) }, 10), None);
        assert_eq!(range(RangeRequest::Suffix { length: 4 }, 10), Some((6, 9)));
        assert_eq!(range(RangeRequest::Suffix { length: 40 }, 10), Some((0, 9)));
        assert_eq!(range(RangeRequest::Suffix { length: 0 }, 10), None);
        assert_eq!(range(RangeRequest::From { first: 0, last: None }, 0), None);
    }
}
