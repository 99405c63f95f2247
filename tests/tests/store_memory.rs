//! The store in memory keeps what every store promises, and its simulation breaks whatever is not promised.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_registry::store::memory::{Faults, Happening, MemoryStore, Operation, Record};
use berth_registry::store::{ListQuery, NewObject, Store, StoreError};
use futures::future::join_all;

struct Opened {
    store: Arc<dyn Store>,
}

async fn open() -> Opened {
    Opened { store: Arc::new(MemoryStore::new()) }
}

berth_tests::store_conformance!(open);
berth_tests::store_conformance!(open; two_writers_of_one_upload_never_mix_bytes);

mod simulated {
    use super::*;

    async fn open() -> Opened {
        Opened { store: Arc::new(MemoryStore::simulated(11, Faults::NONE)) }
    }

    berth_tests::store_conformance!(open);
}

/// Several clients that get in each other's way.
async fn crowd(store: &MemoryStore) {
    let clients = (0..5).map(|number| {
        let store = store.named(&format!("client-{number}"));
        tokio::spawn(async move {
            for round in 0..6 {
                let key = format!("k/{}", (number + round) % 3);
                // Faults are part of the crowd's life.
                let _ = store.put(&key, NewObject::bytes(format!("{number}"))).await;
                let _ = store.list(ListQuery::below("k/")).await;
                let _ = store.retire(&key).await;
                let both = futures::join!(store.head(&key), store.delete(&key));
                drop(both);
            }
        })
    });
    join_all(clients).await;
}

async fn log_of(seed: u64, faults: Faults) -> Vec<Record> {
    let store = MemoryStore::simulated(seed, faults);
    crowd(&store).await;
    store.settle();
    store.log()
}

#[tokio::test]
async fn a_seed_replays_exactly() {
    let mut logs = BTreeSet::new();
    for seed in 0..20 {
        for faults in [Faults::NONE, Faults::SOME] {
            let first = log_of(seed, faults).await;
            assert_eq!(first, log_of(seed, faults).await, "seed {seed}");
            logs.insert(first.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
    assert_eq!(logs.len(), 40, "every seed is another history");
}

/// Runs `history` under one seed after the other until every outcome of `wanted` was seen, and returns what was.
async fn outcomes<T: Ord>(wanted: usize, history: impl AsyncFn(MemoryStore) -> T, faults: Faults) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    for seed in 0..2000 {
        seen.insert(history(MemoryStore::simulated(seed, faults)).await);
        if seen.len() == wanted {
            break;
        }
    }
    seen
}

#[tokio::test]
async fn a_list_may_miss_both_ends_of_a_hand_over_but_nothing_that_stays() {
    let history = async |store: MemoryStore| {
        store.put("k/old", NewObject::marker()).await.unwrap();
        store.put("k/stays", NewObject::marker()).await.unwrap();
        let hand_over = async {
            store.put("k/new", NewObject::marker()).await.unwrap();
            store.put("k/stays", NewObject::bytes("overwritten")).await.unwrap();
            store.delete("k/old").await.unwrap();
        };
        let (listing, ()) = futures::join!(store.list(ListQuery::below("k/")), hand_over);
        let keys: Vec<_> = listing.unwrap().entries.into_iter().map(|entry| entry.key).collect();
        assert!(keys.contains(&"k/stays".to_owned()), "{keys:?}");
        (keys.contains(&"k/old".to_owned()), keys.contains(&"k/new".to_owned()))
    };
    let seen = outcomes(4, history, Faults::NONE).await;
    assert_eq!(seen.len(), 4, "old, new, both or none: {seen:?}");
}

#[tokio::test]
async fn a_late_retirement_may_bring_a_deleted_key_back_flagged() {
    let history = async |store: MemoryStore| {
        store.birth("b/key", NewObject::bytes("bytes")).await.unwrap();
        let (retired, deleted) = futures::join!(store.retire("b/key"), store.delete("b/key"));
        retired.and(deleted).unwrap();
        store.snapshot().get("b/key").map(|object| (object.retired, object.bytes.clone()))
    };
    let seen = outcomes(2, history, Faults::NONE).await;
    assert_eq!(seen, BTreeSet::from([None, Some((true, "bytes".into()))]));
}

#[tokio::test]
async fn a_failed_birth_may_have_happened_may_happen_later_and_never_happens_twice() {
    let faults = Faults { lost_requests: 250, lost_answers: 250, late_requests: 250, repeats: 1000, refused_keys: 0 };
    let history = async |store: MemoryStore| {
        let failed = store.birth("b/key", NewObject::marker()).await.is_err();
        // A read that is lost as well tells nothing.
        let there_at_once = store.snapshot().contains_key("b/key");
        store.settle();
        let there_at_last = store.snapshot().contains_key("b/key");
        let begun = store.log().iter().filter(|record| record.happening == Happening::Begun).count();
        assert!(begun <= 1, "a birth is never repeated: {:?}", store.log());
        (failed, there_at_once, there_at_last)
    };
    let seen = outcomes(4, history, faults).await;
    let expected = [(false, true, true), (true, false, false), (true, true, true), (true, false, true)];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[tokio::test]
async fn what_is_no_birth_may_happen_again_later() {
    let history = async |store: MemoryStore| {
        store.put("u/key", NewObject::bytes("old")).await.unwrap();
        store.delete("u/key").await.unwrap();
        store.put("u/key", NewObject::bytes("new")).await.unwrap();
        store.settle();
        store.snapshot().get("u/key").map(|object| object.bytes.clone())
    };
    let seen = outcomes(3, history, Faults { repeats: 1000, ..Faults::NONE }).await;
    assert_eq!(seen, BTreeSet::from([None, Some("old".into()), Some("new".into())]));
}

#[tokio::test]
async fn a_refused_key_of_a_batch_is_reported_and_stays() {
    let history = async |store: MemoryStore| {
        let keys: Vec<_> = (0..4).map(|n| format!("k/{n}")).collect();
        for key in &keys {
            store.birth(key, NewObject::marker()).await.unwrap();
        }
        let failures = store.delete_many(&keys).await.unwrap();
        let refused: BTreeSet<_> = failures.into_iter().map(|(key, _)| key).collect();
        assert_eq!(refused, store.snapshot().into_keys().collect());
        refused.len()
    };
    let seen = outcomes(5, history, Faults { refused_keys: 500, ..Faults::NONE }).await;
    assert_eq!(seen, BTreeSet::from([0, 1, 2, 3, 4]));
}

#[tokio::test]
async fn a_client_that_is_cut_off_hears_nothing_and_its_last_request_still_does_its_work() {
    for store in [MemoryStore::new(), MemoryStore::simulated(3, Faults::NONE)] {
        let dying = store.named("dying");
        dying.cut_after(3);
        let task = tokio::spawn({
            let dying = dying.clone();
            async move {
                for number in 0..9 {
                    dying.birth(&format!("k/{number}"), NewObject::marker()).await.unwrap();
                }
            }
        });
        dying.until_cut().await;
        // Others live on.
        store.birth("k/other", NewObject::marker()).await.unwrap();
        store.settle();
        assert!(!task.is_finished());
        task.abort();
        let keys: Vec<_> = store.snapshot().into_keys().collect();
        assert_eq!(keys, ["k/0", "k/1", "k/2", "k/other"]);
        assert_eq!(store.counts()[&Operation::Birth], 4);
    }
}

#[tokio::test]
async fn a_request_whose_sender_goes_away_still_arrives() {
    let store = MemoryStore::simulated(5, Faults::NONE);
    let sender = tokio::spawn({
        let store = store.clone();
        async move { store.birth("k/key", NewObject::marker()).await }
    });
    while store.log().is_empty() {
        tokio::task::yield_now().await;
    }
    sender.abort();
    store.settle();
    assert!(store.snapshot().contains_key("k/key"));
}

#[tokio::test]
async fn the_clock_of_the_store_can_be_moved_on() {
    for store in [MemoryStore::new(), MemoryStore::simulated(5, Faults::NONE)] {
        store.birth("k/key", NewObject::marker()).await.unwrap();
        let day = std::time::Duration::from_secs(24 * 3600);
        store.advance(day);
        assert!(store.head("k/key").await.unwrap().unwrap().age() >= day);
    }
}

#[tokio::test]
async fn lost_answers_look_like_a_store_that_is_away() {
    let store = MemoryStore::simulated(5, Faults { lost_requests: 1000, ..Faults::NONE });
    let lost = store.head("k/key").await;
    assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
}
