//! The configuration document: what follows from the objects for the data plane (DESIGN §1, §3).
//!
//! All objects at once become one [`Configuration`].
//! The document is what the operator writes, what replicas compare by revision and what the bucket keeps for the time
//! without a control plane; equal objects give equal bytes.

mod document;

pub use document::{
    Configuration, ConfigurationError, DeployTokenEntry, PolicyEntry, RepositoryEntry, Source, VERSION,
};
