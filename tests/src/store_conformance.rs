//! What every store promises, as functions over [`Store`], run on all of them by [`store_conformance!`].
//!
//! A case takes the store and a prefix that is its own, so that one bucket serves all of them at once.

#![allow(clippy::unwrap_used)]

mod multipart;

use std::sync::Arc;

use berth_registry::store::{ByteRange, ListQuery, Listing, NewObject, Store, StoreError, list_all, read_all};
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};

pub use multipart::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Generates one test per case; `$open` is an async function that returns something with a field `store:
/// Arc<dyn Store>`, kept until the case is over.
#[macro_export]
macro_rules! store_conformance {
    ($open:path) => {
        $crate::store_conformance!(
            $open;
            what_is_written_is_read,
            an_absent_key_is_none_and_no_step_makes_it,
            overwriting_replaces_bytes_media_type_and_flag,
            a_range_is_exactly_those_bytes,
            retiring_keeps_bytes_and_media_type,
            a_copy_is_live_and_has_the_media_type_named,
            keys_are_told_apart_by_case,
            a_list_is_in_byte_order_of_whole_keys,
            a_list_goes_on_after_any_key,
            a_folded_list_names_each_folder_once,
            a_prefix_need_not_be_a_folder,
            a_list_of_many_pages_is_complete,
            a_list_follows_every_write_and_deletion,
            deleting_many_removes_exactly_those,
            keys_outside_the_grammar_are_refused,
            parts_become_the_object_in_order,
            a_part_that_was_replaced_is_not_the_one_named,
            any_part_may_be_replaced_before_the_end,
            a_completion_may_leave_parts_out,
            an_upload_that_ended_cannot_be_completed,
            writers_and_deleters_of_one_folder_do_not_disturb_each_other,
            ages_come_from_the_clock_of_the_store,
        );
    };
    ($open:path; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let opened = $open().await;
                let prefix = concat!(stringify!($case), "/");
                $crate::store_conformance::$case(opened.store.clone(), prefix).await;
            }
        )+
    };
}

fn typed(bytes: impl Into<Bytes>, content_type: &str) -> NewObject {
    NewObject { bytes: bytes.into(), content_type: Some(content_type.to_owned()) }
}

/// Bytes that differ at every place, so that a shifted or repeated piece shows.
fn pattern(length: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) + 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

async fn content(store: &dyn Store, key: &str) -> Option<Bytes> {
    match store.get(key, None).await.unwrap() {
        Some(object) => Some(read_all(object.body).await.unwrap()),
        None => None,
    }
}

async fn write_all(store: &dyn Store, keys: impl IntoIterator<Item = String>) {
    stream::iter(keys)
        .for_each_concurrent(16, |key| async move { store.birth(&key, NewObject::bytes(key.clone())).await.unwrap() })
        .await;
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.key.as_str()).collect()
}

pub async fn what_is_written_is_read(store: Arc<dyn Store>, prefix: &str) {
    for (number, length) in [0, 1, 2, 5, 4096, 512 * 1024, 3 * 512 * 1024 + 7].into_iter().enumerate() {
        let bytes = pattern(length, 7);
        for (kind, content_type) in [("plain", None), ("typed", Some(MANIFEST))] {
            let key = format!("{prefix}{number}-{kind}");
            let object = NewObject { bytes: bytes.clone(), content_type: content_type.map(str::to_owned) };
            if number % 2 == 0 {
                store.birth(&key, object).await.unwrap()
            } else {
                store.put(&key, object).await.unwrap()
            }
            let head = store.head(&key).await.unwrap().unwrap();
            assert_eq!((head.size, head.retired), (length as u64, false), "{key}");
            assert_eq!(head.content_type.as_deref(), content_type, "{key}");
            let confirmed = store.confirm(&key).await.unwrap().unwrap();
            assert_eq!((confirmed.size, confirmed.retired), (length as u64, false), "{key}");
            let object = store.get(&key, None).await.unwrap().unwrap();
            assert_eq!((object.head.size, object.head.content_type.as_deref()), (length as u64, content_type));
            assert_eq!(read_all(object.body).await.unwrap(), bytes, "{key}");
        }
    }
    for entry in list_all(&*store, prefix).await.unwrap() {
        assert_eq!(entry.size, store.head(&entry.key).await.unwrap().unwrap().size, "{}", entry.key);
        assert!(entry.stored >= entry.size);
    }
}

pub async fn an_absent_key_is_none_and_no_step_makes_it(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}deep/down/absent");
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert_eq!(store.confirm(&key).await.unwrap(), None);
    assert!(store.get(&key, None).await.unwrap().is_none());
    assert!(store.get(&key, ByteRange::new(0, 9)).await.unwrap().is_none());
    store.delete(&key).await.unwrap();
    store.retire(&key).await.unwrap();
    let copied = store.copy_new(&key, &format!("{prefix}copy"), None).await;
    assert!(matches!(copied, Err(StoreError::NotFound(_))), "{copied:?}");
    assert_eq!(names(&store.list(ListQuery::below(prefix)).await.unwrap()), [""; 0]);
}

pub async fn overwriting_replaces_bytes_media_type_and_flag(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}key");
    store.put(&key, typed("first and longer", MANIFEST)).await.unwrap();
    store.retire(&key).await.unwrap();
    store.put(&key, NewObject::bytes("second")).await.unwrap();
    let head = store.head(&key).await.unwrap().unwrap();
    assert_eq!((head.size, head.content_type, head.retired), (6, None, false));
    assert_eq!(content(&*store, &key).await.unwrap(), "second");
}

pub async fn a_range_is_exactly_those_bytes(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}key");
    let bytes = pattern(2_000_000, 3);
    store.birth(&key, typed(bytes.clone(), MANIFEST)).await.unwrap();
    for (first, last) in [(0, 0), (0, 1_999_999), (1_999_999, 1_999_999), (17, 1_234_567), (1_000_000, 9_999_999)] {
        let object = store.get(&key, ByteRange::new(first, last)).await.unwrap().unwrap();
        assert_eq!(object.head.size, 2_000_000, "the head tells of the whole object");
        let end = bytes.len().min(last as usize + 1);
        assert_eq!(read_all(object.body).await.unwrap(), bytes.slice(first as usize..end), "{first}-{last}");
    }
    let outside = store.get(&key, ByteRange::new(2_000_000, 2_000_000)).await;
    assert!(matches!(outside, Err(StoreError::Invalid { .. })), "{outside:?}");
}

pub async fn retiring_keeps_bytes_and_media_type(store: Arc<dyn Store>, prefix: &str) {
    for (name, object) in [
        ("empty", NewObject::marker()),
        ("plain", NewObject::bytes(pattern(100_000, 1))),
        ("typed", typed(pattern(300, 2), MANIFEST)),
    ] {
        let key = format!("{prefix}{name}");
        store.birth(&key, object.clone()).await.unwrap();
        for _ in 0..2 {
            store.retire(&key).await.unwrap();
            let head = store.head(&key).await.unwrap().unwrap();
            assert_eq!((head.retired, head.size), (true, object.bytes.len() as u64), "{key}");
            assert_eq!(head.content_type, object.content_type, "{key}");
            assert!(store.confirm(&key).await.unwrap().unwrap().retired);
            let read = store.get(&key, None).await.unwrap().unwrap();
            assert!(read.head.retired);
            assert_eq!(read_all(read.body).await.unwrap(), object.bytes, "{key}");
        }
    }
    let sizes: Vec<_> = list_all(&*store, prefix).await.unwrap().iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [0, 100_000, 300]);
}

pub async fn a_copy_is_live_and_has_the_media_type_named(store: Arc<dyn Store>, prefix: &str) {
    for (name, object) in [
        ("empty", NewObject::marker()),
        ("plain", NewObject::bytes(pattern(100_000, 1))),
        ("typed", typed(pattern(300, 2), MANIFEST)),
    ] {
        let from = format!("{prefix}{name}");
        store.birth(&from, object.clone()).await.unwrap();
        store.retire(&from).await.unwrap();
        for content_type in [None, Some(MANIFEST), Some("text/plain")] {
            let to = format!("{prefix}copies/{name}/{}", content_type.unwrap_or("none").replace('/', "-"));
            store.copy_new(&from, &to, content_type).await.unwrap();
            let head = store.head(&to).await.unwrap().unwrap();
            assert_eq!((head.retired, head.content_type.as_deref()), (false, content_type), "{to}");
            assert_eq!(content(&*store, &to).await.unwrap(), object.bytes, "{to}");
            assert!(store.head(&from).await.unwrap().unwrap().retired, "the source keeps its flag");
            store.delete(&from).await.unwrap();
            assert_eq!(content(&*store, &to).await.unwrap(), object.bytes, "a copy outlives its source");
            store.birth(&from, object.clone()).await.unwrap();
            store.retire(&from).await.unwrap();
        }
    }
}

pub async fn keys_are_told_apart_by_case(store: Arc<dyn Store>, prefix: &str) {
    write_all(&*store, ["v1A", "v1a", "V1A/x", "V1a/x"].map(|name| format!("{prefix}{name}"))).await;
    assert_eq!(list_all(&*store, prefix).await.unwrap().len(), 4);
    assert_eq!(content(&*store, &format!("{prefix}v1A")).await.unwrap(), format!("{prefix}v1A"));
    assert_eq!(content(&*store, &format!("{prefix}v1a")).await.unwrap(), format!("{prefix}v1a"));
}

/// Names around the slash in byte order, folders among them.
fn awkward_keys(prefix: &str) -> Vec<String> {
    let names = [
        "a!/1", "a!/1.x", "a!b!/1", "a!b", "a-b/1", "a-b!/1", "a.b/1", "a/1", "a/1!", "a/!/1", "a/0/z", "a0/1", "A",
        "a_", "aa/1", "a~/1", "0", "Z/1", "_", "~", "%41", "a+b", "a=b", "a&b", "a'b", "a(b", "a@b", "a,b", "a;b",
    ];
    let mut keys: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    keys.sort();
    keys
}

pub async fn a_list_is_in_byte_order_of_whole_keys(store: Arc<dyn Store>, prefix: &str) {
    let keys = awkward_keys(prefix);
    write_all(&*store, keys.clone()).await;
    let listing = store.list(ListQuery::below(prefix)).await.unwrap();
    assert_eq!(names(&listing), keys);
    assert!(!listing.more && listing.folders.is_empty());
    for entry in &listing.entries {
        assert_eq!(entry.size, entry.key.len() as u64);
        assert_eq!(content(&*store, &entry.key).await.unwrap(), entry.key);
    }
    for size in 1..=keys.len() {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let last = seen.last().cloned();
            let page = store.list(ListQuery::below(prefix).after(last.as_deref()).at_most(size)).await.unwrap();
            assert!(page.entries.len() <= size);
            seen.extend(page.entries.into_iter().map(|entry| entry.key));
            assert_eq!(page.more, seen.len() < keys.len(), "after {} of {}", seen.len(), keys.len());
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, keys, "in pages of {size}");
    }
}

pub async fn a_list_goes_on_after_any_key(store: Arc<dyn Store>, prefix: &str) {
    let keys = awkward_keys(prefix);
    write_all(&*store, keys.clone()).await;
    let between = ["", "a", "a!", "a!/", "a!/~", "a/", "a/0", "a/0/", "a/zz", "a~~", "zz", "~~", "0/none"];
    let places = keys.iter().cloned().chain(between.map(|name| format!("{prefix}{name}")));
    for place in places {
        let listing = store.list(ListQuery::below(prefix).after(Some(&place))).await.unwrap();
        let expected: Vec<_> = keys.iter().filter(|key| **key > place).collect();
        assert_eq!(names(&listing), expected, "after {place}");
    }
    // Before and behind everything below the prefix.
    assert_eq!(names(&store.list(ListQuery::below(prefix).after(Some("!"))).await.unwrap()), keys);
    assert_eq!(names(&store.list(ListQuery::below(prefix).after(Some("~~"))).await.unwrap()), [""; 0]);
}

pub async fn a_folded_list_names_each_folder_once(store: Arc<dyn Store>, prefix: &str) {
    let keys = awkward_keys(prefix);
    write_all(&*store, keys.clone()).await;
    let mut expected: Vec<String> = keys
        .iter()
        .map(|key| key[prefix.len()..].find('/').map_or(key.clone(), |at| key[..=prefix.len() + at].to_owned()))
        .collect();
    expected.dedup();
    let listing = store.list(ListQuery::folders_below(prefix)).await.unwrap();
    let files: Vec<_> = expected.iter().filter(|name| !name.ends_with('/')).collect();
    let folders: Vec<_> = expected.iter().filter(|name| name.ends_with('/')).cloned().collect();
    assert_eq!(names(&listing), files);
    assert_eq!(listing.folders, folders);
    for size in 1..=expected.len() {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let last = seen.last().cloned();
            let query = ListQuery::folders_below(prefix).after(last.as_deref()).at_most(size);
            let page = store.list(query).await.unwrap();
            let mut names: Vec<_> = page.entries.into_iter().map(|entry| entry.key).chain(page.folders).collect();
            assert!(names.len() <= size);
            names.sort();
            seen.extend(names);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {size}");
    }
}

pub async fn a_prefix_need_not_be_a_folder(store: Arc<dyn Store>, prefix: &str) {
    write_all(&*store, ["m/1", "m/1.a", "m/1.b", "m/10", "m/2.a", "m/1x/y"].map(|name| format!("{prefix}{name}")))
        .await;
    let sealed = format!("{prefix}m/1.");
    let first = store.list(ListQuery::below(&sealed).at_most(1)).await.unwrap();
    assert_eq!(names(&first), [format!("{prefix}m/1.a")]);
    assert!(first.more);
    let all = store.list(ListQuery::below(&format!("{prefix}m/1"))).await.unwrap();
    assert_eq!(names(&all), ["m/1", "m/1.a", "m/1.b", "m/10", "m/1x/y"].map(|name| format!("{prefix}{name}")));
    let folded = ListQuery::folders_below(&sealed[..sealed.len() - 1]);
    assert_eq!(store.list(folded).await.unwrap().folders, [format!("{prefix}m/1x/")]);
    assert_eq!(names(&store.list(ListQuery::below(&format!("{prefix}nothing"))).await.unwrap()), [""; 0]);
}

pub async fn a_list_of_many_pages_is_complete(store: Arc<dyn Store>, prefix: &str) {
    let mut keys: Vec<String> = (0..1204).map(|n| format!("{prefix}{}!/{n}", n % 7)).collect();
    write_all(&*store, keys.clone()).await;
    keys.sort();
    let first = store.list(ListQuery::below(prefix)).await.unwrap();
    assert_eq!((first.entries.len(), first.more), (ListQuery::MAX_KEYS, true));
    let all: Vec<_> = list_all(&*store, prefix).await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(all, keys);
}

pub async fn a_list_follows_every_write_and_deletion(store: Arc<dyn Store>, prefix: &str) {
    for round in 0..40 {
        let key = format!("{prefix}{}/{round}", round % 3);
        store.birth(&key, NewObject::marker()).await.unwrap();
        assert_eq!(names(&store.list(ListQuery::below(prefix)).await.unwrap()), [key.as_str()]);
        store.retire(&key).await.unwrap();
        assert!(store.head(&key).await.unwrap().unwrap().retired);
        store.delete(&key).await.unwrap();
        assert_eq!(names(&store.list(ListQuery::below(prefix)).await.unwrap()), [""; 0]);
        assert_eq!(store.head(&key).await.unwrap(), None);
    }
}

pub async fn deleting_many_removes_exactly_those(store: Arc<dyn Store>, prefix: &str) {
    let keys: Vec<String> = (0..60).map(|n| format!("{prefix}{}/{n}", n / 20)).collect();
    write_all(&*store, keys.clone()).await;
    let (mut going, staying) = (keys[..30].to_vec(), &keys[30..]);
    going.push(format!("{prefix}never/was"));
    let failures = store.delete_many(&going).await.unwrap();
    assert!(failures.is_empty(), "absent keys count as deleted: {failures:?}");
    let mut left: Vec<_> = list_all(&*store, prefix).await.unwrap().into_iter().map(|entry| entry.key).collect();
    left.sort_by_key(|key| keys.iter().position(|it| it == key));
    assert_eq!(left, staying);
    assert!(store.delete_many(&[]).await.unwrap().is_empty());
    // What cannot be a key is reported for itself and keeps nothing else from going.
    let failures = store.delete_many(&[staying[0].clone(), format!("{prefix}../escape")]).await.unwrap();
    assert_eq!(failures.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), [format!("{prefix}../escape")]);
    assert_eq!(store.head(&staying[0]).await.unwrap(), None);
}

pub async fn keys_outside_the_grammar_are_refused(store: Arc<dyn Store>, prefix: &str) {
    let long = format!("{prefix}{}", "x".repeat(256));
    for key in [format!("{prefix}../../escape"), format!("{prefix}/absolute"), format!("{prefix}a b"), long] {
        let refusals = [
            store.birth(&key, NewObject::marker()).await.err(),
            store.put(&key, NewObject::marker()).await.err(),
            store.head(&key).await.err(),
            store.get(&key, None).await.err(),
            store.retire(&key).await.err(),
            store.delete(&key).await.err(),
            store.copy_new(&format!("{prefix}a"), &key, None).await.err(),
            store.copy_new(&key, &format!("{prefix}a"), None).await.err(),
            store.create_multipart(&key).await.err(),
            store.list(ListQuery::below(&key)).await.err(),
        ];
        for (step, refusal) in refusals.into_iter().enumerate() {
            assert!(matches!(refusal, Some(StoreError::Invalid { .. })), "{key}, step {step}: {refusal:?}");
        }
    }
}

pub async fn writers_and_deleters_of_one_folder_do_not_disturb_each_other(store: Arc<dyn Store>, prefix: &str) {
    let tasks = (0..8).map(|task| {
        let (store, folder) = (Arc::clone(&store), format!("{prefix}one/deep/folder/"));
        tokio::spawn(async move {
            for round in 0..25 {
                let key = format!("{folder}{task}-{round}");
                store.birth(&key, NewObject::bytes(key.clone())).await.unwrap();
                assert_eq!(content(&*store, &key).await.unwrap(), key);
                store.delete(&key).await.unwrap();
                assert_eq!(store.head(&key).await.unwrap(), None);
            }
            store.birth(&format!("{folder}last-{task}"), NewObject::marker()).await.unwrap();
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(list_all(&*store, prefix).await.unwrap().len(), 8);
}

pub async fn ages_come_from_the_clock_of_the_store(store: Arc<dyn Store>, prefix: &str) {
    let key = format!("{prefix}key");
    store.birth(&key, NewObject::marker()).await.unwrap();
    let head = store.head(&key).await.unwrap().unwrap();
    let listing = store.list(ListQuery::below(prefix)).await.unwrap();
    let listed = listing.entries[0].modified;
    // A LIST may tell fractions of the second that a head rounds away.
    let apart = listed.duration_since(head.modified).or_else(|_| head.modified.duration_since(listed)).unwrap();
    assert!(apart.as_secs() <= 1, "{apart:?}");
    assert!(head.age().as_secs() < 3600 && listing.store_time >= listed - std::time::Duration::from_secs(1));
}
