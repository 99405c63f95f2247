//! [`Storage`]: one method per thing a client or a collector can want.

use std::sync::Arc;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::{ImageName, TagName};

use super::api::{
    BlobError, BlobReader, ChunkRange, DeleteError, DeletionOutcome, ImagePage, Incoming, ManifestError, ManifestPush,
    Page, PlannedDeletion, PushedManifest, RangeRequest, Reference, StoredBlob, StoredManifest, TagRecord, UploadError,
    UploadState,
};
use crate::store::{Store, StoreError};

/// What an operator may tune; the defaults are DESIGN's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Untagged or unreferenced content becomes collectable after this long.
    pub grace: std::time::Duration,
    /// Retired content is deleted after this long.
    pub quarantine: std::time::Duration,
    /// Content deleted by a person or a policy stays restorable this long; replaces `grace` for it.
    pub undo: std::time::Duration,
    /// Memory for upload buffers, in bytes; pushes wait for it, they do not fail.
    pub upload_memory: usize,
    /// Share large blobs between repositories whose members may not see each other.
    pub global_dedup: bool,
    /// How long an upload may take from its first request to its last.
    pub session_ttl: std::time::Duration,
}

/// The storage of one registry process over one bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn Store>,
}

#[allow(unused_variables)]
impl Storage {
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    // Uploads

    /// A new upload. Nothing is written before the first byte.
    pub fn begin_upload(&self, algorithm: Option<Algorithm>) -> UploadState {
        unimplemented!()
    }

    /// PATCH: adds bytes to an upload. `declared` is the Content-Length, if there is one.
    pub async fn append(
        &self,
        image: &ImageName,
        state: UploadState,
        range: Option<ChunkRange>,
        declared: Option<u64>,
        body: Incoming,
    ) -> Result<UploadState, UploadError> {
        unimplemented!()
    }

    /// Closing PUT: adds the last bytes, if any, and makes the blob readable.
    pub async fn finish(
        &self,
        image: &ImageName,
        state: UploadState,
        range: Option<ChunkRange>,
        declared: Option<u64>,
        body: Incoming,
        digest: &Digest,
    ) -> Result<StoredBlob, UploadError> {
        unimplemented!()
    }

    /// The newest state of an upload, also when asked with an older one.
    pub async fn upload_status(&self, image: &ImageName, state: UploadState) -> Result<UploadState, UploadError> {
        unimplemented!()
    }

    /// Gives an upload up.
    pub async fn cancel_upload(&self, image: &ImageName, state: UploadState) -> Result<(), UploadError> {
        unimplemented!()
    }

    // Blobs

    /// Makes a blob of another image available here, if one of `sources` (images the caller may pull) has it.
    pub async fn mount(
        &self,
        image: &ImageName,
        digest: &Digest,
        sources: &[ImageName],
    ) -> Result<Option<StoredBlob>, StoreError> {
        unimplemented!()
    }

    /// The size of a blob of the image.
    pub async fn head_blob(&self, image: &ImageName, digest: &Digest) -> Result<u64, BlobError> {
        unimplemented!()
    }

    /// A blob of the image, or a part of it.
    pub async fn get_blob(
        &self,
        image: &ImageName,
        digest: &Digest,
        range: Option<RangeRequest>,
    ) -> Result<BlobReader, BlobError> {
        unimplemented!()
    }

    /// Removes a blob from this image only.
    pub async fn delete_blob(&self, image: &ImageName, digest: &Digest) -> Result<(), BlobError> {
        unimplemented!()
    }

    // Manifests

    pub async fn push_manifest(&self, image: &ImageName, push: ManifestPush) -> Result<PushedManifest, ManifestError> {
        unimplemented!()
    }

    /// A manifest, byte for byte; bodies come from memory once their id is known, tags are always resolved in the bucket.
    pub async fn get_manifest(
        &self,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>, StoreError> {
        unimplemented!()
    }

    /// Removes a manifest and every tag on it.
    pub async fn delete_manifest(&self, image: &ImageName, digest: &Digest) -> Result<(), DeleteError> {
        unimplemented!()
    }

    /// Descriptors (JSON objects) of the manifests whose subject is `digest`, in the order of their keys.
    pub async fn referrers(&self, image: &ImageName, digest: &Digest) -> Result<Vec<serde_json::Value>, StoreError> {
        unimplemented!()
    }

    // Tags

    /// Up to `limit` tags after `last`, sorted. Serves the tag list and inventories alike.
    pub async fn tags(
        &self,
        image: &ImageName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Page<TagRecord>, StoreError> {
        unimplemented!()
    }

    /// The tags that point to a manifest.
    pub async fn tags_of(&self, image: &ImageName, digest: &Digest) -> Result<Vec<TagName>, StoreError> {
        unimplemented!()
    }

    /// Removes one tag, not its manifest.
    pub async fn delete_tag(&self, image: &ImageName, tag: &TagName) -> Result<(), DeleteError> {
        unimplemented!()
    }

    /// Removes tags of one image, each only if it still has the digest planned; outcomes in the order given.
    pub async fn delete_tags(
        &self,
        image: &ImageName,
        planned: &[PlannedDeletion],
    ) -> Result<Vec<DeletionOutcome>, StoreError> {
        unimplemented!()
    }

    // Listings

    /// Up to `limit` images after `last`, in path order.
    pub async fn images(&self, last: Option<&str>, limit: usize) -> Result<ImagePage, StoreError> {
        unimplemented!()
    }

    /// Whether the image holds any manifest.
    pub async fn image_exists(&self, image: &ImageName) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
