//! Large data: its certificate is read after the holding was seen (rule 5), wherever somebody comes to rely on one.

use super::*;
use crate::storage::collector::notes::Review;
use crate::storage::layout::Holding;

/// The data that a holding of `a/b` names.
fn data_of(bed: &Bed, digest: &Digest) -> Id {
    let holdings = bed.keys(&layout::holdings(digest));
    holdings.iter().find_map(|key| Holding::parse(key)?.data).expect("the blob is large")
}

/// A holding that a mount, upload or push left behind when it found the data retired (rule 6).
async fn plant_holding(store: &MemoryStore, image: &str, digest: &Digest, size: usize, data: Id) -> String {
    let (image, digest, size) = (name(image), digest.clone(), size as u64);
    let holding = Holding { image, digest, id: Ids::random().next(), size, data: Some(data) };
    store.put(&holding.key(), NewObject::marker()).await.unwrap();
    holding.key()
}

/// Data whose certificate was taken because nobody held it any more.
async fn retired_data() -> (Bed, Digest, Id) {
    let bed = Bed::with(Settings { global_dedup: true, ..impatient() });
    bed.blob("a/b", CONFIG).await;
    let digest = bed.blob("a/b", &large()).await;
    let data = data_of(&bed, &digest);
    for key in bed.keys(&layout::holdings(&digest)) {
        bed.store.delete(&key).await.unwrap();
    }
    bed.store.delete(&layout::certificate(data)).await.unwrap();
    (bed, digest, data)
}

/// Deletes the data, and lets something happen when the collector has seen for the last time that nobody holds it.
async fn collect_meanwhile(bed: &Bed, digest: &Digest, data: Id, happening: impl Future<Output = ()> + Send + 'static) {
    let (stage, collector) = bed.staged();
    stage.before(Operation::Delete, layout::DATA, happening);
    collector.note_now(Review::RetiredData { digest: digest.clone(), data });
    collector.collect_due().await.unwrap();
    stage.assert_played();
}

async fn push_of_it(storage: Storage, image: &'static str) -> Result<PushedManifest, ManifestError> {
    push(&storage, &name(image), &["v1"], OCI_MANIFEST, manifest_of(&[&large()], None)).await
}

/// Rule 5 in a manifest push: a holding that nobody has checked is no proof of its data.
#[tokio::test]
async fn a_push_reads_the_certificate_of_data_it_has_not_checked() {
    let (bed, digest, data) = retired_data().await;
    let (store, pusher) = (bed.store.clone(), bed.replica());
    let blob = digest.clone();
    collect_meanwhile(&bed, &digest, data, async move {
        plant_holding(&store, "a/b", &blob, large().len(), data).await;
        push_of_it(pusher, "a/b").await.expect("the data can still be copied");
    })
    .await;
    assert_whole(&bed, "v1", &sha256(&manifest_of(&[&large()], None))).await;
}

/// Rule 5 at the end of an upload: data of others is shared only if it is found alive after the holding was written.
#[tokio::test]
async fn an_upload_shares_only_data_that_it_reads_as_live() {
    let (bed, digest, data) = retired_data().await;
    let (store, pusher) = (bed.store.clone(), bed.replica());
    let blob = digest.clone();
    collect_meanwhile(&bed, &digest, data, async move {
        plant_holding(&store, "c/d", &blob, large().len(), data).await;
        upload(&pusher, &name("a/b"), &large()).await;
        push_of_it(pusher, "a/b").await.expect("the upload is a copy of its own");
    })
    .await;
    assert_whole(&bed, "v1", &sha256(&manifest_of(&[&large()], None))).await;
}

/// Rule 5 in a mount: the certificate is read after the new holding was written, so that either the collector sees the
/// holding or the mount sees the collector.
#[tokio::test]
async fn a_mount_reads_the_certificate_after_it_has_written_its_holding() {
    let bed = Bed::with(impatient());
    bed.blob("c/d", CONFIG).await;
    let digest = bed.blob("a/b", &large()).await;
    let (stage, storage) = bed.staged();
    let (deleter, blob) = (bed.replica(), digest.clone());
    stage.before(Operation::Birth, "b/", async move {
        deleter.delete_blob(&name("a/b"), &blob).await.unwrap();
        deleter.collect_due().await.unwrap();
    });
    let mounted = storage.mount(&name("c/d"), &digest, &[name("a/b")]).await.unwrap();
    stage.assert_played();
    assert!(bed.keys(layout::DATA).is_empty(), "the data went before the holding came");
    assert!(mounted.is_none());
    assert!(matches!(push_of_it(storage, "c/d").await, Err(ManifestError::ContentUnknown(_))));
}

/// A mount that stands before its holding, of data whose last other holding is deleted.
async fn late_mount() -> (Bed, Digest, Id, tokio::task::JoinHandle<()>, tokio::sync::oneshot::Sender<()>) {
    let bed = Bed::with(impatient());
    let digest = bed.blob("a/b", &large()).await;
    let data = data_of(&bed, &digest);
    let (stage, storage) = bed.staged();
    let before_holding = stage.pause(Operation::Birth, "b/");
    let blob = digest.clone();
    let mounting = tokio::spawn(async move {
        let mounted = storage.mount(&name("c/d"), &blob, &[name("a/b")]).await.unwrap();
        assert!(mounted.is_some(), "the certificate is still there");
    });
    let go_on = before_holding.reached().await;
    bed.replica().delete_blob(&name("a/b"), &digest).await.unwrap();
    (bed, digest, data, mounting, go_on)
}

/// Rule 3: holdings are listed again after the certificate of the data went. A mount that read it before keeps the
/// data readable, and the push that follows makes it live again.
#[tokio::test]
async fn a_mount_before_the_retirement_keeps_the_data() {
    for by_fsck in [false, true] {
        let (bed, digest, data, mounting, go_on) = late_mount().await;
        let (stage, collector) = bed.staged();
        stage.before(Operation::Delete, &layout::certificate(data), async move {
            go_on.send(()).unwrap();
            mounting.await.unwrap();
        });
        if by_fsck {
            collector.fsck(true).await.unwrap();
        } else {
            collector.note_now(Review::Data { digest, data });
        }
        collector.collect_due().await.unwrap();
        stage.assert_played();
        bed.blob("c/d", CONFIG).await;
        let pushed = push_of_it(bed.replica(), "c/d").await.expect("a push heals what was retired").digest;
        assert_manifest_whole(&bed.replica(), &name("c/d"), &pushed).await;
    }
}

/// Rule 6: a mount that fails leaves its holding, for somebody else may have come to rely on it.
#[tokio::test]
async fn a_failing_mount_leaves_its_holding() {
    let bed = Bed::with(impatient());
    bed.blob("c/d", CONFIG).await;
    let digest = bed.blob("a/b", &large()).await;
    let (stage, storage) = bed.staged();
    let pusher = bed.replica();
    stage.refuse_after(Operation::Head, CERTIFICATES, async move {
        push_of_it(pusher, "c/d").await.expect("the holding and its data are there");
    });
    storage.mount(&name("c/d"), &digest, &[name("a/b")]).await.expect_err("the certificate could not be read");
    stage.assert_played();
    assert_manifest_whole(&bed.replica(), &name("c/d"), &sha256(&manifest_of(&[&large()], None))).await;
}

/// Amendment R3: a holding without certificate and data would have HEAD say 200 for ever; a push that meets it
/// removes it, so that the client uploads again.
#[tokio::test]
async fn a_push_removes_a_holding_whose_data_is_gone() {
    let bed = Bed::new();
    bed.blob("a/b", CONFIG).await;
    plant_holding(&bed.store, "a/b", &sha256(&large()), large().len(), Ids::random().next()).await;
    let refused = push_of_it(bed.replica(), "a/b").await;
    assert!(matches!(refused, Err(ManifestError::ContentUnknown(_))));
    assert!(matches!(bed.replica().head_blob(&name("a/b"), &sha256(&large())).await, Err(BlobError::Unknown)));
}

/// Amendment R3: all holdings of the image count, not only the newest.
#[tokio::test]
async fn a_push_finds_a_live_holding_behind_a_dead_one() {
    let bed = Bed::new();
    bed.blob("a/b", CONFIG).await;
    let digest = bed.blob("a/b", &large()).await;
    // Ids of one millisecond are in no order.
    tokio::time::sleep(Duration::from_millis(2)).await;
    plant_holding(&bed.store, "a/b", &digest, large().len(), Ids::random().next()).await;
    let pushed = push_of_it(bed.replica(), "a/b").await.expect("the older holding is live");
    assert_whole(&bed, "v1", &pushed.digest).await;
}

/// Amendment R3: fsck leaves the certificate of an upload that is under way.
#[tokio::test]
async fn fsck_leaves_the_certificate_of_an_upload_under_way() {
    let bed = Bed::with(impatient());
    let image = name("a/b");
    let content = large();
    let state = bed.storage.begin_upload(None);
    let state = bed.storage.append(&image, state, None, None, body(&content)).await.unwrap();
    let report = bed.replica().fsck(true).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(bed.keys(CERTIFICATES).len(), 1);
    bed.storage.finish(&image, state, None, None, body(b""), &sha256(&content)).await.unwrap();
    assert_eq!(read(&bed.replica(), &image, &sha256(&content)).await.unwrap(), content);
}
