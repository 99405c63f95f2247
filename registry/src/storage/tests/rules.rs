//! One test per rule of docs/storage.md: it plays the interleaving, or the failure of the store, that the rule is for,
//! and fails when the rule is taken out. The table at the end of that page says which test is for which rule.

mod births;
mod blob_deletes;
mod collectors;
mod large_data;
mod manifest_deletes;
mod power_cuts;
mod pushes;
mod reads;
mod tag_deletes;

use super::stage::Stage;
use super::*;
use crate::storage::layout::TagVersion;
use crate::store::memory::Operation;
use crate::store::{NewObject, Store as _};

/// Keys below these are bodies and seals, tag versions, child links of the image `a/b`, in which nearly all happens.
const MANIFESTS: &str = "r/a!b!/m/";
const VERSIONS: &str = "r/a!b!/t/";
const LINKS: &str = "r/a!b!/c/";
const CERTIFICATES: &str = "a/";

impl Bed {
    /// A replica that remembers nothing, and the stage on which it plays.
    fn staged(&self) -> (Stage, Storage) {
        let stage = Stage::over(&self.store);
        let storage = Storage::new(Arc::new(stage.clone()), self.storage.settings().clone());
        (stage, storage)
    }

    /// The sealed instance of a manifest of `a/b`.
    fn instance(&self, digest: &Digest) -> Id {
        let keys = self.keys(&layout::manifest(&name("a/b"), digest));
        let sealed = keys.iter().filter_map(|key| layout::ManifestKey::parse(key)).find(|key| key.seal.is_some());
        sealed.expect("the manifest was pushed").instance
    }

    /// What pushes of a tag leave behind until they have removed what they outrank: a version, and nothing removed.
    async fn plant_version(&self, tag_name: &str, seq: u64, digest: &Digest) -> String {
        plant_version(&self.store, tag_name, seq, digest, self.instance(digest)).await
    }
}

async fn plant_version(store: &MemoryStore, tag_name: &str, seq: u64, digest: &Digest, instance: Id) -> String {
    let (image, id, kind) = (name("a/b"), Ids::random().next(), ManifestKind::Image);
    let version = TagVersion { image, tag: tag(tag_name), seq, id, instance, digest: digest.clone(), kind, size: 1 };
    store.put(&version.key(), NewObject::marker()).await.unwrap();
    version.key()
}

/// The beginning of the key of a version of a tag.
fn version_key(tag: &str, seq: u64) -> String {
    format!("{VERSIONS}{tag}!/{seq:010}.")
}

/// No waiting for anything but the quarantine: what is retired is not deleted in the same turn.
fn quarantined() -> Settings {
    Settings { quarantine: Duration::from_secs(3600), ..impatient() }
}

/// A blob that is data of its own.
fn large() -> Vec<u8> {
    vec![5; (8 << 20) + 1]
}

/// What a tag of `a/b` names is there, blobs and all, on a replica that remembers nothing.
async fn assert_whole(bed: &Bed, tag_name: &str, expected: &Digest) {
    assert_eq!(bed_resolve(bed, tag_name).await.as_ref(), Some(expected), "{tag_name}");
    assert_manifest_whole(&bed.replica(), &name("a/b"), expected).await;
}

async fn assert_manifest_whole(storage: &Storage, image: &ImageName, digest: &Digest) {
    let manifest = storage.get_manifest(image, &Reference::Digest(digest.clone())).await.unwrap();
    let manifest = manifest.unwrap_or_else(|| panic!("{digest} is gone"));
    let parsed = crate::oci::Manifest::parse(&manifest.media_type, &manifest.bytes).unwrap();
    for blob in parsed.blobs {
        assert!(read(storage, image, &blob.digest).await.is_some(), "the blob {} is gone", blob.digest);
    }
}

/// What a tag of `a/b` says to a replica that remembers nothing.
async fn bed_resolve(bed: &Bed, tag_name: &str) -> Option<Digest> {
    resolve(&bed.replica(), &name("a/b"), tag_name).await
}
