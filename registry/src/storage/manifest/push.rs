//! Pushing a manifest (docs/storage.md, "Manifest push", steps 1 to 9).

use berth_crds::digest::Digest;
use berth_crds::name::{ImageName, TagName};
use futures::{StreamExt as _, TryStreamExt as _};

use super::super::api::{ManifestError, ManifestPush, PushedManifest, TagPush};
use super::super::collector::notes::Review;
use super::super::facade::{Inner, Storage};
use super::super::hash;
use super::super::id::Id;
use super::super::layout::{self, TagVersion};
use super::Parsed;
use super::read::PARALLEL;
use crate::store::{NewObject, StoreError};

/// Attempts to get a whole push through between collectors; the second one already has a fresh instance.
const ATTEMPTS: usize = 3;

/// A tag on its way to a new value.
struct Move {
    tag: TagPush,
    /// Versions seen before, or written by an earlier attempt of this request.
    older: Vec<TagVersion>,
}

impl Storage {
    /// Stores a manifest, makes it visible and points tags to it.
    ///
    /// # Errors
    /// See [`ManifestError`]. After [`ManifestError::Raced`] and store failures the outcome is unknown and the same
    /// push may be repeated.
    pub async fn push_manifest(&self, image: &ImageName, push: ManifestPush) -> Result<PushedManifest, ManifestError> {
        let actual = hash::digest_of(push.digest.algorithm(), &push.bytes);
        if actual != push.digest {
            return Err(ManifestError::DigestMismatch { named: push.digest, actual });
        }
        let parsed = Parsed::new(push.digest, &push.media_type, push.bytes)?;
        let digest = parsed.digest();
        let (mut moves, instances, ()) = tokio::try_join!(
            self.inner.see_tags(image, &push.tags),
            self.inner.instances(image, digest),
            self.look_for_blobs(image, &parsed),
        )?;
        refuse_immutable(&moves, digest)?;
        let mut reuse = instances.iter().find(|instance| instance.seal.is_some()).map(|instance| instance.id);
        let mut older_instance = !instances.is_empty();
        let mut missing = Vec::new();
        for _ in 0..ATTEMPTS {
            let instance = match reuse.take() {
                Some(instance) => instance,
                None => {
                    let created = self.create_instance(image, &parsed, push.lenient, older_instance).await?;
                    missing = created.missing;
                    created.instance
                }
            };
            // The entry of a reused instance may be missing: its push may have died right before it.
            let listed = self.inner.write_referrer(image, &parsed, instance);
            let tagged = self.inner.write_versions(image, &parsed, instance, &mut moves);
            if let Err(error) = tokio::try_join!(listed, tagged) {
                self.note(Review::Instance { image: image.clone(), digest: digest.clone(), instance });
                return Err(error.into());
            }
            // The last read decides (rule 2): whoever retires the instance after it sees the tag.
            if self.inner.store.confirm(&layout::certificate(instance)).await?.is_some() {
                self.refuse_overtaken(image, digest, &moves).await?;
                self.remove_outranked(image, digest, instance, moves);
                return Ok(PushedManifest { digest: digest.clone(), subject: parsed.manifest.subject, missing });
            }
            self.note(Review::Instance { image: image.clone(), digest: digest.clone(), instance });
            // Retired under our hands: once more with a fresh instance, as the client's own retry would. The version
            // written stays: it is outranked by the next one.
            older_instance = true;
        }
        Err(ManifestError::Raced)
    }

    /// Fills the memory of holdings for blobs this replica has not seen, all at once, so that the check after the
    /// body need not begin with a LIST each.
    async fn look_for_blobs(&self, image: &ImageName, parsed: &Parsed) -> Result<(), StoreError> {
        let blobs = parsed.manifest.blobs.iter().filter(|blob| blob.required).map(|blob| blob.digest.clone());
        futures::stream::iter(blobs.collect::<std::collections::BTreeSet<Digest>>())
            .map(Ok)
            .try_for_each_concurrent(PARALLEL, |digest| async move {
                if self.inner.caches.holdings.contains_key(&(image.clone(), digest.clone())) {
                    return Ok(());
                }
                if let Some(newest) = self.inner.holdings(image, &digest).await?.first() {
                    self.remember(newest).await;
                }
                Ok(())
            })
            .await
    }

    /// An immutable tag that somebody else set between our first look and our version: ours goes again. Nobody moves
    /// an immutable tag, so nobody has removed the other's version as outranked by ours.
    async fn refuse_overtaken(&self, image: &ImageName, digest: &Digest, moves: &[Move]) -> Result<(), ManifestError> {
        for one in moves.iter().filter(|one| one.tag.immutable) {
            let versions = self.inner.tag_versions(image, &one.tag.name).await?;
            let Some(other) = versions.iter().find(|version| version.digest != *digest) else {
                continue;
            };
            for own in versions.iter().filter(|version| version.digest == *digest) {
                self.inner.store.delete(&own.key()).await?;
                self.note(Review::Instance { image: image.clone(), digest: digest.clone(), instance: own.instance });
            }
            return Err(ManifestError::TagImmutable { tag: one.tag.name.clone(), current: other.digest.clone() });
        }
        Ok(())
    }

    /// After the answer: removes the versions that the new one outranks, oldest first, so that a tag never falls
    /// back (invariant I8), and has their instances reviewed.
    fn remove_outranked(&self, image: &ImageName, digest: &Digest, instance: Id, moves: Vec<Move>) {
        if moves.is_empty() {
            self.note(Review::Instance { image: image.clone(), digest: digest.clone(), instance });
            return;
        }
        let storage = self.clone();
        self.inner.background.spawn(async move {
            for mut one in moves {
                let own = one.older.iter().map(TagVersion::rank).max();
                one.older.retain(|version| Some(version.rank()) != own);
                one.older.sort_by_key(TagVersion::rank);
                for version in one.older {
                    if let Err(error) = storage.inner.store.delete(&version.key()).await {
                        tracing::warn!(key = version.key(), %error, "an outranked tag version stays until fsck");
                        break;
                    }
                    if version.instance != instance {
                        let TagVersion { image, digest, instance, .. } = version;
                        storage.note(Review::Instance { image, digest, instance });
                    }
                }
            }
        });
    }
}

/// An instance that is confirmed and sealed.
pub(super) struct Created {
    pub(super) instance: Id,
    /// Children of a lenient index that are not here.
    pub(super) missing: Vec<Digest>,
}

impl Inner {
    async fn see_tags(&self, image: &ImageName, tags: &[TagPush]) -> Result<Vec<Move>, StoreError> {
        futures::stream::iter(tags.to_vec())
            .map(|tag| async move {
                let older = self.tag_versions(image, &tag.name).await?;
                Ok(Move { tag, older })
            })
            .buffered(PARALLEL)
            .try_collect()
            .await
    }

    async fn write_versions(
        &self,
        image: &ImageName,
        parsed: &Parsed,
        instance: Id,
        moves: &mut [Move],
    ) -> Result<(), StoreError> {
        futures::stream::iter(moves.iter_mut())
            .map(Ok)
            .try_for_each_concurrent(PARALLEL, |one| async move {
                let version = self.write_version(image, &one.tag.name, parsed, instance, &one.older).await?;
                one.older.push(version);
                Ok(())
            })
            .await
    }

    async fn write_version(
        &self,
        image: &ImageName,
        tag: &TagName,
        parsed: &Parsed,
        instance: Id,
        older: &[TagVersion],
    ) -> Result<TagVersion, StoreError> {
        let seq = older.iter().map(|version| version.seq).max().unwrap_or(0) + 1;
        self.birth(NewObject::marker(), |id| {
            let version = TagVersion {
                image: image.clone(),
                tag: tag.clone(),
                seq,
                id,
                instance,
                digest: parsed.digest().clone(),
                kind: parsed.manifest.kind,
                size: parsed.manifest.total_size,
            };
            let key = version.key();
            (version, key)
        })
        .await
    }
}

fn refuse_immutable(moves: &[Move], digest: &Digest) -> Result<(), ManifestError> {
    for one in moves.iter().filter(|one| one.tag.immutable) {
        let current = one.older.iter().max_by_key(|version| version.rank());
        if let Some(current) = current.filter(|current| current.digest != *digest) {
            return Err(ManifestError::TagImmutable { tag: one.tag.name.clone(), current: current.digest.clone() });
        }
    }
    Ok(())
}
