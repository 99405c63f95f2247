//! Collectors beside pushes: retire, then list (rule 3), and go on only with what is known to be retired (rule 9).

use super::*;
use crate::storage::collector::notes::Review;

const LAYER: &[u8] = b"layer";

/// A note that a collector takes up at its next turn.
async fn note(storage: &Storage, review: Review) {
    storage.note_now(review);
    storage.flush_notes().await.unwrap();
}

/// A push of a manifest with `LAYER`, played before a step of a collector that reviews that layer, ends whole.
async fn push_beside_a_review_of_its_layer(step: Operation) {
    let bed = Bed::with(impatient());
    bed.blob("a/b", CONFIG).await;
    let digest = bed.blob("a/b", LAYER).await;
    let (stage, collector) = bed.staged();
    let other = bed.replica();
    stage.before(step, "b/", async move {
        push(&other, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[LAYER], None)).await.unwrap();
    });
    note(&collector, Review::Blob { image: name("a/b"), digest }).await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
    assert_whole(&bed, "v1", &sha256(&manifest_of(&[LAYER], None))).await;
}

/// Rule 3: who mentions a blob is listed after its holdings were flagged. A push that read them before keeps them.
#[tokio::test]
async fn a_push_before_the_flag_keeps_its_blobs() {
    push_beside_a_review_of_its_layer(Operation::Retire).await;
}

/// Rule 3: a collector flags before it looks, so that a push after its last look takes the bytes elsewhere.
#[tokio::test]
async fn a_push_after_the_last_look_copies_what_is_retired() {
    push_beside_a_review_of_its_layer(Operation::Delete).await;
}

/// Rule 3: the same for an instance. A tag push after the last look finds its certificate gone and makes another.
#[tokio::test]
async fn a_tag_push_after_the_last_look_makes_a_manifest_of_its_own() {
    let bed = Bed::with(quarantined());
    let digest = bed.image("a/b", None, &[LAYER]).await;
    let (stage, collector) = bed.staged();
    let other = bed.replica();
    stage.before(Operation::Delete, MANIFESTS, async move {
        push(&other, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[LAYER], None)).await.unwrap();
    });
    let instance = bed.instance(&digest);
    note(&collector, Review::Instance { image: name("a/b"), digest: digest.clone(), instance }).await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
    assert_whole(&bed, "v1", &digest).await;
}

/// Amendment R17: what stopped because something refers to it is looked at again, once a day.
#[tokio::test]
async fn what_is_referenced_after_all_is_looked_at_in_a_day() {
    let bed = Bed::with(quarantined());
    let digest = bed.image("a/b", None, &[LAYER]).await;
    let (stage, collector) = bed.staged();
    let (other, instance) = (bed.replica(), bed.instance(&digest));
    stage.before(Operation::Delete, CERTIFICATES, async move {
        push(&other, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[LAYER], None)).await.unwrap();
    });
    note(&collector, Review::Instance { image: name("a/b"), digest: digest.clone(), instance }).await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
    let due = looks_at(&bed, instance);
    let day = Duration::from_secs(24 * 3600).as_secs();
    let in_a_day = Ids::random().seconds() + day;
    assert!(due.iter().any(|due| due.abs_diff(in_a_day) < day / 24), "{due:?}");
}

/// When the queue has an instance looked at, in seconds since the epoch.
fn looks_at(bed: &Bed, instance: Id) -> Vec<u64> {
    let names = |note: &[u8]| String::from_utf8_lossy(note).contains(&instance.to_string());
    let queue = bed.store.snapshot().into_iter().filter(|(_, note)| names(&note.bytes));
    queue.filter_map(|(key, _)| layout::review_due(&key)).collect()
}

/// Rule 3: who names an instance is listed after its certificate went. A tag push that read it before keeps it.
#[tokio::test]
async fn a_tag_push_before_the_retirement_keeps_the_manifest() {
    let bed = Bed::with(quarantined());
    let digest = bed.image("a/b", None, &[LAYER]).await;
    let (stage, collector) = bed.staged();
    let other = bed.replica();
    stage.before(Operation::Delete, CERTIFICATES, async move {
        push(&other, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[LAYER], None)).await.unwrap();
    });
    note(&collector, Review::Instance { image: name("a/b"), digest: digest.clone(), instance: bed.instance(&digest) })
        .await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
    assert_whole(&bed, "v1", &digest).await;
}

/// Rule 3, where an index push is what the collector must see.
#[tokio::test]
async fn an_index_push_before_the_retirement_keeps_the_child() {
    let bed = Bed::with(quarantined());
    let child = bed.image("a/b", None, &[LAYER]).await;
    let (stage, collector) = bed.staged();
    let (other, index) = (bed.replica(), index_of(&[&child]));
    stage.before(Operation::Delete, CERTIFICATES, async move {
        push(&other, &name("a/b"), &["v1"], OCI_INDEX, index).await.unwrap();
    });
    note(&collector, Review::Instance { image: name("a/b"), digest: child.clone(), instance: bed.instance(&child) })
        .await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
    assert_manifest_whole(&bed.replica(), &name("a/b"), &child).await;
}

/// Rule 9: a batch reports failures key by key; what could not be retired is not collected, and looked at again.
#[tokio::test]
async fn an_instance_whose_certificate_stays_is_left_alone() {
    let bed = Bed::with(quarantined());
    let first = bed.image("a/b", None, &[b"one"]).await;
    let second = bed.image("a/b", None, &[b"two"]).await;
    let (stage, collector) = bed.staged();
    let stays = bed.instance(&first);
    stage.refuse(Operation::DeleteMany, &layout::certificate(stays));
    for digest in [&first, &second] {
        let (image, instance) = (name("a/b"), bed.instance(digest));
        collector.note_now(Review::Instance { image, digest: digest.clone(), instance });
    }
    let freed = collector.collect_due().await.unwrap();
    stage.assert_played();
    assert_eq!(freed.manifests, 1);
    assert_manifest_whole(&bed.replica(), &name("a/b"), &first).await;
    assert_eq!(looks_at(&bed, stays).len(), 1);
}

/// The same for a holding, which is tried again at a later turn: a store that goes on refusing must not keep the
/// collector in this one, although without a quarantine the holding is due at once.
#[tokio::test]
async fn a_holding_that_cannot_be_deleted_waits_for_another_turn() {
    let bed = Bed::with(impatient());
    let digest = bed.blob("a/b", LAYER).await;
    let (stage, collector) = bed.staged();
    stage.refuse(Operation::Delete, "b/");
    note(&collector, Review::Blob { image: name("a/b"), digest }).await;
    assert_eq!(collector.collect_due().await.unwrap(), Collected::default());
    stage.assert_played();
    assert_eq!(bed.keys("b/").len(), 1);
    assert_eq!(collector.collect_all().await.unwrap().blobs, 1);
    assert!(bed.keys("b/").is_empty());
}

/// Rule 8: what makes a manifest visible goes before what it consists of.
#[tokio::test]
async fn a_seal_goes_before_the_body() {
    let bed = Bed::with(quarantined());
    let digest = bed.image("a/b", None, &[LAYER]).await;
    let (stage, collector) = bed.staged();
    let instance = bed.instance(&digest);
    let (body, sealed) = (layout::body(&name("a/b"), &digest, instance), bed.store.clone());
    let seal = format!("{body}.");
    // The seal's key begins with the body's: it is the first that goes.
    stage.before(Operation::Delete, &seal, {
        let (store, body) = (bed.store.clone(), body.clone());
        async move { assert!(store.snapshot().contains_key(&body)) }
    });
    stage.before(Operation::Delete, &body, async move {
        assert!(!sealed.snapshot().keys().any(|key| key.starts_with(&seal)), "the body goes first");
    });
    note(&collector, Review::Instance { image: name("a/b"), digest, instance }).await;
    collector.collect_due().await.unwrap();
    stage.assert_played();
}

/// Watch keys go between the flags and the list that decides, for replicas of a later version that rely on them.
#[tokio::test]
async fn watch_keys_go_after_the_flags_and_before_the_list() {
    let bed = Bed::with(quarantined());
    let digest = bed.blob("a/b", LAYER).await;
    let watch = format!("{}replica", layout::watches(&name("a/b")));
    bed.store.put(&watch, NewObject::marker()).await.unwrap();
    let (_, collector) = bed.staged();
    let before = bed.store.log().len();
    note(&collector, Review::Blob { image: name("a/b"), digest }).await;
    collector.collect_due().await.unwrap();
    let log = bed.store.log().split_off(before);
    let at = |operation, prefix: &str| {
        log.iter().rposition(|record| record.operation == operation && record.key.starts_with(prefix)).unwrap()
    };
    let (flag, gone) = (at(Operation::Retire, "b/"), at(Operation::Delete, &watch));
    assert!(flag < gone && gone < at(Operation::List, MANIFESTS), "{log:#?}");
}
