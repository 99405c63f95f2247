//! Uploads: from the POST to the closing PUT, on any replica (docs/storage.md, "Upload of a blob").
//!
//! A blob that fits one buffer is written under its digest the moment its bytes are there; the closing PUT only
//! compares. A larger one becomes parts of a multipart upload bound to fresh data, and the closing PUT completes
//! it in place.

pub(super) mod buffers;
mod close;
mod receive;
pub(super) mod record;

use std::time::Duration;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::ImageName;

use self::buffers::Buffer;
use self::receive::{Received, Receiver};
use self::record::{Parts, Record, RecordedProgress};
use super::api::{ChunkRange, Incoming, Progress, StoredBlob, UploadError, UploadState};
use super::collector::notes::Review;
use super::facade::{Inner, Storage};
use super::id::Id;
use super::layout::{self, Holding};
use crate::store::{StoreError, read_all};

/// How long the answer that a holding was written is taken for its presence.
const HELD_IS_FRESH: Duration = Duration::from_secs(3600);

/// Where an upload really stands, the bucket's record included.
enum Standing {
    Empty,
    Held { holding: Holding, written: u64 },
    Multi(Box<Parts>),
}

impl Storage {
    /// A new upload. Nothing is written before the first byte.
    pub fn begin_upload(&self, algorithm: Option<Algorithm>) -> UploadState {
        UploadState {
            session: self.inner.ids.next().to_string(),
            algorithm: algorithm.map(|algorithm| algorithm.to_string()),
            offset: 0,
            progress: Progress::Empty,
        }
    }

    /// PATCH: adds bytes to an upload. `declared` is the Content-Length, if there is one.
    ///
    /// # Errors
    /// See [`UploadError`]; after [`UploadError::OutOfOrder`] the session goes on.
    pub async fn append(
        &self,
        image: &ImageName,
        state: UploadState,
        range: Option<ChunkRange>,
        declared: Option<u64>,
        body: Incoming,
    ) -> Result<UploadState, UploadError> {
        let session = session_of(&state)?;
        let state = self.newest_for(image, session, state, range).await?;
        check_range(range, declared)?;
        let algorithm = named_algorithm(&state)?.unwrap_or(Algorithm::Sha256);
        let standing = self.standing(image, session, &state).await?;
        let (mut receiver, replaced) = self.resume(session, standing, algorithm, declared).await?;
        let added = self.add_body(image, session, &mut receiver, body, declared, range).await;
        if let Err(error) = added {
            self.keep_whole_parts(image, session, receiver).await;
            return Err(error);
        }
        if let Some(replaced) = replaced {
            self.note(Review::Blob { image: image.clone(), digest: replaced.digest });
        }
        let named = state.algorithm;
        let appended = match receiver.rest(true).await? {
            Received::Small { size: 0, .. } => {
                UploadState { session: state.session, algorithm: named, offset: 0, progress: Progress::Empty }
            }
            Received::Small { bytes, digest, size } => {
                self.hold(image, session, named, bytes, digest, size, range.is_some()).await?
            }
            Received::Large(parts) => {
                let offset = parts.offset;
                let algorithm = Some(parts.algorithm.clone());
                let record = Record { image: image.clone(), at: RecordedProgress::Multi(parts) };
                self.inner.write_record(session, &record).await?;
                self.note(Review::Upload { session });
                UploadState { session: state.session, algorithm, offset, progress: Progress::Recorded }
            }
        };
        if range.is_some() {
            self.inner.caches.sessions.insert(session, appended.offset).await;
        }
        Ok(appended)
    }

    /// Closing PUT: adds the last bytes, if any, and makes the blob readable.
    ///
    /// # Errors
    /// See [`UploadError`]. After [`UploadError::OutOfOrder`] and [`UploadError::DigestMismatch`] the session goes on.
    pub async fn finish(
        &self,
        image: &ImageName,
        state: UploadState,
        range: Option<ChunkRange>,
        declared: Option<u64>,
        mut body: Incoming,
        digest: &Digest,
    ) -> Result<StoredBlob, UploadError> {
        use futures::StreamExt as _;
        let session = session_of(&state)?;
        let state = self.newest_for(image, session, state, range).await?;
        check_range(range, declared)?;
        let standing = self.standing(image, session, &state).await?;
        // The first bytes tell a close with a last chunk from one without; a length need not be declared.
        let first = loop {
            match body.next().await.transpose().map_err(UploadError::Interrupted)? {
                Some(chunk) if chunk.is_empty() => {}
                other => break other,
            }
        };
        let Some(first) = first else {
            if let Some(declared @ 1..) = declared {
                return Err(UploadError::SizeMismatch { declared, received: 0 });
            }
            return self.close_upload(image, session, standing, digest).await;
        };
        let body: Incoming = Box::pin(futures::stream::once(async { Ok(first) }).chain(body));
        let algorithm = match standing {
            Standing::Multi(_) => named_algorithm(&state)?.unwrap_or(Algorithm::Sha256),
            Standing::Empty | Standing::Held { .. } => digest.algorithm(),
        };
        let (mut receiver, replaced) = self.resume(session, standing, algorithm, declared).await?;
        if let Err(error) = self.add_body(image, session, &mut receiver, body, declared, range).await {
            self.keep_whole_parts(image, session, receiver).await;
            return Err(error);
        }
        if let Some(replaced) = replaced {
            self.note(Review::Blob { image: image.clone(), digest: replaced.digest });
        }
        match receiver.rest(false).await? {
            Received::Small { digest: actual, .. } if actual != *digest => {
                Err(UploadError::DigestMismatch { named: digest.clone(), actual })
            }
            Received::Small { bytes, digest, size } => {
                let holding = self.inner.birth_holding(image, &digest, size, bytes).await?;
                self.remember(&holding).await;
                self.note(Review::Blob { image: image.clone(), digest: digest.clone() });
                Ok(StoredBlob { digest, size })
            }
            Received::Large(parts) => self.complete(image, session, *parts, digest).await,
        }
    }

    /// The newest state of an upload, also when asked with an older one.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] after a cancel.
    pub async fn upload_status(&self, image: &ImageName, state: UploadState) -> Result<UploadState, UploadError> {
        let session = session_of(&state)?;
        self.newest(image, session, state).await
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// When the cancel cannot be recorded.
    pub async fn cancel_upload(&self, image: &ImageName, state: UploadState) -> Result<(), UploadError> {
        let session = session_of(&state)?;
        let record = self.inner.read_record(session, image).await?;
        let parts = match record.map(|record| record.at) {
            Some(RecordedProgress::Multi(parts)) => Some(parts),
            _ => None,
        };
        let gone = Record { image: image.clone(), at: RecordedProgress::Gone(parts) };
        self.inner.caches.sessions.invalidate(&session).await;
        self.inner.write_record(session, &gone).await?;
        self.note_now(Review::Upload { session });
        if let Progress::Held { digest, .. } = state.progress {
            self.note(Review::Blob { image: image.clone(), digest });
        }
        Ok(())
    }

    /// The state to go on from. Chunks with a range ask the bucket when their token does not fit or is known to be an
    /// older one, because an older Location of the session is valid too; streams without a range go on from their own
    /// token.
    async fn newest_for(
        &self,
        image: &ImageName,
        session: Id,
        state: UploadState,
        range: Option<ChunkRange>,
    ) -> Result<UploadState, UploadError> {
        let overtaken = match range {
            Some(_) => self.inner.caches.sessions.get(&session).await.is_some_and(|stands| stands > state.offset),
            None => false,
        };
        match range {
            Some(range) if range.first != state.offset || overtaken => {
                let newest = self.newest(image, session, state).await?;
                if range.first == newest.offset { Ok(newest) } else { Err(UploadError::OutOfOrder(Box::new(newest))) }
            }
            _ => Ok(state),
        }
    }

    async fn newest(&self, image: &ImageName, session: Id, state: UploadState) -> Result<UploadState, UploadError> {
        let Some(record) = self.inner.read_record(session, image).await? else {
            // A session that recorded something and lost it was reaped.
            return if state.progress == Progress::Recorded { Err(UploadError::Unknown) } else { Ok(state) };
        };
        record.state(&state.session).ok_or(UploadError::Unknown)
    }

    /// Reads what the state only names. A multipart upload always goes on from its own record (amendment R1).
    async fn standing(&self, image: &ImageName, session: Id, state: &UploadState) -> Result<Standing, UploadError> {
        match &state.progress {
            Progress::Empty => Ok(Standing::Empty),
            Progress::Held { holding, digest, written, recorded } => {
                // Only to learn of a cancel (amendment R10). Who wrote the record last knows what it says.
                let own = self.inner.caches.sessions.get(&session).await == Some(state.offset);
                if *recorded && !own {
                    self.inner.read_record(session, image).await?;
                }
                let id = holding.parse().map_err(|_| UploadError::Unknown)?;
                let holding =
                    Holding { image: image.clone(), digest: digest.clone(), id, size: state.offset, data: None };
                Ok(Standing::Held { holding, written: *written })
            }
            Progress::Recorded => match self.inner.read_record(session, image).await?.map(|record| record.at) {
                Some(RecordedProgress::Multi(parts)) => Ok(Standing::Multi(parts)),
                _ => Err(UploadError::Unknown),
            },
        }
    }

    /// A receiver that goes on where the upload stands, and the holding that its first bytes came from.
    async fn resume(
        &self,
        session: Id,
        standing: Standing,
        algorithm: Algorithm,
        declared: Option<u64>,
    ) -> Result<(Receiver, Option<Holding>), UploadError> {
        match standing {
            Standing::Empty => Ok((self.receive(algorithm, declared).await, None)),
            Standing::Held { holding, .. } => {
                let bytes = self.inner.read_held(&holding).await?;
                let expected = declared.map(|declared| declared.saturating_add(holding.size));
                let mut receiver = self.receive(algorithm, expected).await;
                receiver.add(&bytes).await?;
                Ok((receiver, Some(holding)))
            }
            Standing::Multi(parts) => Ok((self.receive_more(&layout::upload_record(session), *parts).await?, None)),
        }
    }

    async fn add_body(
        &self,
        image: &ImageName,
        session: Id,
        receiver: &mut Receiver,
        body: Incoming,
        declared: Option<u64>,
        range: Option<ChunkRange>,
    ) -> Result<(), UploadError> {
        let received = receiver.add_body(body).await?;
        tracing::trace!(%image, %session, received, offset = receiver.offset(), "received upload bytes");
        let due = range.map(|range| range.last - range.first + 1).or(declared);
        match due {
            Some(declared) if declared != received => Err(UploadError::SizeMismatch { declared, received }),
            _ => Ok(()),
        }
    }

    /// Best effort: the client learns the offset from its next status request, or starts over.
    async fn keep_whole_parts(&self, image: &ImageName, session: Id, receiver: Receiver) {
        let Some(parts) = receiver.give_up().await else {
            return;
        };
        let record = Record { image: image.clone(), at: RecordedProgress::Multi(Box::new(parts)) };
        if let Err(error) = self.inner.write_record(session, &record).await {
            tracing::warn!(%image, %session, %error, "an interrupted upload could not be recorded");
        }
        self.note(Review::Upload { session });
    }

    /// Writes a small blob under the digest of the bytes so far.
    #[allow(clippy::too_many_arguments)]
    async fn hold(
        &self,
        image: &ImageName,
        session: Id,
        algorithm: Option<String>,
        bytes: Buffer,
        digest: Digest,
        size: u64,
        recorded: bool,
    ) -> Result<UploadState, UploadError> {
        let holding = self.inner.birth_holding(image, &digest, size, bytes).await?;
        self.remember(&holding).await;
        let written = self.inner.ids.seconds();
        if recorded {
            let at = RecordedProgress::Held {
                offset: size,
                algorithm: algorithm.clone(),
                holding: holding.id,
                digest: digest.clone(),
                written,
            };
            self.inner.write_record(session, &Record { image: image.clone(), at }).await?;
            self.note(Review::Upload { session });
        }
        self.note(Review::Blob { image: image.clone(), digest: digest.clone() });
        let progress = Progress::Held { holding: holding.id.to_string(), digest, written, recorded };
        Ok(UploadState { session: session.to_string(), algorithm, offset: size, progress })
    }
}

impl Inner {
    /// A holding with the bytes inside.
    async fn birth_holding(
        &self,
        image: &ImageName,
        digest: &Digest,
        size: u64,
        bytes: Buffer,
    ) -> Result<Holding, StoreError> {
        bytes.lend(async |bytes| self.birth_small(image, digest, size, bytes).await).await
    }

    /// The bytes of an upload that are in a holding.
    async fn read_held(&self, holding: &Holding) -> Result<bytes::Bytes, UploadError> {
        let object = self.store.get(&holding.key(), None).await?.ok_or(UploadError::Unknown)?;
        Ok(read_all(object.body).await?)
    }
}

fn session_of(state: &UploadState) -> Result<Id, UploadError> {
    state.session.parse().map_err(|_| UploadError::Unknown)
}

fn named_algorithm(state: &UploadState) -> Result<Option<Algorithm>, UploadError> {
    state.algorithm.as_deref().map(str::parse).transpose().map_err(|_| UploadError::Unknown)
}

/// A chunk's range and its Content-Length must say the same (distribution-spec, "Pushing a blob in chunks").
fn check_range(range: Option<ChunkRange>, declared: Option<u64>) -> Result<(), UploadError> {
    let (Some(range), Some(declared)) = (range, declared) else {
        return Ok(());
    };
    match range.last.checked_sub(range.first).map(|span| span + 1) {
        Some(span) if span == declared => Ok(()),
        span => Err(UploadError::SizeMismatch { declared: span.unwrap_or(0), received: declared }),
    }
}
