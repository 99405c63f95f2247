//! What the store in a bucket makes of a server that fails, refuses, or says one thing and means another.

#![allow(clippy::unwrap_used)]

use berth_registry::store::s3::{Connection, S3Store};
use berth_registry::store::{ListQuery, MultipartId, NewObject, PartTag, Store, StoreError, read_all};
use berth_tests::fake_s3::{Defect, FakeS3};
use bytes::Bytes;

async fn fake(defects: &[Defect]) -> (FakeS3, S3Store) {
    let server = FakeS3::start(defects).await;
    let connection = Connection {
        endpoint: server.endpoint(),
        region: "us-east-1".to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: "secret".to_owned(),
        ca_certificates: None,
    };
    let store = S3Store::connect("images", "", connection).unwrap();
    (server, store)
}

fn asked(server: &FakeS3) -> Vec<(&'static str, usize)> {
    server.take_seen().into_iter().collect()
}

#[tokio::test]
async fn a_birth_is_sent_once_whatever_comes_back() {
    let (server, store) = fake(&[]).await;
    store.put("k/source", NewObject::bytes("bytes")).await.unwrap();
    server.take_seen();
    for (status, code) in [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (429, "SlowDown")] {
        server.fail("PutObject", 1, status, code);
        let born = store.birth("a/key", NewObject::marker()).await;
        assert!(matches!(born, Err(StoreError::Unavailable { .. })), "{code}: {born:?}");
        assert_eq!(asked(&server), [("PutObject", 1)], "{code}");
        server.fail("CopyObject", 1, status, code);
        let born = store.copy_new("k/source", "k/copy", None).await;
        assert!(matches!(born, Err(StoreError::Unavailable { .. })), "{code}: {born:?}");
        assert_eq!(asked(&server), [("CopyObject", 1)], "{code}");
    }
    assert_eq!(server.store().snapshot().len(), 1);
}

/// A server that is a file system removes a folder with its last key, and may refuse the write that comes next.
#[tokio::test]
async fn a_write_into_a_folder_that_vanished_is_sent_again_because_nothing_was_stored() {
    let (server, store) = fake(&[]).await;
    store.put("k/source", NewObject::bytes("bytes")).await.unwrap();
    server.take_seen();
    for times in [2, 3] {
        server.fail("PutObject", times, 409, "ExistingObjectIsDirectory");
        let born = store.birth(&format!("a/{times}"), NewObject::marker()).await;
        assert_eq!(born.is_ok(), times == 2, "{born:?}");
        assert_eq!(asked(&server), [("PutObject", 3)]);
        server.fail("CopyObject", times, 409, "ExistingObjectIsDirectory");
        let born = store.copy_new("k/source", &format!("k/{times}"), None).await;
        assert_eq!(born.is_ok(), times == 2, "{born:?}");
        assert_eq!(asked(&server), [("CopyObject", 3)]);
    }
    server.fail("PutObject", 1, 409, "OperationAborted");
    store.birth("a/other", NewObject::marker()).await.unwrap_err();
    assert_eq!(asked(&server), [("PutObject", 1)], "nothing is known of what was stored");
}

#[tokio::test]
async fn everything_else_is_sent_up_to_three_times() {
    let (server, store) = fake(&[]).await;
    for times in [2, 3] {
        server.fail("PutObject", times, 503, "SlowDown");
        let put = store.put("u/key", NewObject::marker()).await;
        assert_eq!(put.is_ok(), times == 2, "{put:?}");
        assert_eq!(asked(&server), [("PutObject", 3)]);
        server.fail("HeadObject", times, 500, "");
        let head = store.head("u/key").await;
        assert_eq!(head.is_ok(), times == 2, "{head:?}");
        assert_eq!(asked(&server), [("HeadObject", 3)]);
        server.fail("ListObjectsV2", times, 503, "SlowDown");
        let list = store.list(ListQuery::below("u/")).await;
        assert_eq!(list.is_ok(), times == 2, "{list:?}");
        assert_eq!(asked(&server), [("ListObjectsV2", 3)]);
    }
}

#[tokio::test]
async fn only_a_missing_key_is_absence() {
    let (server, store) = fake(&[]).await;
    store.put("a/key", NewObject::marker()).await.unwrap();
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (401, "Unauthorized"), (400, "Odd")] {
        server.fail("GetObject", 1, status, code);
        assert!(store.get("a/key", None).await.is_err(), "{status} {code}");
        server.fail("DeleteObject", 1, status, code);
        assert!(store.delete("a/key").await.is_err(), "{status} {code}");
        server.fail("CopyObject", 1, status, code);
        assert!(store.retire("a/key").await.is_err(), "{status} {code}");
    }
    // The answer to a HEAD has no body, hence no code.
    for status in [400, 401, 403] {
        server.fail("HeadObject", 1, status, "");
        assert!(store.head("a/key").await.is_err(), "{status}");
    }
    assert!(!server.store().snapshot()["a/key"].retired);
    assert_eq!(store.head("a/absent").await.unwrap(), None);
    assert!(store.get("a/absent", None).await.unwrap().is_none());
}

#[tokio::test]
async fn deletions_of_a_batch_succeed_or_fail_key_by_key() {
    for (defect, denied) in [(Defect::DeniesDelete, true), (Defect::SaysNothingOfDeletions, false)] {
        let (_server, store) = fake(&[defect]).await;
        store.put("a/key", NewObject::marker()).await.unwrap();
        let failures = store.delete_many(&["a/key".to_owned(), "a/other".to_owned()]).await.unwrap();
        let keys: Vec<_> = failures.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a/key", "a/other"], "{defect:?}");
        assert_eq!(matches!(failures[0].1, StoreError::Denied { .. }), denied, "{:?}", failures[0].1);
    }
}

#[tokio::test]
async fn a_store_that_wants_an_old_checksum_gets_single_deletions() {
    let (server, store) = fake(&[Defect::WantsContentMd5]).await;
    for round in 0..2 {
        for key in ["a/1", "a/2", "a/3"] {
            store.put(key, NewObject::marker()).await.unwrap();
        }
        server.take_seen();
        server.fail("DeleteObject", 1, 403, "AccessDenied");
        let failures = store.delete_many(&["a/1", "a/2", "a/3"].map(str::to_owned)).await.unwrap();
        assert_eq!(failures.len(), 1, "one deletion of three is refused: {failures:?}");
        assert_eq!(server.store().snapshot().into_keys().collect::<Vec<_>>(), [failures[0].0.clone()]);
        // It is tried once only.
        let batches: &[_] =
            if round == 0 { &[("DeleteObject", 3), ("DeleteObjects", 1)] } else { &[("DeleteObject", 3)] };
        assert_eq!(asked(&server), batches);
        store.delete(&failures[0].0).await.unwrap();
    }
}

#[tokio::test]
async fn an_error_inside_a_completion_is_an_error() {
    let (server, store) = fake(&[Defect::FailsCompletionLate]).await;
    let upload = store.create_multipart("k/data").await.unwrap();
    let tag = store.upload_part("k/data", &upload, 1, "part".into()).await.unwrap();
    let completed = store.complete_multipart("k/data", &upload, &[(1, tag)]).await;
    assert!(matches!(completed, Err(StoreError::Unavailable { .. })), "{completed:?}");
    assert!(server.store().snapshot().is_empty());
}

#[tokio::test]
async fn an_unknown_upload_is_told_from_other_failures() {
    let (server, store) = fake(&[]).await;
    let (upload, part) = (MultipartId("gone".to_owned()), (1, PartTag("tag".to_owned())));
    let completed = store.complete_multipart("k/data", &upload, std::slice::from_ref(&part)).await;
    assert!(matches!(completed, Err(StoreError::NotFound(_))), "{completed:?}");
    store.abort_multipart("k/data", &upload).await.unwrap();
    server.fail("CompleteMultipartUpload", 1, 403, "AccessDenied");
    let completed = store.complete_multipart("k/data", &upload, &[part]).await;
    assert!(matches!(completed, Err(StoreError::Denied { .. })), "{completed:?}");
}

#[tokio::test]
async fn bytes_that_break_off_are_an_error_and_never_a_short_object() {
    let (_server, store) = fake(&[Defect::BreaksBodies]).await;
    store.put("k/data", NewObject::bytes(vec![7; 300_000])).await.unwrap();
    let object = store.get("k/data", None).await.unwrap().unwrap();
    assert_eq!(object.head.size, 300_000);
    let read = read_all(object.body).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{:?}", read.map(|bytes| bytes.len()));
}

#[tokio::test]
async fn bodies_go_out_whole_and_without_checksums_that_others_than_aws_refuse() {
    let (server, store) = fake(&[]).await;
    store.birth("k/key", NewObject::bytes(Bytes::from(vec![1; 1000]))).await.unwrap();
    let upload = store.create_multipart("k/data").await.unwrap();
    store.upload_part("k/data", &upload, 1, Bytes::from(vec![1; 1000])).await.unwrap();
    for operation in ["PutObject", "UploadPart"] {
        let headers = server.headers_of(operation);
        assert_eq!(headers["content-length"], "1000", "{operation}");
        assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("content-encoding"), "{operation}");
        let checksums = headers.keys().filter(|name| name.as_str().starts_with("x-amz-checksum")).count();
        assert_eq!((checksums, headers.contains_key("x-amz-trailer")), (0, false), "{operation}: {headers:?}");
        assert!(headers["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256"), "{operation}");
    }
}

#[tokio::test]
async fn each_step_takes_as_many_requests_as_it_should() {
    let (server, store) = fake(&[]).await;
    store.birth("b/key", NewObject::bytes("bytes")).await.unwrap();
    assert_eq!(asked(&server), [("PutObject", 1)]);
    store.copy_new("b/key", "b/copy", None).await.unwrap();
    assert_eq!(asked(&server), [("CopyObject", 1)]);
    store.retire("b/key").await.unwrap();
    assert_eq!(asked(&server), [("CopyObject", 1), ("HeadObject", 1)]);
    // What is retired keeps the time of its retirement.
    store.retire("b/key").await.unwrap();
    store.retire("b/absent").await.unwrap();
    store.confirm("b/key").await.unwrap();
    assert_eq!(asked(&server), [("HeadObject", 3)]);
    store.delete_many(&["b/key", "b/copy"].map(str::to_owned)).await.unwrap();
    store.delete_many(&[]).await.unwrap();
    assert_eq!(asked(&server), [("DeleteObjects", 1)]);
}
