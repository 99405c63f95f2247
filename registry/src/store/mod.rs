//! The object store: the only durable state there is.
//!
//! [`Store`] names every step the storage protocol takes, one method per step, so that nothing else can happen to
//! a bucket. Three implementations: S3 ([`s3`]), a local directory ([`directory`]) and memory with a seeded
//! scheduler ([`memory`]), judged by one conformance suite.

pub mod directory;
mod key;
pub mod location;
pub mod memory;
mod misconfiguration;
pub mod probe;
pub mod s3;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use misconfiguration::Misconfiguration;

/// One step of the storage protocol against an object store.
///
/// What an implementation promises (docs/storage.md, "What the store must give"):
/// - every key is linearizable for writes (overwriting too), reads and deletion;
/// - a `list` returns every key that was there during the whole call and none that was absent during the whole
///   call, in byte order, and `start_after` need not exist;
/// - [`birth`](Store::birth) and [`copy_new`](Store::copy_new) reach the store at most once (storage protocol
///   rule 10): no retry inside, whatever the failure. Every other step may be retried by the implementation;
/// - absence is only reported for a true "no such key"; refused or failing requests are errors (amendment R16).
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Creates an object under a key nobody used before. Never retried: after an error the outcome is unknown and
    /// the caller takes a fresh key.
    async fn birth(&self, key: &str, object: NewObject) -> Result<(), StoreError>;

    /// Writes or overwrites an object whose duplicate is harmless.
    async fn put(&self, key: &str, object: NewObject) -> Result<(), StoreError>;

    /// Creates `to` with the bytes of `from`, unflagged, without the bytes travelling through this process where
    /// the store can copy. A birth: never retried.
    ///
    /// The caller names the media type of the copy, as for any [`NewObject`]: S3 drops the source's together with
    /// its flag, and asking for it first would make a mount two requests instead of one. Holdings have none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when `from` is absent.
    async fn copy_new(&self, from: &str, to: &str, content_type: Option<&str>) -> Result<(), StoreError>;

    /// Sets the retired flag of an object in place, keeping its bytes and its media type. An absent key is nothing
    /// to do. Need not be atomic: a late one may bring a deleted object back, flagged.
    async fn retire(&self, key: &str) -> Result<(), StoreError>;

    /// What is known of an object without its bytes; `None` only if the store says there is no such key.
    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError>;

    /// [`head`](Store::head) whose answer other state will rely on (storage protocol rules 2 and 5): what it saw
    /// must outlive a power cut (amendment R15). Stores that are durable on write answer as `head` does.
    async fn confirm(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        self.head(key).await
    }

    /// The bytes of an object, all of them or `range`; `None` only if the store says there is no such key.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the range begins behind the end of the object; one that ends behind it is cut.
    async fn get(&self, key: &str, range: Option<ByteRange>) -> Result<Option<Object>, StoreError>;

    /// One page of keys below a prefix, see [`ListQuery`]. At most [`ListQuery::MAX_KEYS`] entries.
    async fn list(&self, query: ListQuery<'_>) -> Result<Listing, StoreError>;

    /// Removes an object; an absent key is success.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Removes up to [`ListQuery::MAX_KEYS`] objects in no particular order and reports every key that could not
    /// be removed (storage protocol rule 9: success is per key).
    ///
    /// # Errors
    /// An error means that nothing is known about any key.
    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError>;

    /// Begins a multipart upload of `key`. Nothing is visible under the key before
    /// [`complete_multipart`](Store::complete_multipart).
    async fn create_multipart(&self, key: &str) -> Result<MultipartId, StoreError>;

    /// Stores one part; the same number again replaces the part. Numbers run from 1 to 10,000.
    async fn upload_part(
        &self,
        key: &str,
        upload: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError>;

    /// Makes the object out of exactly these parts, in order.
    ///
    /// # Errors
    /// [`StoreError::InvalidPart`] when a part is not the one its tag names, [`StoreError::NotFound`] when the
    /// upload is unknown (completed, aborted or expired).
    async fn complete_multipart(
        &self,
        key: &str,
        upload: &MultipartId,
        parts: &[(u16, PartTag)],
    ) -> Result<(), StoreError>;

    /// Gives a multipart upload up; an unknown one is success.
    async fn abort_multipart(&self, key: &str, upload: &MultipartId) -> Result<(), StoreError>;

    /// Whether an object of this store is complete as soon as the answer to its completion says so. Where it is
    /// not known (an S3 that is not AWS), the size is read back before anything vouches for the bytes.
    fn completion_is_trusted(&self) -> bool;

    /// Whether `If-None-Match: *` keeps a write from replacing an object; makes `scratch` to find out. Asked at start,
    /// for a warning: no step needs conditional writes. True where there are no such headers.
    async fn honours_if_none_match(&self, scratch: &str) -> Result<bool, StoreError> {
        let _ = scratch;
        Ok(true)
    }
}

/// An object about to be written: bytes in memory (at most one part, 8 MiB by default) and an optional media type.
#[derive(Clone, Debug, Default)]
pub struct NewObject {
    pub bytes: Bytes,
    /// S3 has no objects without one; there `application/octet-stream` is the same as none.
    pub content_type: Option<String>,
}

impl NewObject {
    /// An empty object: a certificate, a seal, a link, whose key says everything.
    pub fn marker() -> Self {
        Self::default()
    }

    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content_type: None }
    }
}

/// What a store knows of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Length of the content in bytes.
    pub size: u64,
    pub content_type: Option<String>,
    /// The retired flag, set by [`Store::retire`].
    pub retired: bool,
    /// When the object was last written, by the store's clock.
    pub modified: SystemTime,
    /// The store's clock when it answered; ages are never judged by our own clock (amendment R17).
    pub store_time: SystemTime,
}

impl ObjectHead {
    /// Age by the store's own clock; zero if that clock went backwards.
    pub fn age(&self) -> Duration {
        self.store_time.duration_since(self.modified).unwrap_or_default()
    }
}

/// A stream of an object's bytes.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// An object being read.
pub struct Object {
    pub head: ObjectHead,
    pub body: ByteStream,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Bytes `first..=last` of an object. Invariant: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// `None` when the range would be empty.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    pub const fn first(self) -> u64 {
        self.first
    }

    pub const fn last(self) -> u64 {
        self.last
    }

    /// Number of bytes, at least one.
    pub const fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// First byte and number of bytes of what the range holds of an object of `size` bytes.
    fn within(self, key: &str, size: u64) -> Result<(u64, u64), StoreError> {
        if self.first >= size {
            let reason = format!("the range begins at byte {} of an object of {size} bytes", self.first);
            return Err(StoreError::Invalid { key: key.to_owned(), reason });
        }
        Ok((self.first, self.last.min(size - 1) - self.first + 1))
    }
}

/// A question for keys.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// Every key starts with it. Ends with `/` wherever a folder is meant.
    pub prefix: &'a str,
    /// Only keys after this one in byte order; it need not exist. With [`ListQuery::fold`] and a closing `/` it is
    /// a folder of an earlier page, and everything below it is skipped.
    pub start_after: Option<&'a str>,
    /// At most this many keys and folders, 1 to [`ListQuery::MAX_KEYS`].
    pub max_keys: usize,
    /// Fold everything behind the next `/` after the prefix into [`Listing::folders`].
    pub fold: bool,
}

impl<'a> ListQuery<'a> {
    /// What one answer of S3 holds at most.
    pub const MAX_KEYS: usize = 1000;

    /// Every key below `prefix`, one full page.
    pub const fn below(prefix: &'a str) -> Self {
        Self { prefix, start_after: None, max_keys: Self::MAX_KEYS, fold: false }
    }

    pub const fn after(mut self, start_after: Option<&'a str>) -> Self {
        self.start_after = start_after;
        self
    }

    pub const fn at_most(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// The folders (and keys) right below `prefix`, one full page.
    pub const fn folders_below(prefix: &'a str) -> Self {
        Self { fold: true, ..Self::below(prefix) }
    }

    /// The key that every key of the answer is greater than. Behind a folder of an earlier page that is one past
    /// everything below it, which consists of printable characters.
    fn bound(&self) -> Option<Cow<'a, str>> {
        self.start_after.map(|after| match after {
            folder if self.fold && folder.ends_with('/') => Cow::Owned(format!("{folder}\u{7f}")),
            key => Cow::Borrowed(key),
        })
    }
}

/// One page of keys, in byte order.
#[derive(Clone, Debug)]
pub struct Listing {
    pub entries: Vec<Entry>,
    /// With [`ListQuery::fold`]: the prefixes up to and including the next `/`, in byte order.
    pub folders: Vec<String>,
    /// More keys follow the last one named here.
    pub more: bool,
    /// The store's clock when it answered.
    pub store_time: SystemTime,
}

/// A key in a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// Length of the content in bytes.
    pub size: u64,
    /// Bytes the object takes in the store, framing included; equals `size` on S3.
    pub stored: u64,
    pub modified: SystemTime,
}

/// The store's name of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultipartId(pub String);

/// What a store says of a stored part (an ETag); two parts with different bytes have different tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartTag(pub String);

/// Why a step failed, told apart by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What the step reads (a source, a multipart upload) is not there.
    #[error("{0}: not found in the store")]
    NotFound(String),
    /// A part is not the one named; the upload has to start over.
    #[error("{0}: the store holds other parts than named")]
    InvalidPart(String),
    /// The request makes no sense to the store (a range outside the object, a key too long).
    #[error("{key}: {reason}")]
    Invalid { key: String, reason: String },
    /// Credentials are wrong or lack a permission.
    #[error("{key}: the store refuses access ({reason}): check the credentials and the bucket policy")]
    Denied { key: String, reason: String },
    /// The store is away, overloaded or too slow. For births the outcome is unknown.
    #[error("{key}: the store did not answer ({reason})")]
    Unavailable { key: String, reason: String },
    /// The store is not what the registry was told it is; only whoever runs the registry can put it right.
    #[error(transparent)]
    Misconfigured(Box<Misconfiguration>),
    /// Anything else, with the store's own words.
    #[error("{key}: {source}")]
    Other { key: String, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Every key of a query, page after page, in byte order.
///
/// # Errors
/// The first page that fails ends it: half a list is never returned.
pub async fn list_all(store: &dyn Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let last = entries.last().map(|entry| entry.key.clone());
        let mut page = store.list(ListQuery::below(prefix).after(last.as_deref())).await?;
        let more = page.more;
        entries.append(&mut page.entries);
        if !more {
            return Ok(entries);
        }
    }
}

/// Reads a stream to its end.
///
/// # Errors
/// Whatever breaks the stream.
pub async fn read_all(mut body: ByteStream) -> Result<Bytes, StoreError> {
    use futures::StreamExt as _;
    let mut chunks = bytes::BytesMut::new();
    while let Some(chunk) = body.next().await {
        chunks.extend_from_slice(&chunk?);
    }
    Ok(chunks.freeze())
}
