//! The end of an upload: compare, complete, and make the blob readable.

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::api::{StoredBlob, UploadError};
use super::super::collector::notes::Review;
use super::super::facade::{Inner, Storage};
use super::super::hash;
use super::super::id::Id;
use super::super::layout::{self, Holding};
use super::record::Parts;
use super::{HELD_IS_FRESH, Standing};
use crate::store::{ListQuery, MultipartId, NewObject, StoreError};

impl Storage {
    /// Closes an upload whose bytes are all there.
    pub(super) async fn close_upload(
        &self,
        image: &ImageName,
        session: Id,
        standing: Standing,
        digest: &Digest,
    ) -> Result<StoredBlob, UploadError> {
        match standing {
            Standing::Empty => self.close_empty(image, digest).await,
            Standing::Held { holding, written } if holding.digest == *digest => {
                self.close_held(image, holding, written).await
            }
            Standing::Held { holding, .. } if holding.digest.algorithm() == digest.algorithm() => {
                Err(UploadError::DigestMismatch { named: digest.clone(), actual: holding.digest })
            }
            Standing::Held { holding, .. } => self.close_rehashed(image, holding, digest).await,
            Standing::Multi(parts) => self.complete(image, session, *parts, digest).await,
        }
    }

    /// The empty blob.
    async fn close_empty(&self, image: &ImageName, digest: &Digest) -> Result<StoredBlob, UploadError> {
        let actual = hash::digest_of(digest.algorithm(), &[]);
        if actual != *digest {
            return Err(UploadError::DigestMismatch { named: digest.clone(), actual });
        }
        self.keep_small(image, &actual, bytes::Bytes::new()).await
    }

    /// The holding was written by the PATCH. Its answer is believed for an hour; later the bucket is asked, because
    /// a sweeper may have taken the unreferenced blob meanwhile.
    async fn close_held(&self, image: &ImageName, holding: Holding, written: u64) -> Result<StoredBlob, UploadError> {
        let fresh = self.inner.ids.seconds().saturating_sub(written) < HELD_IS_FRESH.as_secs();
        if !fresh {
            let live = self.inner.store.head(&holding.key()).await?.is_some_and(|head| !head.retired);
            if !live {
                return Err(UploadError::Unknown);
            }
        }
        self.note(Review::Blob { image: image.clone(), digest: holding.digest.clone() });
        Ok(StoredBlob { size: holding.size, digest: holding.digest })
    }

    /// The client names another algorithm than the bytes were stored under.
    async fn close_rehashed(
        &self,
        image: &ImageName,
        holding: Holding,
        digest: &Digest,
    ) -> Result<StoredBlob, UploadError> {
        let bytes = self.inner.read_held(&holding).await?;
        let actual = hash::digest_of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(UploadError::DigestMismatch { named: digest.clone(), actual });
        }
        self.note(Review::Blob { image: image.clone(), digest: holding.digest });
        self.keep_small(image, &actual, bytes).await
    }

    async fn keep_small(
        &self,
        image: &ImageName,
        digest: &Digest,
        bytes: bytes::Bytes,
    ) -> Result<StoredBlob, UploadError> {
        let size = bytes.len() as u64;
        let holding = self.inner.birth_small(image, digest, size, bytes).await?;
        self.remember(&holding).await;
        self.note(Review::Blob { image: image.clone(), digest: digest.clone() });
        Ok(StoredBlob { digest: digest.clone(), size })
    }

    /// Completes a multipart upload in place and gives the image a holding of it. No byte is copied.
    pub(super) async fn complete(
        &self,
        image: &ImageName,
        session: Id,
        parts: Parts,
        digest: &Digest,
    ) -> Result<StoredBlob, UploadError> {
        let record = layout::upload_record(session);
        let hash = parts.running_hash(&record)?;
        if hash.algorithm() != digest.algorithm() {
            return Err(UploadError::AlgorithmMismatch { hashed: hash.algorithm(), named: digest.algorithm() });
        }
        let actual = hash.digest();
        if actual != *digest {
            // The client may close again with the right digest; the reaper takes what nobody closes.
            self.note(Review::Upload { session });
            return Err(UploadError::DigestMismatch { named: digest.clone(), actual });
        }
        let size = parts.offset;
        let holdings = layout::holdings(digest);
        let query = ListQuery::below(&holdings).at_most(16);
        let (others, completed) = tokio::join!(self.inner.store.list(query), self.inner.complete_data(&parts, size));
        completed?;
        self.note(Review::Data { digest: digest.clone(), data: parts.data });
        let others: Vec<Holding> = others?.entries.iter().filter_map(|entry| Holding::parse(&entry.key)).collect();
        let blob = StoredBlob { digest: digest.clone(), size };
        // A twin of this request was faster: same data, same image.
        if let Some(twin) = others.iter().find(|other| other.image == *image && other.data == Some(parts.data)) {
            self.remember(twin).await;
            return Ok(blob);
        }
        let holding = self.share_or_hold(image, digest, size, parts.data, &others).await?;
        self.remember(&holding).await;
        self.note(Review::Blob { image: image.clone(), digest: digest.clone() });
        self.inner.notes.finished(session);
        Ok(blob)
    }

    /// A holding of data that others already have, if they may be known here and it is live; else of our own data.
    /// Our own data is never deleted here: a twin of this request may have written a holding of it.
    async fn share_or_hold(
        &self,
        image: &ImageName,
        digest: &Digest,
        size: u64,
        own: Id,
        others: &[Holding],
    ) -> Result<Holding, StoreError> {
        let shareable = others
            .iter()
            .filter(|other| self.inner.settings.global_dedup || other.image.repository() == image.repository())
            .find_map(|other| other.data.filter(|data| *data != own));
        if let Some(data) = shareable {
            let holding = self.inner.birth_large(image, digest, size, data).await?;
            if self.inner.store.confirm(&layout::certificate(data)).await?.is_some() {
                self.inner.caches.confirmed.insert(holding.id, ()).await;
                return Ok(holding);
            }
        }
        self.inner.birth_large(image, digest, size, own).await
    }
}

impl Inner {
    /// Completes the multipart upload of some data; data that is there with the right size is success, because an
    /// answer may have been lost.
    async fn complete_data(&self, parts: &Parts, size: u64) -> Result<(), UploadError> {
        let key = layout::data(parts.data);
        let multipart = MultipartId(parts.multipart.clone());
        let completed = self.store.complete_multipart(&key, &multipart, &parts.numbered()).await;
        let doubtful = match completed {
            Ok(()) => !self.store.completion_is_trusted(),
            Err(StoreError::NotFound(_) | StoreError::Unavailable { .. }) => true,
            Err(StoreError::InvalidPart(_)) => return Err(UploadError::Unknown),
            Err(error) => return Err(error.into()),
        };
        if doubtful {
            match self.store.head(&key).await? {
                Some(head) if head.size == size => {}
                Some(head) => {
                    let reason = format!("the completed data has {} bytes instead of {size}", head.size);
                    return Err(StoreError::Unavailable { key, reason }.into());
                }
                None => return Err(UploadError::Unknown),
            }
        }
        Ok(())
    }

    /// A holding with the bytes inside.
    pub(super) async fn birth_small(
        &self,
        image: &ImageName,
        digest: &Digest,
        size: u64,
        bytes: bytes::Bytes,
    ) -> Result<Holding, StoreError> {
        self.birth_named(NewObject::bytes(bytes), image, digest, size, None).await
    }

    /// A holding that names large data.
    pub(in crate::storage) async fn birth_large(
        &self,
        image: &ImageName,
        digest: &Digest,
        size: u64,
        data: Id,
    ) -> Result<Holding, StoreError> {
        self.birth_named(NewObject::marker(), image, digest, size, Some(data)).await
    }

    async fn birth_named(
        &self,
        object: NewObject,
        image: &ImageName,
        digest: &Digest,
        size: u64,
        data: Option<Id>,
    ) -> Result<Holding, StoreError> {
        self.birth(object, |id| {
            let holding = Holding { image: image.clone(), digest: digest.clone(), id, size, data };
            let key = holding.key();
            (holding, key)
        })
        .await
    }
}
