//! The configuration in force: read from files, read again when they change, swapped as a whole.
//!
//! A change that cannot be used is reported in the log and in [`Status`], and the last good state stays in force:
//! leaving out just the bad file could widen what others may see.

mod follow;
mod last;
mod source;

use std::sync::Arc;

use arc_swap::ArcSwap;
use berth_crds::access::Guard;
use berth_crds::configuration::{Compiled, Configuration, Outcome};
use berth_crds::kinds::Indexes;
use berth_crds::name::{RepositoryName, TagName};
use serde::Serialize;
use tokio::sync::watch;

pub use follow::follow;
pub use last::{LastDocument, LastDocumentError, begin, keep_last};
pub use source::{Loaded, Source};

/// The configuration in force. Cheap to clone; every clone sees every change.
#[derive(Clone, Debug)]
pub struct Current {
    document: Arc<ArcSwap<Configuration>>,
    compiled: Arc<ArcSwap<Compiled>>,
    outcomes: Arc<ArcSwap<Vec<Outcome>>>,
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
    /// The bucket's last document is in force, because that of the operator has not appeared: what changes anything waits.
    pub last_document: bool,
    /// What is in force and still wants attention: refused policies, objects that are overruled or select nothing.
    pub remarks: Vec<String>,
}

impl Current {
    /// Puts the first state in force.
    ///
    /// # Errors
    /// One sentence per problem: there is no last good state to keep.
    pub fn new(loaded: Loaded) -> Result<Self, Vec<String>> {
        let revision = loaded.configuration.revision.clone();
        let status = Status { revision, problems: Vec::new(), last_document: false, remarks: loaded.remarks.clone() };
        let current = Self::of(loaded, status)?;
        report(&current.status());
        Ok(current)
    }

    /// Puts the bucket's last document in force, because of this problem with the operator's.
    fn of_last(configuration: Configuration, problem: String) -> Result<Self, Vec<String>> {
        let revision = configuration.revision.clone();
        let status = Status { revision, problems: vec![problem], last_document: true, remarks: Vec::new() };
        Self::of(Loaded::of(configuration), status)
    }

    fn of(loaded: Loaded, status: Status) -> Result<Self, Vec<String>> {
        let Loaded { configuration, outcomes, .. } = loaded;
        let compiled = compiled(&configuration)?;
        Ok(Self {
            document: Arc::new(ArcSwap::from_pointee(configuration)),
            compiled: Arc::new(ArcSwap::from_pointee(compiled)),
            outcomes: Arc::new(ArcSwap::from_pointee(outcomes)),
            status: watch::Sender::new(status),
        })
    }

    /// The document in force, for those who look at it on every request.
    pub fn document(&self) -> Arc<ArcSwap<Configuration>> {
        Arc::clone(&self.document)
    }

    /// The same document with its patterns and schedules ready to use.
    pub fn compiled(&self) -> Arc<Compiled> {
        self.compiled.load_full()
    }

    /// What became of each object in force; empty where the operator knows it.
    pub fn outcomes(&self) -> Arc<Vec<Outcome>> {
        self.outcomes.load_full()
    }

    /// Notifies of every change, problems included. The document is swapped before its revision shows here.
    pub fn changes(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether anything may be pushed or deleted: not by the last document, which may have been overtaken long ago.
    pub fn accepts_changes(&self) -> bool {
        !self.status.borrow().last_document
    }

    /// Whether an index may list images that are not here (`spec.indexes`); as by default where no object says so.
    pub fn accepts_missing_children(&self, repository: &RepositoryName) -> bool {
        let compiled = self.compiled.load();
        compiled.repository(repository).map(|found| found.entry.indexes).unwrap_or_default() == Indexes::Lenient
    }

    /// The rules that protect a tag.
    pub fn guard(&self, repository: &RepositoryName, tag: &TagName) -> Guard {
        self.compiled.load().repository(repository).map(|found| found.guard(tag)).unwrap_or_default()
    }

    /// Puts a newer state in force, or reports why the last good one stays. Makes patterns ready, which takes time:
    /// not to be called where requests are served.
    fn update(&self, read: Result<Loaded, Vec<String>>) {
        let before = self.status();
        let status = match read.and_then(|loaded| self.put_in_force(loaded, &before)) {
            Ok(status) => status,
            Err(problems) => Status { problems, ..before },
        };
        // The same problem found again is no news.
        let changed = self.status.send_if_modified(|before| {
            let changed = *before != status;
            before.clone_from(&status);
            changed
        });
        if changed {
            report(&status);
        }
    }

    fn put_in_force(&self, loaded: Loaded, before: &Status) -> Result<Status, Vec<String>> {
        let Loaded { configuration, remarks, outcomes } = loaded;
        let revision = configuration.revision.clone();
        if revision != before.revision {
            // Everything that can fail comes before the first change: what is not in force has no outcomes either.
            let compiled = compiled(&configuration)?;
            self.compiled.store(Arc::new(compiled));
            self.document.store(Arc::new(configuration));
        }
        self.outcomes.store(Arc::new(outcomes));
        Ok(Status { revision, problems: Vec::new(), last_document: false, remarks })
    }
}

/// A document of which nothing can be matched or scheduled wrongly.
fn compiled(document: &Configuration) -> Result<Compiled, Vec<String>> {
    Compiled::new(document.clone()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn report(status: &Status) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use berth_crds::configuration::{RepositoryEntry, Source as Origin};
    use berth_crds::kinds::{Access, ConditionReason, DeletionPolicy, Protection, TagRule, Visibility};
    use berth_crds::manifest::ObjectId;

    use super::*;

    /// A private repository without anything.
    fn repository() -> RepositoryEntry {
        RepositoryEntry {
            source: Origin::default(),
            namespace_uid: None,
            adopt: false,
            labels: BTreeMap::new(),
            visibility: Visibility::Private,
            access: Access::Enabled,
            decided_by: Vec::new(),
            overruled: Vec::new(),
            tags: Vec::new(),
            quota: None,
            indexes: Indexes::Lenient,
            undo_window: None,
            deploy_tokens: Vec::new(),
            deletion_policy: DeletionPolicy::Retain,
            governed_by: None,
        }
    }

    fn loaded(indexes: Indexes) -> Loaded {
        let entry = RepositoryEntry { indexes, ..repository() };
        let configuration = Configuration::new([("team-a/shop".parse().unwrap(), entry)].into(), BTreeMap::new());
        Loaded::of(configuration)
    }

    #[test]
    fn a_document_that_does_not_compile_changes_nothing() {
        let current = Current::new(loaded(Indexes::Strict)).unwrap();
        let before = current.status();
        let rule = TagRule { name: "open".to_owned(), matching: vec!["(".to_owned()], rule: Protection::Protected };
        let entry = RepositoryEntry { tags: vec![rule], ..repository() };
        let configuration = Configuration::new([("team-a/shop".parse().unwrap(), entry)].into(), BTreeMap::new());
        let object =
            ObjectId { kind: "ContainerRepository", namespace: Some("team-a".to_owned()), name: "shop".to_owned() };
        let outcomes = vec![Outcome {
            object,
            generation: None,
            accepted: true,
            reason: ConditionReason::Accepted,
            message: String::new(),
            warnings: Vec::new(),
            repositories: Vec::new(),
        }];
        current.update(Ok(Loaded { configuration, remarks: Vec::new(), outcomes }));
        let after = current.status();
        assert!(!after.problems.is_empty());
        assert_eq!(after.revision, before.revision);
        assert_eq!(current.document().load().revision, before.revision);
        assert!(current.outcomes().is_empty(), "outcomes of what is not in force: {:?}", current.outcomes());
    }

    #[test]
    fn a_bad_state_is_reported_once_and_the_last_good_one_stays() {
        let shop: RepositoryName = "team-a/shop".parse().unwrap();
        let current = Current::new(loaded(Indexes::Strict)).unwrap();
        let mut changes = current.changes();
        let first = current.status();
        current.update(Err(vec!["shop.yaml: bad".to_owned()]));
        assert!(changes.has_changed().unwrap());
        assert_eq!(
            *changes.borrow_and_update(),
            Status { problems: vec!["shop.yaml: bad".to_owned()], ..first.clone() }
        );
        assert!(!current.accepts_missing_children(&shop), "strict, as before");
        current.update(Err(vec!["shop.yaml: bad".to_owned()]));
        assert!(!changes.has_changed().unwrap());
        current.update(Ok(loaded(Indexes::Strict)));
        assert_eq!(*changes.borrow_and_update(), first, "mended");
        current.update(Ok(loaded(Indexes::Lenient)));
        assert_ne!(changes.borrow_and_update().revision, first.revision);
        assert!(current.accepts_missing_children(&shop));
    }
}
