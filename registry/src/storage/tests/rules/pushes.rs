//! Manifest and index pushes: evidence in order (rule 7), visible in order (rule 8), and what a push brings back.

use super::*;

/// The entries of referrers in `a/b`.
const REFERRERS: &str = "r/a!b!/f/";

fn strict(bytes: &Bytes, tag_name: &str) -> ManifestPush {
    ManifestPush {
        digest: sha256(bytes),
        media_type: OCI_INDEX.to_owned(),
        bytes: bytes.clone(),
        tags: vec![TagPush { name: tag(tag_name), immutable: false }],
        lenient: false,
    }
}

/// A tagged child and a push of an index that lists it.
async fn child() -> (Bed, Digest, ManifestPush) {
    let bed = Bed::with(impatient());
    let child = bed.image("a/b", Some("amd64"), &[b"amd64"]).await;
    bed.storage.settle().await;
    let index = strict(&index_of(&[&child]), "v1");
    (bed, child, index)
}

/// The child lives on when only the index keeps it.
async fn assert_kept_by_the_index(bed: &Bed, child: &Digest) {
    bed.storage.delete_tag(&name("a/b"), &tag("amd64")).await.unwrap();
    bed.collect().await;
    assert!(bed_resolve(bed, "v1").await.is_some());
    assert_manifest_whole(&bed.replica(), &name("a/b"), child).await;
}

/// Rule 7: the body of an index comes before its child links, for a link counts only while its owner has a body.
#[tokio::test]
async fn the_body_of_an_index_comes_before_its_links() {
    let (bed, child, index) = child().await;
    let (stage, storage) = bed.staged();
    let (store, body) = (bed.store.clone(), layout::manifest(&name("a/b"), &index.digest));
    stage.before(Operation::Put, LINKS, async move {
        assert!(store.snapshot().keys().any(|key| key.starts_with(&body)), "the link comes first");
    });
    storage.push_manifest(&name("a/b"), index).await.expect("nothing is in the way of this push");
    stage.assert_played();
    assert_kept_by_the_index(&bed, &child).await;
}

/// Rules 2 and 7: a child is read after the body and the link that keep it were written. One that was deleted before is
/// missed.
#[tokio::test]
async fn children_are_read_after_they_are_linked() {
    for (operation, prefix) in [(Operation::Birth, MANIFESTS), (Operation::Put, LINKS)] {
        let (bed, child, index) = child().await;
        let (stage, storage) = bed.staged();
        let (deleter, deleted) = (bed.replica(), child.clone());
        stage.before(operation, prefix, async move {
            deleter.delete_manifest(&name("a/b"), &deleted).await.expect("nothing lists it");
        });
        let refused = storage.push_manifest(&name("a/b"), index).await;
        stage.assert_played();
        let missed = matches!(&refused, Err(ManifestError::ContentUnknown(missing)) if *missing == [child]);
        assert!(missed, "deleted before {operation:?} {prefix}: {refused:?}");
    }
}

/// Rule 7: fsck takes a child link for garbage only if it reads the owner's body as absent after it saw the link. A
/// LIST that caught the link may have missed the body.
#[tokio::test]
async fn a_link_whose_owner_the_walk_missed_stays() {
    let (bed, child, index) = child().await;
    let (stage, fsck) = bed.staged();
    let (pusher, body) = (bed.replica(), layout::manifest(&name("a/b"), &index.digest));
    stage.missing(layout::IMAGES, &[body], async move {
        pusher.push_manifest(&name("a/b"), index).await.unwrap();
    });
    fsck.fsck(true).await.unwrap();
    stage.assert_played();
    assert_kept_by_the_index(&bed, &child).await;
}

/// Rule 8: the tag version comes after the seal, or a crash in between would leave a tag that names nothing visible.
#[tokio::test]
async fn a_tag_version_comes_after_the_seal() {
    let bed = Bed::new();
    let (stage, storage) = bed.staged();
    let store = bed.store.clone();
    stage.before(Operation::Birth, VERSIONS, async move {
        let sealed = |key: &String| layout::ManifestKey::parse(key).is_some_and(|key| key.seal.is_some());
        assert!(store.snapshot().keys().any(sealed), "the version comes first");
    });
    push_image(&storage, &name("a/b"), Some("v1"), &[b"layer"]).await.unwrap();
    stage.assert_played();
}

/// A subject with a tag, and a push of a referrer to it whose blobs are there.
async fn subject() -> (Bed, Digest, Bytes) {
    let bed = Bed::new();
    let subject = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    bed.blob("a/b", b"signature").await;
    (bed, subject.clone(), manifest_of(&[b"signature"], Some(&subject)))
}

/// Amendment R18: the first push of a referrer died between seal and entry; the one that reuses its instance writes the
/// entry.
#[tokio::test]
async fn a_repeated_push_lists_the_referrer_that_its_first_one_did_not() {
    let (bed, subject, referrer) = subject().await;
    let (stage, storage) = bed.staged();
    let dead = stage.death(Operation::Put, REFERRERS);
    let first = referrer.clone();
    tokio::spawn(async move { push(&storage, &name("a/b"), &[], OCI_MANIFEST, first).await });
    dead.await.unwrap();
    assert_eq!(bed.keys(REFERRERS), Vec::<String>::new());
    let before = bed.store.log().len();
    push(&bed.replica(), &name("a/b"), &[], OCI_MANIFEST, referrer.clone()).await.unwrap();
    let listed = bed.replica().referrers(&name("a/b"), &subject).await.unwrap();
    assert_eq!(listed.iter().map(|entry| &entry["digest"]).collect::<Vec<_>>(), [&json!(sha256(&referrer))]);
    // Before the last read: an answered push is listed already.
    let log = bed.store.log().split_off(before);
    let at = |operation, prefix: &str| {
        log.iter().position(|record| record.operation == operation && record.key.starts_with(prefix)).unwrap()
    };
    assert!(at(Operation::Put, REFERRERS) < at(Operation::Head, CERTIFICATES));
}

/// Takes every certificate, as collectors that stopped because something was referenced did.
async fn retire_all_instances(bed: &Bed) {
    bed.storage.settle().await;
    for key in bed.keys(CERTIFICATES) {
        bed.store.delete(&key).await.unwrap();
    }
}

/// Amendment R6: what brings a subject's referrers back is any older body of it, sealed or not.
#[tokio::test]
async fn a_push_beside_an_unsealed_body_revives_referrers() {
    let (bed, subject, referrer) = subject().await;
    push(&bed.storage, &name("a/b"), &[], OCI_MANIFEST, referrer.clone()).await.unwrap();
    retire_all_instances(&bed).await;
    bed.replica().delete_manifest(&name("a/b"), &subject).await.unwrap();
    push(&bed.replica(), &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await.unwrap();
    let bodies = bed.keys(&layout::manifest(&name("a/b"), &sha256(&referrer)));
    let instances = bodies.iter().filter_map(|key| layout::ManifestKey::parse(key)).map(|key| key.instance);
    let certificates = bed.keys(CERTIFICATES);
    assert!(instances.map(layout::certificate).any(|key| certificates.contains(&key)), "{bodies:?} {certificates:?}");
}

/// Amendment R6: a referrer that cannot be brought back whole, because its collector was faster, fails the push.
#[tokio::test]
async fn a_push_whose_referrers_cannot_be_confirmed_is_to_be_repeated() {
    let (bed, _, referrer) = subject().await;
    push(&bed.storage, &name("a/b"), &[], OCI_MANIFEST, referrer.clone()).await.unwrap();
    retire_all_instances(&bed).await;
    let (stage, storage) = bed.staged();
    let store = bed.store.clone();
    let bodies = layout::manifest(&name("a/b"), &sha256(&referrer));
    let gone = [bodies.clone(), layout::holdings(&sha256(b"signature"))];
    // Its body has been read and is about to be written anew.
    stage.before(Operation::Birth, &bodies, async move {
        for key in store.snapshot().into_keys().filter(|key| gone.iter().any(|prefix| key.starts_with(prefix))) {
            store.delete(&key).await.unwrap();
        }
    });
    let pushed = push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await;
    stage.assert_played();
    assert!(matches!(pushed, Err(ManifestError::Raced)), "{pushed:?}");
}

/// Amendment R13: LISTs are never cached. A push that counted on what this replica saw before would lose to an earlier
/// push through another.
#[tokio::test]
async fn a_push_outranks_what_other_replicas_pushed_since() {
    let bed = Bed::new();
    let (here, there) = (bed.replica(), bed.replica());
    push_image(&here, &name("a/b"), Some("v1"), &[b"one"]).await.unwrap();
    for layer in [&b"two"[..], b"three"] {
        push_image(&there, &name("a/b"), Some("v1"), &[layer]).await.unwrap();
    }
    let last = push_image(&here, &name("a/b"), Some("v1"), &[b"four"]).await.unwrap();
    assert_eq!(bed_resolve(&bed, "v1").await, Some(last));
}

/// Amendment R16: what the store fails to say is no absence. The push fails, and nothing is deleted or made anew.
#[tokio::test]
async fn a_read_that_fails_is_not_taken_for_absence() {
    let bed = Bed::new();
    bed.blob("a/b", CONFIG).await;
    bed.blob("a/b", b"layer").await;
    let holdings = bed.keys("b/");
    let (stage, storage) = bed.staged();
    stage.refuse(Operation::Head, "b/");
    let failed = push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await;
    stage.assert_played();
    assert!(matches!(failed, Err(ManifestError::Store(_))), "{failed:?}");
    assert_eq!(bed.keys("b/"), holdings);
}
