//! [`Storage`]: what every room of this folder works on.

use std::sync::Arc;
use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use moka::future::Cache;
use tokio_util::task::TaskTracker;

use super::api::StoredManifest;
use super::certificates::Certificates;
use super::collector::notes::Notes;
use super::id::{Id, Ids};
use super::layout::Holding;
use super::upload::buffers::{Buffers, Room};
use crate::store::{NewObject, Store, StoreError};

/// What an operator may tune; the defaults are those of the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Untagged or unreferenced content becomes collectable after this long.
    pub grace: Duration,
    /// Retired content is deleted after this long.
    pub quarantine: Duration,
    /// Content deleted by a person or a policy stays restorable this long; replaces `grace` for it.
    pub undo: Duration,
    /// Memory for upload buffers and bodies of manifests, in bytes; pushes wait for it, they do not fail.
    pub upload_memory: usize,
    /// Share large blobs between repositories whose members may not see each other. Saves space where tenants trust
    /// each other; elsewhere the time an upload takes would tell that somebody has the blob (amendment R11).
    pub global_dedup: bool,
    /// How long an upload may take from its first request to its last.
    pub session_ttl: Duration,
    /// Answer HEAD of a blob from memory for this long. Zero asks the bucket every time.
    pub head_cache: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            grace: 24 * HOUR,
            quarantine: 2 * HOUR,
            undo: 24 * HOUR,
            upload_memory: 96 << 20,
            global_dedup: false,
            session_ttl: 24 * HOUR,
            head_cache: Duration::ZERO,
        }
    }
}

/// The storage of one registry process over one bucket. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    pub(super) inner: Arc<Inner>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) ids: Ids,
    pub(super) certificates: Certificates,
    pub(super) buffers: Buffers,
    pub(super) notes: Notes,
    pub(super) caches: Caches,
    /// Work that goes on after an answer: removal of outranked tag versions, refills. Waited for at shutdown.
    pub(super) background: TaskTracker,
}

/// What this replica remembers. Nothing here is needed for safety: a forgotten or stale entry costs requests.
pub(super) struct Caches {
    /// Visible manifests by instance; both are immutable.
    pub(super) bodies: Cache<Id, Arc<StoredManifest>>,
    /// The holding this replica last wrote or read for a blob of an image.
    pub(super) holdings: Cache<(ImageName, Digest), Holding>,
    /// Where seals say that blobs of an image are. Only reads of blobs look here: hints are evidence of nothing.
    pub(super) hints: Cache<(ImageName, Digest), Holding>,
    /// Sizes of blobs for `--head-cache`; unused while that is zero.
    pub(super) sizes: Cache<(ImageName, Digest), u64>,
    /// Holdings of large data whose certificate was read after the holding was seen (rule 5).
    pub(super) confirmed: Cache<Id, ()>,
    /// Where upload sessions stand that came this way in chunks with a range, so that a chunk sent twice is noticed
    /// without asking the bucket. Through another replica it is taken twice, to the same effect.
    pub(super) sessions: Cache<Id, u64>,
}

impl Caches {
    /// Bytes of manifests kept in memory.
    const BODIES: u64 = 32 << 20;
    const HOLDINGS: u64 = 100_000;

    fn new(head_cache: Duration) -> Self {
        let body_weight =
            |_: &Id, body: &Arc<StoredManifest>| u32::try_from(body.bytes.len() + 512).unwrap_or(u32::MAX);
        let whereabouts =
            || Cache::builder().max_capacity(Self::HOLDINGS).time_to_live(Duration::from_secs(600)).build();
        Self {
            bodies: Cache::builder().weigher(body_weight).max_capacity(Self::BODIES).build(),
            holdings: whereabouts(),
            hints: whereabouts(),
            sizes: Cache::builder().max_capacity(Self::HOLDINGS).time_to_live(head_cache).build(),
            confirmed: Cache::builder().max_capacity(Self::HOLDINGS).build(),
            sessions: Cache::builder().max_capacity(Self::HOLDINGS).time_to_live(Duration::from_secs(3600)).build(),
        }
    }
}

impl Storage {
    /// Storage over a store, with random ids.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self::with_ids(store, settings, Ids::random())
    }

    /// Storage whose ids come from `ids`: simulations give a seeded source.
    pub fn with_ids(store: Arc<dyn Store>, settings: Settings, ids: Ids) -> Self {
        let inner = Inner {
            certificates: Certificates::new(settings.grace / 2),
            buffers: Buffers::new(settings.upload_memory),
            notes: Notes::default(),
            caches: Caches::new(settings.head_cache),
            background: TaskTracker::new(),
            store,
            settings,
            ids,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The store below, for documents that are not content (keys, runs, configuration).
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Counts `bytes` of a manifest's body against the memory of uploads until the answer is dropped. Waits for room;
    /// pushing a manifest takes no further memory, so whoever has it can go on to the end.
    pub async fn reserve(&self, bytes: usize) -> Room {
        self.inner.buffers.reserve(bytes).await
    }

    /// Waits for the work that went on after answers, and writes what was noted for review.
    ///
    /// # Errors
    /// When the notes cannot be written; what they named stays until fsck.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.background.close();
        self.inner.background.wait().await;
        self.clear_certificates().await;
        self.flush_notes().await
    }

    /// Waits for the work that went on after answers so far; more may follow. For tests that compare buckets.
    pub async fn settle(&self) {
        self.inner.background.close();
        self.inner.background.wait().await;
        self.inner.background.reopen();
    }
}

impl Inner {
    /// Attempts at a birth before the failure is the caller's.
    const BIRTHS: usize = 3;

    /// Writes an object under a key nobody used, with a fresh id for every attempt (rule 10): what an attempt of
    /// unknown outcome left behind is garbage under an id that nobody names.
    pub(super) async fn birth<T>(
        &self,
        object: NewObject,
        name: impl Fn(Id) -> (T, String) + Send,
    ) -> Result<T, StoreError> {
        let mut attempt = 1;
        loop {
            let (value, key) = name(self.ids.next());
            match self.store.birth(&key, object.clone()).await {
                Ok(()) => return Ok(value),
                Err(error) if attempt == Self::BIRTHS || !worth_repeating(&error) => return Err(error),
                Err(error) => tracing::debug!(%error, attempt, "writing under a fresh id"),
            }
            attempt += 1;
        }
    }
}

fn worth_repeating(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::Other { .. })
}
