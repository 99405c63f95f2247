//! Sweeping manifest instances (docs/storage.md, "Repository sweep, part 1").

use std::collections::HashSet;
use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::facade::Storage;
use super::super::id::Id;
use super::super::layout::{self, ChildLink};
use super::super::manifest::{Instance, Parsed};
use super::notes::Review;
use super::{AGAIN, Collected};
use crate::store::{StoreError, list_all};

impl Storage {
    /// Deletes the instances that nothing refers to, and has everything they referred to reviewed.
    pub(super) async fn sweep_instances(
        &self,
        image: &ImageName,
        instances: Vec<(Digest, Id)>,
    ) -> Result<Collected, StoreError> {
        // Liveness only: what is in use is not even retired.
        let tagged = self.tagged_instances(image).await?;
        let mut candidates = Vec::new();
        for (digest, instance) in instances {
            if tagged.contains(&instance) || !self.inner.living_parents(image, &digest).await?.is_empty() {
                continue;
            }
            if self.has_living_subject(image, &digest, instance).await? {
                self.look_again(image, &digest, instance);
                continue;
            }
            candidates.push((digest, instance));
        }
        if candidates.is_empty() {
            return Ok(Collected::default());
        }
        // Retire, and go on only with what is known to be retired (rule 9).
        let certificates = candidates.iter().map(|(_, instance)| layout::certificate(*instance)).collect();
        let failed = self.inner.delete_keys(certificates).await;
        let (unretired, candidates): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|(_, instance)| failed.contains_key(&layout::certificate(*instance)));
        for (digest, instance) in unretired {
            self.look_again(image, &digest, instance);
        }
        // Then list.
        let tagged = self.tagged_instances(image).await?;
        let mut freed = Collected::default();
        for (digest, instance) in candidates {
            let referenced = tagged.contains(&instance)
                || !self.inner.living_parents(image, &digest).await?.is_empty()
                || self.has_living_subject(image, &digest, instance).await?;
            if referenced {
                self.look_again(image, &digest, instance);
                continue;
            }
            freed.add(&self.delete_instance(image, &digest, instance).await?);
        }
        Ok(freed)
    }

    /// Removes a retired instance that nothing refers to: seal and referrer entry, then the body, then the child
    /// links, each step known to be done before the next.
    async fn delete_instance(&self, image: &ImageName, digest: &Digest, instance: Id) -> Result<Collected, StoreError> {
        let Some(body) = self.inner.fetch_body(image, digest, instance).await? else {
            return Ok(Collected::default());
        };
        let parsed = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone()).ok();
        if let Some(parsed) = &parsed {
            self.review_contents(image, parsed).await?;
        }
        let all = self.inner.instances(image, digest).await?;
        if let Some(mentions) =
            all.iter().find(|other| other.id == instance).and_then(|own: &Instance| own.seal.as_ref())
        {
            self.inner.store.delete(&layout::seal(image, digest, instance, mentions)).await?;
        }
        if let Some(subject) = parsed.as_ref().and_then(|parsed| parsed.manifest.subject.as_ref()) {
            self.inner.store.delete(&layout::referrer(image, subject, instance)).await?;
        }
        let body_key = layout::body(image, digest, instance);
        self.inner.store.delete(&body_key).await?;
        self.inner.caches.bodies.invalidate(&instance).await;
        // A child link is garbage only if its owner's body is seen absent after the link was seen (rule 7).
        if let Some(parsed) = &parsed
            && !parsed.manifest.children.is_empty()
            && self.inner.store.head(&body_key).await?.is_none()
        {
            let links = parsed.manifest.children.iter().map(|child| {
                let (image, parent) = (image.clone(), digest.clone());
                ChildLink { image, child: child.digest.clone(), parent, parent_instance: instance }.key()
            });
            for (key, error) in self.inner.delete_keys(links.collect()).await {
                tracing::warn!(key, %error, "a child link stays until fsck");
            }
        }
        Ok(Collected { manifests: 1, bytes: body.bytes.len() as u64, ..Collected::default() })
    }

    /// Everything a collected manifest referred to may have lost its last user. Their grace has been served with it.
    async fn review_contents(&self, image: &ImageName, parsed: &Parsed) -> Result<(), StoreError> {
        let now = Duration::ZERO;
        for blob in &parsed.manifest.blobs {
            self.note_after(Review::Blob { image: image.clone(), digest: blob.digest.clone() }, now);
        }
        for child in &parsed.manifest.children {
            let instances = self.inner.instances(image, &child.digest).await?;
            if instances.is_empty() {
                self.note_after(Review::Blob { image: image.clone(), digest: child.digest.clone() }, now);
            }
            for instance in instances {
                let (image, digest) = (image.clone(), child.digest.clone());
                self.note_after(Review::Instance { image, digest, instance: instance.id }, now);
            }
        }
        for entry in list_all(&*self.inner.store, &layout::referrers(image, &parsed.stored.digest)).await? {
            let Some((image, _, instance)) = layout::parse_referrer(&entry.key) else {
                continue;
            };
            if let Some((digest, _)) = self.inner.fetch_referrer(&entry.key).await? {
                self.note_after(Review::Instance { image, digest, instance }, now);
            }
        }
        Ok(())
    }

    async fn tagged_instances(&self, image: &ImageName) -> Result<HashSet<Id>, StoreError> {
        Ok(self.inner.all_tag_versions(image).await?.into_iter().map(|version| version.instance).collect())
    }

    /// A referrer lives as long as its subject.
    async fn has_living_subject(&self, image: &ImageName, digest: &Digest, instance: Id) -> Result<bool, StoreError> {
        let Some(body) = self.inner.fetch_body(image, digest, instance).await? else {
            return Ok(false);
        };
        let parsed = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone());
        let Some(subject) = parsed.ok().and_then(|parsed| parsed.manifest.subject) else {
            return Ok(false);
        };
        Ok(self.inner.instances(image, &subject).await?.iter().any(|instance| instance.body))
    }

    fn look_again(&self, image: &ImageName, digest: &Digest, instance: Id) {
        let (image, digest) = (image.clone(), digest.clone());
        self.note_after(Review::Instance { image, digest, instance }, AGAIN);
    }
}
