//! The last document in the bucket: what a registry begins with while its operator is silent (DESIGN §1, "Nothing is
//! served less because the control plane is away").
//!
//! ```text
//! meta/config/<id>.<revision>      a document; the one with the highest id counts
//! ```
//!
//! Every registry with `--config` writes what it puts in force, unless the one that counts says the same. An id is a
//! ULID of that moment, and always above every id that was there before: the document that was put in force last counts,
//! whatever the clocks say, and a write that was under way for long does not count any more when it lands. A replica that
//! is behind can still be the last one. So each looks again now and then, and writes its own on top of another:
//! as soon as all of them have loaded the same, that stays.

use std::sync::Arc;
use std::time::Duration;

use berth_crds::configuration::Configuration;
use tokio::time::{sleep, timeout};
use ulid::Ulid;

use super::{Current, Source};
use crate::store::{NewObject, Store, StoreError, list_all, read_all};

const FOLDER: &str = "meta/config/";
/// Documents kept: the one that counts, and those that somebody may have listed just before.
const KEPT: usize = 3;
/// How often a registry looks whether its document is the one that counts.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// After a failure.
const RETRY: Duration = Duration::from_secs(10);
/// The least time between two writes, however fast objects change.
const PAUSE: Duration = Duration::from_secs(5);

/// The bucket's last documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LastDocument {
    store: Arc<dyn Store>,
}

/// Why the last document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LastDocumentError {
    #[error("{0}")]
    Store(#[from] StoreError),
    /// An older one is no way out: it could show what was hidden since.
    #[error("the last document {key} cannot be read: {reason}")]
    Unreadable { key: String, reason: String },
}

/// The key of a document, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    id: Ulid,
    revision: String,
}

impl Name {
    fn parse(key: &str) -> Option<Self> {
        let (id, revision) = key.strip_prefix(FOLDER)?.split_once('.')?;
        Some(Self { id: Ulid::from_string(id).ok()?, revision: revision.to_owned() })
    }

    fn key(&self) -> String {
        format!("{FOLDER}{}.{}", self.id.to_string().to_ascii_lowercase(), self.revision)
    }
}

impl LastDocument {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The document that counts; `None` when nobody has written one.
    ///
    /// # Errors
    /// [`LastDocumentError`] when the store fails, or the document cannot be read.
    pub async fn read(&self) -> Result<Option<Configuration>, LastDocumentError> {
        loop {
            let Some(newest) = self.names().await?.pop() else { return Ok(None) };
            let key = newest.key();
            // One that is gone was outranked since, so another one is listed now.
            let Some(object) = self.store.get(&key, None).await? else { continue };
            let text = read_all(object.body).await?;
            let read = Configuration::from_json_bytes(&text);
            return read.map(Some).map_err(|error| LastDocumentError::Unreadable { key, reason: error.to_string() });
        }
    }

    /// Makes a document the one that counts.
    ///
    /// # Errors
    /// When the store fails; then it may count or not, and the same may be tried again.
    pub async fn write(&self, document: &Configuration) -> Result<(), StoreError> {
        let names = self.names().await?;
        if names.last().is_some_and(|newest| newest.revision == document.revision) {
            return Ok(());
        }
        let id = id_after(names.last().map(|newest| newest.id));
        let name = Name { id, revision: document.revision.clone() };
        self.store.put(&name.key(), NewObject::bytes(document.to_json_bytes())).await?;
        let outranked = names.len().saturating_sub(KEPT - 1);
        for old in &names[..outranked] {
            self.store.delete(&old.key()).await?;
        }
        Ok(())
    }

    /// In the order in which they count.
    async fn names(&self) -> Result<Vec<Name>, StoreError> {
        let entries = list_all(self.store.as_ref(), FOLDER).await?;
        Ok(entries.iter().filter_map(|entry| Name::parse(&entry.key)).collect())
    }
}

/// An id of now, and in any case above this one.
fn id_after(newest: Option<Ulid>) -> Ulid {
    let now = Ulid::generate();
    match newest {
        Some(newest) if newest.timestamp_ms() >= now.timestamp_ms() => {
            Ulid::from_parts(newest.timestamp_ms() + 1, now.random())
        }
        _ => now,
    }
}

/// Keeps the bucket's last document at what is in force; to be spawned once. What came from there is not written back.
pub async fn keep_last(current: Current, last: LastDocument) {
    let mut changes = current.changes();
    loop {
        let is_own = !changes.borrow_and_update().last_document;
        let written = if is_own { last.write(&current.document().load_full()).await } else { Ok(()) };
        let wait = match written {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "the last document is not in the bucket; it is tried again");
                RETRY
            }
        };
        sleep(PAUSE).await;
        // An elapsed wait looks again, as a change does.
        let _ = timeout(wait, changes.changed()).await;
    }
}

/// The first state of a registry: what its source says, or after `patience` without one the bucket's last document. With
/// neither it waits, and looks for both again.
///
/// # Errors
/// One sentence per problem of a source that is there: there is no last good state to keep.
pub async fn begin(source: &Source, last: &LastDocument, patience: Duration) -> Result<Current, Vec<String>> {
    loop {
        if timeout(patience, source.appears()).await.is_ok() {
            let from = source.clone();
            return blocking(move || from.read().and_then(Current::new)).await;
        }
        let configuration = match last.read().await {
            Ok(Some(configuration)) => configuration,
            Ok(None) => {
                tracing::warn!(path = %source, "nothing is served: the operator has not written the document, and the \
                    bucket has no last one");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, path = %source, "nothing is served: the operator has not written the document, \
                    and the bucket's last one cannot be used");
                continue;
            }
        };
        let revision = configuration.revision.clone();
        let problem = format!(
            "{source} has not appeared: the bucket's last document is in force, and pushes, deletions and cleanup runs \
             wait until the operator writes it"
        );
        match blocking(move || Current::of_last(configuration, problem)).await {
            Ok(current) => {
                tracing::error!(path = %source, revision, "the operator has not written the document: reads are served \
                    by the bucket's last one, and pushes wait");
                return Ok(current);
            }
            Err(problems) => tracing::error!(?problems, revision, "the bucket's last document cannot be used"),
        }
    }
}

/// Makes patterns ready, which takes time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Vec<String>> + Send + 'static,
) -> Result<T, Vec<String>> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(vec![format!("the configuration could not be read: {error}")]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use berth_crds::configuration::{Objects, compile};

    use super::*;
    use crate::configuration::{Loaded, follow};
    use crate::store::memory::MemoryStore;

    /// Nobody waits for long here.
    const SOON: Duration = Duration::from_millis(20);

    fn document(name: &str) -> Configuration {
        let text = format!(
            "apiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\nmetadata: {{namespace: team-a, name: {name}}}\n"
        );
        let reading = berth_crds::manifest::read([("objects.yaml", text.as_str())]);
        compile(&reading.objects.into_iter().collect::<Objects>()).0
    }

    fn last(store: &MemoryStore) -> LastDocument {
        LastDocument::new(Arc::new(store.clone()))
    }

    async fn read(store: &MemoryStore) -> Option<Configuration> {
        last(store).read().await.unwrap()
    }

    #[tokio::test]
    async fn what_was_put_in_force_last_counts_and_few_others_stay() {
        let store = MemoryStore::new();
        assert_eq!(read(&store).await, None);
        // All within a millisecond or two, and more of them than that.
        for number in 0..50 {
            let document = document(&format!("shop-{number}"));
            last(&store).write(&document).await.unwrap();
            assert_eq!(read(&store).await, Some(document));
        }
        assert_eq!(store.snapshot().len(), KEPT);
        let before = store.snapshot();
        last(&store).write(&document("shop-49")).await.unwrap();
        assert_eq!(store.snapshot(), before, "the same again is not written");
    }

    #[tokio::test]
    async fn a_late_write_does_not_count_and_a_clock_that_is_ahead_wins_nothing() {
        let store = MemoryStore::new();
        let (old, new) = (document("old"), document("new"));
        let key = |millis, document: &Configuration| {
            Name { id: Ulid::from_parts(millis, 1), revision: document.revision.clone() }.key()
        };
        // Years ahead.
        let ahead = key(Ulid::generate().timestamp_ms() * 2, &old);
        store.put(&ahead, NewObject::bytes(old.to_json_bytes())).await.unwrap();
        last(&store).write(&new).await.unwrap();
        assert_eq!(read(&store).await, Some(new.clone()));
        // Begun before, landing after.
        let late = key(Ulid::generate().timestamp_ms() - 1, &old);
        store.put(&late, NewObject::bytes(old.to_json_bytes())).await.unwrap();
        assert_eq!(read(&store).await, Some(new));
    }

    #[tokio::test]
    async fn an_older_document_is_no_substitute_for_one_that_cannot_be_read() {
        let store = MemoryStore::new();
        last(&store).write(&document("hidden-since")).await.unwrap();
        let newest = Name { id: id_after(Some(Ulid::generate())), revision: "of-a-later-version".to_owned() };
        store.put(&newest.key(), NewObject::bytes("{\"version\": 99}")).await.unwrap();
        let error = last(&store).read().await.unwrap_err();
        assert!(error.to_string().contains("of-a-later-version"), "{error}");
    }

    #[tokio::test]
    async fn a_registry_begins_with_its_file_or_with_the_last_document_and_goes_over_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config").join("current.json");
        let source = Source::Document(file.clone());
        let store = MemoryStore::new();
        let (old, new) = (document("old"), document("new"));

        // Neither: it waits.
        assert!(timeout(10 * SOON, begin(&source, &last(&store), SOON)).await.is_err());

        last(&store).write(&old).await.unwrap();
        let current = begin(&source, &last(&store), SOON).await.unwrap();
        assert_eq!(**current.document().load(), old);
        assert!(!current.accepts_changes());
        assert!(current.status().problems[0].contains("current.json has not appeared"), "{:?}", current.status());

        let mut changes = current.changes();
        let following = tokio::spawn(follow(current.clone(), source.clone()));
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, new.to_json_bytes()).unwrap();
        changes.wait_for(|status| status.problems.is_empty()).await.unwrap();
        assert_eq!(**current.document().load(), new);
        assert!(current.accepts_changes());
        following.abort();

        // A file that is there decides, whatever the bucket says, and for one with mistakes nothing stands in.
        let current = begin(&source, &last(&store), SOON).await.unwrap();
        assert_eq!((&current.status().revision, current.accepts_changes()), (&new.revision, true));
        std::fs::write(&file, "{").unwrap();
        assert!(begin(&source, &last(&store), SOON).await.unwrap_err()[0].contains("current.json"));
    }

    #[tokio::test]
    async fn the_same_document_from_the_file_ends_the_waiting_of_pushes() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Document(folder.path().join("current.json"));
        let store = MemoryStore::new();
        let same = document("same");
        last(&store).write(&same).await.unwrap();
        let current = begin(&source, &last(&store), SOON).await.unwrap();
        let mut changes = current.changes();
        let following = tokio::spawn(follow(current.clone(), source));
        std::fs::write(folder.path().join("current.json"), same.to_json_bytes()).unwrap();
        changes.wait_for(|status| !status.last_document).await.unwrap();
        assert!(current.accepts_changes() && current.status().problems.is_empty());
        following.abort();
    }

    #[tokio::test]
    async fn what_is_in_force_gets_into_the_bucket_and_what_came_from_there_does_not() {
        let store = MemoryStore::new();
        let (mine, other, third) = (document("mine"), document("other"), document("third"));
        last(&store).write(&mine).await.unwrap();
        let source = Source::Document("/does/not/exist".into());
        let begun = begin(&source, &last(&store), SOON).await.unwrap();
        last(&store).write(&other).await.unwrap();
        let idle = tokio::spawn(keep_last(begun, last(&store)));
        let keeping = tokio::spawn(keep_last(Current::new(Loaded::of(third.clone())).unwrap(), last(&store)));
        while read(&store).await.as_ref() != Some(&third) {
            sleep(SOON).await;
        }
        let names = last(&store).names().await.unwrap();
        let revisions: Vec<String> = names.into_iter().map(|name| name.revision).collect();
        assert_eq!(revisions, [mine.revision, other.revision, third.revision]);
        idle.abort();
        keeping.abort();
    }
}
