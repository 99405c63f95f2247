//! What a registry has to understand of the manifests it stores, and no more.
//!
//! Manifests are kept byte for byte; [`Manifest`] is only what follows from the bytes. Reading is lenient where
//! real clients are sloppy (`"layers": null`, a platform without an operating system) and strict where leniency
//! would let one document mean two things to two readers.

pub mod manifest;
pub mod media_type;

pub use manifest::{BlobReference, Child, Manifest};
