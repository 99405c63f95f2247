use super::*;

fn large() -> Vec<u8> {
    (0..9u32 << 20).map(|i| u8::try_from(i % 253).unwrap()).collect()
}

#[tokio::test]
async fn ranges_are_read_from_small_and_large_blobs() {
    let bed = Bed::new();
    for content in [b"0123456789".to_vec(), large()] {
        let digest = bed.blob("a/b", &content).await;
        for (request, expected) in [
            (RangeRequest::From { first: 2, last: Some(4) }, &content[2..=4]),
            (RangeRequest::From { first: 7, last: None }, &content[7..]),
            (RangeRequest::Suffix { length: 3 }, &content[content.len() - 3..]),
        ] {
            let reader = bed.replica().get_blob(&name("a/b"), &digest, Some(request)).await.unwrap();
            assert_eq!(reader.size, content.len() as u64);
            assert_eq!(read_all(reader.body).await.unwrap(), expected, "{request:?}");
        }
        let beyond = RangeRequest::From { first: content.len() as u64, last: None };
        let refused = bed.storage.get_blob(&name("a/b"), &digest, Some(beyond)).await;
        assert!(matches!(refused, Err(BlobError::OutOfRange { .. })));
    }
}

#[tokio::test]
async fn a_blob_belongs_to_its_image_until_it_is_mounted() {
    let bed = Bed::new();
    for content in [b"small".to_vec(), large()] {
        let digest = bed.blob("a/b", &content).await;
        let (source, target) = (name("a/b"), name("c/d"));
        assert!(read(&bed.storage, &target, &digest).await.is_none());
        assert!(bed.replica().mount(&target, &digest, &[name("x/y"), source.clone()]).await.unwrap().is_some());
        assert_eq!(read(&bed.storage, &target, &digest).await.unwrap(), content);
        assert!(bed.replica().mount(&target, &sha256(b"nowhere"), &[source]).await.unwrap().is_none());
        assert_eq!(bed.storage.images_with_blob(&digest).await.unwrap(), [name("a/b"), name("c/d")]);
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_from_its_image_only_and_at_once() {
    for content in [b"small".to_vec(), large()] {
        let bed = Bed::new();
        let digest = bed.blob("a/b", &content).await;
        bed.storage.mount(&name("c/d"), &digest, &[name("a/b")]).await.unwrap();
        bed.storage.delete_blob(&name("a/b"), &digest).await.unwrap();
        assert!(matches!(bed.replica().head_blob(&name("a/b"), &digest).await, Err(BlobError::Unknown)));
        assert!(read(&bed.storage, &name("a/b"), &digest).await.is_none());
        assert!(matches!(bed.storage.delete_blob(&name("a/b"), &digest).await, Err(BlobError::Unknown)));
        assert_eq!(read(&bed.storage, &name("c/d"), &digest).await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_blob_of_a_visible_manifest_cannot_be_deleted() {
    let bed = Bed::new();
    let manifest = bed.image("a/b", Some("v1"), &[b"layer"]).await;
    let refused = bed.storage.delete_blob(&name("a/b"), &sha256(b"layer")).await;
    assert!(matches!(refused, Err(BlobError::InUse { by }) if by == [manifest.clone()]));
    bed.storage.delete_manifest(&name("a/b"), &manifest).await.unwrap();
    bed.storage.delete_blob(&name("a/b"), &sha256(b"layer")).await.unwrap();
}

/// Amendment R9: a body that got its seal after the blob's users were listed keeps the blob.
#[tokio::test]
async fn a_hidden_manifest_does_not_keep_a_blob_but_dies_with_it() {
    let bed = Bed::with(impatient());
    let image = name("a/b");
    bed.blob("a/b", CONFIG).await;
    bed.blob("a/b", b"layer").await;
    // A push that failed after its body: the second layer is nowhere.
    let refused = push(&bed.storage, &image, &["v1"], OCI_MANIFEST, manifest_of(&[b"layer", b"absent"], None)).await;
    assert!(matches!(refused, Err(ManifestError::ContentUnknown(missing)) if missing == [sha256(b"absent")]));
    assert_eq!(bed.keys("r/a!b!/m/").len(), 1);
    bed.storage.delete_blob(&image, &sha256(b"layer")).await.unwrap();
    assert!(bed.keys("r/a!b!/m/").is_empty());
}
