//! The memory of uploads: a fixed amount, handed out in whole buffers.
//!
//! A push that finds none waits; it never fails for memory. Nobody waits for a second buffer while holding one, so
//! every holder can go on to the end of its part whatever the others do.

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of a part and the most a blob may have to lie inside its holding, in bytes.
pub(in crate::storage) const PART: usize = 8 << 20;
/// Parts from this number on are [`LATE_PART`] long, so that 10,000 parts carry 516 GiB.
const LATE_PARTS_FROM: usize = 2001;
const LATE_PART: usize = 64 << 20;
/// Memory is counted in pieces of this size.
const GRAIN: usize = 64 << 10;

/// The size of the part with this number, counted from 1.
pub(super) const fn part_size(number: usize) -> usize {
    if number < LATE_PARTS_FROM { PART } else { LATE_PART }
}

/// All buffers there are.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Buffers {
    permits: Arc<Semaphore>,
    total: usize,
    /// Full-size buffers for reuse: fresh ones would be paid for in page faults.
    free: Arc<Mutex<Vec<BytesMut>>>,
}

impl Buffers {
    /// `memory` in bytes, at least two parts.
    pub(in crate::storage) fn new(memory: usize) -> Self {
        let total = memory.max(2 * PART) / GRAIN;
        Self { permits: Arc::new(Semaphore::new(total)), total, free: Arc::default() }
    }

    /// A buffer of `capacity` bytes, when there is room for it.
    pub(super) async fn acquire(&self, capacity: usize) -> Buffer {
        let Room(permit) = self.reserve(capacity).await;
        self.fill(capacity, permit)
    }

    /// Room for `bytes` bytes that somebody else keeps, when there is that much.
    pub(in crate::storage) async fn reserve(&self, bytes: usize) -> Room {
        let permit = Arc::clone(&self.permits).acquire_many_owned(self.permits_for(bytes)).await;
        Room(permit.expect("the semaphore is never closed"))
    }

    /// A buffer of `capacity` bytes if there is room right now.
    pub(super) fn try_acquire(&self, capacity: usize) -> Option<Buffer> {
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(self.permits_for(capacity)).ok()?;
        Some(self.fill(capacity, permit))
    }

    /// A buffer without room, for the time between handing one on and getting the next.
    pub(super) fn none(&self) -> Buffer {
        Buffer { bytes: BytesMut::new(), capacity: 0, home: self.clone(), _permit: None }
    }

    fn permits_for(&self, capacity: usize) -> u32 {
        let grains = capacity.div_ceil(GRAIN).clamp(1, self.total);
        u32::try_from(grains).unwrap_or(u32::MAX)
    }

    fn fill(&self, capacity: usize, permit: OwnedSemaphorePermit) -> Buffer {
        let reused = if capacity == PART { self.lock().pop() } else { None };
        let bytes = reused.unwrap_or_else(|| BytesMut::with_capacity(capacity));
        Buffer { bytes, capacity, home: self.clone(), _permit: Some(permit) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Memory that is counted as used until this is dropped. Whoever holds it asks for no more.
#[derive(Debug)]
#[must_use = "the memory is free again once this is dropped"]
pub struct Room(OwnedSemaphorePermit);

/// A buffer being filled.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: BytesMut,
    capacity: usize,
    home: Buffers,
    /// `None` for the buffer without room.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "a buffer never grows");
        self.bytes.extend_from_slice(bytes);
    }

    /// Lends the bytes to `send`, and keeps the memory counted until the sending is over.
    pub(super) async fn lend<T>(mut self, send: impl AsyncFnOnce(Bytes) -> T) -> T {
        let bytes = std::mem::take(&mut self.bytes).freeze();
        let result = send(bytes.clone()).await;
        if self.capacity == PART
            && let Ok(mut own) = bytes.try_into_mut()
            && own.capacity() >= PART
        {
            own.clear();
            self.home.lock().push(own);
        }
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_bounded_and_comes_back() {
        let buffers = Buffers::new(2 * PART);
        let first = buffers.acquire(PART).await;
        let second = buffers.acquire(PART).await;
        assert!(buffers.try_acquire(1).is_none());
        drop(first);
        assert!(buffers.try_acquire(PART).is_some());
        drop(second);
    }

    #[tokio::test]
    async fn small_bodies_take_small_buffers() {
        let buffers = Buffers::new(2 * PART);
        let small: Vec<Buffer> = (0..256).map(|_| buffers.try_acquire(GRAIN).unwrap()).collect();
        assert_eq!(small.len(), 256);
        assert!(buffers.try_acquire(1).is_none());
    }

    #[tokio::test]
    async fn lent_bytes_are_reused_once_nobody_has_them() {
        let buffers = Buffers::new(2 * PART);
        let mut buffer = buffers.acquire(PART).await;
        buffer.push(b"content");
        let seen = buffer.lend(async |bytes| bytes.to_vec()).await;
        assert_eq!(seen, b"content");
        assert_eq!(buffers.lock().len(), 1);
        let kept = buffers.acquire(PART).await.lend(async |bytes| bytes).await;
        assert!(kept.is_empty());
    }

    #[test]
    fn ten_thousand_parts_carry_half_a_tebibyte() {
        let total: usize = (1..=10_000).map(part_size).sum();
        assert!(total > 500 << 30);
    }
}
