use super::*;
use crate::store::Store as _;

#[tokio::test]
async fn a_manifest_is_read_byte_for_byte_by_tag_and_digest_on_any_replica() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[b"one", b"two"]).await;
    let image = name("a/b");
    for storage in [bed.storage.clone(), bed.replica()] {
        for reference in [Reference::Tag(tag("v1")), Reference::Digest(digest.clone())] {
            let manifest = storage.get_manifest(&image, &reference).await.unwrap().unwrap();
            assert_eq!(manifest.bytes, manifest_of(&[b"one", b"two"], None));
            assert_eq!((manifest.digest, manifest.media_type.as_str()), (digest.clone(), OCI_MANIFEST));
        }
    }
    assert!(bed.storage.get_manifest(&image, &Reference::Tag(tag("v2"))).await.unwrap().is_none());
    assert!(bed.storage.get_manifest(&name("c/d"), &Reference::Digest(digest)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_manifest_without_its_blobs_is_refused_and_not_visible() {
    let bed = Bed::new();
    bed.blob("a/b", CONFIG).await;
    let bytes = manifest_of(&[b"absent", b"absent too"], None);
    let refused = push(&bed.storage, &name("a/b"), &["v1"], OCI_MANIFEST, bytes.clone()).await;
    let Err(ManifestError::ContentUnknown(mut missing)) = refused else { panic!("accepted") };
    missing.sort();
    let mut expected = vec![sha256(b"absent"), sha256(b"absent too")];
    expected.sort();
    assert_eq!(missing, expected);
    assert!(bed.resolve("a/b", "v1").await.is_none());
    let by_digest = Reference::Digest(sha256(&bytes));
    assert!(bed.storage.get_manifest(&name("a/b"), &by_digest).await.unwrap().is_none());
}

#[tokio::test]
async fn a_digest_that_does_not_fit_is_refused() {
    let bed = Bed::new();
    let push = ManifestPush {
        digest: sha256(b"other"),
        media_type: OCI_MANIFEST.to_owned(),
        bytes: manifest_of(&[], None),
        tags: Vec::new(),
        lenient: true,
    };
    let refused = bed.storage.push_manifest(&name("a/b"), push).await;
    assert!(matches!(refused, Err(ManifestError::DigestMismatch { .. })));
    assert!(bed.store.snapshot().is_empty());
}

#[tokio::test]
async fn a_lenient_index_names_what_is_missing_and_a_strict_one_is_refused() {
    let bed = Bed::new();
    let child = bed.image("a/b", None, &[b"amd64"]).await;
    let absent = sha256(b"arm64");
    let bytes = index_of(&[&child, &absent]);
    let pushed = push(&bed.storage, &name("a/b"), &["v1"], OCI_INDEX, bytes.clone()).await.unwrap();
    assert_eq!(pushed.missing, std::slice::from_ref(&absent));
    let strict = ManifestPush {
        digest: sha256(&index_of(&[&absent])),
        media_type: OCI_INDEX.to_owned(),
        bytes: index_of(&[&absent]),
        tags: Vec::new(),
        lenient: false,
    };
    let refused = bed.storage.push_manifest(&name("a/b"), strict).await;
    assert!(matches!(refused, Err(ManifestError::ContentUnknown(missing)) if missing == [absent]));
}

/// Old build caches list layers in an index.
#[tokio::test]
async fn an_index_may_list_blobs() {
    let bed = Bed::with(impatient());
    let blob = bed.blob("a/b", b"cache layer").await;
    let pushed = push(&bed.storage, &name("a/b"), &["cache"], OCI_INDEX, index_of(&[&blob])).await.unwrap();
    assert!(pushed.missing.is_empty());
    bed.collect().await;
    assert!(read(&bed.replica(), &name("a/b"), &blob).await.is_some());
}

#[tokio::test]
async fn referrers_are_listed_once_and_leave_with_their_manifest() {
    let bed = Bed::new();
    let image = name("a/b");
    let subject = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    assert!(bed.storage.referrers(&image, &subject).await.unwrap().is_empty());
    bed.blob("a/b", b"signature").await;
    let bytes = manifest_of(&[b"signature"], Some(&subject));
    for _ in 0..2 {
        let pushed = push(&bed.storage, &image, &[], OCI_MANIFEST, bytes.clone()).await.unwrap();
        assert_eq!(pushed.subject, Some(subject.clone()));
    }
    let listed = bed.replica().referrers(&image, &subject).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["digest"], json!(sha256(&bytes)));
    assert_eq!(listed[0]["size"], json!(bytes.len()));
    bed.storage.delete_manifest(&image, &sha256(&bytes)).await.unwrap();
    assert!(bed.storage.referrers(&image, &subject).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_and_no_others() {
    let bed = Bed::new();
    let image = name("a/b");
    let first = bed.image("a/b", Some("v1"), &[b"one"]).await;
    push(&bed.storage, &image, &["also", "v1.0"], OCI_MANIFEST, manifest_of(&[b"one"], None)).await.unwrap();
    let second = bed.image("a/b", Some("v2"), &[b"two"]).await;
    assert_eq!(bed.storage.tags_of(&image, &first).await.unwrap(), [tag("also"), tag("v1"), tag("v1.0")]);
    bed.storage.delete_manifest(&image, &first).await.unwrap();
    for gone in ["v1", "also", "v1.0"] {
        assert!(bed.resolve("a/b", gone).await.is_none(), "{gone}");
    }
    assert_eq!(bed.resolve("a/b", "v2").await, Some(second));
    assert!(matches!(bed.storage.delete_manifest(&image, &first).await, Err(DeleteError::Unknown)));
}

#[tokio::test]
async fn a_child_of_an_index_cannot_be_deleted() {
    let bed = Bed::new();
    let child = bed.image("a/b", None, &[b"amd64"]).await;
    let index = push(&bed.storage, &name("a/b"), &["v1"], OCI_INDEX, index_of(&[&child])).await.unwrap().digest;
    let refused = bed.storage.delete_manifest(&name("a/b"), &child).await;
    assert!(matches!(refused, Err(DeleteError::PartOf { by }) if by == [index.clone()]));
    bed.storage.delete_manifest(&name("a/b"), &index).await.unwrap();
}

/// After an explicit delete the same push makes everything anew, on the replica that remembers and on one that
/// does not.
#[tokio::test]
async fn a_deleted_manifest_can_be_pushed_again() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    for storage in [bed.storage.clone(), bed.replica()] {
        storage.delete_manifest(&name("a/b"), &digest).await.unwrap();
        assert!(resolve(&bed.replica(), &name("a/b"), "v1").await.is_none());
        let again = push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await.unwrap();
        assert_eq!(again.digest, digest);
        assert_eq!(resolve(&bed.replica(), &name("a/b"), "v1").await, Some(digest.clone()));
    }
}

/// The push reads the certificate last: an instance that a collector took is replaced within the push.
#[tokio::test]
async fn a_push_over_a_retired_instance_makes_a_fresh_one() {
    let bed = Bed::new();
    let digest = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    for key in bed.keys("a/") {
        bed.store.delete(&key).await.unwrap();
    }
    let storage = bed.replica();
    push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await.unwrap();
    storage.settle().await;
    assert_eq!(bed.keys("r/a!b!/m/").len(), 4, "two bodies with a seal each");
    let versions = bed.keys("r/a!b!/t/");
    assert_eq!(versions.len(), 1);
    assert_eq!(resolve(&bed.replica(), &name("a/b"), "v1").await, Some(digest));
}

/// A collection with the clocks at zero beside a running replica takes the certificate that it had made ahead.
#[tokio::test]
async fn a_push_survives_the_loss_of_the_certificate_in_stock() {
    let bed = Bed::new();
    bed.image("a/b", None, &[b"layer"]).await;
    bed.storage.settle().await;
    for key in bed.keys("a/") {
        bed.store.delete(&key).await.unwrap();
    }
    let digest = bed.image("c/d", Some("v1"), &[b"layer"]).await;
    assert_eq!(resolve(&bed.replica(), &name("c/d"), "v1").await, Some(digest));
}

/// Amendment R3: a flagged holding is healed by the push that needs it, small or large, with or without the
/// certificate of its data.
#[tokio::test]
async fn a_push_heals_retired_blobs_whose_bytes_are_there() {
    let large = vec![3u8; 9 << 20];
    for (layer, take_certificate) in [(&b"small"[..], false), (&large[..], false), (&large[..], true)] {
        let bed = Bed::new();
        bed.blob("a/b", CONFIG).await;
        bed.blob("a/b", layer).await;
        for key in bed.keys("b/") {
            bed.store.retire(&key).await.unwrap();
        }
        if take_certificate {
            for key in bed.keys("a/") {
                bed.store.delete(&key).await.unwrap();
            }
        }
        let storage = bed.replica();
        push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[layer], None)).await.unwrap();
        assert_eq!(read(&storage, &name("a/b"), &sha256(layer)).await.unwrap(), layer);
        let live = |key: &String| !bed.store.snapshot()[key].retired;
        assert!(bed.keys("b/").iter().filter(|key| live(key)).count() >= 2);
    }
}

/// Amendment R4: the children of an index may have been retired with an earlier index; their bytes are pushed anew.
#[tokio::test]
async fn an_index_push_revives_retired_children() {
    let bed = Bed::new();
    let child = bed.image("a/b", None, &[b"amd64"]).await;
    bed.storage.settle().await;
    for key in bed.keys("a/") {
        bed.store.delete(&key).await.unwrap();
    }
    let strict = ManifestPush {
        digest: sha256(&index_of(&[&child])),
        media_type: OCI_INDEX.to_owned(),
        bytes: index_of(&[&child]),
        tags: vec![TagPush { name: tag("v1"), immutable: false }],
        lenient: false,
    };
    bed.replica().push_manifest(&name("a/b"), strict).await.unwrap();
    let certified = bed.keys("a/").len();
    assert!(certified >= 2, "child and index have certificates of their own: {certified}");
}

/// Step 3b and amendment R6: referrers that were retired with their subject come back with it, blobs and all.
#[tokio::test]
async fn a_push_revives_retired_referrers() {
    let bed = Bed::new();
    let image = name("a/b");
    let subject = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    bed.blob("a/b", b"signature").await;
    push(&bed.storage, &image, &[], OCI_MANIFEST, manifest_of(&[b"signature"], Some(&subject))).await.unwrap();
    bed.storage.settle().await;
    for key in bed.keys("a/").iter().chain(&bed.keys("r/a!b!/t/")) {
        bed.store.delete(key).await.unwrap();
    }
    for key in bed.keys("b/") {
        bed.store.retire(&key).await.unwrap();
    }
    let storage = bed.replica();
    push(&storage, &image, &["v1"], OCI_MANIFEST, manifest_of(&[b"layer"], None)).await.unwrap();
    assert_eq!(storage.referrers(&image, &subject).await.unwrap().len(), 1);
    let certificates = bed.keys("a/");
    let live_referrer = bed.keys(&format!("r/a!b!/f/sha256-{}/", subject.hex())).iter().any(|key| {
        let (_, _, instance) = layout::parse_referrer(key).unwrap();
        certificates.contains(&layout::certificate(instance))
    });
    assert!(live_referrer);
    // And it is really whole: the old holdings may go.
    let flagged: Vec<String> =
        bed.store.snapshot().into_iter().filter(|(_, object)| object.retired).map(|(key, _)| key).collect();
    for key in flagged {
        bed.store.delete(&key).await.unwrap();
    }
    assert_eq!(read(&bed.replica(), &image, &sha256(b"signature")).await.unwrap(), &b"signature"[..]);
}
