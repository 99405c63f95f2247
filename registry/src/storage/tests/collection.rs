use super::*;

fn large() -> Vec<u8> {
    vec![9u8; 9 << 20]
}

/// The bucket of a fresh registry that holds only what is left, compared by what its keys mean.
async fn fresh_with(images: &[(&str, &str, &[&[u8]])]) -> Bed {
    let bed = Bed::with(impatient());
    for (image, tag, layers) in images {
        bed.image(image, Some(tag), layers).await;
    }
    bed.storage.settle().await;
    bed
}

fn shape(bed: &Bed) -> Vec<(String, usize)> {
    let mut shape: Vec<(String, usize)> = bed
        .store
        .snapshot()
        .into_iter()
        .map(|(key, object)| {
            let room: Vec<&str> = key.split('/').collect();
            let kept = if key.starts_with("b/") { 5 } else { 4 };
            let mut name = room[..room.len().min(kept).saturating_sub(1)].join("/");
            if key.starts_with("a/") || key.starts_with("k/") {
                name = key[..1].to_owned();
            }
            (name, object.bytes.len())
        })
        .collect();
    // A second copy of a blob that is uploaded again without asking first is no garbage while the blob is used.
    shape.sort();
    shape.dedup();
    shape
}

#[tokio::test]
async fn what_is_untagged_is_freed_and_the_rest_stays() {
    let bed = Bed::with(impatient());
    let large = large();
    bed.image("a/b", Some("old"), &[b"shared", b"only old", &large]).await;
    bed.image("a/b", Some("new"), &[b"shared", b"only new"]).await;
    bed.storage.delete_tag(&name("a/b"), &tag("old")).await.unwrap();
    let freed = bed.collect().await;
    assert_eq!(freed.manifests, 1);
    assert_eq!(freed.blobs, 2);
    assert!(freed.bytes > 9 << 20);
    let fresh = fresh_with(&[("a/b", "new", &[b"shared", b"only new"])]).await;
    assert_eq!(shape(&bed), shape(&fresh));
    assert_eq!(read(&bed.replica(), &name("a/b"), &sha256(b"shared")).await.unwrap(), &b"shared"[..]);
}

#[tokio::test]
async fn everything_goes_when_the_last_tag_does() {
    let bed = Bed::with(impatient());
    let large = large();
    let child = bed.image("a/b", None, &[b"amd64", &large]).await;
    push(&bed.storage, &name("a/b"), &["v1"], OCI_INDEX, index_of(&[&child])).await.unwrap();
    bed.blob("a/b", b"signature").await;
    push(&bed.storage, &name("a/b"), &[], OCI_MANIFEST, manifest_of(&[b"signature"], Some(&child))).await.unwrap();
    assert!(bed.collect().await == Collected::default());
    bed.storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    let freed = bed.collect().await;
    assert_eq!(freed.manifests, 3);
    // What was looked at while it was in use is noted for another look.
    let left: Vec<String> = bed.keys("").into_iter().filter(|key| !key.starts_with("g/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn referrers_live_as_long_as_their_subject() {
    let bed = Bed::with(impatient());
    let subject = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    bed.blob("a/b", b"signature").await;
    push(&bed.storage, &name("a/b"), &[], OCI_MANIFEST, manifest_of(&[b"signature"], Some(&subject))).await.unwrap();
    bed.collect().await;
    assert_eq!(bed.storage.referrers(&name("a/b"), &subject).await.unwrap().len(), 1);
    assert!(read(&bed.replica(), &name("a/b"), &sha256(b"signature")).await.is_some());
}

#[tokio::test]
async fn nothing_goes_before_its_time() {
    let bed = Bed::new();
    bed.image("a/b", Some("v1"), &[b"layer"]).await;
    bed.storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    bed.blob("a/b", b"never used").await;
    let before = bed.keys("b/");
    assert!(bed.collect().await == Collected::default());
    assert_eq!(bed.keys("b/"), before);
}

/// Amendment R17: exactly the holdings that were flagged go; a fresh upload of the same blob stays.
#[tokio::test]
async fn a_blob_uploaded_again_in_the_quarantine_stays() {
    let bed = Bed::with(Settings { quarantine: Duration::from_secs(3600), ..impatient() });
    let image = name("a/b");
    bed.blob("a/b", b"blob").await;
    bed.storage.collect_due().await.unwrap();
    assert!(bed.store.snapshot().iter().any(|(key, object)| key.starts_with("b/") && object.retired));
    let flagged = bed.keys("b/");
    bed.blob("a/b", b"blob").await;
    let freed = bed.storage.delete_retired(&image, &sha256(b"blob"), flagged.clone()).await.unwrap();
    assert_eq!(freed.blobs, 1);
    assert_eq!(read(&bed.replica(), &image, &sha256(b"blob")).await.unwrap(), &b"blob"[..]);
    assert!(!bed.keys("b/").contains(&flagged[0]));
}

#[tokio::test]
async fn shared_data_stays_while_anybody_holds_it() {
    let bed = Bed::with(impatient());
    let large = large();
    bed.image("a/b", Some("v1"), &[&large]).await;
    bed.storage.mount(&name("c/d"), &sha256(&large), &[name("a/b")]).await.unwrap();
    bed.image("c/d", Some("v1"), &[]).await;
    push(&bed.storage, &name("c/d"), &["v2"], OCI_MANIFEST, manifest_of(&[&large], None)).await.unwrap();
    bed.storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    bed.collect().await;
    assert_eq!(read(&bed.replica(), &name("c/d"), &sha256(&large)).await.unwrap(), large);
    assert!(read(&bed.replica(), &name("a/b"), &sha256(&large)).await.is_none());
    bed.storage.delete_tag(&name("c/d"), &tag("v2")).await.unwrap();
    bed.collect().await;
    assert!(bed.keys("k/").is_empty());
}

/// Two workers on the same notes, one of them late, are harmless.
#[tokio::test]
async fn two_collectors_do_not_disturb_each_other() {
    let bed = Bed::with(impatient());
    bed.image("a/b", Some("old"), &[b"one", &large()]).await;
    bed.image("a/b", Some("new"), &[b"two"]).await;
    bed.storage.delete_tag(&name("a/b"), &tag("old")).await.unwrap();
    bed.storage.settle().await;
    bed.storage.flush_notes().await.unwrap();
    let (first, second) = (bed.replica(), bed.replica());
    let (a, b) = tokio::join!(first.collect_all(), second.collect_all());
    a.unwrap();
    b.unwrap();
    bed.collect().await;
    assert_eq!(shape(&bed), shape(&fresh_with(&[("a/b", "new", &[b"two"])]).await));
}
