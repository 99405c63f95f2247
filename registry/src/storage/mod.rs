//! The storage protocol: blobs, manifests, tags and referrers as write-once objects in a bucket.
//!
//! docs/storage.md is its text; the rule numbers ("rule 3", "amendment R7") in the comments of this folder are
//! those of that page. Any number of replicas run this code over one bucket at once, with collectors beside them;
//! nothing here takes a lock, trusts a clock or needs a conditional write for safety.
//!
//! [`Storage`] is the one door. Its methods are grouped by room: uploads, blobs, manifests, tags, referrers,
//! listings, and the collector.

mod api;
mod facade;

pub use api::*;
pub use facade::{Settings, Storage};
