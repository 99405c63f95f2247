//! How replicas agree on one value over a store without conditional writes.
//!
//! ```text
//! <folder>/<round>.offer.<value>   somebody offers this value in this round
//! <folder>/<round>.alone.<value>   somebody saw no other value offered in this round
//! <folder>/<round>.split           somebody saw several
//! <folder>/agreed.<value>          what was agreed, for those who come later
//! ```
//!
//! "Write, then list, and the smallest wins" would not do: who listed before the smaller one was written goes on too. So
//! everybody writes twice in a round, lists after each write, and takes what the second list says:
//!
//! 1. Offer a value, then list. Mark the round `alone` with it if it is the only one offered, `split` otherwise.
//!    *Two values are never marked `alone`*: each of the two offers was there before its owner listed, so whoever offered
//!    later saw both (a LIST shows what was there all the while it ran; assumption A2 in docs/storage.md).
//! 2. List again. `alone` and no `split`: that value is agreed. Otherwise go on to the next round, with the value that
//!    is marked `alone`, or with the smallest that was offered. *Who goes on takes what another agreed on*: if its list
//!    did not show the mark `alone`, its own mark was there before that one, and the other saw it; so it was no `split`,
//!    and it names the same value.
//!
//! From the next round on only the agreed value is offered. Whoever comes late begins at the first round and is led the
//! same way; no key says who wrote it, so that a repeated or late request changes nothing. No bound on the number of
//! rounds holds over plain reads and writes, however they are arranged; a further one is needed only while lists keep
//! missing what is written beside them, which requests that take random times do not keep up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ulid::Ulid;

use crate::store::{ListQuery, NewObject, Store, StoreError};

/// One value to agree on, in a folder of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Agreement {
    store: Arc<dyn Store>,
    /// Ends with `/`.
    folder: String,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) value: Ulid,
    /// Time since then, by the store's own clock.
    pub(super) age: Duration,
}

impl Agreement {
    /// The agreement kept in a folder, which nothing else uses.
    pub(super) fn new(store: Arc<dyn Store>, folder: &str) -> Self {
        Self { store, folder: format!("{folder}/") }
    }

    /// What was agreed; `None` as long as nobody has written that down.
    pub(super) async fn reached(&self) -> Result<Option<Agreed>, StoreError> {
        Ok(self.look().await?.agreed)
    }

    /// Offers a value and returns the agreed one: the same for everybody who ever asks, and offered by one of them.
    ///
    /// # Errors
    /// When a request fails. What was written stays and does no harm; asking again goes on.
    pub(super) async fn reach(&self, offer: Ulid) -> Result<Ulid, StoreError> {
        let mut value = offer;
        let mut seen = self.look().await?;
        let mut number: u32 = 0;
        loop {
            if let Some(agreed) = seen.agreed {
                return Ok(agreed.value);
            }
            self.write(&format!("{number:04}.offer.{}", text_of(value))).await?;
            let mark = self.look().await?.round(number).mark(value);
            self.write(&match mark {
                Mark::Alone => format!("{number:04}.alone.{}", text_of(value)),
                Mark::Split => format!("{number:04}.split"),
            })
            .await?;
            seen = self.look().await?;
            match seen.round(number).outcome(value) {
                Outcome::Agreed(agreed) => {
                    self.write(&format!("agreed.{}", text_of(agreed))).await?;
                    return Ok(agreed);
                }
                Outcome::NextRound(next) => value = next,
            }
            number += 1;
        }
    }

    async fn write(&self, name: &str) -> Result<(), StoreError> {
        self.store.put(&format!("{}{name}", self.folder), NewObject::marker()).await
    }

    async fn look(&self) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(ListQuery::below(&self.folder).after(after.as_deref())).await?;
            for entry in &page.entries {
                if let Some(name) = entry.key.strip_prefix(&self.folder) {
                    seen.take_in(name, entry.modified, page.store_time);
                }
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more {
                return Ok(seen);
            }
        }
    }
}

/// What a list of an agreement's keys shows.
#[derive(Debug, Default)]
struct Seen {
    agreed: Option<Agreed>,
    rounds: BTreeMap<u32, Round>,
}

/// What a list shows of one round.
#[derive(Clone, Debug, Default)]
struct Round {
    offered: BTreeSet<Ulid>,
    alone: Option<Ulid>,
    split: bool,
}

/// What the first list of a round says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Alone,
    Split,
}

/// What the second list of a round says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Agreed(Ulid),
    /// Nothing is certain in this round; the next one begins with this value.
    NextRound(Ulid),
}

impl Seen {
    /// Names that are none of ours are passed over.
    fn take_in(&mut self, name: &str, modified: SystemTime, now: SystemTime) {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["agreed", value] => {
                // A clock that went back makes it fresh.
                let age = now.duration_since(modified).unwrap_or_default();
                self.agreed = Ulid::from_string(value).ok().map(|value| Agreed { value, age });
            }
            [number, what, ref value @ ..] => {
                let Ok(number) = number.parse() else { return };
                let round = self.rounds.entry(number).or_default();
                let value = value.first().and_then(|value| Ulid::from_string(value).ok());
                match what {
                    "offer" => round.offered.extend(value),
                    "alone" => round.alone = value,
                    "split" => round.split = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn round(&self, number: u32) -> Round {
        self.rounds.get(&number).cloned().unwrap_or_default()
    }
}

impl Round {
    fn mark(&self, own: Ulid) -> Mark {
        if self.offered.iter().all(|offered| *offered == own) { Mark::Alone } else { Mark::Split }
    }

    fn outcome(&self, own: Ulid) -> Outcome {
        match (self.alone, self.split) {
            (Some(value), false) => Outcome::Agreed(value),
            (Some(value), true) => Outcome::NextRound(value),
            (None, _) => Outcome::NextRound(self.offered.first().copied().unwrap_or(own)),
        }
    }
}

/// An id as a segment of a key.
pub(super) fn text_of(id: Ulid) -> String {
    id.to_string().to_ascii_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::memory::{Faults, MemoryStore};

    /// Asks until it is answered, as an attempt that failed is made again, with an offer of its own.
    async fn insist(agreement: &Agreement) -> (Ulid, Vec<Ulid>) {
        let mut offers = Vec::new();
        loop {
            let offer = Ulid::generate();
            offers.push(offer);
            if let Ok(value) = agreement.reach(offer).await {
                return (value, offers);
            }
        }
    }

    async fn agree_at_once(seed: u64, faults: Faults, names: &[&str]) -> usize {
        let store = MemoryStore::simulated(seed, faults);
        let all: Vec<Agreement> =
            names.iter().map(|name| Agreement::new(Arc::new(store.named(name)), "meta/agreement")).collect();
        let answers = futures::future::join_all(all.iter().map(insist)).await;
        let agreed = answers[0].0;
        assert!(answers.iter().all(|(value, _)| *value == agreed), "seed {seed}: {answers:?}");
        assert!(answers.iter().any(|(_, offers)| offers.contains(&agreed)), "seed {seed}: {answers:?}");
        // Who comes later hears the same.
        store.calm();
        let late = Agreement::new(Arc::new(store.named("late")), "meta/agreement");
        assert_eq!(late.reached().await.unwrap().map(|agreed| agreed.value), Some(agreed), "seed {seed}");
        assert_eq!(late.reach(Ulid::generate()).await.unwrap(), agreed, "seed {seed}");
        late.look().await.unwrap().rounds.len()
    }

    /// Every request may come before or after any of the others', and a list may miss what is written beside it.
    #[tokio::test]
    async fn replicas_that_ask_at_once_hear_one_value() {
        let mut most_rounds = 0;
        for seed in 0..300 {
            most_rounds = most_rounds.max(agree_at_once(seed, Faults::NONE, &["one", "two"]).await);
            most_rounds = most_rounds.max(agree_at_once(seed, Faults::NONE, &["one", "two", "three"]).await);
        }
        assert!(most_rounds > 1, "no seed made them disagree in a round: the test shows nothing");
    }

    #[tokio::test]
    async fn they_hear_one_value_though_requests_get_lost_or_come_late() {
        for seed in 0..300 {
            agree_at_once(seed, Faults::SOME, &["one", "two", "three", "four"]).await;
        }
    }

    /// Nothing but the rounds leads the one who comes late: the word "agreed" only spares it them.
    #[tokio::test]
    async fn the_rounds_alone_lead_to_what_was_agreed() {
        for seed in 0..100 {
            let store = MemoryStore::simulated(seed, Faults::NONE);
            let [one, two] = ["one", "two"].map(|name| Agreement::new(Arc::new(store.named(name)), "meta/agreement"));
            let (first, second) = tokio::join!(one.reach(Ulid::generate()), two.reach(Ulid::generate()));
            let agreed = first.unwrap();
            assert_eq!(second.unwrap(), agreed, "seed {seed}");
            store.delete(&format!("meta/agreement/agreed.{}", text_of(agreed))).await.unwrap();
            assert_eq!(one.reached().await.unwrap(), None);
            // Smaller and larger than everything offered before.
            for offer in [Ulid::nil(), Ulid(u128::MAX)] {
                assert_eq!(one.reach(offer).await.unwrap(), agreed, "seed {seed}");
            }
        }
    }

    #[tokio::test]
    async fn an_agreement_that_was_cut_off_anywhere_is_reached_by_the_next() {
        let mut kills = 0;
        loop {
            let store = MemoryStore::new();
            let doomed = store.named("doomed");
            doomed.cut_after(kills);
            let victim = Agreement::new(Arc::new(doomed.clone()), "meta/agreement");
            let finished = tokio::select! {
                answer = victim.reach(Ulid(1)) => Some(answer.unwrap()),
                () = doomed.until_cut() => None,
            };
            let next = Agreement::new(Arc::new(store.clone()), "meta/agreement");
            let agreed = next.reach(Ulid(2)).await.unwrap();
            assert_eq!(next.reach(Ulid(3)).await.unwrap(), agreed, "killed after {kills} requests");
            if let Some(answer) = finished {
                assert_eq!(answer, agreed);
                break;
            }
            kills += 1;
        }
        assert!(kills >= 6, "a list, two writes with a list each, and what was agreed are more requests than {kills}");
    }
}
