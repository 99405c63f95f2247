//! The configuration in force: where it comes from, and what follows from it for a request.

use std::sync::Arc;

use arc_swap::ArcSwap;
use berth_crds::access::Guard;
use berth_crds::configuration::Configuration;
use berth_crds::kinds::Indexes;
use berth_crds::name::{RepositoryName, TagName};

/// The configuration in force, swapped as a whole. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Configuration>>);

impl Current {
    pub fn new(configuration: Configuration) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(configuration)))
    }

    pub fn document(&self) -> Arc<ArcSwap<Configuration>> {
        Arc::clone(&self.0)
    }

    pub fn accepts_missing_children(&self, repository: &RepositoryName) -> bool {
        self.0.load().repositories.get(repository).is_none_or(|entry| entry.indexes == Indexes::Lenient)
    }

    pub fn guard(&self, _repository: &RepositoryName, _tag: &TagName) -> Guard {
        Guard::default()
    }
}
