//! Deleting a blob beside pushes that need it (amendment R9).

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const LAYER: &[u8] = b"layer";

type Pushed = Result<PushedManifest, ManifestError>;

/// An image `a/b` with the blobs of one manifest.
async fn blobs() -> (Bed, Digest) {
    let bed = Bed::with(impatient());
    bed.blob("a/b", CONFIG).await;
    bed.blob("a/b", LAYER).await;
    (bed, sha256(LAYER))
}

/// A push of that manifest, at work.
fn begin_push(storage: &Storage, tags: &'static [&str]) -> JoinHandle<Pushed> {
    let storage = storage.clone();
    tokio::spawn(async move { push(&storage, &name("a/b"), tags, OCI_MANIFEST, manifest_of(&[LAYER], None)).await })
}

/// Amendment R9: the seal is looked for after the certificate is gone. A push by digest that was answered before that
/// has its seal by then; its manifest stays, and the blob with it.
#[tokio::test]
async fn a_manifest_that_is_sealed_before_its_certificate_goes_keeps_its_blob() {
    let (bed, blob) = blobs().await;
    let (pusher, storage) = bed.staged();
    let before_seal = pusher.pause(Operation::Put, MANIFESTS);
    let pushing = begin_push(&storage, &[]);
    let go_on = before_seal.reached().await;
    let (stage, deleter) = bed.staged();
    stage.before(Operation::Delete, CERTIFICATES, async move {
        go_on.send(()).unwrap();
        pushing.await.unwrap().expect("nothing is in the way of this push");
    });
    let refused = deleter.delete_blob(&name("a/b"), &blob).await;
    stage.assert_played();
    let manifest = sha256(&manifest_of(&[LAYER], None));
    assert!(matches!(refused, Err(BlobError::InUse { by }) if by == [manifest.clone()]));
    assert_manifest_whole(&bed.replica(), &name("a/b"), &manifest).await;
}

/// Amendment R9: a push that comes to its seal after that look finds its certificate gone and is not answered.
#[tokio::test]
async fn a_manifest_that_is_sealed_too_late_is_not_acknowledged() {
    let (bed, blob) = blobs().await;
    let (pusher, storage) = bed.staged();
    let before_seal = pusher.pause(Operation::Put, MANIFESTS);
    let pushing = begin_push(&storage, &["v1"]);
    let go_on = before_seal.reached().await;
    bed.replica().delete_blob(&name("a/b"), &blob).await.unwrap();
    go_on.send(()).unwrap();
    let pushed = pushing.await.unwrap();
    assert!(matches!(&pushed, Err(ManifestError::ContentUnknown(missing)) if *missing == [blob]), "{pushed:?}");
    assert_eq!(bed_resolve(&bed, "v1").await, None);
}

/// A blob delete beside a tag push that dies: sealed and tagged after the look at its seal, its instance is left by
/// the sweep, and so must be the blob.
#[tokio::test]
async fn a_manifest_that_is_tagged_after_the_look_at_its_seal_keeps_its_blob() {
    let (bed, blob) = blobs().await;
    let (pusher, storage) = bed.staged();
    let before_seal = pusher.pause(Operation::Put, MANIFESTS);
    let tagged = pusher.death(Operation::Head, CERTIFICATES);
    let (stage, deleter) = bed.staged();
    // The push reads the blob as live before it is flagged, and has a body without a seal when users are listed again.
    let (sender, resumed) = oneshot::channel();
    stage.before(Operation::Retire, "b/", async move {
        begin_push(&storage, &["v1"]);
        sender.send(before_seal.reached().await).unwrap();
    });
    // The sweep of the hidden instance begins with the tags.
    stage.before(Operation::List, VERSIONS, async move {
        resumed.await.unwrap().send(()).unwrap();
        tagged.await.unwrap();
    });
    let refused = deleter.delete_blob(&name("a/b"), &blob).await;
    stage.assert_played();
    assert!(matches!(refused, Err(BlobError::InUse { .. })), "{refused:?}");
    assert_whole(&bed, "v1", &sha256(&manifest_of(&[LAYER], None))).await;
}

/// Rule 3: users are listed again after the holdings were flagged. A push that was answered in between keeps the blob.
#[tokio::test]
async fn a_push_between_the_look_and_the_flag_keeps_the_blob() {
    let (bed, blob) = blobs().await;
    let (stage, deleter) = bed.staged();
    let other = bed.replica();
    stage.before(Operation::Retire, "b/", async move {
        begin_push(&other, &["v1"]).await.unwrap().expect("nothing is in the way of this push");
    });
    let refused = deleter.delete_blob(&name("a/b"), &blob).await;
    stage.assert_played();
    assert!(matches!(refused, Err(BlobError::InUse { .. })), "{refused:?}");
    assert_whole(&bed, "v1", &sha256(&manifest_of(&[LAYER], None))).await;
}
