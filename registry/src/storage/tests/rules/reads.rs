//! Reads that begin with a LIST, while what it named is replaced (amendment R14).

use super::*;

/// Amendment R14: the version that was listed is gone when its manifest is read; the tag has a newer one, and 404 would
/// be false.
#[tokio::test]
async fn a_tag_that_moves_while_it_is_read_is_not_absent() {
    let bed = Bed::with(impatient());
    bed.image("a/b", Some("v1"), &[b"one"]).await;
    let (stage, reader) = bed.staged();
    let (mover, store) = (bed.replica(), bed.store.clone());
    stage.before(Operation::Get, MANIFESTS, async move { move_and_collect(&mover, store, b"two").await });
    let read = resolve(&reader, &name("a/b"), "v1").await;
    stage.assert_played();
    assert_eq!(read, Some(sha256(&manifest_of(&[b"two"], None))));
}

/// Moves `v1` to an image of this layer and frees what it named before.
async fn move_and_collect(storage: &Storage, store: MemoryStore, layer: &[u8]) {
    let before: Vec<String> = store.snapshot().into_keys().filter(|key| key.starts_with(MANIFESTS)).collect();
    push_image(storage, &name("a/b"), Some("v1"), &[layer]).await.unwrap();
    storage.settle().await;
    storage.collect_due().await.unwrap();
    assert!(before.iter().any(|key| !store.snapshot().contains_key(key)), "nothing was freed");
}

/// Amendments R7 and R14: the body that was listed is there, its seal goes before it is asked for. What has a body alone
/// is on its way out, and the tag has moved.
#[tokio::test]
async fn a_tag_that_moves_between_body_and_seal_has_its_new_value() {
    let bed = Bed::with(impatient());
    let digest = bed.image("a/b", Some("v1"), &[b"one"]).await;
    let (stage, reader) = bed.staged();
    let (mover, store) = (bed.replica(), bed.store.clone());
    let seal = format!("{}.", layout::body(&name("a/b"), &digest, bed.instance(&digest)));
    stage.before(Operation::Get, &seal, async move { move_and_collect(&mover, store, b"two").await });
    let read = resolve(&reader, &name("a/b"), "v1").await;
    stage.assert_played();
    assert_eq!(read, Some(sha256(&manifest_of(&[b"two"], None))));
}

/// Amendment R14: while a LIST runs a tag moves; it may miss the version that came and the one that went.
#[tokio::test]
async fn an_empty_list_of_a_moving_tag_is_not_believed() {
    let bed = Bed::new();
    bed.image("a/b", Some("v1"), &[b"one"]).await;
    bed.storage.settle().await;
    let (stage, reader) = bed.staged();
    let mover = bed.replica();
    stage.missing(VERSIONS, &[version_key("v1", 2)], async move {
        push_image(&mover, &name("a/b"), Some("v1"), &[b"two"]).await.unwrap();
        mover.settle().await;
    });
    let read = resolve(&reader, &name("a/b"), "v1").await;
    stage.assert_played();
    assert_eq!(read, Some(sha256(&manifest_of(&[b"two"], None))));
}

/// Amendment R14: the highest version that was listed is gone; before a lower one is answered the tag is listed again,
/// for a higher one may have been acknowledged since.
#[tokio::test]
async fn a_lower_version_is_answered_only_if_nothing_higher_came() {
    let bed = Bed::with(quarantined());
    let first = bed.image("a/b", Some("another"), &[b"one"]).await;
    bed.plant_version("v1", 1, &first).await;
    bed.image("a/b", None, &[b"two"]).await;
    bed.plant_version("v1", 2, &sha256(&manifest_of(&[b"two"], None))).await;
    let (stage, reader) = bed.staged();
    let (mover, store) = (bed.replica(), bed.store.clone());
    // What was lower is readable all the time, for another tag names it.
    stage.before(Operation::Get, MANIFESTS, async move { move_and_collect(&mover, store, b"three").await });
    let read = resolve(&reader, &name("a/b"), "v1").await;
    stage.assert_played();
    assert_eq!(read, Some(sha256(&manifest_of(&[b"three"], None))));
}

/// The same for a manifest by digest: the instance that was listed is gone, and the manifest has another.
#[tokio::test]
async fn a_manifest_that_is_pushed_anew_while_it_is_read_is_not_absent() {
    let bed = Bed::with(quarantined());
    let digest = bed.image("a/b", None, &[b"one"]).await;
    let (stage, reader) = bed.staged();
    let mover = bed.replica();
    stage.before(Operation::Get, MANIFESTS, {
        let digest = digest.clone();
        async move {
            mover.delete_manifest(&name("a/b"), &digest).await.unwrap();
            mover.collect_due().await.unwrap();
            push_image(&mover, &name("a/b"), None, &[b"one"]).await.unwrap();
        }
    });
    let read = reader.get_manifest(&name("a/b"), &Reference::Digest(digest.clone())).await.unwrap();
    stage.assert_played();
    assert_eq!(read.map(|manifest| manifest.digest), Some(digest));
}
