//! From a body to a visible instance: everything it references is read as live after the body was written.

use std::collections::BTreeSet;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};

use super::super::api::ManifestError;
use super::super::blobs::Confirmation;
use super::super::collector::notes::Review;
use super::super::facade::Storage;
use super::super::hints;
use super::super::id::Id;
use super::super::layout::{self, ChildLink, Holding};
use super::Parsed;
use super::push::Created;
use super::read::PARALLEL;
use crate::store::{NewObject, StoreError, list_all};

/// Attempts to write a body, each under a certificate of its own.
const BODIES: usize = 3;

impl Storage {
    /// Makes a fresh instance of a manifest and confirms and seals it (steps 3 to 5).
    ///
    /// `older` says that another instance of this digest was seen, sealed or not: its referrers may have been
    /// retired with it and are revived (step 3b, amendment R6).
    pub(super) fn create_instance<'a>(
        &'a self,
        image: &'a ImageName,
        parsed: &'a Parsed,
        lenient: bool,
        older: bool,
    ) -> BoxFuture<'a, Result<Created, ManifestError>> {
        Box::pin(async move {
            let instance = self.write_body(image, parsed).await?;
            let confirmed = self.confirm_contents(image, parsed, instance, lenient);
            let revived = async { if older { self.revive_referrers(image, parsed.digest()).await } else { Ok(()) } };
            let outcome = tokio::try_join!(confirmed, revived);
            let (contents, ()) = match outcome {
                Ok(both) => both,
                Err(error) => {
                    // The body stays and is reviewed: it may have been written twice and is nobody's evidence.
                    let (image, digest) = (image.clone(), parsed.digest().clone());
                    self.note(Review::Instance { image, digest, instance });
                    return Err(error);
                }
            };
            let seal = parsed.seal(image, instance);
            self.inner.store.put(&seal, hints::seal_of(&contents.holdings)).await?;
            self.inner.caches.bodies.insert(instance, std::sync::Arc::clone(&parsed.stored)).await;
            Ok(Created { instance, missing: contents.missing })
        })
    }

    /// Certificate first (rule 1), then the body, which is the record of everything the manifest references.
    async fn write_body(&self, image: &ImageName, parsed: &Parsed) -> Result<Id, StoreError> {
        let mut attempt = 1;
        loop {
            let instance = self.take_certificate().await?;
            let key = layout::body(image, parsed.digest(), instance);
            match self.inner.store.birth(&key, parsed.body()).await {
                Ok(()) => return Ok(instance),
                Err(StoreError::Unavailable { .. } | StoreError::Other { .. }) if attempt < BODIES => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Step 4 and its counterpart for indexes.
    async fn confirm_contents(
        &self,
        image: &ImageName,
        parsed: &Parsed,
        instance: Id,
        lenient: bool,
    ) -> Result<Contents, ManifestError> {
        let required = parsed.manifest.blobs.iter().filter(|blob| blob.required);
        let blobs: BTreeSet<Digest> = required.map(|blob| blob.digest.clone()).collect();
        let children: BTreeSet<Digest> = parsed.manifest.children.iter().map(|child| child.digest.clone()).collect();
        let mut contents = Contents::default();
        let blob = |digest: Digest| async move { Ok(Some(self.confirm_blob(image, &digest).await?)) };
        contents.add(confirm_each(blobs, blob).await?);
        if !contents.missing.is_empty() {
            return Err(ManifestError::ContentUnknown(contents.missing));
        }
        self.link_children(image, parsed.digest(), instance, &children).await?;
        let child = |digest: Digest| async move { self.confirm_child(image, &digest, lenient).await };
        contents.add(confirm_each(children, child).await?);
        if lenient || contents.missing.is_empty() {
            Ok(contents)
        } else {
            Err(ManifestError::ContentUnknown(contents.missing))
        }
    }

    /// Evidence in order: body before child links, child links before the check (rule 7).
    async fn link_children(
        &self,
        image: &ImageName,
        parent: &Digest,
        parent_instance: Id,
        children: &BTreeSet<Digest>,
    ) -> Result<(), StoreError> {
        let links = children.iter().map(|child| {
            let (image, child, parent) = (image.clone(), child.clone(), parent.clone());
            ChildLink { image, child, parent, parent_instance }
        });
        futures::stream::iter(links.collect::<Vec<ChildLink>>())
            .map(Ok)
            .try_for_each_concurrent(PARALLEL, |link| async move {
                self.inner.store.put(&link.key(), NewObject::marker()).await
            })
            .await
    }

    /// Confirms a child: as a live manifest or as one that could be revived (`None`), or as a blob (old build caches
    /// list layers in an index).
    async fn confirm_child(
        &self,
        image: &ImageName,
        child: &Digest,
        lenient: bool,
    ) -> Result<Option<Confirmation>, ManifestError> {
        let instances = self.inner.instances(image, child).await?;
        let sealed: Vec<Id> =
            instances.iter().filter(|instance| instance.seal.is_some()).map(|instance| instance.id).collect();
        for instance in &sealed {
            if self.inner.store.confirm(&layout::certificate(*instance)).await?.is_some() {
                return Ok(None);
            }
        }
        for instance in sealed {
            if self.revive(image, child, instance, lenient).await?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(self.confirm_blob(image, child).await?))
    }

    /// Pushes the bytes of a retired instance as a fresh one. The reference to it was written before, so it needs no
    /// read (rule 11, amendment R4). `None` when the bytes are gone.
    async fn revive(
        &self,
        image: &ImageName,
        digest: &Digest,
        retired: Id,
        lenient: bool,
    ) -> Result<Option<(Id, Parsed)>, ManifestError> {
        let Some(body) = self.inner.fetch_body(image, digest, retired).await? else {
            return Ok(None);
        };
        let parsed = Parsed::new(digest.clone(), &body.media_type, body.bytes.clone())?;
        let created = self.create_instance(image, &parsed, lenient, true).await?;
        tracing::info!(%image, %digest, "a retired manifest was revived by a push");
        Ok(Some((created.instance, parsed)))
    }

    /// Retired referrers of a digest that is being pushed again live on under fresh instances (step 3b). One that
    /// cannot be confirmed fails the push: a visible referrer never lacks its blobs.
    async fn revive_referrers(&self, image: &ImageName, subject: &Digest) -> Result<(), ManifestError> {
        let entries = list_all(&*self.inner.store, &layout::referrers(image, subject)).await?;
        for entry in entries {
            let Some((_, _, instance)) = layout::parse_referrer(&entry.key) else {
                continue;
            };
            if self.inner.store.confirm(&layout::certificate(instance)).await?.is_some() {
                continue;
            }
            let Some((digest, _)) = self.inner.fetch_referrer(&entry.key).await? else {
                continue;
            };
            match self.revive(image, &digest, instance, true).await {
                Ok(Some((fresh, parsed))) => self.inner.write_referrer(image, &parsed, fresh).await?,
                Ok(None) => {}
                Err(ManifestError::ContentUnknown(_)) => return Err(ManifestError::Raced),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a manifest was confirmed with.
#[derive(Default)]
struct Contents {
    /// Mentioned, and not here.
    missing: Vec<Digest>,
    /// Where each blob is.
    holdings: Vec<Holding>,
}

impl Contents {
    /// `None` is a manifest, found.
    fn add(&mut self, confirmed: Vec<(Digest, Option<Confirmation>)>) {
        for (digest, confirmation) in confirmed {
            match confirmation {
                Some(Confirmation::Live(holding)) => self.holdings.push(holding),
                Some(Confirmation::Absent) => self.missing.push(digest),
                None => {}
            }
        }
    }
}

/// Confirms many digests side by side; answers in their order.
async fn confirm_each<F>(
    digests: BTreeSet<Digest>,
    confirm: impl Fn(Digest) -> F,
) -> Result<Vec<(Digest, Option<Confirmation>)>, ManifestError>
where
    F: Future<Output = Result<Option<Confirmation>, ManifestError>>,
{
    futures::stream::iter(digests)
        .map(|digest| {
            let confirmation = confirm(digest.clone());
            async move { Ok::<_, ManifestError>((digest, confirmation.await?)) }
        })
        .buffered(PARALLEL)
        .try_collect()
        .await
}
