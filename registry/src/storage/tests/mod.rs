//! The protocol through its own door, over a store in memory.

mod blobs;
mod collection;
mod fsck;
mod hints;
mod manifests;
mod rules;
mod simulation;
mod stage;
mod tags;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::{ImageName, TagName};
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::store::memory::MemoryStore;
use crate::store::read_all;

/// A storage over a bucket of its own.
pub(super) struct Bed {
    pub(super) store: MemoryStore,
    pub(super) storage: Storage,
}

/// Clocks at zero: whatever is unreferenced may go at once.
pub(super) fn impatient() -> Settings {
    let zero = Duration::ZERO;
    Settings { grace: zero, quarantine: zero, undo: zero, ..Settings::default() }
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let store = MemoryStore::new();
        let storage = Storage::new(Arc::new(store.clone()), settings);
        Self { store, storage }
    }

    /// Another replica over the same bucket: it remembers nothing of what the first one did.
    pub(super) fn replica(&self) -> Storage {
        Storage::new(Arc::new(self.store.clone()), self.storage.settings().clone())
    }

    /// Keys of content below a prefix.
    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.store.snapshot().into_keys().filter(|key| key.starts_with(prefix)).collect()
    }

    pub(super) async fn blob(&self, image: &str, bytes: &[u8]) -> Digest {
        upload(&self.storage, &name(image), bytes).await
    }

    /// Pushes an image of a config and layers, whose blobs are uploaded first.
    pub(super) async fn image(&self, image: &str, tag: Option<&str>, layers: &[&[u8]]) -> Digest {
        push_image(&self.storage, &name(image), tag, layers).await.unwrap()
    }

    pub(super) async fn resolve(&self, image: &str, tag: &str) -> Option<Digest> {
        resolve(&self.storage, &name(image), tag).await
    }

    pub(super) async fn collect(&self) -> Collected {
        self.storage.settle().await;
        self.storage.collect_all().await.unwrap()
    }
}

pub(super) fn name(image: &str) -> ImageName {
    image.parse().unwrap()
}

pub(super) fn tag(tag: &str) -> TagName {
    tag.parse().unwrap()
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    hash::digest_of(Algorithm::Sha256, bytes)
}

pub(super) fn body(bytes: &[u8]) -> Incoming {
    let chunks: Vec<std::io::Result<Bytes>> = bytes.chunks(64 << 10).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    Box::pin(futures::stream::iter(chunks))
}

/// A body whose client goes away after these bytes.
pub(super) fn broken_body(bytes: &[u8]) -> Incoming {
    use futures::StreamExt as _;
    let gone = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the client went away");
    Box::pin(body(bytes).chain(futures::stream::once(async { Err(gone) })))
}

pub(super) async fn upload(storage: &Storage, image: &ImageName, bytes: &[u8]) -> Digest {
    let digest = sha256(bytes);
    let state = storage.begin_upload(None);
    storage.finish(image, state, None, Some(bytes.len() as u64), body(bytes), &digest).await.unwrap();
    digest
}

pub(super) async fn read(storage: &Storage, image: &ImageName, digest: &Digest) -> Option<Bytes> {
    match storage.get_blob(image, digest, None).await {
        Ok(reader) => Some(read_all(reader.body).await.unwrap()),
        Err(BlobError::Unknown) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

pub(super) const CONFIG: &[u8] = b"{}";

/// An image manifest over a config and layers.
pub(super) fn manifest_of(layers: &[&[u8]], subject: Option<&Digest>) -> Bytes {
    let layer_type = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<Value> = layers.iter().map(|l| descriptor(layer_type, &sha256(l), l.len())).collect();
    let config = descriptor("application/vnd.oci.image.config.v1+json", &sha256(CONFIG), CONFIG.len());
    let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(OCI_MANIFEST, subject, 2);
    }
    manifest.to_string().into()
}

pub(super) fn index_of(children: &[&Digest]) -> Bytes {
    let children: Vec<Value> = children.iter().map(|child| descriptor(OCI_MANIFEST, child, 2)).collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).to_string().into()
}

pub(super) async fn push(
    storage: &Storage,
    image: &ImageName,
    tags: &[&str],
    media_type: &str,
    bytes: Bytes,
) -> Result<PushedManifest, ManifestError> {
    let tags = tags.iter().map(|name| TagPush { name: tag(name), immutable: false }).collect();
    let push = ManifestPush { digest: sha256(&bytes), media_type: media_type.to_owned(), bytes, tags, lenient: true };
    storage.push_manifest(image, push).await
}

pub(super) async fn push_image(
    storage: &Storage,
    image: &ImageName,
    tag: Option<&str>,
    layers: &[&[u8]],
) -> Result<Digest, ManifestError> {
    upload(storage, image, CONFIG).await;
    for layer in layers {
        upload(storage, image, layer).await;
    }
    let tags: Vec<&str> = tag.into_iter().collect();
    Ok(push(storage, image, &tags, OCI_MANIFEST, manifest_of(layers, None)).await?.digest)
}

pub(super) async fn resolve(storage: &Storage, image: &ImageName, name: &str) -> Option<Digest> {
    storage.get_manifest(image, &Reference::Tag(tag(name))).await.unwrap().map(|manifest| manifest.digest)
}
