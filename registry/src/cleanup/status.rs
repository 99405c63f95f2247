//! What became of each object, where there is no cluster to write it into the objects: `registry serve --manifests`.
//!
//! It is the same status that the operator writes, in one document: `GET /api/v1/status`, shown by `registry status`;
//! and a file for who has no login: `status.json` in the folder of a `dir:` storage, the object `meta/status` of a bucket.
//! The file is written whenever it changes, by every replica alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_crds::configuration::Outcome;
use berth_crds::kinds::conditions::{self, ConditionReason, ConditionType};
use berth_crds::kinds::{CleanupPolicyStatus, ContainerRepositoryStatus, RegistryVisibilityStatus, RunResult};
use berth_crds::manifest::ObjectId;
use berth_crds::name::RepositoryName;
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::run::Runs;
use super::store::LastRun;
use crate::configuration::Current;
use crate::store::{NewObject, StoreError};

/// The file is looked at again at least this often: `nextRunTime` moves by itself, and other replicas run policies too.
const LOOK: Duration = Duration::from_secs(600);

/// The status of every object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument {
    /// Revision of the configuration in force.
    pub revision: String,
    /// Why the newest state of the files is not in force; empty when it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    pub objects: Vec<ObjectStatus>,
}

/// One object with its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectStatus {
    pub namespace: String,
    pub name: String,
    #[serde(flatten)]
    pub status: KindStatus,
}

/// The status that an object of each kind has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "status")]
pub enum KindStatus {
    ContainerRepository(ContainerRepositoryStatus),
    RegistryVisibility(RegistryVisibilityStatus),
    CleanupPolicy(CleanupPolicyStatus),
}

impl ObjectStatus {
    /// The repository that the object is, for who may only see repositories.
    pub fn repository(&self) -> Option<RepositoryName> {
        match self.status {
            KindStatus::ContainerRepository(_) => RepositoryName::new(&self.namespace, &self.name).ok(),
            KindStatus::RegistryVisibility(_) | KindStatus::CleanupPolicy(_) => None,
        }
    }

    /// The object's conditions.
    pub fn conditions(&self) -> &[Condition] {
        match &self.status {
            KindStatus::ContainerRepository(status) => &status.conditions,
            KindStatus::RegistryVisibility(status) => &status.conditions,
            KindStatus::CleanupPolicy(status) => &status.conditions,
        }
    }
}

/// Knows the status of every object. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Status {
    runs: Runs,
    configuration: Current,
    /// Conditions as they were last told, so that their transition times are those of transitions.
    told: Arc<Mutex<BTreeMap<ObjectId, Vec<Condition>>>>,
}

/// Where the file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusPlace {
    File(PathBuf),
    /// `meta/status` of the bucket.
    Bucket,
}

impl Status {
    pub fn new(runs: Runs, configuration: Current) -> Self {
        Self { runs, configuration, told: Arc::default() }
    }

    /// The status at this moment.
    ///
    /// # Errors
    /// When the last runs cannot be read.
    pub async fn read(&self, now: Timestamp) -> Result<StatusDocument, StoreError> {
        let in_force = self.configuration.status();
        let mut objects = Vec::new();
        for outcome in self.configuration.outcomes().iter() {
            objects.extend(self.of_object(outcome, &in_force.problems, now).await?);
        }
        Ok(StatusDocument { revision: in_force.revision, problems: in_force.problems, objects })
    }

    async fn of_object(
        &self,
        outcome: &Outcome,
        problems: &[String],
        now: Timestamp,
    ) -> Result<Option<ObjectStatus>, StoreError> {
        let Some(namespace) = outcome.object.namespace.clone() else { return Ok(None) };
        let name = outcome.object.name.clone();
        let compiled = self.configuration.compiled();
        let status = match outcome.object.kind {
            "ContainerRepository" => {
                let mut status = ContainerRepositoryStatus::default();
                let repository = RepositoryName::new(&namespace, &name).ok();
                let repository = repository.as_ref().and_then(|name| compiled.repository(name));
                if let Some(repository) = repository {
                    status.visibility = Some(repository.entry.visibility);
                    status.access = Some(repository.entry.access);
                    status.decided_by.clone_from(&repository.entry.decided_by);
                    status.overruled.clone_from(&repository.entry.overruled);
                    status.governed_by.clone_from(&repository.entry.governed_by);
                }
                status.conditions = self.conditions(outcome, problems, None, now);
                KindStatus::ContainerRepository(status)
            }
            "RegistryVisibility" => KindStatus::RegistryVisibility(RegistryVisibilityStatus {
                repositories: Some(outcome.repositories.len() as u64),
                conditions: self.conditions(outcome, problems, None, now),
                ..RegistryVisibilityStatus::default()
            }),
            "CleanupPolicy" => {
                let path = format!("{namespace}/{name}");
                let policy = compiled.policy(&path);
                let last = match path.parse() {
                    Ok(policy) => self.runs.last(&policy).await?,
                    Err(_) => None,
                };
                let suspended = policy.is_some_and(|policy| policy.entry.spec.suspend);
                let next = policy.filter(|_| !suspended).and_then(|policy| policy.slots.next(now));
                KindStatus::CleanupPolicy(CleanupPolicyStatus {
                    observed_generation: None,
                    conditions: self.conditions(outcome, problems, Some((suspended, last.as_ref())), now),
                    last_run: last.map(|last| last.summary),
                    next_run_time: next.map(Time),
                })
            }
            _ => return Ok(None),
        };
        Ok(Some(ObjectStatus { namespace, name, status }))
    }

    /// The conditions of an object; `run` is of policies: whether it is suspended, and its last run.
    fn conditions(
        &self,
        outcome: &Outcome,
        problems: &[String],
        run: Option<(bool, Option<&LastRun>)>,
        now: Timestamp,
    ) -> Vec<Condition> {
        use ConditionReason as Reason;
        // One insert per change: what a panicking thread left behind is whole.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let conditions = told.entry(outcome.object.clone()).or_default();
        let mut set = |kind, holds, reason, message: &str| {
            conditions::set(conditions, kind, holds, reason, message, outcome.generation, now);
        };
        set(ConditionType::Accepted, Some(outcome.accepted), outcome.reason, &outcome.message);
        let (enforced, why, message) = match (outcome.accepted, problems.first()) {
            (false, _) => {
                (Some(false), Reason::NotAccepted, "it is not in force, see the condition Accepted".to_owned())
            }
            (true, Some(problem)) => (None, Reason::Pending, format!("newer files are not in force: {problem}")),
            (true, None) => (Some(true), Reason::Enforced, "the registry acts on it".to_owned()),
        };
        set(ConditionType::Enforced, enforced, why, &message);
        let mut ready = (enforced, why, message);
        if let Some((suspended, last)) = run {
            let (holds, reason, message) = match last {
                None => (None, Reason::NeverRun, "no run has ended yet".to_owned()),
                Some(LastRun { summary, failure }) => match summary.result {
                    RunResult::Completed => {
                        (Some(true), Reason::Completed, format!("{} tags deleted", summary.deleted))
                    }
                    RunResult::NothingToDo => (Some(true), Reason::NothingToDo, "no tag had to go".to_owned()),
                    RunResult::Unfinished => {
                        (Some(true), Reason::Unfinished, "a limit stopped it, the next run goes on".to_owned())
                    }
                    RunResult::Failed => (Some(false), Reason::Failed, failure.clone().unwrap_or_default()),
                },
            };
            set(ConditionType::LastRunSucceeded, holds, reason, &message);
            if enforced == Some(true) && holds == Some(false) {
                ready = (Some(false), reason, message);
            } else if enforced == Some(true) && suspended {
                ready =
                    (Some(true), Reason::Suspended, "the schedule is suspended; plans and dry runs work".to_owned());
            }
        }
        set(ConditionType::Ready, ready.0, ready.1, &ready.2);
        conditions.clone()
    }

    /// Keeps the file current until `stop`.
    pub async fn follow(self, place: StatusPlace, stop: CancellationToken) {
        let (mut changes, mut ended) = (self.configuration.changes(), self.runs.ended());
        let mut written = Bytes::new();
        loop {
            if let Err(error) = self.write(&place, &mut written).await {
                tracing::warn!(%error, "the status file could not be written; it is tried again after the next change");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                changed = ended.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn write(&self, place: &StatusPlace, written: &mut Bytes) -> Result<(), StoreError> {
        let document = self.read(Timestamp::now()).await?;
        let text = serde_json::to_vec_pretty(&document).expect("maps with text keys and plain values always serialise");
        let text = Bytes::from([text.as_slice(), b"\n"].concat());
        if text == *written {
            return Ok(());
        }
        match place {
            StatusPlace::Bucket => self.runs.store().put("meta/status", NewObject::bytes(text.clone())).await?,
            StatusPlace::File(path) => {
                let (path, text) = (path.clone(), text.clone());
                let failed = |reason: String| StoreError::Unavailable { key: "status.json".to_owned(), reason };
                let done = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
                done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
            }
        }
        *written = text;
        Ok(())
    }
}

/// Replaces a file as a whole: who reads it never sees half of it.
fn replace(path: &std::path::Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(std::path::Path::new(".")))?;
    file.write_all(text)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
