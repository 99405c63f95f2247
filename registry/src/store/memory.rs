//! The store in memory, for tests: what S3 promises and nothing more.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::key::{check_key, check_prefix};
use super::{ByteRange, ListQuery, Listing, MultipartId, NewObject, Object, ObjectHead, PartTag, Store, StoreError};
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

/// A [`Store`] in memory. Clones share one content.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: State,
    counts: BTreeMap<Operation, u64>,
    /// How far the store's clock was moved on.
    advanced: Duration,
}

impl Shared {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.advanced
    }
}

impl MemoryStore {
    /// An empty store whose steps happen at once, in the order they are asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that is stored, by key.
    pub fn snapshot(&self) -> BTreeMap<String, StoredObject> {
        self.lock().state.objects.clone()
    }

    /// How often each step was asked for.
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.lock().counts.clone()
    }

    /// Moves the store's clock on, so that what lies in it grows older.
    pub fn advance(&self, by: Duration) {
        self.lock().advanced += by;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in a test must not hide behind a poisoned lock; every change of the state is one call.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step<T>(
        &self,
        operation: Operation,
        step: impl FnOnce(&mut State, SystemTime) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut shared = self.lock();
        *shared.counts.entry(operation).or_default() += 1;
        let now = shared.now();
        step(&mut shared.state, now)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        check_key(key)?;
        self.step(Operation::Birth, |state, now| state.put(key, object, now)).await
    }

    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        check_key(key)?;
        self.step(Operation::Put, |state, now| state.put(key, object, now)).await
    }

    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        check_key(from)?;
        check_key(to)?;
        let content_type = content_type.map(str::to_owned);
        self.step(Operation::CopyNew, |state, now| {
            let bytes = state.source(from)?.bytes;
            state.put(to, NewObject { bytes, content_type }, now)
        })
        .await
    }

    async fn retire(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.step(Operation::Retire, |state, now| {
            if let Ok(read) = state.source(key) {
                state.write_retired(key, read, now);
            }
            Ok(())
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        check_key(key)?;
        self.step(Operation::Head, |state, now| Ok(state.objects.get(key).map(|object| object.head(now)))).await
    }

    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError> {
        check_key(key)?;
        self.step(Operation::Get, |state, now| {
            let Some(object) = state.objects.get(key) else { return Ok(None) };
            let bytes = match range {
                None => object.bytes.clone(),
                Some(range) => {
                    let (first, length) = range.within(key, object.bytes.len() as u64)?;
                    // Both lie within the bytes in memory, hence within usize.
                    object.bytes.slice(first as usize..(first + length) as usize)
                }
            };
            let body = stream::iter(Some(Ok(bytes)).filter(|it| it.as_ref().is_ok_and(|it| !it.is_empty()))).boxed();
            Ok(Some(Object { head: object.head(now), body }))
        })
        .await
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError> {
        check_prefix(query.prefix)?;
        self.step(Operation::List, |state, now| Ok(state.list(&query, &BTreeSet::new(), now))).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.step(Operation::Delete, |state, _| {
            state.objects.remove(key);
            Ok(())
        })
        .await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        self.step(Operation::DeleteMany, |state, _| {
            let failures = keys.iter().filter_map(|key| {
                let deleted = check_key(key).map(|()| state.objects.remove(key));
                deleted.err().map(|error| (key.clone(), error))
            });
            Ok(failures.collect())
        })
        .await
    }

    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        check_key(key)?;
        self.step(Operation::CreateMultipart, |state, _| Ok(state.create_multipart(key))).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.step(Operation::UploadPart, |state, _| state.upload_part(key, upload, number, bytes)).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        self.step(Operation::CompleteMultipart, |state, now| state.complete_multipart(key, upload, parts, now)).await
    }

    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        self.step(Operation::AbortMultipart, |state, _| {
            state.abort_multipart(key, upload);
            Ok(())
        })
        .await
    }

    fn completion_is_trusted(&self) -> bool {
        true
    }
}
