//! The configuration in force: read from files, read again when they change, swapped as a whole.
//!
//! A change that cannot be used is reported in the log and in [`Status`], and the last good state stays in force:
//! leaving out just the bad file could widen what others may see.

mod follow;
mod source;

use std::sync::Arc;

use arc_swap::ArcSwap;
use berth_crds::access::Guard;
use berth_crds::configuration::Configuration;
use berth_crds::kinds::Indexes;
use berth_crds::name::{RepositoryName, TagName};
use serde::Serialize;
use tokio::sync::watch;

pub use follow::follow;
pub use source::{Loaded, Source};

/// The configuration in force. Cheap to clone; every clone sees every change.
#[derive(Clone, Debug)]
pub struct Current {
    document: Arc<ArcSwap<Configuration>>,
    status: watch::Sender<Status>,
}

/// What is in force, and what is wrong with what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Revision of the document in force.
    pub revision: String,
    /// Why the newest state of the files is not in force; empty when it is.
    pub problems: Vec<String>,
    /// What is in force and still wants attention: refused policies, objects that are overruled or select nothing.
    pub remarks: Vec<String>,
}

impl Current {
    /// Puts the first state in force.
    pub fn new(loaded: Loaded) -> Self {
        let Loaded { configuration, remarks } = loaded;
        let status = Status { revision: configuration.revision.clone(), problems: Vec::new(), remarks };
        for remark in &status.remarks {
            tracing::warn!(remark, "the configuration wants attention");
        }
        Self { document: Arc::new(ArcSwap::from_pointee(configuration)), status: watch::Sender::new(status) }
    }

    /// The document in force, for those who look at it on every request.
    pub fn document(&self) -> Arc<ArcSwap<Configuration>> {
        Arc::clone(&self.document)
    }

    /// Notifies of every change, problems included. The document is swapped before its revision shows here.
    pub fn changes(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether an index may list images that are not here (`spec.indexes`). Where no object says so, as by default.
    pub fn accepts_missing_children(&self, repository: &RepositoryName) -> bool {
        let document = self.document.load();
        let indexes = document.repositories.get(repository).map(|entry| entry.indexes).unwrap_or_default();
        indexes == Indexes::Lenient
    }

    /// The rules that protect a tag.
    pub fn guard(&self, _repository: &RepositoryName, _tag: &TagName) -> Guard {
        Guard::default()
    }

    /// Puts a newer state in force, or reports why the last good one stays.
    fn update(&self, read: Result<Loaded, Vec<String>>) {
        let status = match read {
            Ok(Loaded { configuration, remarks }) => {
                let revision = configuration.revision.clone();
                self.document.store(Arc::new(configuration));
                Status { revision, problems: Vec::new(), remarks }
            }
            Err(problems) => Status { problems, ..self.status() },
        };
        // One line per change: the same problem found again is no news.
        let changed = self.status.send_if_modified(|before| {
            let changed = *before != status;
            before.clone_from(&status);
            changed
        });
        if !changed {
            return;
        }
        for problem in &status.problems {
            tracing::error!(problem, "the new configuration is not used; the last good one stays in force");
        }
        for remark in &status.remarks {
            tracing::warn!(remark, "the configuration wants attention");
        }
        if status.problems.is_empty() {
            tracing::info!(revision = status.revision, "the configuration is in force");
        }
    }
}
