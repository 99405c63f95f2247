//! A replica's way to the store on which a test says what happens around a chosen request.
//!
//! The simulation finds interleavings by chance; a test of one rule plays the very one that the rule is for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::store::memory::{MemoryStore, Operation};
use crate::store::{
    ByteRange, ListQuery, Listing, MultipartId, NewObject, Object, ObjectHead, PartTag, Store, StoreError,
};

/// A [`Store`] that plays each cue once, those for the same request in the order they were given.
#[derive(Clone)]
pub(super) struct Stage {
    store: MemoryStore,
    cues: Arc<Mutex<Vec<Cue>>>,
    confirmed: Arc<Mutex<BTreeSet<String>>>,
}

/// What happens, and at which request: one of `operation` on a key that begins with `prefix`.
struct Cue {
    operation: Operation,
    prefix: String,
    play: Play,
}

enum Play {
    /// This happens, then the request sets out.
    Before(BoxFuture<'static, ()>),
    /// This happens while a LIST runs, and its answer lacks the keys that begin so.
    Missing(BoxFuture<'static, ()>, Vec<String>),
    /// This happens, then the request fails and does nothing. In a batch only the key meant does.
    Refused(BoxFuture<'static, ()>),
    /// The request does its work and its sender hears of a failure.
    Unanswered,
}

/// Somebody who stands before a request until somebody else lets him go on.
pub(super) struct Pause {
    reached: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

impl Pause {
    /// Returns once the request is about to set out; whoever holds what is returned decides when it does.
    pub(super) async fn reached(self) -> oneshot::Sender<()> {
        self.reached.await.expect("the request comes");
        self.go_on
    }
}

impl Stage {
    pub(super) fn over(store: &MemoryStore) -> Self {
        Self { store: store.clone(), cues: Arc::default(), confirmed: Arc::default() }
    }

    fn cue(&self, operation: Operation, prefix: &str, play: Play) {
        self.cues.lock().unwrap().push(Cue { operation, prefix: prefix.to_owned(), play });
    }

    /// Lets something happen right before a request.
    pub(super) fn before(
        &self,
        operation: Operation,
        prefix: &str,
        happening: impl Future<Output = ()> + Send + 'static,
    ) {
        self.cue(operation, prefix, Play::Before(Box::pin(happening)));
    }

    /// Lets one such request go by, so that the next cue is for the one after it.
    pub(super) fn pass(&self, operation: Operation, prefix: &str) {
        self.before(operation, prefix, async {});
    }

    /// Stops before a request.
    pub(super) fn pause(&self, operation: Operation, prefix: &str) -> Pause {
        let ((here, reached), (go_on, gone_on)) = (oneshot::channel(), oneshot::channel());
        self.before(operation, prefix, async move {
            // Whoever no longer waits for this one has let it go.
            let _ = here.send(());
            let _ = gone_on.await;
        });
        Pause { reached, go_on }
    }

    /// Lets the sender of a request die before it sends it; tells when.
    pub(super) fn death(&self, operation: Operation, prefix: &str) -> oneshot::Receiver<()> {
        let (here, reached) = oneshot::channel();
        self.before(operation, prefix, async move {
            // Nobody need care.
            let _ = here.send(());
            std::future::pending().await
        });
        reached
    }

    /// Lets something happen during a LIST, whose answer then lacks keys that were not there all the time: assumption
    /// A2 of the protocol.
    pub(super) fn missing(
        &self,
        prefix: &str,
        missed: &[String],
        happening: impl Future<Output = ()> + Send + 'static,
    ) {
        self.cue(Operation::List, prefix, Play::Missing(Box::pin(happening), missed.to_vec()));
    }

    /// Fails a request before it does anything.
    pub(super) fn refuse(&self, operation: Operation, prefix: &str) {
        self.refuse_after(operation, prefix, async {});
    }

    /// Lets something happen when a request should set out, and fails it.
    pub(super) fn refuse_after(
        &self,
        operation: Operation,
        prefix: &str,
        happening: impl Future<Output = ()> + Send + 'static,
    ) {
        self.cue(operation, prefix, Play::Refused(Box::pin(happening)));
    }

    /// Loses the answer to a request.
    pub(super) fn unanswered(&self, operation: Operation, prefix: &str) {
        self.cue(operation, prefix, Play::Unanswered);
    }

    /// Everything that was prepared has come to pass: without this a test could pass because nothing happened.
    pub(super) fn assert_played(&self) {
        let waiting: Vec<String> =
            self.cues.lock().unwrap().iter().map(|cue| format!("{:?} {}", cue.operation, cue.prefix)).collect();
        assert_eq!(waiting, Vec::<String>::new(), "requests that never came");
    }

    /// Whether what a read saw of a key outlives a power cut (amendment R15).
    pub(super) fn is_durable(&self, key: &str) -> bool {
        self.confirmed.lock().unwrap().contains(key)
    }

    fn next(&self, operation: Operation, key: &str) -> Option<Play> {
        let mut cues = self.cues.lock().unwrap();
        let at = cues.iter().position(|cue| cue.operation == operation && key.starts_with(&cue.prefix))?;
        Some(cues.remove(at).play)
    }

    async fn play<T>(
        &self,
        operation: Operation,
        key: &str,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.next(operation, key) {
            None => request.await,
            Some(play) => self.act(play, key, request).await,
        }
    }

    async fn act<T>(
        &self,
        play: Play,
        key: &str,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match play {
            Play::Before(happening) => {
                happening.await;
                request.await
            }
            Play::Unanswered => {
                request.await?;
                Err(failure(key))
            }
            Play::Refused(happening) => {
                happening.await;
                Err(failure(key))
            }
            Play::Missing(..) => panic!("only a LIST misses keys"),
        }
    }
}

fn failure(key: &str) -> StoreError {
    StoreError::Unavailable { key: key.to_owned(), reason: "as the test wants it".to_owned() }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Stage {
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        self.play(Operation::Birth, key, self.store.birth(key, object)).await
    }

    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError> {
        self.play(Operation::Put, key, self.store.put(key, object)).await
    }

    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError> {
        self.play(Operation::CopyNew, to, self.store.copy_new(from, to, content_type)).await
    }

    async fn retire(&self, key: &str) -> Result<(), StoreError> {
        self.play(Operation::Retire, key, self.store.retire(key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        self.play(Operation::Head, key, self.store.head(key)).await
    }

    async fn confirm(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let head = self.head(key).await?;
        self.confirmed.lock().unwrap().insert(key.to_owned());
        Ok(head)
    }

    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError> {
        self.play(Operation::Get, key, self.store.get(key, range)).await
    }

    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError> {
        let listed = self.store.list(query);
        let Some(play) = self.next(Operation::List, query.prefix) else { return listed.await };
        let Play::Missing(happening, missed) = play else { return self.act(play, query.prefix, listed).await };
        let meant = |key: &String| missed.iter().any(|prefix| key.starts_with(prefix));
        let at_first = self.store.snapshot();
        happening.await;
        let mut listing = listed.await?;
        let stayed = listing.entries.iter().find(|entry| meant(&entry.key) && at_first.contains_key(&entry.key));
        assert!(stayed.is_none(), "no LIST misses what was there all the time: {stayed:?}");
        listing.entries.retain(|entry| !meant(&entry.key));
        Ok(listing)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.play(Operation::Delete, key, self.store.delete(key)).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let (mut refused, mut removed) = (Vec::new(), Vec::new());
        for key in keys {
            match self.play(Operation::DeleteMany, key, async { Ok(()) }).await {
                Ok(()) => removed.push(key.clone()),
                Err(error) => refused.push((key.clone(), error)),
            }
        }
        refused.extend(self.store.delete_many(&removed).await?);
        Ok(refused)
    }

    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError> {
        self.play(Operation::CreateMultipart, key, self.store.create_multipart(key)).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.play(Operation::UploadPart, key, self.store.upload_part(key, upload, number, bytes)).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError> {
        self.play(Operation::CompleteMultipart, key, self.store.complete_multipart(key, upload, parts)).await
    }

    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError> {
        self.play(Operation::AbortMultipart, key, self.store.abort_multipart(key, upload)).await
    }

    fn completion_is_trusted(&self) -> bool {
        self.store.completion_is_trusted()
    }
}
