//! The configuration document: what follows from the objects for the data plane (DESIGN §1, §3).
//!
//! [`compile`] turns all [`Objects`] at once into one [`Configuration`], and says for each object whether it was accepted
//! ([`Outcome`]). The document is what the operator writes, what replicas compare by revision and what the bucket keeps
//! for the time without a control plane; equal objects give equal bytes. [`Compiled`] is the same document parsed for
//! use: patterns compiled once, lookups by name.

mod compile;
mod compiled;
mod document;
mod governance;
mod objects;
mod outcome;
mod policies;
mod visibilities;

pub use compile::compile;
pub use compiled::{Compiled, Governance, Policy, Repository};
pub use document::{
    Configuration, ConfigurationError, DeployTokenEntry, PolicyEntry, RepositoryEntry, Source, VERSION,
};
pub use objects::Objects;
pub use outcome::Outcome;
