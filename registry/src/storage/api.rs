//! What the rest of the registry may ask of the storage, and what it gets back.

use std::fmt;
use std::time::SystemTime;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::{ImageName, TagName};
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::store::{ByteRange, ByteStream, StoreError};

/// A request body on its way in. An error ends the upload at the last byte received.
pub type Incoming = BoxStream<'static, std::io::Result<Bytes>>;

/// Where an upload stands. It travels to the client and back inside the signed Location, so that any replica can go
/// on with it; the HTTP side seals it together with image, subject and absolute end (amendment R10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    /// Name of the session, the last path segment of its Location.
    pub session: String,
    /// Hash algorithm named when the upload began (`digest-algorithm`), if any.
    pub algorithm: Option<String>,
    /// Bytes received so far.
    pub offset: u64,
    /// Where those bytes are.
    pub progress: Progress,
}

/// Where the bytes of an unfinished upload are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// No byte has come yet; the bucket knows nothing of the session.
    Empty,
    /// They are the small holding `holding` under the digest they have so far.
    Held {
        holding: String,
        digest: Digest,
        /// Seconds since the epoch when the holding was written, by this process's clock.
        written: u64,
        /// Whether the bucket has a record of this session.
        recorded: bool,
    },
    /// They are parts of a multipart upload; its complete state is the session's record in the bucket, and only
    /// that record is ever gone on from (amendment R1).
    Recorded,
}

/// The `Content-Range` of a chunk, `first-last`, as the distribution-spec writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

/// A blob that is complete and readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    pub digest: Digest,
    pub size: u64,
}

/// Why an upload request failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The session is unknown, cancelled or expired.
    #[error("the upload session is unknown, was cancelled or has expired: begin a new upload")]
    Unknown,
    /// The chunk does not begin where the session stands; the state named is the newest.
    #[error("the chunk does not begin at byte {}, where this upload stands", .0.offset)]
    OutOfOrder(Box<UploadState>),
    /// The bytes do not hash to the digest named.
    #[error("the content has the digest {actual}, not {named}")]
    DigestMismatch { named: Digest, actual: Digest },
    /// An upload beyond one buffer can only be closed with the algorithm it was begun with.
    #[error("this upload was hashed with {hashed}: name {named} with digest-algorithm when beginning it")]
    AlgorithmMismatch { hashed: Algorithm, named: Algorithm },
    /// Fewer or more bytes than the request declared.
    #[error("the request declared {declared} bytes and carried {received}")]
    SizeMismatch { declared: u64, received: u64 },
    /// The client went away in the middle.
    #[error("the request body ended early: {0}")]
    Interrupted(std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A blob (or a part of it) being read.
pub struct BlobReader {
    /// Size of the whole blob.
    pub size: u64,
    /// The part that `body` carries; `None` when it is all of it.
    pub range: Option<ByteRange>,
    pub body: ByteStream,
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

/// The part of a blob a client asks for (RFC 9110 §14.1.2), before the size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// `first-` or `first-last`.
    From { first: u64, last: Option<u64> },
    /// `-length`, the last bytes.
    Suffix { length: u64 },
}

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the image has no blob with this digest")]
    Unknown,
    /// The range begins behind the end.
    #[error("the range lies outside the blob, which has {size} bytes")]
    OutOfRange { size: u64 },
    /// A manifest of the image mentions it (405 on delete).
    #[error("the blob is part of {}: delete the manifests first", list(.by))]
    InUse { by: Vec<Digest> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A tag or a digest, as the last path segment of a manifest URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Tag(TagName),
    Digest(Digest),
}

/// A tag to be set by a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPush {
    pub name: TagName,
    /// Refuse to move the tag if it exists with another digest.
    pub immutable: bool,
}

/// A manifest to be pushed.
#[derive(Clone, Debug)]
pub struct ManifestPush {
    /// The digest the manifest is stored under: the one in the URL, or SHA-256 of the bytes.
    pub digest: Digest,
    /// `Content-Type` without parameters.
    pub media_type: String,
    pub bytes: Bytes,
    pub tags: Vec<TagPush>,
    /// Accept an index whose children are missing (`spec.indexes: Lenient`).
    pub lenient: bool,
}

/// A manifest that is stored, visible and, if asked for, tagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    pub digest: Digest,
    /// The subject it is now listed under.
    pub subject: Option<Digest>,
    /// Children of a lenient index that are not here.
    pub missing: Vec<Digest>,
}

/// Why a manifest was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, or one that contradicts its headers.
    #[error("{0}")]
    Invalid(String),
    #[error("the content has the digest {actual}, not {named}")]
    DigestMismatch { named: Digest, actual: Digest },
    /// Blobs or, for a strict index, children that the image does not have.
    #[error("the image lacks {}: push them first", list(.0))]
    ContentUnknown(Vec<Digest>),
    #[error("tag \"{tag}\" is immutable and points to {current}: push under another tag")]
    TagImmutable { tag: TagName, current: Digest },
    /// Collected or deleted while it was pushed; a retry succeeds.
    #[error("the manifest was deleted while it was pushed: push it again")]
    Raced,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A manifest as it was pushed, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// Why something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("there is nothing of this name")]
    Unknown,
    /// An index lists the manifest (405).
    #[error("the manifest is part of {}: delete that first", list(.by))]
    PartOf { by: Vec<Digest> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A tag as its key describes it; listing needs no further read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    pub name: TagName,
    pub digest: Digest,
    pub kind: ManifestKind,
    /// Size of the manifest plus the sizes its descriptors state, in bytes.
    pub size: u64,
    /// When the tag was last pushed, an identical push included.
    pub pushed_at: SystemTime,
}

/// What sort of manifest a tag names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ManifestKind {
    Image,
    Index,
    /// An OCI artifact: an image manifest with an `artifactType`, or an unknown config.
    Artifact,
}

/// One page of names in the order of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub more: bool,
}

/// A tag that a plan wants removed, on condition that it still has the digest planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDeletion {
    pub tag: TagName,
    /// `None` deletes whatever it points to.
    pub digest: Option<Digest>,
}

/// What became of a [`PlannedDeletion`].
#[derive(Debug)]
pub enum DeletionOutcome {
    Deleted,
    /// The tag has another digest by now; it stays.
    Changed(Digest),
    /// Somebody else removed it.
    Gone,
    Failed(StoreError),
}

/// An image that holds something.
pub type ImagePage = Page<ImageName>;

fn list(digests: &[Digest]) -> String {
    let names: Vec<String> = digests.iter().map(ToString::to_string).collect();
    names.join(", ")
}
