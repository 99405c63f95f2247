//! Taking in the bytes of one request: hash on the way, one part in the air while the next one fills.

use std::sync::Arc;

use berth_crds::digest::{Algorithm, Digest};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::super::api::{Incoming, UploadError};
use super::super::facade::{Inner, Storage};
use super::super::hash::RunningHash;
use super::super::id::Id;
use super::super::layout;
use super::buffers::{Buffer, PART, part_size};
use super::record::Parts;
use crate::store::{MultipartId, PartTag, StoreError};

/// What S3 demands of every part but the last, in bytes.
const SHORTEST_PART: usize = 5 << 20;

/// An upload while a request adds to it.
pub(super) struct Receiver {
    storage: Storage,
    hash: RunningHash,
    offset: u64,
    buffer: Buffer,
    multi: Option<Multi>,
}

/// The part of an upload that no longer fits one buffer.
struct Multi {
    data: Id,
    multipart: MultipartId,
    tags: Vec<PartTag>,
    in_flight: Option<JoinHandle<Result<PartTag, StoreError>>>,
    /// Offset and hash after the last part that this request handed on, for a client that goes away before the next
    /// is full.
    at_last_part: Option<(u64, RunningHash)>,
}

/// What a request left behind.
pub(super) enum Received {
    /// Everything so far fits one buffer.
    Small { bytes: Buffer, digest: Digest, size: u64 },
    /// Everything so far is in parts.
    Large(Box<Parts>),
}

impl Storage {
    /// Begins to receive into an empty upload. `expected` is what is known to come, in bytes.
    pub(super) async fn receive(&self, algorithm: Algorithm, expected: Option<u64>) -> Receiver {
        let expected = expected.map_or(PART, |bytes| usize::try_from(bytes).unwrap_or(PART).min(PART));
        let buffer = self.inner.buffers.acquire(expected).await;
        Receiver { storage: self.clone(), hash: RunningHash::new(algorithm), offset: 0, buffer, multi: None }
    }

    /// Goes on with a multipart upload from its record.
    pub(super) async fn receive_more(&self, session_key: &str, parts: Parts) -> Result<Receiver, StoreError> {
        let hash = parts.running_hash(session_key)?;
        let mut tags: Vec<PartTag> = parts.tags.into_iter().map(PartTag).collect();
        let mut buffer = self.inner.buffers.acquire(part_size(tags.len().max(1))).await;
        if !parts.tail.is_empty() {
            tags.pop();
            buffer.push(&parts.tail);
        }
        let multipart = MultipartId(parts.multipart);
        let multi = Multi { data: parts.data, multipart, tags, in_flight: None, at_last_part: None };
        Ok(Receiver { storage: self.clone(), hash, offset: parts.offset, buffer, multi: Some(multi) })
    }
}

impl Receiver {
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds a whole body; returns how many bytes it had.
    ///
    /// # Errors
    /// [`UploadError::Interrupted`] when the client goes away; [`Receiver::give_up`] then says what can be kept.
    pub(super) async fn add_body(&mut self, mut body: Incoming) -> Result<u64, UploadError> {
        let before = self.offset;
        while let Some(chunk) = body.next().await {
            self.add(&chunk.map_err(UploadError::Interrupted)?).await?;
        }
        Ok(self.offset - before)
    }

    pub(super) async fn add(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            if self.buffer.room() == 0 {
                self.hand_on().await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.buffer.room()));
            self.hash.update(now);
            self.buffer.push(now);
            self.offset += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Sends the full buffer off as a part and takes a fresh one.
    async fn hand_on(&mut self) -> Result<(), StoreError> {
        if self.multi.is_none() {
            self.multi = Some(Multi::begin(&self.storage).await?);
        }
        let multi = self.multi.as_mut().expect("begun above");
        multi.land().await?;
        let next_size = part_size(multi.tags.len() + 2);
        // Nobody waits for memory while holding some: without a spare buffer this part goes first.
        let spare = self.storage.inner.buffers.try_acquire(next_size);
        multi.at_last_part = Some((self.offset, self.hash.clone()));
        match spare {
            Some(spare) => {
                let full = std::mem::replace(&mut self.buffer, spare);
                multi.launch(&self.storage, full);
            }
            None => {
                let empty = self.storage.inner.buffers.none();
                let full = std::mem::replace(&mut self.buffer, empty);
                multi.launch(&self.storage, full);
                multi.land().await?;
                self.buffer = self.storage.inner.buffers.acquire(next_size).await;
            }
        }
        Ok(())
    }

    /// The end of a request: what there is now. `resumable` keeps what a later request needs to add bytes.
    pub(super) async fn rest(mut self, resumable: bool) -> Result<Received, StoreError> {
        let Some(mut multi) = self.multi.take() else {
            let digest = self.hash.digest();
            return Ok(Received::Small { bytes: self.buffer, digest, size: self.offset });
        };
        multi.land().await?;
        let mut tail = Bytes::new();
        let rest = self.buffer;
        if rest.len() > 0 {
            let short = resumable && rest.len() < SHORTEST_PART;
            let (number, storage) = (multi.next_number(), self.storage.clone());
            let (tag, bytes) = rest
                .lend(async |bytes| {
                    let tail = if short { Bytes::copy_from_slice(&bytes) } else { Bytes::new() };
                    (storage.inner.upload_part(multi.data, &multi.multipart, number, bytes).await, tail)
                })
                .await;
            multi.tags.push(tag?);
            tail = bytes;
        }
        Ok(Received::Large(Box::new(multi.parts(self.offset, &self.hash, tail))))
    }

    /// After an error: the parts that are whole, so that the client can go on from there. `None` when this request
    /// completed no part: what was there before it still holds.
    pub(super) async fn give_up(mut self) -> Option<Parts> {
        let mut multi = self.multi.take()?;
        multi.land().await.ok()?;
        let (offset, hash) = multi.at_last_part.take()?;
        Some(multi.parts(offset, &hash, Bytes::new()))
    }
}

impl Multi {
    async fn begin(storage: &Storage) -> Result<Self, StoreError> {
        let data = storage.take_certificate().await?;
        let multipart = storage.inner.store.create_multipart(&layout::data(data)).await?;
        Ok(Self { data, multipart, tags: Vec::new(), in_flight: None, at_last_part: None })
    }

    fn next_number(&self) -> u16 {
        u16::try_from(self.tags.len() + 1).unwrap_or(u16::MAX)
    }

    fn launch(&mut self, storage: &Storage, full: Buffer) {
        let (storage, data, multipart, number) =
            (storage.clone(), self.data, self.multipart.clone(), self.next_number());
        self.in_flight = Some(tokio::spawn(async move {
            full.lend(async |bytes| storage.inner.upload_part(data, &multipart, number, bytes).await).await
        }));
    }

    /// Waits for the part in the air.
    async fn land(&mut self) -> Result<(), StoreError> {
        if let Some(sending) = self.in_flight.take() {
            let tag = sending
                .await
                .map_err(|error| StoreError::Other { key: layout::data(self.data), source: Box::new(error) })??;
            self.tags.push(tag);
        }
        Ok(())
    }

    fn parts(self, offset: u64, hash: &RunningHash, tail: Bytes) -> Parts {
        Parts {
            offset,
            data: self.data,
            multipart: self.multipart.0,
            tags: self.tags.into_iter().map(|tag| tag.0).collect(),
            algorithm: hash.algorithm().to_string(),
            hash: data_encoding::HEXLOWER.encode(&hash.save()),
            tail,
        }
    }
}

impl Inner {
    async fn upload_part(
        self: &Arc<Self>,
        data: Id,
        multipart: &MultipartId,
        number: u16,
        bytes: Bytes,
    ) -> Result<PartTag, StoreError> {
        self.store.upload_part(&layout::data(data), multipart, number, bytes).await
    }
}
