//! Deleting a manifest by digest (docs/storage.md, "Deletes by clients").

use std::collections::HashSet;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::api::DeleteError;
use super::super::collector::notes::Review;
use super::super::facade::{Inner, Storage};
use super::super::id::Id;
use super::super::layout::{self, ChildLink};
use super::Parsed;
use crate::store::{StoreError, list_all};

/// Which indexes keep a manifest that they list from being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Listing {
    /// Those whose body is there, deleted ones within their undo window among them.
    Stored,
    /// Those that can be read, or may still become readable: for who deletes the indexes as well.
    Visible,
}

impl Storage {
    /// Removes a manifest and every tag on it. A push at the same time survives whole.
    ///
    /// # Errors
    /// [`DeleteError::Unknown`], or [`DeleteError::PartOf`] while an index lists it.
    pub async fn delete_manifest(&self, image: &ImageName, digest: &Digest) -> Result<(), DeleteError> {
        self.remove_manifest(image, digest, Listing::Stored).await
    }

    /// Removes a manifest and every tag on it, unless an index of this sort lists it.
    pub(in crate::storage) async fn remove_manifest(
        &self,
        image: &ImageName,
        digest: &Digest,
        listing: Listing,
    ) -> Result<(), DeleteError> {
        let instances = self.inner.instances(image, digest).await?;
        if !instances.iter().any(|instance| instance.seal.is_some()) {
            return Err(DeleteError::Unknown);
        }
        self.inner.refuse_part_of(image, digest, listing).await?;
        // Retire, then list (rule 3): after this no tag and no index can be confirmed against these instances.
        for instance in &instances {
            self.inner.store.delete(&layout::certificate(instance.id)).await?;
        }
        self.inner.refuse_part_of(image, digest, listing).await?;
        let ids: HashSet<Id> = instances.iter().map(|instance| instance.id).collect();
        self.delete_tags_naming(image, &ids).await?;
        for instance in instances {
            if let Some(mentions) = &instance.seal {
                self.inner.store.delete(&layout::seal(image, digest, instance.id, mentions)).await?;
            }
            self.inner.unlist_referrer(image, digest, instance.id).await?;
            self.inner.caches.bodies.invalidate(&instance.id).await;
            let (image, digest) = (image.clone(), digest.clone());
            self.note_deleted(Review::Instance { image, digest, instance: instance.id });
        }
        Ok(())
    }
}

impl Inner {
    async fn refuse_part_of(&self, image: &ImageName, digest: &Digest, listing: Listing) -> Result<(), DeleteError> {
        let by = match listing {
            Listing::Stored => self.living_parents(image, digest).await?,
            Listing::Visible => self.visible_parents(image, digest).await?,
        };
        if by.is_empty() { Ok(()) } else { Err(DeleteError::PartOf { by }) }
    }

    /// The indexes that list a manifest and whose bodies are there.
    pub(in crate::storage) async fn living_parents(
        &self,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<Digest>, StoreError> {
        let links = list_all(&*self.store, &layout::parents(image, digest)).await?;
        let mut parents = Vec::new();
        for link in links.iter().filter_map(|entry| ChildLink::parse(&entry.key)) {
            if self.store.head(&link.parent_body()).await?.is_some() && !parents.contains(&link.parent) {
                parents.push(link.parent);
            }
        }
        Ok(parents)
    }

    /// The indexes that list a manifest and can be read, or may still become readable. Without seal and certificate an
    /// instance is deleted: no push of it can succeed any more, because the last thing a push reads is the certificate.
    async fn visible_parents(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Digest>, StoreError> {
        let links = list_all(&*self.store, &layout::parents(image, digest)).await?;
        let mut parents = Vec::new();
        for link in links.iter().filter_map(|entry| ChildLink::parse(&entry.key)) {
            let certificate = layout::certificate(link.parent_instance);
            let may_come = self.store.head(&certificate).await?.is_some();
            // The seal is looked for after the certificate: it cannot have come in between without one.
            let instances = self.instances(image, &link.parent).await?;
            let sealed = instances.iter().any(|own| own.id == link.parent_instance && own.seal.is_some());
            if (may_come || sealed) && !parents.contains(&link.parent) {
                parents.push(link.parent);
            }
        }
        Ok(parents)
    }

    /// Removes the referrer entry of an instance, if its manifest has a subject.
    pub(in crate::storage) async fn unlist_referrer(
        &self,
        image: &ImageName,
        digest: &Digest,
        instance: Id,
    ) -> Result<(), StoreError> {
        let known = self.caches.bodies.get(&instance).await;
        let body = match known {
            Some(body) => Some(body),
            None => self.fetch_body(image, digest, instance).await?,
        };
        let Some(body) = body else {
            return Ok(());
        };
        let Ok(parsed) = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone()) else {
            return Ok(());
        };
        match &parsed.manifest.subject {
            Some(subject) => self.store.delete(&layout::referrer(image, subject, instance)).await,
            None => Ok(()),
        }
    }
}
