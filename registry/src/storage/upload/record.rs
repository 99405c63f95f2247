//! What the bucket knows of an upload that another replica may have to go on with.
//!
//! Hash state, offset, part list and tail form one state and are only used together (amendment R1): the record
//! holds all of them, and the token in the Location never holds any.

use std::time::Duration;

use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::ImageName;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::super::api::{Progress, UploadError, UploadState};
use super::super::facade::Inner;
use super::super::hash::RunningHash;
use super::super::id::Id;
use super::super::layout;
use crate::store::{NewObject, PartTag, StoreError, read_all};

/// The record under `u/<session>`: a line of JSON, then the tail bytes of a multipart upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::storage) struct Record {
    /// A record is only good for the image it was made for (amendment R10).
    pub(in crate::storage) image: ImageName,
    pub(in crate::storage) at: RecordedProgress,
}

/// Where a recorded upload stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::storage) enum RecordedProgress {
    /// Cancelled: every request of the session is refused. The parts are named for the reaper.
    Gone(Option<Box<Parts>>),
    /// All bytes are in a small holding.
    Held { offset: u64, algorithm: Option<String>, holding: Id, digest: Digest, written: u64 },
    /// Parts of a multipart upload.
    Multi(Box<Parts>),
}

/// A multipart upload between two requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::storage) struct Parts {
    pub(in crate::storage) offset: u64,
    /// The data the upload will become.
    pub(in crate::storage) data: Id,
    /// The store's name of the multipart upload.
    pub(in crate::storage) multipart: String,
    /// What the store said of parts 1, 2, …
    pub(in crate::storage) tags: Vec<String>,
    pub(in crate::storage) algorithm: String,
    /// The running hash over all `offset` bytes, hexadecimal.
    pub(in crate::storage) hash: String,
    /// Bytes of the last part, shorter than a store accepts anywhere but at the end: whoever adds bytes puts these
    /// in front and stores the part again.
    #[serde(skip)]
    pub(in crate::storage) tail: Bytes,
}

impl Parts {
    pub(super) fn running_hash(&self, key: &str) -> Result<RunningHash, StoreError> {
        let unreadable = || damaged(key, "hash state");
        let algorithm: Algorithm = self.algorithm.parse().map_err(|_| unreadable())?;
        let state = data_encoding::HEXLOWER.decode(self.hash.as_bytes()).map_err(|_| unreadable())?;
        RunningHash::restore(algorithm, &state).map_err(|_| unreadable())
    }

    pub(super) fn numbered(&self) -> Vec<(u16, PartTag)> {
        self.tags.iter().zip(1..).map(|(tag, number)| (number, PartTag(tag.clone()))).collect()
    }
}

impl Record {
    fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new().writer();
        serde_json::to_writer(&mut bytes, self).expect("a record has nothing that JSON lacks");
        let mut bytes = bytes.into_inner();
        bytes.put_u8(b'\n');
        if let RecordedProgress::Multi(parts) = &self.at {
            bytes.extend_from_slice(&parts.tail);
        }
        bytes.freeze()
    }

    fn from_bytes(key: &str, bytes: &Bytes) -> Result<Self, StoreError> {
        let line = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged(key, "header"))?;
        let mut record: Self = serde_json::from_slice(&bytes[..line]).map_err(|_| damaged(key, "header"))?;
        if let RecordedProgress::Multi(parts) = &mut record.at {
            parts.tail = bytes.slice(line + 1..);
        }
        Ok(record)
    }

    /// The state a client is told; `None` after a cancel.
    pub(super) fn state(&self, session: &str) -> Option<UploadState> {
        let (offset, algorithm, progress) = match &self.at {
            RecordedProgress::Gone(_) => return None,
            RecordedProgress::Held { offset, algorithm, holding, digest, written } => {
                let progress = Progress::Held {
                    holding: holding.to_string(),
                    digest: digest.clone(),
                    written: *written,
                    recorded: true,
                };
                (*offset, algorithm.clone(), progress)
            }
            RecordedProgress::Multi(parts) => (parts.offset, Some(parts.algorithm.clone()), Progress::Recorded),
        };
        Some(UploadState { session: session.to_owned(), algorithm, offset, progress })
    }
}

fn damaged(key: &str, what: &str) -> StoreError {
    StoreError::Invalid { key: key.to_owned(), reason: format!("the upload record's {what} is damaged") }
}

impl Inner {
    pub(super) async fn write_record(&self, session: Id, record: &Record) -> Result<(), StoreError> {
        self.store.put(&layout::upload_record(session), NewObject::bytes(record.to_bytes())).await
    }

    /// The record of a session, if it belongs to this image.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] after a cancel, and for a record of another image.
    pub(super) async fn read_record(&self, session: Id, image: &ImageName) -> Result<Option<Record>, UploadError> {
        let Some((record, _)) = self.fetch_record(session).await? else {
            return Ok(None);
        };
        let usable = record.image == *image && !matches!(record.at, RecordedProgress::Gone(_));
        if usable { Ok(Some(record)) } else { Err(UploadError::Unknown) }
    }

    /// The record of a session, whatever it says, and its age by the store's clock.
    pub(in crate::storage) async fn fetch_record(&self, session: Id) -> Result<Option<(Record, Duration)>, StoreError> {
        let key = layout::upload_record(session);
        let Some(object) = self.store.get(&key, None).await? else {
            return Ok(None);
        };
        let age = object.head.age();
        Ok(Some((Record::from_bytes(&key, &read_all(object.body).await?)?, age)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::id::Ids;

    #[test]
    fn a_record_keeps_its_tail_byte_for_byte() {
        let tail = Bytes::from_static(b"\n\x00{\"not json\":\n");
        let parts = Parts {
            offset: 9,
            data: Ids::seeded(1).next(),
            multipart: "m".to_owned(),
            tags: vec!["\"e1\"".to_owned()],
            algorithm: "sha256".to_owned(),
            hash: data_encoding::HEXLOWER.encode(&RunningHash::new(Algorithm::Sha256).save()),
            tail: tail.clone(),
        };
        let record = Record { image: "a/b".parse().unwrap(), at: RecordedProgress::Multi(Box::new(parts)) };
        let read = Record::from_bytes("u/x", &record.to_bytes()).unwrap();
        let RecordedProgress::Multi(read) = read.at else { panic!("another kind") };
        assert_eq!(read.tail, tail);
        assert_eq!(read.numbered(), [(1, PartTag("\"e1\"".to_owned()))]);
        assert!(read.running_hash("u/x").is_ok());
    }

    #[test]
    fn a_damaged_record_is_an_error_not_a_guess() {
        for bytes in ["", "{}", "{}\n", "{\"image\":\"a/b\"\n"] {
            assert!(Record::from_bytes("u/x", &Bytes::from(bytes)).is_err(), "{bytes}");
        }
    }
}
