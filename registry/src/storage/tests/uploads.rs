use super::*;

const MIB: usize = 1 << 20;

/// Bytes that no part repeats.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

fn image() -> ImageName {
    name("team-a/shop/api")
}

async fn patch(storage: &Storage, state: UploadState, part: &[u8]) -> UploadState {
    storage.append(&image(), state, None, Some(part.len() as u64), body(part)).await.unwrap()
}

fn chunk(first: usize, length: usize) -> Option<ChunkRange> {
    Some(ChunkRange { first: first as u64, last: (first + length - 1) as u64 })
}

#[tokio::test]
async fn one_request_and_the_docker_flow_store_the_same() {
    for size in [0, 1, 100_000, 8 * MIB, 8 * MIB + 1, 20 * MIB] {
        let bed = Bed::new();
        let content = bytes(size);
        let digest = upload(&bed.storage, &image(), &content).await;
        assert_eq!(read(&bed.storage, &image(), &digest).await.unwrap(), content, "{size} in one request");

        let bed = Bed::new();
        let state = patch(&bed.storage, bed.storage.begin_upload(None), &content).await;
        assert_eq!(state.offset, size as u64);
        bed.storage.finish(&image(), state, None, Some(0), body(b""), &digest).await.unwrap();
        assert_eq!(read(&bed.storage, &image(), &digest).await.unwrap(), content, "{size} by PATCH");
        assert_eq!(bed.storage.head_blob(&image(), &digest).await.unwrap(), size as u64);
    }
}

#[tokio::test]
async fn every_request_of_an_upload_may_meet_another_replica() {
    let content = bytes(25 * MIB + 77);
    for cuts in
        [vec![3, 10], vec![8 * MIB, 8 * MIB + 1], vec![MIB, 9 * MIB, 20 * MIB], vec![10 * MIB, 12 * MIB, 16 * MIB]]
    {
        let bed = Bed::new();
        let mut state = bed.storage.begin_upload(None);
        let mut from = 0;
        for cut in cuts.iter().copied() {
            state = patch(&bed.replica(), state, &content[from..cut]).await;
            assert_eq!(state.offset, cut as u64);
            from = cut;
        }
        let digest = sha256(&content);
        let last = body(&content[from..]);
        bed.replica().finish(&image(), state, None, None, last, &digest).await.unwrap();
        assert_eq!(read(&bed.replica(), &image(), &digest).await.unwrap(), content, "{cuts:?}");
    }
}

#[tokio::test]
async fn a_chunk_out_of_order_names_the_newest_state_and_leaves_the_session_usable() {
    let bed = Bed::new();
    let content = bytes(3000);
    let empty = bed.storage.begin_upload(None);
    let (image, replica) = (image(), bed.replica());
    let first = bed.storage.append(&image, empty.clone(), chunk(0, 1000), Some(1000), body(&content[..1000]));
    let first = first.await.unwrap();
    for (state, range) in [(&first, chunk(0, 1000)), (&first, chunk(1001, 5)), (&empty, chunk(2000, 1000))] {
        let length = range.unwrap().last - range.unwrap().first + 1;
        let refused =
            bed.storage.append(&image, state.clone(), range, Some(length), body(&content[..length as usize])).await;
        let Err(UploadError::OutOfOrder(newest)) = refused else { panic!("accepted {range:?}") };
        assert_eq!(newest.offset, 1000);
    }
    // An older Location of the session is good too.
    assert_eq!(replica.upload_status(&image, empty.clone()).await.unwrap().offset, 1000);
    let second = replica.append(&image, empty, chunk(1000, 1000), Some(1000), body(&content[1000..2000]));
    let second = second.await.unwrap();
    let digest = sha256(&content);
    bed.storage.finish(&image, second, chunk(2000, 1000), Some(1000), body(&content[2000..]), &digest).await.unwrap();
    assert_eq!(read(&bed.storage, &image, &digest).await.unwrap(), content);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_stores_no_blob_of_that_name() {
    for size in [10, 9 * MIB] {
        let bed = Bed::new();
        let content = bytes(size);
        let wrong = sha256(b"something else");
        let refused =
            bed.storage.finish(&image(), bed.storage.begin_upload(None), None, None, body(&content), &wrong).await;
        assert!(matches!(refused, Err(UploadError::DigestMismatch { .. })), "{size}");
        let state = patch(&bed.storage, bed.storage.begin_upload(None), &content).await;
        let refused = bed.storage.finish(&image(), state.clone(), None, None, body(b""), &wrong).await;
        assert!(matches!(refused, Err(UploadError::DigestMismatch { .. })), "{size}");
        assert!(read(&bed.storage, &image(), &wrong).await.is_none());
        // The right digest still closes the session.
        bed.storage.finish(&image(), state, None, None, body(b""), &sha256(&content)).await.unwrap();
    }
}

#[tokio::test]
async fn sha512_may_come_with_the_close_of_a_small_blob_or_be_named_at_the_start() {
    let bed = Bed::new();
    let small = bytes(1000);
    let digest = hash::digest_of(Algorithm::Sha512, &small);
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &small).await;
    bed.storage.finish(&image(), state, None, None, body(b""), &digest).await.unwrap();
    assert_eq!(read(&bed.storage, &image(), &digest).await.unwrap(), small);

    let large = bytes(9 * MIB);
    let digest = hash::digest_of(Algorithm::Sha512, &large);
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &large).await;
    let refused = bed.storage.finish(&image(), state, None, None, body(b""), &digest).await;
    assert!(matches!(refused, Err(UploadError::AlgorithmMismatch { .. })));
    let state = patch(&bed.storage, bed.storage.begin_upload(Some(Algorithm::Sha512)), &large).await;
    bed.storage.finish(&image(), state, None, None, body(b""), &digest).await.unwrap();
    assert_eq!(read(&bed.storage, &image(), &digest).await.unwrap(), large);
    // In one request the digest says which hash it is.
    bed.storage.finish(&image(), bed.storage.begin_upload(None), None, None, body(&large), &digest).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_whole_parts_to_go_on_from() {
    let bed = Bed::new();
    let content = bytes(20 * MIB);
    let empty = bed.storage.begin_upload(None);
    let range = chunk(0, 20 * MIB);
    let gone =
        bed.storage.append(&image(), empty.clone(), range, Some(20 << 20), broken_body(&content[..17 * MIB])).await;
    assert!(matches!(gone, Err(UploadError::Interrupted(_))));
    let newest = bed.replica().upload_status(&image(), empty).await.unwrap();
    assert_eq!(newest.offset, 16 << 20);
    let digest = sha256(&content);
    let rest = body(&content[16 * MIB..]);
    bed.replica().finish(&image(), newest, None, None, rest, &digest).await.unwrap();
    assert_eq!(read(&bed.storage, &image(), &digest).await.unwrap(), content);
}

#[tokio::test]
async fn a_cancelled_upload_is_unknown_and_its_parts_are_given_up() {
    let bed = Bed::new();
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &bytes(9 * MIB)).await;
    bed.storage.cancel_upload(&image(), state.clone()).await.unwrap();
    assert!(matches!(bed.replica().upload_status(&image(), state.clone()).await, Err(UploadError::Unknown)));
    let closed = bed.replica().finish(&image(), state, None, None, body(b""), &sha256(b"x")).await;
    assert!(matches!(closed, Err(UploadError::Unknown)));
    let freed = bed.storage.collect_due().await.unwrap();
    assert_eq!(freed.uploads, 1);
    assert!(bed.keys("u/").is_empty());
}

/// Amendment R10: a record is only good for its image.
#[tokio::test]
async fn a_session_belongs_to_its_image() {
    let bed = Bed::new();
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &bytes(9 * MIB)).await;
    let other = name("team-b/shop");
    assert!(matches!(bed.storage.upload_status(&other, state.clone()).await, Err(UploadError::Unknown)));
    let closed = bed.storage.finish(&other, state, None, None, body(b""), &sha256(b"x")).await;
    assert!(matches!(closed, Err(UploadError::Unknown)));
}

/// Amendment R10: an upload that is complete may be closed again, for the first answer may have been lost; the digest is
/// compared every time.
#[tokio::test]
async fn a_close_may_be_repeated() {
    let bed = Bed::new();
    let content = bytes(9 * MIB);
    let digest = sha256(&content);
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &content).await;
    for storage in [bed.storage.clone(), bed.replica()] {
        storage.finish(&image(), state.clone(), None, None, body(b""), &digest).await.unwrap();
        assert_eq!(read(&bed.replica(), &image(), &digest).await.unwrap(), content);
    }
    let wrong = bed.replica().finish(&image(), state, None, None, body(b""), &sha256(b"x")).await;
    assert!(matches!(wrong, Err(UploadError::DigestMismatch { .. })));
}

/// Amendment R1: two PATCHes from one Location fork the upload; whatever is acknowledged hashes to its digest.
#[tokio::test]
async fn states_of_forked_uploads_are_never_mixed() {
    let bed = Bed::new();
    let (a, b) = (bytes(9 * MIB), vec![7u8; 9 * MIB]);
    let start = patch(&bed.storage, bed.storage.begin_upload(None), &bytes(8 * MIB + 5)).await;
    let after_a = patch(&bed.storage, start.clone(), &a).await;
    let _after_b = patch(&bed.replica(), start, &b).await;
    let mut whole = bytes(8 * MIB + 5);
    whole.extend_from_slice(&a);
    let digest = sha256(&whole);
    let closed = bed.storage.finish(&image(), after_a, None, None, body(b""), &digest).await;
    match closed {
        Ok(_) => assert_eq!(read(&bed.replica(), &image(), &digest).await.unwrap(), whole),
        Err(error) => assert!(matches!(error, UploadError::DigestMismatch { .. } | UploadError::Unknown), "{error}"),
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_declared_is_refused() {
    let bed = Bed::new();
    let empty = bed.storage.begin_upload(None);
    let short = bed.storage.append(&image(), empty.clone(), None, Some(10), body(b"12345")).await;
    assert!(matches!(short, Err(UploadError::SizeMismatch { declared: 10, received: 5 })));
    let range = bed.storage.append(&image(), empty.clone(), chunk(0, 10), Some(5), body(b"12345")).await;
    assert!(matches!(range, Err(UploadError::SizeMismatch { .. })));
    let stream = bed.storage.append(&image(), empty.clone(), chunk(0, 10), None, body(b"12345")).await;
    assert!(matches!(stream, Err(UploadError::SizeMismatch { .. })));
    let nothing = bed.storage.finish(&image(), empty, None, Some(10), body(b""), &sha256(b"")).await;
    assert!(matches!(nothing, Err(UploadError::SizeMismatch { declared: 10, received: 0 })));
    assert!(bed.keys("b/").is_empty());
}

/// The same large blob twice in one repository is stored once; in another repository only with `global_dedup`.
#[tokio::test]
async fn large_blobs_are_shared_within_a_repository() {
    let content = bytes(9 * MIB);
    for (second, global, copies) in [
        ("team-a/shop/api", false, 1),
        ("team-a/shop/web", false, 1),
        ("team-b/shop", false, 2),
        ("team-b/shop", true, 1),
    ] {
        let bed = Bed::with(Settings { global_dedup: global, ..impatient() });
        bed.image("team-a/shop/api", Some("v1"), &[&content]).await;
        bed.image(second, Some("v2"), &[&content]).await;
        bed.collect().await;
        assert_eq!(bed.keys("k/").len(), copies, "{second} {global}");
    }
}

/// A record that outlived its session is reaped; the multipart upload behind it can no longer be completed.
#[tokio::test]
async fn an_abandoned_upload_is_reaped_after_its_time() {
    let bed = Bed::new();
    let state = patch(&bed.storage, bed.storage.begin_upload(None), &bytes(9 * MIB)).await;
    bed.store.advance(Duration::from_secs(25 * 3600));
    let report = bed.storage.fsck(false).await.unwrap();
    assert_eq!(report.by_class().get(&Class::AbandonedUpload), Some(&1));
    assert_eq!(bed.storage.fsck(true).await.unwrap().freed.uploads, 1);
    let closed = bed.storage.finish(&image(), state, None, None, body(b""), &sha256(&bytes(9 * MIB))).await;
    assert!(matches!(closed, Err(UploadError::Unknown)));
}
