//! What a seal hints at: a cold pull that looks there first, and what it does when nothing is there.

use super::*;
use crate::store::memory::Operation;
use crate::store::{NewObject, Store as _};

const LAYER: &[u8] = b"layer";

fn large() -> Vec<u8> {
    vec![5; 9 << 20]
}

impl Bed {
    fn lists(&self) -> u64 {
        self.store.counts().get(&Operation::List).copied().unwrap_or_default()
    }

    /// LISTs that a replica which has seen nothing needs for the blobs of a manifest, once that has been read.
    async fn lists_of_a_pull(&self, reference: &Reference, blobs: &[&[u8]]) -> u64 {
        let (replica, image) = (self.replica(), name("a/b"));
        replica.get_manifest(&image, reference).await.unwrap().unwrap();
        let before = self.lists();
        for blob in blobs {
            assert_eq!(read(&replica, &image, &sha256(blob)).await.unwrap(), *blob);
        }
        self.lists() - before
    }

    fn seal(&self) -> String {
        self.keys("r/a!b!/m/").into_iter().find(|key| key.contains('.')).unwrap()
    }

    async fn overwrite(&self, key: &str, bytes: &[u8]) {
        self.store.put(key, NewObject::bytes(bytes.to_vec())).await.unwrap();
    }
}

#[tokio::test]
async fn a_cold_pull_by_tag_or_digest_needs_no_list_for_a_blob() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[LAYER, &large()]).await;
    for reference in [Reference::Tag(tag("v1")), Reference::Digest(digest)] {
        assert_eq!(bed.lists_of_a_pull(&reference, &[CONFIG, LAYER, &large()]).await, 0, "{reference:?}");
    }
}

/// Old build caches list layers in an index.
#[tokio::test]
async fn blobs_of_an_index_are_hinted_at_too() {
    let bed = Bed::new();
    let blob = bed.blob("a/b", LAYER).await;
    push(&bed.storage, &name("a/b"), &["cache"], OCI_INDEX, index_of(&[&blob])).await.unwrap();
    assert_eq!(bed.lists_of_a_pull(&Reference::Tag(tag("cache")), &[LAYER]).await, 0);
}

/// A holding that was replaced since, small or large, costs the LIST it would have cost without a hint.
#[tokio::test]
async fn a_hint_that_is_not_true_any_more_falls_back_to_the_list() {
    for layer in [LAYER.to_vec(), large()] {
        let bed = Bed::new();
        bed.image("a/b", Some("v1"), &[&layer]).await;
        let hinted = bed.keys(&layout::holdings_of(&sha256(&layer), &name("a/b")));
        for key in hinted {
            let holding = layout::Holding::parse(&key).unwrap();
            bed.store.delete(&holding.bytes_key()).await.unwrap();
            bed.store.delete(&key).await.unwrap();
        }
        upload(&bed.replica(), &name("a/b"), &layer).await;
        assert_eq!(bed.lists_of_a_pull(&Reference::Tag(tag("v1")), &[CONFIG, &layer]).await, 1);
    }
}

/// Empty ones are those of earlier versions.
#[tokio::test]
async fn hints_that_cannot_be_read_are_no_hints() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[LAYER]).await;
    let seal = bed.seal();
    let whole = bed.store.snapshot()[&seal].bytes.clone();
    let too_long = [&whole[..], &vec![b'\n'; 64 << 10]].concat();
    for content in [&b""[..], b"1 ", b"\xff\xfe", &whole[..whole.len() - 1], &too_long] {
        bed.overwrite(&seal, content).await;
        for reference in [Reference::Tag(tag("v1")), Reference::Digest(digest.clone())] {
            assert_eq!(bed.lists_of_a_pull(&reference, &[CONFIG, LAYER]).await, 2, "{reference:?}");
        }
    }
}

/// A blob that is gone for good is unknown, whatever a seal says of it; and so it is for another image.
#[tokio::test]
async fn a_hint_makes_nothing_readable() {
    let bed = Bed::new();
    bed.image("a/b", Some("v1"), &[LAYER]).await;
    let replica = bed.replica();
    replica.get_manifest(&name("a/b"), &Reference::Tag(tag("v1"))).await.unwrap().unwrap();
    assert!(read(&replica, &name("c/d"), &sha256(LAYER)).await.is_none());
    for key in bed.keys(&layout::holdings_of(&sha256(LAYER), &name("a/b"))) {
        bed.store.delete(&key).await.unwrap();
    }
    assert!(read(&replica, &name("a/b"), &sha256(LAYER)).await.is_none());
}

/// Hints are evidence of nothing: a mount and a push look for themselves.
#[tokio::test]
async fn pushes_and_mounts_do_not_see_hints() {
    let bed = Bed::new();
    let layer = large();
    bed.image("a/b", Some("v1"), &[&layer]).await;
    let replica = bed.replica();
    replica.get_manifest(&name("a/b"), &Reference::Tag(tag("v1"))).await.unwrap().unwrap();
    for key in bed.keys(&layout::holdings_of(&sha256(&layer), &name("a/b"))) {
        bed.store.delete(&key).await.unwrap();
    }
    assert!(replica.mount(&name("c/d"), &sha256(&layer), &[name("a/b")]).await.unwrap().is_none());
    assert!(bed.keys(&layout::holdings_of(&sha256(&layer), &name("c/d"))).is_empty(), "no holding of unseen data");
    assert!(matches!(replica.head_blob(&name("a/b"), &sha256(&layer)).await, Err(BlobError::Unknown)));
    let other = manifest_of(&[&layer, CONFIG], None);
    let refused = push(&replica, &name("a/b"), &["v2"], OCI_MANIFEST, other).await;
    assert!(matches!(refused, Err(ManifestError::ContentUnknown(missing)) if missing == [sha256(&layer)]));
}

/// The seal of a revived referrer says where its blobs are now.
#[tokio::test]
async fn a_revived_manifest_hints_at_its_healed_blobs() {
    let bed = Bed::new();
    bed.image("a/b", Some("v1"), &[LAYER]).await;
    bed.storage.settle().await;
    for key in bed.keys("a/") {
        bed.store.delete(&key).await.unwrap();
    }
    for key in bed.keys("b/") {
        bed.store.retire(&key).await.unwrap();
    }
    let storage = bed.replica();
    push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[LAYER], None)).await.unwrap();
    storage.settle().await;
    let objects = bed.store.snapshot();
    for (flagged, _) in objects.iter().filter(|(_, object)| object.retired) {
        bed.store.delete(flagged).await.unwrap();
    }
    assert_eq!(bed.lists_of_a_pull(&Reference::Tag(tag("v1")), &[CONFIG, LAYER]).await, 0);
}

/// Amendment R7: the seal is looked for under the key that follows from the body; another version of the registry
/// may have named it otherwise, so only a LIST says that there is none.
#[tokio::test]
async fn a_seal_under_another_name_is_found() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[LAYER]).await;
    let seal = bed.seal();
    bed.store.delete(&seal).await.unwrap();
    assert_eq!(resolve(&bed.replica(), &name("a/b"), "v1").await, None);
    let instance = layout::ManifestKey::parse(&seal).unwrap().instance;
    let renamed = layout::seal(&name("a/b"), &digest, instance, &layout::Mentions::Unlisted);
    bed.overwrite(&renamed, b"").await;
    assert_eq!(resolve(&bed.replica(), &name("a/b"), "v1").await, Some(digest));
}
