//! `/v2/<name>/blobs/<digest>`.

use super::*;

const CONTENT: &[u8] = b"0123456789";

#[tokio::test]
async fn get_and_head_describe_the_blob_exactly() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/shop", CONTENT).await;
    let path = format!("/v2/team-a/shop/blobs/{digest}");
    let whole = bed.send(get(&path)).await;
    assert_eq!((whole.status, &whole.bytes[..]), (StatusCode::OK, CONTENT));
    let head = bed.send(head(&path)).await;
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    for answer in [&whole, &head] {
        assert_eq!(answer.header("content-length"), "10");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        assert_eq!(answer.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn ranges_are_answered_as_ranges() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/shop", CONTENT).await;
    let path = format!("/v2/team-a/shop/blobs/{digest}");
    for (range, status, part, content_range) in [
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=3-5", 206, "345", "bytes 3-5/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=0-", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=0-99999999999999999999", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("bytes=x", 200, "0123456789", ""),
        ("pages=1-2", 200, "0123456789", ""),
    ] {
        let answer = bed.send(get(&path).header("range", range)).await;
        assert_eq!(answer.status.as_u16(), status, "{range}");
        assert_eq!(answer.bytes, part, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.header("content-length"), part.len().to_string(), "{range}");
        assert_eq!(answer.header("docker-content-digest"), digest.to_string(), "{range}");
    }
    for range in ["bytes=10-", "bytes=10-20", "bytes=500-0", "bytes=-0"] {
        let answer = bed.send(get(&path).header("range", range)).await;
        answer.assert_error(416, "SIZE_INVALID", "which has 10 bytes");
        assert_eq!(answer.header("content-range"), "bytes */10", "{range}");
    }
    let etag = format!("\"{digest}\"");
    let same = bed.send(get(&path).header("range", "bytes=1-1").header("if-range", &etag)).await;
    assert_eq!((same.status, &same.bytes[..]), (StatusCode::PARTIAL_CONTENT, &b"1"[..]));
    let other = bed.send(get(&path).header("range", "bytes=1-1").header("if-range", "\"x\"")).await;
    assert_eq!((other.status, &other.bytes[..]), (StatusCode::OK, CONTENT));
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/shop", CONTENT).await;
    let path = format!("/v2/team-a/shop/blobs/{digest}");
    let etag = format!("\"{digest}\"");
    for request in [get(&path), head(&path)] {
        let answer = bed.send(request.header("if-none-match", &etag)).await;
        assert_eq!((answer.status, answer.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(answer.header("etag"), etag);
    }
    let absent = sha256(b"absent");
    let answer = bed.send(get(&format!("/v2/team-a/shop/blobs/{absent}")).header("if-none-match", "*")).await;
    answer.assert_error(404, "BLOB_UNKNOWN", "no blob with this digest");
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/shop", b"").await;
    let path = format!("/v2/team-a/shop/blobs/{digest}");
    let answer = bed.send(get(&path)).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.bytes.len()), (StatusCode::OK, "0", 0));
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        let answer = bed.send(get(&path).header("range", range)).await;
        answer.assert_error(416, "SIZE_INVALID", "0 bytes");
    }
}

#[tokio::test]
async fn digests_that_are_none_are_400_and_unknown_ones_404() {
    let bed = Bed::new().await;
    bed.push_blob("team-a/shop", CONTENT).await;
    let hex = "a".repeat(64);
    for (digest, status, code) in [
        (format!("sha256:{hex}"), 404, "BLOB_UNKNOWN"),
        (format!("blake3:{hex}"), 404, "BLOB_UNKNOWN"),
        (sha512(CONTENT).to_string(), 404, "BLOB_UNKNOWN"),
        (format!("sha256:{}", "A".repeat(64)), 400, "DIGEST_INVALID"),
        ("sha256:abc".to_owned(), 400, "DIGEST_INVALID"),
        ("latest".to_owned(), 400, "DIGEST_INVALID"),
        (String::new(), 400, "DIGEST_INVALID"),
    ] {
        let path = format!("/v2/team-a/shop/blobs/{digest}");
        bed.send(get(&path)).await.assert_error(status, code, "");
        assert_eq!(bed.send(head(&path)).await.status.as_u16(), status, "{digest}");
    }
    // The blob of one image is not there in another.
    bed.send(get(&format!("/v2/team-a/open/blobs/{}", sha256(CONTENT)))).await.assert_error(404, "BLOB_UNKNOWN", "");
}

#[tokio::test]
async fn a_blob_is_deleted_from_one_image_unless_a_manifest_needs_it() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/shop", CONTENT).await;
    bed.push_blob("team-a/open", CONTENT).await;
    let path = format!("/v2/team-a/shop/blobs/{digest}");
    bed.send(delete(&path).by("reporter")).await.assert_error(401, "UNAUTHORIZED", "");
    assert_eq!(bed.send(delete(&path)).await.status, StatusCode::ACCEPTED);
    assert_eq!(bed.send(head(&path)).await.status, StatusCode::NOT_FOUND);
    bed.send(delete(&path)).await.assert_error(404, "BLOB_UNKNOWN", "");
    assert_eq!(bed.send(head(&format!("/v2/team-a/open/blobs/{digest}"))).await.status, StatusCode::OK);

    bed.push_image("team-a/shop", "x", "needed").await;
    let layer = sha256(b"layer of needed");
    let refused = bed.send(delete(&format!("/v2/team-a/shop/blobs/{layer}"))).await;
    refused.assert_error(405, "UNSUPPORTED", "delete the manifests first");
    bed.send(delete("/v2/team-a/shop/blobs/x")).await.assert_error(400, "DIGEST_INVALID", "");
}

#[tokio::test]
async fn only_who_may_pull_reads() {
    let bed = Bed::new().await;
    let private = format!("/v2/team-a/shop/blobs/{}", bed.push_blob("team-a/shop", CONTENT).await);
    let public = format!("/v2/team-a/open/blobs/{}", bed.push_blob("team-a/open", CONTENT).await);
    assert_eq!(bed.send(get(&public).by_nobody()).await.status, StatusCode::OK);
    assert_eq!(bed.send(get(&private).by("reporter")).await.status, StatusCode::OK);
    for request in [get(&private).by_nobody(), get(&private).by("guest"), delete(&public).by_nobody()] {
        bed.send(request).await.assert_error(401, "UNAUTHORIZED", "");
    }
}
