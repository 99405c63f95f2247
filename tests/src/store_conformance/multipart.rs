//! Multipart uploads: which bytes become the object is decided by the parts named at the end (amendment R2).

use std::sync::Arc;

use berth_registry::store::{ListQuery, MultipartId, PartTag, Store, StoreError};
use bytes::Bytes;
use futures::future::join_all;

use super::{content, names, pattern};

/// S3 takes no smaller part but the last.
const MIN_PART: usize = 5 << 20;

/// A part as it is named at the end, with its bytes.
type Part = ((u16, PartTag), Bytes);

async fn send(store: &dyn Store, key: &str, upload: &MultipartId, number: u16, bytes: Bytes) -> Part {
    let tag = store.upload_part(key, upload, number, bytes.clone()).await.unwrap();
    ((number, tag), bytes)
}

/// Completes with exactly these parts and checks the bytes.
async fn complete(store: &dyn Store, key: &str, upload: &MultipartId, parts: &[&Part]) {
    let named: Vec<_> = parts.iter().map(|(named, _)| named.clone()).collect();
    store.complete_multipart(key, upload, &named).await.unwrap();
    let expected: Vec<Bytes> = parts.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!(content(store, key).await.unwrap() == expected.concat(), "the bytes are those of the parts named");
}

pub async fn parts_become_the_object_in_order(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    let upload = store.create_multipart(&key).await.unwrap();
    let parts: Vec<Bytes> = [MIN_PART, MIN_PART + 1, 77].into_iter().zip(1..).map(|(n, s)| pattern(n, s)).collect();
    // Out of order, as parallel parts arrive; numbers need not be dense.
    let numbers = [1, 2, 10_000];
    let mut tags: Vec<Option<PartTag>> = vec![None; 3];
    for at in [2, 0, 1] {
        let tag = store.upload_part(&key, &upload, numbers[at], parts[at].clone()).await.unwrap();
        tags[at] = Some(tag);
        assert_eq!(store.head(&key).await.unwrap(), None, "nothing shows before completion");
    }
    assert_eq!(names(&store.list(ListQuery::below(prefix)).await.unwrap()), [""; 0]);
    let named: Vec<_> = numbers.into_iter().zip(tags.into_iter().flatten()).collect();
    store.complete_multipart(&key, &upload, &named).await.unwrap();
    let whole = parts.concat();
    let head = store.head(&key).await.unwrap().unwrap();
    assert_eq!((head.size, head.retired), (whole.len() as u64, false));
    assert!(content(&*store, &key).await.unwrap() == whole, "the bytes are those of the parts in order");
    let listing = store.list(ListQuery::below(prefix)).await.unwrap();
    assert_eq!((names(&listing), listing.entries[0].size), (vec![key.as_str()], whole.len() as u64));
    store.delete(&key).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
}

pub async fn a_part_that_was_replaced_is_not_the_one_named(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    let upload = store.create_multipart(&key).await.unwrap();
    let old = store.upload_part(&key, &upload, 1, pattern(1000, 1)).await.unwrap();
    let new = store.upload_part(&key, &upload, 1, pattern(1000, 2)).await.unwrap();
    assert_ne!(old, new);
    for wrong in [vec![(1, old.clone())], vec![(2, new.clone())]] {
        let completed = store.complete_multipart(&key, &upload, &wrong).await;
        assert!(matches!(completed, Err(StoreError::InvalidPart(_))), "{wrong:?}: {completed:?}");
        assert_eq!(store.head(&key).await.unwrap(), None);
    }
    store.complete_multipart(&key, &upload, &[(1, new)]).await.unwrap();
    assert_eq!(content(&*store, &key).await.unwrap(), pattern(1000, 2));
}

pub async fn an_upload_that_ended_cannot_be_completed(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    let upload = store.create_multipart(&key).await.unwrap();
    let tag = store.upload_part(&key, &upload, 1, pattern(10, 1)).await.unwrap();
    let elsewhere = format!("{prefix}k/other");
    let completed = store.complete_multipart(&elsewhere, &upload, &[(1, tag.clone())]).await;
    assert!(matches!(completed, Err(StoreError::NotFound(_))), "an upload belongs to its key: {completed:?}");
    store.abort_multipart(&key, &upload).await.unwrap();
    let completed = store.complete_multipart(&key, &upload, &[(1, tag)]).await;
    assert!(matches!(completed, Err(StoreError::NotFound(_))), "{completed:?}");
    let late = store.upload_part(&key, &upload, 2, pattern(10, 2)).await;
    assert!(matches!(late, Err(StoreError::NotFound(_))), "{late:?}");
    store.abort_multipart(&key, &upload).await.unwrap();
    assert_eq!(names(&store.list(ListQuery::below(prefix)).await.unwrap()), [""; 0]);
}

/// Parts before, in and behind the order, each sent again with other bytes or the same: the last version counts, and
/// whoever names another one hears so.
pub async fn any_part_may_be_replaced_before_the_end(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    for (case, order) in [[1, 2, 3], [3, 1, 2], [2, 3, 1]].into_iter().enumerate() {
        for replaced in 1..=3 {
            for after in 1..=3 {
                let store = &*store;
                let upload = store.create_multipart(&key).await.unwrap();
                let bytes = |number: u16, seed: u8| pattern(if number == 3 { 1000 } else { MIN_PART }, seed);
                let (mut parts, mut old) = (Vec::new(), None);
                for (sent, number) in order.into_iter().enumerate() {
                    let seed = u8::try_from(number).unwrap();
                    parts.push(send(store, &key, &upload, number, bytes(number, seed)).await);
                    if sent + 1 == after
                        && let Some(at) = parts.iter().position(|((sent, _), _)| *sent == replaced)
                    {
                        let other = send(store, &key, &upload, replaced, bytes(replaced, seed + 10)).await;
                        old = Some(std::mem::replace(&mut parts[at], other));
                    }
                }
                parts.sort_by_key(|((number, _), _)| *number);
                // Sent again with the same bytes, as a retry does.
                send(store, &key, &upload, 2, parts[1].1.clone()).await;
                if let Some((wrong, _)) = old {
                    let mut named: Vec<_> = parts.iter().map(|(named, _)| named.clone()).collect();
                    named[usize::from(replaced) - 1] = wrong;
                    let completed = store.complete_multipart(&key, &upload, &named).await;
                    assert!(matches!(completed, Err(StoreError::InvalidPart(_))), "case {case}: {completed:?}");
                }
                complete(store, &key, &upload, &parts.iter().collect::<Vec<_>>()).await;
            }
        }
    }
}

pub async fn a_completion_may_leave_parts_out(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    for left_out in 0..3 {
        let upload = store.create_multipart(&key).await.unwrap();
        let mut parts = Vec::new();
        for number in 1..=3u8 {
            parts.push(send(&*store, &key, &upload, number.into(), pattern(MIN_PART, number)).await);
        }
        parts.remove(left_out);
        complete(&*store, &key, &upload, &parts.iter().collect::<Vec<_>>()).await;
    }
}

/// Two requests of one session through two replicas: whichever of their parts came last count, and each is whole.
/// Not in the list of what every store promises: versitygw may keep the bytes of one request under the tag of the other.
pub async fn two_writers_of_one_upload_never_mix_bytes(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}k/data");
    for round in 0..4u8 {
        let upload = store.create_multipart(&key).await.unwrap();
        let writer = |seed: u8| {
            let (store, key, upload) = (Arc::clone(&store), key.clone(), upload.clone());
            tokio::spawn(async move {
                let first = send(&*store, &key, &upload, 1, pattern(MIN_PART, seed)).await;
                [first, send(&*store, &key, &upload, 2, pattern(MIN_PART, seed + 1)).await]
            })
        };
        let written: Vec<[Part; 2]> =
            join_all([writer(10 * round), writer(10 * round + 2)]).await.into_iter().map(Result::unwrap).collect();
        let mut completed = 0;
        for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let parts = [&written[first][0], &written[second][1]];
            let named: Vec<_> = parts.iter().map(|(named, _)| named.clone()).collect();
            match store.complete_multipart(&key, &upload, &named).await {
                Ok(()) => {
                    completed += 1;
                    assert!(content(&*store, &key).await.unwrap() == [&parts[0].1[..], &parts[1].1[..]].concat());
                }
                Err(StoreError::InvalidPart(_) | StoreError::NotFound(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(completed, 1, "exactly one pair is what the store holds");
    }
}
