//! Writes the statuses of all objects: whenever anything they are made of changes, each that differs from what is there.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use berth_crds::kinds::ConditionType;
use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::MANAGER;
use crate::configuration::State;
use crate::deadline::within;
use crate::index::{Kept, Key, Shelf};
use crate::status::{LastRun, Replica, View, policy_status, repository_status, unreadable_status, visibility_status};
use crate::watching::Observed;

/// Changes that come together are written together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Requests in the air at once.
const AT_ONCE: usize = 16;
/// Until a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// However quiet it is, everything is looked at this often: next runs pass, and a watch may have missed something.
const LOOK: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// An object of any kind: the kind and its name.
type Id = (String, Key);

/// One status to be written.
struct Write {
    resource: ApiResource,
    key: Key,
    status: Value,
}

/// What statuses are made from.
pub(super) struct Statuses {
    pub(super) client: Client,
    pub(super) observed: Observed,
    pub(super) state: watch::Receiver<Option<State>>,
    pub(super) replicas: watch::Receiver<Vec<Replica>>,
    pub(super) runs: watch::Receiver<BTreeMap<Key, LastRun>>,
    pub(super) address: Option<String>,
}

impl Statuses {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let mut changes = self.observed.changes();
        // What was written last, until a watch shows it: the index may be behind our own writes.
        let mut written: HashMap<Id, Value> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let due = self.due(&mut written);
            let mut results =
                futures::stream::iter(due.into_iter().map(|write| self.write(write))).buffer_unordered(AT_ONCE);
            let mut failed = false;
            while let Some((write, result)) = results.next().await {
                match result {
                    Ok(()) => drop(written.insert((write.resource.kind, write.key), write.status)),
                    Err(error) => {
                        failed = true;
                        let Key { namespace, name } = &write.key;
                        let kind = &write.resource.kind;
                        tracing::warn!(kind, namespace, name, %error, "the status is not written; trying again");
                    }
                }
            }
            drop(results);
            let pause = if failed { AGAIN } else { LOOK };
            tokio::select! {
                _ = changes.changed() => {}
                _ = self.state.changed() => {}
                _ = self.replicas.changed() => {}
                _ = self.runs.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(TOGETHER).await;
        }
    }

    fn due(&mut self, written: &mut HashMap<Id, Value>) -> Vec<Write> {
        let replicas = self.replicas.borrow_and_update().clone();
        let runs = self.runs.borrow_and_update().clone();
        let Some(state) = self.state.borrow_and_update().clone() else { return Vec::new() };
        let index = self.observed.index();
        let view = View {
            index: &index,
            state: &state,
            replicas: &replicas,
            runs: &runs,
            address: self.address.as_deref(),
            now: jiff::Timestamp::now(),
        };
        let mut due = Vec::new();
        let (of_repositories, of_policies) = (&ConditionType::OF_REPOSITORIES, &ConditionType::OF_POLICIES);
        collect(
            &index.repositories,
            of_repositories,
            |key, kept| repository_status(key, kept, &view),
            written,
            &mut due,
        );
        collect(
            &index.visibilities,
            of_repositories,
            |key, kept| visibility_status(key, kept, &view),
            written,
            &mut due,
        );
        collect(&index.policies, of_policies, |key, kept| policy_status(key, kept, &view), written, &mut due);
        due
    }

    async fn write(&self, write: Write) -> (Write, Result<(), kube::Error>) {
        let result = within(TIMEOUT, self.patch(&write)).await;
        (write, result)
    }

    /// Server-side apply of the whole status: fields left out are removed, and nobody else's are touched.
    async fn patch(&self, write: &Write) -> Result<(), kube::Error> {
        let Write { resource, key: Key { namespace, name }, status } = write;
        let body = json!({"apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": name, "namespace": namespace}, "status": status});
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        let parameters = PatchParams::apply(MANAGER).force();
        match api.patch_status(name, &parameters, &Patch::Apply(body)).await {
            // It was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }
}

/// Adds the statuses of a kind, which has these conditions, that differ from what is there and were not written already.
fn collect<K>(
    shelf: &Shelf<K>,
    conditions: &[ConditionType],
    status: impl Fn(&Key, &Kept<K>) -> Option<K::Status>,
    written: &mut HashMap<Id, Value>,
    due: &mut Vec<Write>,
) where
    K: HasStatus + Resource<DynamicType = ()>,
    K::Status: PartialEq + Serialize,
{
    let resource = ApiResource::erase::<K>(&());
    let mut add = |key: &Key, status: Value, written: &HashMap<Id, Value>| {
        if written.get(&(resource.kind.clone(), key.clone())) != Some(&status) {
            due.push(Write { resource: resource.clone(), key: key.clone(), status });
        }
    };
    for (key, kept) in shelf.iter() {
        let Some(wanted) = status(key, kept) else { continue };
        if kept.object.status() == Some(&wanted) {
            written.remove(&(resource.kind.clone(), key.clone()));
            continue;
        }
        // Statuses are plain values.
        let Ok(wanted) = serde_json::to_value(&wanted) else { continue };
        add(key, wanted, written);
    }
    for (key, invalid) in shelf.unreadable() {
        add(key, unreadable_status(invalid, conditions), written);
    }
}
