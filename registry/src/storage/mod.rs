//! The storage protocol: blobs, manifests, tags and referrers as write-once objects in a bucket.
//!
//! docs/storage.md is its text; the rule numbers ("rule 3", "amendment R7") in the comments of this folder are
//! those of that page. Any number of replicas run this code over one bucket at once, with collectors beside them;
//! nothing here takes a lock, trusts a clock or needs a conditional write for safety.
//!
//! [`Storage`] is the one door; each room adds its methods to it: [`upload`], [`blobs`], [`manifest`], [`tags`],
//! [`images`], [`purge`] and [`collector`]. [`layout`] alone knows what keys look like.

mod api;
mod blobs;
mod certificates;
mod collector;
mod facade;
mod hash;
mod hints;
mod id;
mod images;
mod layout;
mod listed;
mod manifest;
mod purge;
mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod upload;

pub use api::*;
pub use collector::{Class, Collected, Finding, FsckReport};
pub use facade::{Settings, Storage};
pub use id::{Id, Ids};
pub use purge::PurgedImage;
pub use upload::buffers::Room;
