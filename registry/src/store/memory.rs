//! The store in memory, for tests: what S3 promises and nothing more.
//!
//! [`MemoryStore::new`] does every step at once. [`MemoryStore::simulated`] lets a seeded scheduler
//! ([`simulation`]) decide when each request arrives, works and is answered, and what goes wrong, so that
//! interleavings no real server would show can be driven and replayed. A simulation wants a runtime with one thread
//! (`#[tokio::test]`) and tasks that wait for nothing but the store and each other.

mod simulation;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::Notify;

use super::key::{check_key, check_prefix};
use super::{ByteRange, ListQuery, Listing, MultipartId, NewObject, Object, ObjectHead, PartTag, Store, StoreError};
use simulation::{Event, Scheduler, Work};
pub use simulation::{Faults, Happening, Record};
use state::State;
pub use state::StoredObject;

/// The steps of [`Store`], as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Birth,
    Put,
    CopyNew,
    Retire,
    Head,
    Get,
    List,
    Delete,
    DeleteMany,
    CreateMultipart,
    UploadPart,
    CompleteMultipart,
    AbortMultipart,
}

impl Operation {
    fn only_reads(self) -> bool {
        matches!(self, Self::Head | Self::Get | Self::List)
    }
}

/// A [`Store`] in memory. Clones share one content.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    /// Somebody was cut off.
    cut: Arc<Notify>,
    client: Arc<str>,
}

#[derive(Debug, Default)]
struct Shared {
    state: State,
    counts: BTreeMap<Operation, u64>,
    log: Vec<Record>,
    requests: u64,
    /// Requests that a client may still send before it is cut off.
    remaining: BTreeMap<Arc<str>, u64>,
    /// How far the store's clock was moved on.
    advanced: Duration,
    scheduler: Option<Scheduler>,
}

impl Shared {
    fn now(&self) -> SystemTime {
        self.scheduler.as_ref().map_or_else(SystemTime::now, Scheduler::now) + self.advanced
    }

    fn note(&mut self, record: &Record, happening: Happening) {
        self.log.push(Record { happening, ..record.clone() });
    }

    fn add(&mut self, event: Event) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.add(event);
        }
    }

    /// In a simulation the work of a request may be done once more, later.
    fn may_repeat(&mut self, work: impl FnOnce(&mut Self) + Send + 'static) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.may_repeat(Box::new(work));
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store whose steps happen at once, in the order they are asked for.
    pub fn new() -> Self {
        Self { shared: Arc::default(), cut: Arc::default(), client: "client".into() }
    }

    /// An empty store whose steps happen in an order, and with faults, drawn from `seed`.
    pub fn simulated(seed: u64, faults: Faults) -> Self {
        let store = Self::new();
        store.lock().scheduler = Some(Scheduler::new(seed, faults));
        store
    }

    /// The same store, with `client` in its log for who asks; and whom [`cut_after`](Self::cut_after) means.
    #[must_use]
    pub fn named(&self, client: &str) -> Self {
        Self { client: client.into(), ..self.clone() }
    }

    /// Everything that is stored, by key.
    pub fn snapshot(&self) -> BTreeMap<String, StoredObject> {
        self.lock().state.objects().clone()
    }

    /// How often each step was asked for.
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.lock().counts.clone()
    }

    /// What happened so far, for printing when a seed fails.
    pub fn log(&self) -> Vec<Record> {
        self.lock().log.clone()
    }

    /// Moves the store's clock on, so that what lies in it grows older.
    pub fn advance(&self, by: Duration) {
        self.lock().advanced += by;
    }

    /// From now on nothing goes wrong any more; order and delays stay drawn.
    pub fn calm(&self) {
        if let Some(scheduler) = &mut self.lock().scheduler {
            scheduler.calm();
        }
    }

    /// Does everything that is on its way, and every repeat that would otherwise come at some later draw.
    pub fn settle(&self) {
        let mut shared = self.lock();
        while let Some(event) = shared.scheduler.as_mut().and_then(Scheduler::draw_any) {
            event(&mut shared);
        }
    }

    /// Cuts this client off after it has sent `requests` more, as `kill -9` does: those do their work, but it never
    /// hears of any again, and whatever it asks later goes nowhere.
    pub fn cut_after(&self, requests: u64) {
        self.lock().remaining.insert(Arc::clone(&self.client), requests);
        self.cut.notify_waiters();
    }

    /// Returns once this client is cut off.
    pub async fn until_cut(&self) {
        loop {
            let cut = self.cut.notified();
            if self.is_cut() {
                return;
            }
            cut.await;
        }
    }

    fn is_cut(&self) -> bool {
        self.lock().remaining.get(&self.client) == Some(&0)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in a test must not hide behind a poisoned lock; every change of the state is one call.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; `None` when its sender is cut off.
    fn admit(&self, operation: Operation, key: &str) -> Option<(Record, bool)> {
        let mut shared = self.lock();
        if let Some(remaining) = shared.remaining.get_mut(&self.client) {
            *remaining = remaining.checked_sub(1)?;
            if *remaining == 0 {
                self.cut.notify_waiters();
            }
        }
        shared.requests += 1;
        *shared.counts.entry(operation).or_default() += 1;
        let (request, client) = (shared.requests, Arc::clone(&self.client));
        let record = Record { request, client, operation, key: key.to_owned(), happening: Happening::Asked };
        shared.log.push(record.clone());
        Some((record, shared.scheduler.is_some()))
    }

    /// A step whose work is one indivisible change.
    async fn step<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        work: impl FnOnce(&mut Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.two_steps(operation, key, work, |_, result| Ok(result)).await
    }

    /// A step between whose halves other requests may come.
    async fn two_steps<A: Send + 'static, T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        first: impl FnOnce(&mut Shared) -> Result<A, StoreError> + Send + 'static,
        second: impl FnOnce(&mut Shared, A) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some((record, simulated)) = self.admit(operation, key) else { return std::future::pending().await };
        let result = if simulated {
            let work = Work { first: Box::new(|shared, ()| first(shared)), second: Box::new(second) };
            let gone = || StoreError::Unavailable { key: key.to_owned(), reason: "the simulation ended".to_owned() };
            simulation::send(&self.shared, record, work).await.unwrap_or_else(|_| Err(gone()))
        } else {
            let mut shared = self.lock();
            first(&mut shared).and_then(|read| second(&mut shared, read))
        };
        if self.is_cut() { std::future::pending().await } else { result }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::Birth, key, move |shared| shared.state.put(&owned, object, shared.now())).await
    }

    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::Put, key, move |shared| {
            shared.state.put(&owned, object.clone(), shared.now())?;
            shared.may_repeat(move |shared| {
                // Only what was possible before is repeated.
                let _ = shared.state.put(&owned, object, shared.now());
            });
            Ok(())
        })
        .await
    }

    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        check_key(from)?;
        check_key(to)?;
        let (from, owned) = (from.to_owned(), to.to_owned());
        let content_type = content_type.map(str::to_owned);
        self.two_steps(
            Operation::CopyNew,
            to,
            move |shared| shared.state.source(&from),
            move |shared, read| shared.state.put(&owned, NewObject { bytes: read.bytes, content_type }, shared.now()),
        )
        .await
    }

    async fn retire(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let (from, to) = (key.to_owned(), key.to_owned());
        self.two_steps(
            Operation::Retire,
            key,
            move |shared| Ok(shared.state.source(&from).ok()),
            move |shared, read| {
                let Some(read) = read else { return Ok(()) };
                shared.state.write_retired(&to, read.clone(), shared.now());
                shared.may_repeat(move |shared| shared.state.write_retired(&to, read, shared.now()));
                Ok(())
            },
        )
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::Head, key, move |shared| {
            Ok(shared.state.objects().get(&owned).map(|object| object.head(shared.now())))
        })
        .await
    }

    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::Get, key, move |shared| {
            let Some(object) = shared.state.objects().get(&owned) else { return Ok(None) };
            let bytes = match range {
                None => object.bytes.clone(),
                Some(range) => {
                    let (first, length) = range.within(&owned, object.bytes.len() as u64)?;
                    // Both lie within the bytes in memory, hence within usize.
                    object.bytes.slice(first as usize..(first + length) as usize)
                }
            };
            let body = stream::iter(Some(bytes).filter(|bytes| !bytes.is_empty()).map(Ok)).boxed();
            Ok(Some(Object { head: object.head(shared.now()), body }))
        })
        .await
    }

    /// A LIST takes time: what appears or vanishes meanwhile may be in the answer or not, key by key.
    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError> {
        check_prefix(query.prefix)?;
        let prefix = query.prefix.to_owned();
        let start_after = query.start_after.map(str::to_owned);
        let (max_keys, fold) = (query.max_keys, query.fold);
        self.two_steps(
            Operation::List,
            query.prefix,
            |shared| Ok(shared.state.begin_list()),
            move |shared, list| {
                let mut unclear = Vec::new();
                for (key, object) in shared.state.end_list(list) {
                    let seen = shared.scheduler.as_mut().is_none_or(Scheduler::coin);
                    unclear.push((key, seen.then_some(object)));
                }
                let query = ListQuery { prefix: &prefix, start_after: start_after.as_deref(), max_keys, fold };
                Ok(shared.state.list(&query, unclear, shared.now()))
            },
        )
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::Delete, key, move |shared| {
            shared.state.remove(&owned);
            shared.may_repeat(move |shared| shared.state.remove(&owned));
            Ok(())
        })
        .await
    }

    /// The keys of a batch go in no particular order, and not all at once.
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let mut failures = Vec::new();
        let mut valid = Vec::with_capacity(keys.len());
        for key in keys {
            match check_key(key) {
                Ok(()) => valid.push(key.clone()),
                Err(error) => failures.push((key.clone(), error)),
            }
        }
        let names = keys.join(" ");
        let (now, later) = self.shuffled_halves(valid);
        let (first, second) = (
            move |shared: &mut Shared| Ok(remove_all(shared, now)),
            move |shared: &mut Shared, mut failed: Vec<_>| {
                failed.extend(remove_all(shared, later));
                Ok(failed)
            },
        );
        failures.extend(self.two_steps(Operation::DeleteMany, &names, first, second).await?);
        Ok(failures)
    }

    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        check_key(key)?;
        let owned = key.to_owned();
        self.step(Operation::CreateMultipart, key, move |shared| Ok(shared.state.create_multipart(&owned))).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        let (owned, upload) = (key.to_owned(), upload.clone());
        self.step(Operation::UploadPart, key, move |shared| {
            let tag = shared.state.upload_part(&owned, &upload, number, bytes.clone())?;
            shared.may_repeat(move |shared| {
                // The upload may have ended since.
                let _ = shared.state.upload_part(&owned, &upload, number, bytes);
            });
            Ok(tag)
        })
        .await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        let (owned, upload, parts) = (key.to_owned(), upload.clone(), parts.to_vec());
        self.step(Operation::CompleteMultipart, key, move |shared| {
            shared.state.complete_multipart(&owned, &upload, &parts, shared.now())
        })
        .await
    }

    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        let (owned, upload) = (key.to_owned(), upload.clone());
        self.step(Operation::AbortMultipart, key, move |shared| {
            shared.state.abort_multipart(&owned, &upload);
            Ok(())
        })
        .await
    }

    fn completion_is_trusted(&self) -> bool {
        true
    }
}

impl MemoryStore {
    /// Splits a batch in two at random; outside a simulation all of it is the first half.
    fn shuffled_halves(&self, mut keys: Vec<String>) -> (Vec<String>, Vec<String>) {
        let mut shared = self.lock();
        let Some(scheduler) = &mut shared.scheduler else { return (keys, Vec::new()) };
        let mut shuffled = Vec::with_capacity(keys.len());
        while !keys.is_empty() {
            let next = scheduler.index_below(keys.len());
            shuffled.push(keys.swap_remove(next));
        }
        let later = shuffled.split_off(scheduler.index_below(shuffled.len() + 1));
        (shuffled, later)
    }
}

/// Removes keys and returns those that a simulated store refuses to remove.
fn remove_all(shared: &mut Shared, keys: Vec<String>) -> Vec<(String, StoreError)> {
    let mut failures = Vec::new();
    for key in keys {
        if shared.scheduler.as_mut().is_some_and(Scheduler::refuses_key) {
            let reason = "the store refused this key of the batch".to_owned();
            failures.push((key.clone(), StoreError::Unavailable { key, reason }));
        } else {
            shared.state.remove(&key);
        }
    }
    failures
}
