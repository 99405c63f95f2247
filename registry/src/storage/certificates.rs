//! Certificates made ahead (rule 1 and docs/storage.md, "Certificates").
//!
//! A certificate may be as old as you like: what counts is the read of it after the reference to its owner was
//! written. So one is kept in stock, and the push that takes it does not wait for its birth.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::facade::{Inner, Storage};
use super::id::Id;
use super::layout;
use crate::store::{NewObject, StoreError};

#[derive(Debug)]
pub(super) struct Certificates {
    stock: Mutex<Vec<(Id, Instant)>>,
    /// Older ones are not used any more: fsck takes a certificate without body and data for garbage after the grace.
    shelf_life: Duration,
}

impl Certificates {
    pub(super) fn new(shelf_life: Duration) -> Self {
        Self { stock: Mutex::default(), shelf_life }
    }

    fn take(&self) -> Option<Id> {
        let mut stock = self.stock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::iter::from_fn(|| stock.pop()).find(|(_, made)| made.elapsed() < self.shelf_life).map(|(id, _)| id)
    }

    fn store(&self, id: Id) {
        self.stock.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((id, Instant::now()));
    }
}

impl Inner {
    /// A fresh certificate, whose birth is known to have succeeded.
    async fn certify(&self) -> Result<Id, StoreError> {
        self.birth(NewObject::marker(), |id| (id, layout::certificate(id))).await
    }
}

impl Storage {
    /// Makes the first certificate ahead, so that a replica's first push need not wait for it.
    pub(super) async fn stock_certificates(&self) {
        if self.inner.certificates.shelf_life.is_zero() {
            return;
        }
        match self.inner.certify().await {
            Ok(id) => self.inner.certificates.store(id),
            Err(error) => tracing::debug!(%error, "no certificate was made ahead"),
        }
    }

    /// Removes what is in stock when the replica goes; best effort, fsck makes up for the rest.
    pub(super) async fn clear_certificates(&self) {
        while let Some(id) = self.inner.certificates.take() {
            if let Err(error) = self.inner.store.delete(&layout::certificate(id)).await {
                tracing::debug!(%error, "a certificate in stock stays until fsck");
            }
        }
    }

    /// The id of a certificate for a new manifest instance or large data, from stock if there is one; the stock is
    /// renewed beside.
    pub(super) async fn take_certificate(&self) -> Result<Id, StoreError> {
        if self.inner.certificates.shelf_life.is_zero() {
            // A stock that spoils at once would only be garbage.
            return self.inner.certify().await;
        }
        let ready = self.inner.certificates.take();
        let refill = self.clone();
        self.inner.background.spawn(async move { refill.stock_certificates().await });
        match ready {
            Some(id) => Ok(id),
            None => self.inner.certify().await,
        }
    }
}
