//! `/v2/<name>/manifests/<tag or digest>`.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "x", "a").await;
    for reference in ["x".to_owned(), digest.to_string(), digest.to_string().replace(':', "%3A")] {
        let path = format!("/v2/team-a/shop/manifests/{reference}");
        // Accept is a hint: neither a type it does not name nor nonsense changes the answer.
        for accept in ["", "*/*", OCI_INDEX, "text/html", "application/json;q=0"] {
            let whole = bed.send(get(&path).header("accept", accept)).await;
            assert_eq!((whole.status, &whole.bytes[..]), (StatusCode::OK, &bytes[..]), "{reference} {accept}");
            let head = bed.send(head(&path).header("accept", accept)).await;
            assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
            for answer in [&whole, &head] {
                assert_eq!(answer.header("content-type"), OCI_MANIFEST);
                assert_eq!(answer.header("content-length"), bytes.len().to_string());
                assert_eq!(answer.header("docker-content-digest"), digest.to_string());
                assert_eq!(answer.header("etag"), format!("\"{digest}\""));
            }
        }
    }
    for tag in [digest.to_string(), format!("\"{digest}\""), format!("W/\"{digest}\", \"x\"")] {
        let answer = bed.send(get("/v2/team-a/shop/manifests/x").header("if-none-match", &tag)).await;
        assert_eq!((answer.status, answer.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{tag}");
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    }
}

#[tokio::test]
async fn a_push_names_what_it_stored() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "x", "a").await;
    for reference in ["x", &digest.to_string(), "y"] {
        let answer =
            bed.push_manifest("team-a/shop", reference, &format!("{OCI_MANIFEST}; charset=utf-8"), &bytes).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.location(), format!("/v2/team-a/shop/manifests/{digest}"));
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        for header in ["oci-subject", "oci-tag", "warning"] {
            assert_eq!(answer.header(header), "");
        }
    }
}

#[tokio::test]
async fn a_manifest_keeps_the_digest_it_was_pushed_with() {
    let bed = Bed::new().await;
    let (bytes, _) = bed.push_image("team-a/shop", "x", "a").await;
    let digest = sha512(&bytes);
    let path = format!("{digest}?tag=long");
    let answer = bed.push_manifest("team-a/shop", &path, OCI_MANIFEST, &bytes).await;
    assert_eq!(answer.header("docker-content-digest"), digest.to_string(), "{answer:?}");
    for reference in ["long", &digest.to_string()] {
        let read = bed.send(get(&format!("/v2/team-a/shop/manifests/{reference}"))).await;
        assert_eq!(read.header("docker-content-digest"), digest.to_string());
    }
    let other = bed.send(head("/v2/team-a/shop/manifests/x")).await;
    assert_eq!(other.header("docker-content-digest"), sha256(&bytes).to_string());
}

#[tokio::test]
async fn a_push_by_digest_sets_any_number_of_tags_or_none() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "x", "a").await;
    let tags: Vec<String> = (0..12).map(|i| format!("t{i}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let answer =
        bed.push_manifest("team-a/shop", &format!("{digest}?{query}&tag=t1&origin=x"), OCI_MANIFEST, &bytes).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let named: Vec<&str> = answer.headers.get_all("oci-tag").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(named, tags);
    for tag in &tags {
        let read = bed.send(head(&format!("/v2/team-a/shop/manifests/{tag}"))).await;
        assert_eq!(read.header("docker-content-digest"), digest.to_string());
    }
    let answer = bed.push_manifest("team-a/shop", &format!("{digest}?tag=good&tag=.bad"), OCI_MANIFEST, &bytes).await;
    answer.assert_error(400, "MANIFEST_INVALID", "\".bad\" is not a valid tag");
    assert_eq!(bed.send(head("/v2/team-a/shop/manifests/good")).await.status, StatusCode::NOT_FOUND);
    let many = (0..101).map(|i| format!("tag=m{i}")).collect::<Vec<_>>().join("&");
    let answer = bed.push_manifest("team-a/shop", &format!("{digest}?{many}"), OCI_MANIFEST, &bytes).await;
    answer.assert_error(414, "MANIFEST_INVALID", "at most 100");
}

#[tokio::test]
async fn bad_manifests_are_refused_with_the_reason_and_store_nothing() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "x", "a").await;
    let before = bed.objects();
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let big = format!("{{\"schemaVersion\":2,\"annotations\":{{\"x\":\"{}\"}}}}", "x".repeat(4 << 20));
    let other = sha256(b"other").to_string();
    for (reference, media_type, body, status, code, advice) in [
        ("y", "", &bytes[..], 400, "MANIFEST_INVALID", "no Content-Type is not a manifest"),
        ("y", "application/json", &bytes, 400, "MANIFEST_INVALID", "is not a manifest"),
        ("y", OCI_INDEX, &bytes, 400, "MANIFEST_INVALID", "send the same in both"),
        ("y", schema_1, b"{}", 400, "MANIFEST_INVALID", "push the image again with docker 1.10"),
        ("y", OCI_MANIFEST, b"", 400, "MANIFEST_INVALID", "not valid JSON"),
        ("y", OCI_MANIFEST, &bytes[..bytes.len() - 1], 400, "MANIFEST_INVALID", "not valid JSON"),
        ("y", OCI_INDEX, big.as_bytes(), 413, "MANIFEST_INVALID", "at most 4194304 bytes"),
        ("-y", OCI_MANIFEST, &bytes, 400, "MANIFEST_INVALID", "is not a valid tag"),
        ("sha256:abc", OCI_MANIFEST, &bytes, 400, "DIGEST_INVALID", "needs 64"),
        ("md5:abc", OCI_MANIFEST, &bytes, 400, "DIGEST_INVALID", "use sha256 or sha512"),
        (&other, OCI_MANIFEST, &bytes, 400, "DIGEST_INVALID", "the content has the digest"),
    ] {
        let answer = bed.push_manifest("team-a/shop", reference, media_type, body).await;
        answer.assert_error(status, code, advice);
    }
    // Too large without saying so first, and cut in the middle.
    let path = "/v2/team-a/shop/manifests/y";
    let pieces = (0..5).map(|_| Ok(vec![b'{'; 1 << 20])).collect();
    let large = bed.send(put(path).header("content-type", OCI_MANIFEST).stream(pieces)).await;
    large.assert_error(413, "MANIFEST_INVALID", "at most 4194304 bytes");
    let cut = vec![Ok(b"{".to_vec()), Err(std::io::Error::other("connection lost"))];
    let cut = bed.send(put(path).header("content-type", OCI_MANIFEST).stream(cut)).await;
    cut.assert_error(400, "MANIFEST_INVALID", "send the manifest again");
    assert_eq!(bed.objects(), before);
    assert_eq!(bed.send(head(&format!("/v2/team-a/shop/manifests/{digest}"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_manifest_of_almost_four_mebibytes_is_taken() {
    let bed = Bed::new().await;
    let filler = "x".repeat((4 << 20) - 100);
    let body = format!("{{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{{\"x\":\"{filler}\"}}}}");
    assert!(body.len() <= 4 << 20);
    let answer = bed.push_manifest("team-a/shop", "x", OCI_INDEX, body.as_bytes()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.headers);
}

#[tokio::test]
async fn missing_content_is_named_digest_by_digest() {
    let bed = Bed::new().await;
    bed.push_blob("team-a/shop", b"here").await;
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"not here"),
        "layers": [descriptor("x/y", b"here"), descriptor("x/y", b"nor here")],
    });
    let answer = bed.push_manifest("team-a/shop", "x", OCI_MANIFEST, manifest.to_string().as_bytes()).await;
    answer.assert_error(400, "MANIFEST_BLOB_UNKNOWN", "push it before the manifest");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let named: BTreeSet<&str> = errors.iter().map(|error| error["detail"]["digest"].as_str().unwrap()).collect();
    let missing = [sha256(b"not here").to_string(), sha256(b"nor here").to_string()];
    assert_eq!(named, missing.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn an_index_with_missing_children_is_taken_with_a_warning_or_refused() {
    let bed = Bed::new().await;
    let (child, _) = bed.push_image("team-a/shop", "x", "a").await;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(OCI_MANIFEST, &child), descriptor(OCI_MANIFEST, b"missing")],
    });
    let missing = sha256(b"missing");
    let lenient = bed.push_manifest("team-a/shop", "multi", OCI_INDEX, index.to_string().as_bytes()).await;
    assert_eq!(lenient.status, StatusCode::CREATED, "{lenient:?}");
    let expected = format!("299 - \"the index lists {missing}, which is not here: pulling that part will fail\"");
    assert_eq!(lenient.header("warning"), expected);

    bed.push_image("team-a/strict", "x", "a").await;
    let strict = bed.push_manifest("team-a/strict", "multi", OCI_INDEX, index.to_string().as_bytes()).await;
    strict.assert_error(400, "MANIFEST_BLOB_UNKNOWN", &missing.to_string());
    assert_eq!(bed.send(head("/v2/team-a/strict/manifests/multi")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_subject_is_confirmed_even_if_nobody_pushed_it() {
    let bed = Bed::new().await;
    let subject = sha256(b"subject");
    let body = json!({"schemaVersion": 2, "manifests": [], "subject": descriptor(OCI_MANIFEST, b"subject")});
    let answer = bed.push_manifest("team-a/shop", "x", OCI_INDEX, body.to_string().as_bytes()).await;
    assert_eq!((answer.status, answer.header("oci-subject")), (StatusCode::CREATED, subject.to_string().as_str()));
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let bed = Bed::new().await;
    bed.push_image("team-a/shop", "x", "a").await;
    let layer = sha256(b"layer of a").to_string();
    for (reference, advice) in [
        ("y", "no tag \"y\""),
        (".INVALID_MANIFEST_NAME", "no tag"),
        (&sha256(b"absent").to_string(), "no manifest with this digest"),
        // A blob is no manifest.
        (&layer, "no manifest with this digest"),
        ("blake3:abc", "no manifest with this digest"),
    ] {
        let path = format!("/v2/team-a/shop/manifests/{reference}");
        bed.send(get(&path)).await.assert_error(404, "MANIFEST_UNKNOWN", advice);
        bed.send(delete(&path)).await.assert_error(404, "MANIFEST_UNKNOWN", advice);
        assert_eq!(bed.send(head(&path)).await.status, StatusCode::NOT_FOUND);
    }
    bed.send(get("/v2/team-a/shop/manifests/sha256:abc")).await.assert_error(400, "DIGEST_INVALID", "needs 64");
    bed.send(get("/v2/team-a/open/manifests/x")).await.assert_error(404, "MANIFEST_UNKNOWN", "");
}

#[tokio::test]
async fn a_tag_goes_alone_and_a_manifest_with_its_tags() {
    let bed = Bed::new().await;
    let (_, digest) = bed.push_image("team-a/shop", "x", "a").await;
    let by_digest = format!("/v2/team-a/shop/manifests/{digest}");
    let deleted = bed.send(delete("/v2/team-a/shop/manifests/x")).await;
    assert_eq!((deleted.status, deleted.bytes.len()), (StatusCode::ACCEPTED, 0));
    assert_eq!(bed.send(head("/v2/team-a/shop/manifests/x")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bed.send(head(&by_digest)).await.status, StatusCode::OK);

    bed.push_image("team-a/shop", "x", "a").await;
    bed.push_image("team-a/shop", "y", "a").await;
    // Two tags at once are more than a developer may delete.
    bed.send(delete(&by_digest)).await.assert_error(403, "DENIED", "");
    assert_eq!(bed.send(delete(&by_digest).by("maintainer")).await.status, StatusCode::ACCEPTED);
    for reference in ["x", "y", &digest.to_string()] {
        let path = format!("/v2/team-a/shop/manifests/{reference}");
        assert_eq!(bed.send(head(&path)).await.status, StatusCode::NOT_FOUND, "{reference}");
    }
}

/// Everything runs on one thread over a store that answers at once: a push that does not wait is over after a few rounds.
#[tokio::test]
async fn a_push_waits_for_memory_before_its_body_is_read() {
    let bed = Bed::new().await;
    let room = bed.storage.reserve(usize::MAX).await;
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    let mut push = Box::pin(bed.push_manifest("team-a/shop", "x", OCI_INDEX, index.as_bytes()));
    for _ in 0..1000 {
        assert!(futures::poll!(&mut push).is_pending(), "pushed without memory");
        tokio::task::yield_now().await;
    }
    assert_eq!(bed.objects(), 0);
    drop(room);
    assert_eq!(push.await.status, StatusCode::CREATED);
    assert!(futures::FutureExt::now_or_never(bed.storage.reserve(usize::MAX)).is_some(), "all of it came back");
}

#[tokio::test]
async fn a_manifest_that_an_index_lists_stays() {
    let bed = Bed::new().await;
    let (child, digest) = bed.push_image("team-a/shop", "x", "a").await;
    let index = json!({"schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST, &child)]}).to_string();
    assert_eq!(
        bed.push_manifest("team-a/shop", "multi", OCI_INDEX, index.as_bytes()).await.status,
        StatusCode::CREATED
    );
    let path = format!("/v2/team-a/shop/manifests/{digest}");
    let refused = bed.send(delete(&path)).await;
    refused.assert_error(405, "UNSUPPORTED", &format!("part of {}", sha256(index.as_bytes())));
    assert_eq!(bed.send(head(&path)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn immutable_tags_neither_move_nor_go_and_protected_ones_need_a_maintainer() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "v1", "a").await;
    let (other, _) = bed.push_image("team-a/shop", "x", "b").await;
    let repeated = bed.push_manifest("team-a/shop", "v1", OCI_MANIFEST, &bytes).await;
    assert_eq!(repeated.status, StatusCode::CREATED, "{repeated:?}");
    bed.push_manifest("team-a/shop", "v1", OCI_MANIFEST, &other).await.assert_error(403, "DENIED", "immutable");
    for reference in ["v1", &digest.to_string()] {
        let path = format!("/v2/team-a/shop/manifests/{reference}");
        bed.send(delete(&path).by("maintainer")).await.assert_error(403, "DENIED", "immutable");
    }

    bed.push_manifest("team-a/shop", "main", OCI_MANIFEST, &bytes).await.assert_error(403, "DENIED", "protected");
    let path = "/v2/team-a/shop/manifests/main";
    let request = put(path).by("maintainer").header("content-type", OCI_MANIFEST).body(bytes);
    assert_eq!(bed.send(request).await.status, StatusCode::CREATED);
    bed.send(delete(path)).await.assert_error(403, "DENIED", "protected");
    assert_eq!(bed.send(delete(path).by("maintainer")).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn only_who_may_reads_pushes_and_deletes() {
    let bed = Bed::new().await;
    let (bytes, _) = bed.push_image("team-a/open", "x", "a").await;
    let path = "/v2/team-a/open/manifests/x";
    assert_eq!(bed.send(get(path).by_nobody()).await.status, StatusCode::OK);
    let push = || put(path).header("content-type", OCI_MANIFEST).body(bytes.clone());
    for request in [
        push().by_nobody(),
        push().by("guest"),
        push().by("reporter"),
        delete(path).by_nobody(),
        delete(path).by("reporter"),
    ] {
        bed.send(request).await.assert_error(401, "UNAUTHORIZED", "");
    }
}
