//! `/v2/<name>/blobs/uploads/`: sessions, closing, cancelling, mounting.

use super::*;
use crate::storage::Incoming;

const UPLOADS: &str = "/v2/team-a/shop/blobs/uploads/";

/// Begins a session and gives its Location.
async fn begin(bed: &Bed) -> String {
    let answer = bed.send(post(UPLOADS)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer.location()
}

/// The Location with one more query parameter, as clients add it.
fn with(location: &str, key: &str, value: &str) -> String {
    let (path, query) = location.split_once('?').unwrap();
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.push((key.to_owned(), value.to_owned()));
    // Clients sort the keys and escape the values.
    pairs.sort();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

fn closing(location: &str, digest: &Digest) -> String {
    with(location, "digest", &digest.to_string())
}

#[track_caller]
fn assert_stands_at(answer: &Answered, status: u16, range: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("range"), range);
    let session = answer.header("docker-upload-uuid").to_owned();
    assert!(!session.is_empty() && answer.location().contains(&format!("/{session}?s=")), "{answer:?}");
}

#[tokio::test]
async fn a_session_begins_without_a_trace_in_the_store() {
    let bed = Bed::new().await;
    for path in [UPLOADS, UPLOADS.trim_end_matches('/'), "/v2/team-a/shop/blobs/uploads/?digest-algorithm=sha512"] {
        // Clients post all sorts of bodies and types here; none of them means anything.
        let answer = bed.send(post(path).header("content-type", "application/json").body("{}")).await;
        assert_stands_at(&answer, 202, "0-0");
        assert_eq!(answer.header("content-length"), "0");
    }
    assert_eq!(bed.objects(), 0);
    for (query, advice) in [("digest-algorithm=md5", "use sha256 or sha512"), ("digest=nonsense", "is not a digest")] {
        bed.send(post(&format!("{UPLOADS}?{query}"))).await.assert_error(400, "DIGEST_INVALID", advice);
    }
}

#[tokio::test]
async fn a_blob_is_pushed_at_once() {
    let bed = Bed::new().await;
    for digest in [sha256(b"whole"), sha512(b"whole")] {
        let answer = bed.send(post(&format!("{UPLOADS}?digest={digest}")).body("whole")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.location(), format!("/v2/team-a/shop/blobs/{digest}"));
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        assert_eq!(bed.send(get(&answer.location())).await.bytes, "whole");
    }
    let wrong = bed.send(post(&format!("{UPLOADS}?digest={}", sha256(b"other"))).body("whole")).await;
    wrong.assert_error(400, "DIGEST_INVALID", &format!("the content has the digest {}", sha256(b"whole")));
    assert_eq!(wrong.json()["errors"][0]["detail"]["actual"], sha256(b"whole").to_string());
}

#[tokio::test]
async fn a_session_takes_a_stream_and_closes_without_a_body() {
    let bed = Bed::new().await;
    let location = begin(&bed).await;
    let streamed = bed.send(patch(&location).stream(vec![Ok(b"str".to_vec()), Ok(b"eam".to_vec())])).await;
    assert_stands_at(&streamed, 202, "0-5");
    let digest = sha256(b"stream");
    let closed = bed.send(put(&closing(&streamed.location(), &digest)).body("")).await;
    assert_eq!(
        (closed.status, closed.header("docker-content-digest")),
        (StatusCode::CREATED, digest.to_string().as_str())
    );
    assert_eq!(closed.location(), format!("/v2/team-a/shop/blobs/{digest}"));
    assert_eq!(bed.send(head(&closed.location())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_closes_with_all_or_the_last_of_its_bytes() {
    let bed = Bed::new().await;
    for (content, chunked) in [(&b"with the close"[..], false), (b"", false), (b"", true)] {
        let location = begin(&bed).await;
        let request = put(&closing(&location, &sha256(content)));
        let request = if chunked { request.stream(Vec::new()) } else { request.body(content) };
        let closed = bed.send(request).await;
        assert_eq!(closed.status, StatusCode::CREATED, "{closed:?}");
    }
    let first = bed.send(patch(&begin(&bed).await).header("content-range", "0-4").body("first")).await;
    assert_stands_at(&first, 202, "0-4");
    let request = put(&closing(&first.location(), &sha256(b"first and last")));
    let closed = bed.send(request.header("content-range", "5-13").body(" and last")).await;
    assert_eq!(closed.status, StatusCode::CREATED, "{closed:?}");
}

#[tokio::test]
async fn chunks_come_in_order_and_a_wrong_one_says_where_to_go_on() {
    let bed = Bed::new().await;
    let begun = begin(&bed).await;
    let ahead = bed.send(patch(&begun).header("content-range", "3-5").body("def")).await;
    ahead.assert_error(416, "BLOB_UPLOAD_INVALID", "does not begin at byte 0");
    assert_stands_at(&ahead, 416, "0-0");
    let first = bed.send(patch(&ahead.location()).header("content-range", "0-2").body("abc")).await;
    assert_stands_at(&first, 202, "0-2");
    // The first chunk again, from the Location it had then.
    let again = bed.send(patch(&begun).header("content-range", "0-2").body("abc")).await;
    assert_stands_at(&again, 416, "0-2");
    // A status asked for with an older Location, and with what a failed close added to it.
    for path in [&begun, &first.location(), &closing(&begun, &sha256(b"abc"))] {
        assert_stands_at(&bed.send(get(path)).await, 204, "0-2");
        assert_stands_at(&bed.send(head(path)).await, 204, "0-2");
    }
    let digest = sha256(b"abcdef");
    let early = put(&closing(&again.location(), &digest)).header("content-range", "4-6").body("efg");
    assert_stands_at(&bed.send(early).await, 416, "0-2");
    let last = put(&closing(&again.location(), &digest)).header("content-range", "3-5").body("def");
    assert_eq!(bed.send(last).await.status, StatusCode::CREATED);
    assert_eq!(bed.send(get(&format!("/v2/team-a/shop/blobs/{digest}"))).await.bytes, "abcdef");
}

#[tokio::test]
async fn a_chunk_that_contradicts_itself_is_refused_and_the_session_lives() {
    let bed = Bed::new().await;
    let location = begin(&bed).await;
    for (range, code, advice) in [
        ("0-9", "SIZE_INVALID", "does not have the 3 bytes"),
        ("0-0", "SIZE_INVALID", "does not have the 3 bytes"),
        ("0-18446744073709551615", "SIZE_INVALID", "does not have the 3 bytes"),
        ("2-0", "BLOB_UPLOAD_INVALID", "<first byte>-<last byte>"),
        ("all", "BLOB_UPLOAD_INVALID", "<first byte>-<last byte>"),
    ] {
        let answer = bed.send(patch(&location).header("content-range", range).body("abc")).await;
        answer.assert_error(400, code, advice);
    }
    let broken = || Err(std::io::Error::other("connection lost"));
    let cut =
        bed.send(patch(&location).header("content-length", "6").stream(vec![Ok(b"abc".to_vec()), broken()])).await;
    assert_eq!(cut.status, StatusCode::BAD_REQUEST, "{cut:?}");
    let short = bed
        .send(put(&closing(&location, &sha256(b"abc"))).header("content-length", "6").stream(vec![Ok(b"abc".to_vec())]))
        .await;
    short.assert_error(400, "SIZE_INVALID", "declared 6 bytes and carried 3");
    let done = bed.send(put(&closing(&begin(&bed).await, &sha256(b"abc"))).body("abc")).await;
    assert_eq!(done.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_close_with_a_wrong_digest_stores_nothing_under_it() {
    let bed = Bed::new().await;
    let location = bed.send(patch(&begin(&bed).await).body("abc")).await.location();
    for (digest, advice) in [
        ("", "is not a digest"),
        ("sha256:abc", "needs 64"),
        ("md5:abc", "not supported"),
        (sha256(b"abd").to_string().as_str(), "the content has the digest"),
    ] {
        bed.send(put(&with(&location, "digest", digest)).body("")).await.assert_error(400, "DIGEST_INVALID", advice);
    }
    bed.send(put(&location).body("")).await.assert_error(400, "DIGEST_INVALID", "is not a digest");
    let wrong = bed.send(head(&format!("/v2/team-a/shop/blobs/{}", sha256(b"abd")))).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    let right = bed.send(put(&closing(&location, &sha256(b"abc"))).body("")).await;
    assert_eq!(right.status, StatusCode::CREATED, "a wrong digest does not end the session: {right:?}");
}

#[tokio::test]
async fn a_cancelled_session_is_unknown() {
    let bed = Bed::new().await;
    let location = bed.send(patch(&begin(&bed).await).header("content-range", "0-2").body("abc")).await.location();
    let cancelled = bed.send(delete(&location)).await;
    assert_eq!((cancelled.status, cancelled.bytes.len()), (StatusCode::NO_CONTENT, 0));
    bed.send(get(&location)).await.assert_error(404, "BLOB_UPLOAD_UNKNOWN", "begin a new upload");
    bed.send(patch(&location).header("content-range", "3-5").body("def")).await.assert_error(
        404,
        "BLOB_UPLOAD_UNKNOWN",
        "",
    );
}

#[tokio::test]
async fn a_location_is_good_for_its_session_image_and_user_only() {
    let bed = Bed::new().await;
    let location = begin(&bed).await;
    let (path, query) = location.split_once('?').unwrap();
    let elsewhere = location.replace("/team-a/shop/", "/team-a/open/");
    let cut = &location[..location.len() - 2];
    for path in
        [path, &format!("{path}x?{query}"), &elsewhere, cut, &format!("{path}?s="), &format!("{UPLOADS}nothing")]
    {
        bed.send(patch(path).body("abc")).await.assert_error(404, "BLOB_UPLOAD_UNKNOWN", "begin a new upload");
        bed.send(get(path)).await.assert_error(404, "BLOB_UPLOAD_UNKNOWN", "begin a new upload");
    }
    bed.send(patch(&location).by("maintainer").body("abc")).await.assert_error(404, "BLOB_UPLOAD_UNKNOWN", "");
    bed.send(patch(&location).by("reporter").body("abc")).await.assert_error(401, "UNAUTHORIZED", "");
    bed.send(patch(&location).by_nobody().body("abc")).await.assert_error(401, "UNAUTHORIZED", "");
    assert_stands_at(&bed.send(patch(&location).body("abc")).await, 202, "0-2");
}

#[tokio::test]
async fn a_mount_takes_a_blob_from_where_the_caller_may_read_it() {
    let bed = Bed::new().await;
    let digest = bed.push_blob("team-a/open", b"shared").await;
    for query in [
        format!("mount={digest}&from=team-a/open"),
        format!("from=team-a%2Fopen&mount={}", digest.to_string().replace(':', "%3A")),
        // By now the image has it itself, which a mount without a source finds.
        format!("mount={digest}"),
    ] {
        let answer = bed.send(post(&format!("{UPLOADS}?{query}"))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{query}: {answer:?}");
        assert_eq!(answer.location(), format!("/v2/team-a/shop/blobs/{digest}"));
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    }
    assert_eq!(bed.send(get(&format!("/v2/team-a/shop/blobs/{digest}"))).await.bytes, "shared");
}

#[tokio::test]
async fn a_mount_without_a_source_looks_everywhere_only_where_tenants_trust_each_other() {
    for (global_dedup, status) in [(false, StatusCode::ACCEPTED), (true, StatusCode::CREATED)] {
        let bed = Bed::with(Settings { global_dedup, ..Settings::default() }).await;
        let digest = bed.push_blob("team-a/open", b"shared").await;
        let answer = bed.send(post(&format!("{UPLOADS}?mount={digest}"))).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// Amendment R11: also where tenants trust each other nothing is taken from an image that the caller may not read.
#[tokio::test]
async fn a_mount_takes_nothing_from_what_the_caller_may_not_read() {
    let bed = Bed::with(Settings { global_dedup: true, ..Settings::default() }).await;
    let storage = Storage::new(Arc::new(bed.store.clone()), Settings::default());
    let (image, digest) = ("team-b/secret".parse().unwrap(), sha256(b"secret"));
    let body: Incoming = Box::pin(futures::stream::iter([Ok("secret".into())]));
    storage.finish(&image, storage.begin_upload(None), None, None, body, &digest).await.unwrap();
    let answer = bed.send(post(&format!("{UPLOADS}?mount={digest}"))).await;
    assert_stands_at(&answer, 202, "0-0");
}

#[tokio::test]
async fn a_mount_that_cannot_be_becomes_an_upload() {
    let bed = Bed::new().await;
    let private = bed.push_blob("team-a/strict", b"private").await;
    let absent = sha256(b"absent");
    for query in [
        format!("mount={absent}&from=team-a/open"),
        format!("mount={absent}"),
        format!("mount={private}&from=team-b/unknown"),
        format!("mount={private}&from=NOT_A_NAME"),
        format!("mount={private}&from=docker.io/library/nginx/x/y"),
        "mount=nonsense&from=team-a/open".to_owned(),
        "mount=".to_owned(),
    ] {
        let answer = bed.send(post(&format!("{UPLOADS}?{query}"))).await;
        assert_stands_at(&answer, 202, "0-0");
        let content = format!("after {query}");
        let closed = bed.send(put(&closing(&answer.location(), &sha256(content.as_bytes()))).body(content)).await;
        assert_eq!(closed.status, StatusCode::CREATED, "{query}");
    }
    let unreadable = format!("/v2/team-a/open/blobs/uploads/?mount={private}&from=team-a/strict");
    let refused = bed.send(post(&unreadable).by_nobody()).await;
    refused.assert_error(401, "UNAUTHORIZED", "");
    assert!(
        refused
            .header("www-authenticate")
            .contains("scope=\"repository:team-a/open:pull,push repository:team-a/strict:pull\""),
        "{refused:?}"
    );
}

#[tokio::test]
async fn only_who_may_push_uploads() {
    let bed = Bed::new().await;
    let body = "x".repeat(100);
    for request in [post(UPLOADS).by("reporter"), post(UPLOADS).by("guest"), post(UPLOADS).by_nobody()] {
        let answer = bed.send(request.body(body.clone())).await;
        answer.assert_error(401, "UNAUTHORIZED", "");
        assert!(answer.header("www-authenticate").contains("repository:team-a/shop:pull,push"), "{answer:?}");
    }
    assert_eq!(bed.objects(), 0);
}
