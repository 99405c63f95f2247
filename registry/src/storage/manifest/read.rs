//! Reading manifests and referrers.

use std::collections::HashSet;
use std::sync::Arc;

use berth_crds::digest::Digest;
use berth_crds::name::{ImageName, TagName};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::super::api::{Reference, StoredManifest};
use super::super::facade::{Inner, Storage};
use super::super::id::Id;
use super::super::layout::{self, TagVersion};
use super::super::listed::read_listed;
use super::{Instance, Parsed};
use crate::store::{ListQuery, NewObject, StoreError, list_all, read_all};

/// Requests of one answer that are in the air at once.
pub(in crate::storage) const PARALLEL: usize = 16;

impl Storage {
    /// A manifest, byte for byte. Tags and digests are always resolved in the bucket; a body once seen with its seal
    /// comes from memory, for both are immutable.
    ///
    /// # Errors
    /// When the store fails; what is not there is `None`.
    pub async fn get_manifest(
        &self,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>, StoreError> {
        let found = match reference {
            Reference::Tag(tag) => self.inner.read_tag(image, tag).await?,
            Reference::Digest(digest) => self.inner.read_digest(image, digest).await?,
        };
        Ok(found.map(Arc::unwrap_or_clone))
    }

    /// Descriptors of the manifests whose subject is `digest`, oldest first, each digest once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn referrers(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Value>, StoreError> {
        let entries = list_all(&*self.inner.store, &layout::referrers(image, digest)).await?;
        let descriptors: Vec<Option<Value>> = futures::stream::iter(entries)
            .map(|entry| async move { self.inner.read_referrer(image, &entry.key).await })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let mut seen = HashSet::new();
        Ok(descriptors
            .into_iter()
            .flatten()
            .filter(|descriptor| seen.insert(descriptor["digest"].as_str().map(str::to_owned)))
            .collect())
    }
}

impl Inner {
    async fn read_tag(&self, image: &ImageName, tag: &TagName) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        let list = || async {
            let mut versions = self.tag_versions(image, tag).await?;
            versions.sort_by_key(|version| std::cmp::Reverse(version.rank()));
            Ok(versions)
        };
        read_listed(list, |version: TagVersion| async move {
            self.read_visible(image, &version.digest, version.instance).await
        })
        .await
    }

    async fn read_digest(&self, image: &ImageName, digest: &Digest) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        let list = || async {
            let mut instances = self.instances(image, digest).await?;
            // Without a seal an instance is not visible: its push is not through.
            instances.retain(|instance| instance.seal.is_some());
            Ok(instances)
        };
        read_listed(list, |instance: Instance| async move { self.read_sealed(image, digest, &instance).await }).await
    }

    /// The body of an instance, if it also has its seal (amendment R7). The body comes first: it says what the key of
    /// the seal is, and the seal is removed before the body (rule 8), so both were there at the second read.
    async fn read_visible(
        &self,
        image: &ImageName,
        digest: &Digest,
        instance: Id,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        if let Some(body) = self.caches.bodies.get(&instance).await {
            return Ok(Some(body));
        }
        let Some(body) = self.fetch_body(image, digest, instance).await? else {
            return Ok(None);
        };
        if !self.see_seal(image, &body, instance).await? {
            return Ok(None);
        }
        self.caches.bodies.insert(instance, Arc::clone(&body)).await;
        Ok(Some(body))
    }

    /// Whether an instance has its seal; what it hints at is remembered. Absence is only believed of a LIST: another
    /// version may read the body otherwise, and name the seal otherwise.
    async fn see_seal(&self, image: &ImageName, body: &StoredManifest, instance: Id) -> Result<bool, StoreError> {
        if let Ok(parsed) = Parsed::new(body.digest.clone(), &body.media_type, body.bytes.clone())
            && let Some(seal) = self.store.get(&parsed.seal(image, instance), None).await?
        {
            self.take_hints(image, Ok(Some(seal))).await;
            return Ok(true);
        }
        let prefix = layout::seal_prefix(image, &body.digest, instance);
        Ok(!self.store.list(ListQuery::below(&prefix).at_most(1)).await?.entries.is_empty())
    }

    /// The body of an instance that a LIST showed with a seal, and beside it what the seal hints at.
    async fn read_sealed(
        &self,
        image: &ImageName,
        digest: &Digest,
        instance: &Instance,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        if let Some(body) = self.caches.bodies.get(&instance.id).await {
            return Ok(Some(body));
        }
        let hints = async {
            if let Some(mentions) = instance.seal.as_ref().filter(|_| instance.hinted) {
                let seal = self.store.get(&layout::seal(image, digest, instance.id, mentions), None).await;
                self.take_hints(image, seal).await;
            }
        };
        let (body, ()) = tokio::join!(self.fetch_body(image, digest, instance.id), hints);
        let body = body?;
        if let Some(body) = &body {
            self.caches.bodies.insert(instance.id, Arc::clone(body)).await;
        }
        Ok(body)
    }

    /// The body of an instance, sealed or not; never from memory.
    pub(in crate::storage) async fn fetch_body(
        &self,
        image: &ImageName,
        digest: &Digest,
        instance: Id,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        let Some(object) = self.store.get(&layout::body(image, digest, instance), None).await? else {
            return Ok(None);
        };
        let media_type = object.head.content_type.unwrap_or_default();
        let bytes = read_all(object.body).await?;
        Ok(Some(Arc::new(StoredManifest { digest: digest.clone(), media_type, bytes })))
    }

    /// A referrer's descriptor, unless its manifest is gone.
    async fn read_referrer(&self, image: &ImageName, key: &str) -> Result<Option<Value>, StoreError> {
        let Some((_, _, instance)) = layout::parse_referrer(key) else {
            return Ok(None);
        };
        let Some((digest, descriptor)) = self.fetch_referrer(key).await? else {
            return Ok(None);
        };
        let there = self.store.head(&layout::body(image, &digest, instance)).await?.is_some();
        Ok(there.then_some(descriptor))
    }

    /// A referrer entry: the digest of the referrer, and its descriptor.
    pub(in crate::storage) async fn fetch_referrer(&self, key: &str) -> Result<Option<(Digest, Value)>, StoreError> {
        let Some(object) = self.store.get(key, None).await? else {
            return Ok(None);
        };
        let bytes = read_all(object.body).await?;
        let damaged =
            || StoreError::Invalid { key: key.to_owned(), reason: "the referrer entry is damaged".to_owned() };
        let descriptor: Value = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let digest = descriptor["digest"].as_str().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
        Ok(Some((digest, descriptor)))
    }

    /// Lists an instance under its subject.
    pub(super) async fn write_referrer(
        &self,
        image: &ImageName,
        parsed: &Parsed,
        instance: Id,
    ) -> Result<(), StoreError> {
        let Some(subject) = &parsed.manifest.subject else {
            return Ok(());
        };
        let size = parsed.stored.bytes.len() as u64;
        let descriptor = parsed.manifest.referrer_descriptor(&parsed.stored.digest, size);
        let entry = NewObject::bytes(descriptor.to_string());
        self.store.put(&layout::referrer(image, subject, instance), entry).await
    }
}
