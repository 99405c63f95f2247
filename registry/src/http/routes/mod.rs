//! One endpoint per file. A handler asks who may, reads names into values, asks the storage, and writes the answer.

pub mod api;
pub(super) mod base;
pub(super) mod blobs;
pub(super) mod catalog;
pub(super) mod manifests;
pub(super) mod referrers;
pub(super) mod tags;
pub(super) mod uploads;
