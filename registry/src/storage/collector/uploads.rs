//! Reaping uploads that nobody finished.

use super::super::facade::Storage;
use super::super::id::Id;
use super::super::layout;
use super::super::upload::record::{Parts, RecordedProgress};
use super::Collected;
use super::notes::Review;
use crate::store::{MultipartId, StoreError};

impl Storage {
    /// Gives up an upload whose session is over. Never deletes data: completing after an abort fails, so the upload's
    /// own name is what stops a slow closing PUT.
    pub(super) async fn reap_upload(&self, session: Id) -> Result<Collected, StoreError> {
        let Some((record, age)) = self.inner.fetch_record(session).await? else {
            return Ok(Collected::default());
        };
        let over = age >= self.inner.settings.session_ttl;
        let reaped = match record.at {
            RecordedProgress::Gone(parts) => self.abort(parts).await?,
            RecordedProgress::Multi(parts) if over => self.abort(Some(parts)).await?,
            RecordedProgress::Held { .. } if over => Collected::default(),
            RecordedProgress::Multi(_) | RecordedProgress::Held { .. } => {
                self.note(Review::Upload { session });
                return Ok(Collected::default());
            }
        };
        self.inner.store.delete(&layout::upload_record(session)).await?;
        Ok(reaped)
    }

    async fn abort(&self, parts: Option<Box<Parts>>) -> Result<Collected, StoreError> {
        let Some(parts) = parts else {
            return Ok(Collected::default());
        };
        let data = layout::data(parts.data);
        if self.inner.store.head(&data).await?.is_some() {
            // Completed after all; whether somebody holds it is for fsck to find out.
            return Ok(Collected::default());
        }
        self.inner.store.delete(&layout::certificate(parts.data)).await?;
        self.inner.store.abort_multipart(&data, &MultipartId(parts.multipart)).await?;
        Ok(Collected { uploads: 1, ..Collected::default() })
    }
}
