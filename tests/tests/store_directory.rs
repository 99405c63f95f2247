//! The store in a directory keeps what every store promises, and what only files can break.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use berth_registry::store::directory::{DirectoryError, DirectoryStore};
use berth_registry::store::{ListQuery, NewObject, Store, StoreError, list_all, read_all};
use futures::StreamExt as _;
use tempfile::TempDir;

struct Opened {
    store: Arc<dyn Store>,
    root: TempDir,
}

async fn open() -> Opened {
    let root = TempDir::new().unwrap();
    Opened { store: Arc::new(DirectoryStore::open(root.path()).unwrap()), root }
}

berth_tests::store_conformance!(open);
berth_tests::store_conformance!(open; two_writers_of_one_upload_never_mix_bytes);

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn two_processes_share_one_directory() {
    let Opened { store, root } = open().await;
    let other = DirectoryStore::open(root.path()).unwrap();
    store.birth("r/one", NewObject::bytes("1")).await.unwrap();
    other.birth("r/two", NewObject::bytes("2")).await.unwrap();
    other.retire("r/one").await.unwrap();
    assert!(store.head("r/one").await.unwrap().unwrap().retired);
    assert_eq!(list_all(&*store, "r/").await.unwrap().len(), 2);
    // An upload may go on, and end, in another process than the one it began in.
    let upload = store.create_multipart("k/data").await.unwrap();
    let tag = other.upload_part("k/data", &upload, 1, "bytes".into()).await.unwrap();
    drop(other);
    store.complete_multipart("k/data", &upload, &[(1, tag)]).await.unwrap();
    assert_eq!(store.head("k/data").await.unwrap().unwrap().size, 5);
}

/// Completing is a rename: the bytes lie where they were written, also if the last part was replaced.
#[tokio::test]
async fn parts_in_order_are_not_copied_at_the_end() {
    let Opened { store, root } = open().await;
    let upload = store.create_multipart("k/data").await.unwrap();
    let whole = root.path().join("uploads").join(&upload.0).join("whole");
    let one = store.upload_part("k/data", &upload, 1, "one".into()).await.unwrap();
    store.upload_part("k/data", &upload, 2, "tail".into()).await.unwrap();
    let two = store.upload_part("k/data", &upload, 2, "two".into()).await.unwrap();
    let before = fs::metadata(&whole).unwrap().ino();
    store.complete_multipart("k/data", &upload, &[(1, one), (2, two)]).await.unwrap();
    assert_eq!(fs::metadata(root.path().join("objects/k/data")).unwrap().ino(), before);
    assert_eq!(fs::read_dir(root.path().join("uploads")).unwrap().count(), 0);
}

/// A part that waited for its turn behind the completion must not reach into the object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_part_never_reaches_into_the_object() {
    let Opened { store, root } = open().await;
    let other: Arc<dyn Store> = Arc::new(DirectoryStore::open(root.path()).unwrap());
    for round in 0..50 {
        let key = format!("k/{round}");
        let upload = store.create_multipart(&key).await.unwrap();
        let tag = store.upload_part(&key, &upload, 1, "the part".into()).await.unwrap();
        let late = {
            let (other, key, upload) = (Arc::clone(&other), key.clone(), upload.clone());
            tokio::spawn(async move { other.upload_part(&key, &upload, 1, "another!".into()).await })
        };
        match store.complete_multipart(&key, &upload, &[(1, tag)]).await {
            Ok(()) => {
                let late = late.await.unwrap();
                assert!(matches!(late, Err(StoreError::NotFound(_))), "{late:?}");
                let object = store.get(&key, None).await.unwrap().unwrap();
                assert_eq!(read_all(object.body).await.unwrap(), "the part");
            }
            Err(StoreError::InvalidPart(_)) => {
                late.await.unwrap().unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let Opened { store, root } = open().await;
    store.birth("a/key", NewObject::bytes("bytes")).await.unwrap();
    store.retire("a/key").await.unwrap();
    let upload = store.create_multipart("k/data").await.unwrap();
    let tag = store.upload_part("k/data", &upload, 1, "part".into()).await.unwrap();
    drop(store);
    let store = DirectoryStore::open(root.path()).unwrap();
    assert!(store.head("a/key").await.unwrap().unwrap().retired);
    store.complete_multipart("k/data", &upload, &[(1, tag)]).await.unwrap();
    assert_eq!(read_all(store.get("k/data", None).await.unwrap().unwrap().body).await.unwrap(), "part");
}

#[tokio::test]
async fn an_empty_store_leaves_no_file_and_no_folder() {
    let Opened { store, root } = open().await;
    for key in ["r/x!/m/sha256-00/1", "r/x!/m/sha256-00/1.-", "b/sha256/00/0000/x!/1.2", "k/00/1"] {
        store.birth(key, NewObject::bytes("bytes")).await.unwrap();
    }
    let upload = store.create_multipart("k/00/2").await.unwrap();
    store.upload_part("k/00/2", &upload, 1, "part".into()).await.unwrap();
    store.abort_multipart("k/00/2", &upload).await.unwrap();
    store.delete("k/00/1").await.unwrap();
    let rest: Vec<_> = list_all(&*store, "").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(store.delete_many(&rest).await.unwrap().len(), 0);
    assert_eq!(files_below(root.path()), [""; 0]);
    assert_eq!(fs::read_dir(root.path().join("objects")).unwrap().count(), 0, "empty folders are pruned");
    assert_eq!(fs::read_dir(root.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_bytes_of_files_are_the_bytes_listed_as_stored() {
    let Opened { store, root } = open().await;
    store.birth("a/marker", NewObject::marker()).await.unwrap();
    let typed = NewObject { bytes: "{}".into(), content_type: Some("application/json".into()) };
    store.birth("r/typed", typed).await.unwrap();
    let listed: u64 = list_all(&*store, "").await.unwrap().iter().map(|entry| entry.stored).sum();
    let files: u64 = files_below(root.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(listed, files);
    assert_eq!(listed, 2 + (2 + 16 + 2));
}

#[tokio::test]
async fn an_unmounted_volume_is_an_error_and_not_an_empty_store() {
    let Opened { store, root } = open().await;
    store.birth("a/key", NewObject::marker()).await.unwrap();
    fs::rename(root.path().join("objects"), root.path().join("elsewhere")).unwrap();
    let failures = [
        store.head("a/key").await.err(),
        store.confirm("a/key").await.err(),
        store.get("a/key", None).await.err(),
        store.list(ListQuery::below("a/")).await.err(),
        store.delete("a/key").await.err(),
        store.retire("a/key").await.err(),
        store.birth("a/other", NewObject::marker()).await.err(),
    ];
    for (step, failure) in failures.into_iter().enumerate() {
        assert!(matches!(failure, Some(StoreError::Unavailable { .. })), "step {step}: {failure:?}");
    }
    assert!(!root.path().join("objects").exists(), "nothing is written beside the volume");
}

#[tokio::test]
async fn a_key_is_no_folder_of_another() {
    let Opened { store, root: _root } = open().await;
    store.birth("r/a/b", NewObject::marker()).await.unwrap();
    for key in ["r/a", "r/a/b/c"] {
        let refused = store.birth(key, NewObject::marker()).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{key}: {refused:?}");
        assert_eq!(store.head(key).await.unwrap(), None);
        store.retire(key).await.unwrap();
        store.delete(key).await.unwrap();
    }
    assert_eq!(list_all(&*store, "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_reported_and_files_of_others_are_passed_over() {
    let Opened { store, root } = open().await;
    store.birth("r/good", NewObject::bytes("good")).await.unwrap();
    fs::write(root.path().join("objects/r/.DS_Store"), b"x").unwrap();
    assert_eq!(list_all(&*store, "").await.unwrap().len(), 1);
    fs::write(root.path().join("objects/r/bad"), b"").unwrap();
    assert!(store.head("r/bad").await.is_err());
    let message = store.list(ListQuery::below("r/")).await.unwrap_err().to_string();
    assert!(message.contains("objects/r/bad") && message.contains("restore or remove"), "{message}");
}

#[tokio::test]
async fn bytes_are_read_in_few_large_pieces() {
    let Opened { store, root: _root } = open().await;
    let length = 5 << 20;
    store.birth("k/data", NewObject::bytes(vec![7; length])).await.unwrap();
    let mut body = store.get("k/data", None).await.unwrap().unwrap().body;
    let mut sizes = Vec::new();
    while let Some(chunk) = body.next().await {
        sizes.push(chunk.unwrap().len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), length);
    assert!(sizes.iter().all(|&size| size >= 256 * 1024), "{sizes:?}");
}

#[tokio::test]
async fn a_reader_keeps_the_bytes_it_began_with() {
    let Opened { store, root: _root } = open().await;
    store.put("u/key", NewObject::bytes(vec![1; 2 << 20])).await.unwrap();
    let replaced = store.get("u/key", None).await.unwrap().unwrap();
    store.put("u/key", NewObject::bytes(vec![2; 100])).await.unwrap();
    let deleted = store.get("u/key", None).await.unwrap().unwrap();
    store.delete("u/key").await.unwrap();
    assert_eq!(read_all(replaced.body).await.unwrap(), vec![1; 2 << 20]);
    assert_eq!(read_all(deleted.body).await.unwrap(), vec![2; 100]);
}

#[test]
fn a_path_that_is_no_directory_is_refused_by_name() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = DirectoryStore::open(&file).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { .. }));
    assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");
}
