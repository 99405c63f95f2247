use super::*;
use crate::store::Store as _;

async fn names(storage: &Storage, last: Option<&str>, limit: usize) -> (Vec<String>, bool) {
    let page = storage.tags(&name("a/b"), last, limit).await.unwrap();
    (page.items.into_iter().map(|tag| tag.name.to_string()).collect(), page.more)
}

async fn push_tags(bed: &Bed, tags: &[&str]) {
    bed.image("a/b", None, &[b"layer"]).await;
    for one in tags {
        push(&bed.storage, &name("a/b"), &[one], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await.unwrap();
    }
    bed.storage.settle().await;
}

#[tokio::test]
async fn tags_are_listed_in_order_and_in_pages() {
    let bed = Bed::new();
    push_tags(&bed, &["v1", "v1-a", "v1.1", "V2", "v10", "_x", "v1_x"]).await;
    let all = ["V2", "_x", "v1", "v1-a", "v1.1", "v10", "v1_x"].map(str::to_owned);
    assert_eq!(names(&bed.storage, None, 100).await, (all.to_vec(), false));
    assert_eq!(names(&bed.storage, None, 7).await, (all.to_vec(), false));
    for size in 1..7 {
        let mut seen = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let (page, more) = names(&bed.storage, last.as_deref(), size).await;
            assert!(page.len() == size || !more);
            seen.extend(page);
            last = seen.last().cloned();
            if !more {
                break;
            }
        }
        assert_eq!(seen, all, "pages of {size}");
    }
    assert_eq!(names(&bed.storage, Some("v1.0"), 2).await.0, ["v1.1", "v10"]);
    assert_eq!(names(&bed.storage, Some("zz"), 2).await, (Vec::new(), false));
}

#[tokio::test]
async fn a_moved_tag_shows_its_new_value_and_leaves_nothing_behind() {
    let bed = Bed::with(impatient());
    let first = bed.image("a/b", Some("latest"), &[b"one"]).await;
    let second = bed.image("a/b", Some("latest"), &[b"two"]).await;
    assert_ne!(first, second);
    assert_eq!(bed.resolve("a/b", "latest").await, Some(second));
    let record = bed.storage.tags(&name("a/b"), None, 10).await.unwrap().items;
    assert_eq!(record.len(), 1);
    assert_eq!((record[0].kind, &record[0].digest), (ManifestKind::Image, &sha256(&manifest_of(&[b"two"], None))));
    bed.collect().await;
    assert_eq!(bed.keys("r/a!b!/t/").len(), 1);
    assert!(read(&bed.replica(), &name("a/b"), &sha256(b"one")).await.is_none());
}

/// The age of a tag is its last push, also of the same content.
#[tokio::test]
async fn an_identical_push_renews_the_push_time() {
    let bed = Bed::new();
    bed.image("a/b", Some("v1"), &[b"one"]).await;
    let before = bed.storage.tags(&name("a/b"), None, 1).await.unwrap().items[0].pushed_at;
    tokio::time::sleep(Duration::from_millis(5)).await;
    bed.image("a/b", Some("v1"), &[b"one"]).await;
    let after = bed.storage.tags(&name("a/b"), None, 1).await.unwrap().items[0].pushed_at;
    assert!(after > before);
}

#[tokio::test]
async fn a_deleted_tag_is_gone_and_its_manifest_stays_readable_by_digest() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[b"one"]).await;
    bed.storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    assert!(bed.resolve("a/b", "v1").await.is_none());
    assert!(bed.storage.get_manifest(&name("a/b"), &Reference::Digest(digest)).await.unwrap().is_some());
    assert!(matches!(bed.storage.delete_tag(&name("a/b"), &tag("v1")).await, Err(DeleteError::Unknown)));
}

#[tokio::test]
async fn planned_deletions_spare_what_changed() {
    let bed = Bed::new();
    let tags: Vec<String> = (0..6).map(|i| format!("t{i}")).collect();
    push_tags(&bed, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let old = bed.resolve("a/b", "t0").await.unwrap();
    let new = bed.image("a/b", Some("t1"), &[b"new"]).await;
    let mut planned: Vec<PlannedDeletion> =
        tags.iter().map(|name| PlannedDeletion { tag: tag(name), digest: Some(old.clone()) }).collect();
    planned.push(PlannedDeletion { tag: tag("never"), digest: Some(old.clone()) });
    let outcomes = bed.storage.delete_tags(&name("a/b"), &planned).await.unwrap();
    let text: Vec<String> = outcomes.iter().map(|outcome| format!("{outcome:?}")).collect();
    let changed = format!("Changed({new})");
    assert_eq!(text, ["Deleted", &changed, "Deleted", "Deleted", "Deleted", "Deleted", "Gone"]);
    assert_eq!(names(&bed.storage, None, 10).await.0, ["t1"]);
}

#[tokio::test]
async fn an_immutable_tag_takes_the_same_digest_again_and_no_other() {
    let bed = Bed::new();
    let image = name("a/b");
    bed.image("a/b", None, &[b"one"]).await;
    bed.image("a/b", None, &[b"two"]).await;
    let push = |bytes: Bytes| ManifestPush {
        digest: sha256(&bytes),
        media_type: OCI_MANIFEST.to_owned(),
        bytes,
        tags: vec![TagPush { name: tag("v1"), immutable: true }],
        lenient: true,
    };
    let first = bed.storage.push_manifest(&image, push(manifest_of(&[b"one"], None))).await.unwrap().digest;
    bed.storage.push_manifest(&image, push(manifest_of(&[b"one"], None))).await.unwrap();
    let refused = bed.storage.push_manifest(&image, push(manifest_of(&[b"two"], None))).await;
    assert!(matches!(refused, Err(ManifestError::TagImmutable { current, .. }) if current == first));
    assert_eq!(bed.resolve("a/b", "v1").await, Some(first));
}

/// Amendment R7: a version whose instance has lost its seal is passed over, not served.
#[tokio::test]
async fn a_tag_reads_past_a_version_that_is_not_visible() {
    let bed = Bed::new();
    let first = bed.image("a/b", Some("v1"), &[b"one"]).await;
    let versions = bed.store.snapshot();
    let kept = versions.iter().find(|(key, _)| key.starts_with("r/a!b!/t/")).unwrap();
    bed.image("a/b", Some("v1"), &[b"two"]).await;
    bed.storage.settle().await;
    // The background removal has not happened yet, and the newer instance was deleted by digest elsewhere.
    let marker = crate::store::NewObject::marker();
    bed.store.put(kept.0, marker).await.unwrap();
    let seals = bed.keys(&format!("r/a!b!/m/sha256-{}/", sha256(&manifest_of(&[b"two"], None)).hex()));
    bed.store.delete(seals.iter().find(|key| key.contains('.')).unwrap()).await.unwrap();
    assert_eq!(resolve(&bed.replica(), &name("a/b"), "v1").await, Some(first));
}

#[tokio::test]
async fn images_are_listed_in_order_and_in_pages() {
    let bed = Bed::new();
    let all = ["a/b", "a/b/x", "a/b/x/y", "a/b-c", "a-a/b", "b/b"];
    for image in all {
        bed.image(image, Some("v1"), &[]).await;
    }
    let mut sorted: Vec<&str> = all.to_vec();
    sorted.sort_by_key(|image| image.replace('/', "!"));
    for size in 1..8 {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = bed.storage.images(seen.last().map(String::as_str), size).await.unwrap();
            seen.extend(page.items.iter().map(ToString::to_string));
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, sorted, "pages of {size}");
    }
    assert!(bed.storage.image_exists(&name("a/b")).await.unwrap());
    assert!(!bed.storage.image_exists(&name("a/c")).await.unwrap());
}
