//! Manifests: instances with a certificate, a body and a seal (docs/storage.md, "Manifest push", "Index push").

mod confirm;
mod delete;
mod push;
mod read;

use std::sync::Arc;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use bytes::Bytes;

use super::api::{ManifestError, StoredManifest};
use super::facade::Inner;
use super::id::Id;
use super::layout::{self, ManifestKey, Mentions};
use crate::oci::Manifest;
use crate::store::{Entry, NewObject, StoreError, list_all};

pub(super) use delete::Listing;

/// A manifest about to become an instance: its bytes and what they say.
pub(super) struct Parsed {
    pub(super) stored: Arc<StoredManifest>,
    pub(super) manifest: Manifest,
}

impl Parsed {
    pub(super) fn new(digest: Digest, media_type: &str, bytes: Bytes) -> Result<Self, String> {
        let manifest = Manifest::parse(media_type, &bytes)?;
        let stored = StoredManifest { digest, media_type: manifest.media_type.clone(), bytes };
        Ok(Self { stored: Arc::new(stored), manifest })
    }

    fn digest(&self) -> &Digest {
        &self.stored.digest
    }

    /// Digests whose holdings or instances this manifest needs; the subject is no need.
    fn mentions(&self) -> Mentions {
        let blobs = self.manifest.blobs.iter().map(|blob| &blob.digest);
        Mentions::of(blobs.chain(self.manifest.children.iter().map(|child| &child.digest)))
    }

    /// The key of an instance's seal: a function of the body.
    fn seal(&self, image: &ImageName, instance: Id) -> String {
        layout::seal(image, self.digest(), instance, &self.mentions())
    }

    fn body(&self) -> NewObject {
        NewObject { bytes: self.stored.bytes.clone(), content_type: Some(self.stored.media_type.clone()) }
    }
}

/// An instance of one manifest, as a LIST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) id: Id,
    /// What its seal says it mentions; `None` while it has no seal and hence is not visible.
    pub(super) seal: Option<Mentions>,
    /// Whether the seal has content: hints.
    hinted: bool,
    /// Whether the LIST showed its body.
    pub(super) body: bool,
}

/// The instances in a LIST of one manifest, newest first.
fn instances_in(entries: &[Entry]) -> Vec<Instance> {
    let mut instances: Vec<Instance> = Vec::new();
    for (entry, key) in entries.iter().filter_map(|entry| Some((entry, ManifestKey::parse(&entry.key)?))) {
        let at = instances.iter().position(|instance| instance.id == key.instance).unwrap_or_else(|| {
            instances.push(Instance { id: key.instance, seal: None, hinted: false, body: false });
            instances.len() - 1
        });
        match key.seal {
            None => instances[at].body = true,
            Some(mentions) => {
                instances[at].seal = Some(mentions);
                instances[at].hinted = entry.size > 0;
            }
        }
    }
    instances.sort_by_key(|instance| std::cmp::Reverse(instance.id));
    instances
}

impl Inner {
    /// Every instance of a manifest in an image, newest first.
    pub(super) async fn instances(&self, image: &ImageName, digest: &Digest) -> Result<Vec<Instance>, StoreError> {
        Ok(instances_in(&list_all(&*self.store, &layout::manifest(image, digest)).await?))
    }
}

impl From<String> for ManifestError {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}
