//! Writes the statuses of all objects: whenever anything they are made of changes, each that differs from what is there.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use berth_crds::kinds::{API_VERSION, CleanupPolicy, ConditionType, ContainerRepository, RegistryVisibility};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::MANAGER;
use crate::configuration::State;
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

/// One status to be written.
struct Write {
    kind: &'static str,
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
    /// Runs until told to stop.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut changes = self.observed.changes();
        // What was written last, until a watch shows it: the index may be behind our own writes.
        let mut written: HashMap<(&'static str, Key), Value> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let due = self.due(&mut written);
            let mut results =
                futures::stream::iter(due.into_iter().map(|write| self.write(write))).buffer_unordered(AT_ONCE);
            let mut failed = false;
            while let Some((write, result)) = results.next().await {
                match result {
                    Ok(()) => drop(written.insert((write.kind, write.key), write.status)),
                    Err(error) => {
                        failed = true;
                        let Key { namespace, name } = &write.key;
                        tracing::warn!(kind = write.kind, namespace, name, %error, "the status is not written; trying again");
                    }
                }
            }
            drop(results);
            let pause = if failed { AGAIN } else { LOOK };
            let news = async {
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = self.state.changed() => {}
                    _ = self.replicas.changed() => {}
                    _ = self.runs.changed() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                tokio::time::sleep(TOGETHER).await;
            };
            if stop.run_until_cancelled(news).await.is_none() {
                return;
            }
        }
    }

    fn due(&mut self, written: &mut HashMap<(&'static str, Key), Value>) -> Vec<Write> {
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
        collect(&index.repositories, |key, kept| repository_status(key, kept, &view), written, &mut due);
        collect(&index.visibilities, |key, kept| visibility_status(key, kept, &view), written, &mut due);
        collect(&index.policies, |key, kept| policy_status(key, kept, &view), written, &mut due);
        due
    }

    async fn write(&self, write: Write) -> (Write, Result<(), kube::Error>) {
        let patching = async {
            match write.kind {
                "ContainerRepository" => patch::<ContainerRepository>(&self.client, &write).await,
                "RegistryVisibility" => patch::<RegistryVisibility>(&self.client, &write).await,
                _ => patch::<CleanupPolicy>(&self.client, &write).await,
            }
        };
        let result = tokio::time::timeout(TIMEOUT, patching).await;
        let result = result.unwrap_or_else(|_| Err(kube::Error::Service("timed out".into())));
        (write, result)
    }
}

/// Adds the statuses of a kind that differ from what is there, and were not written already.
fn collect<K>(
    shelf: &Shelf<K>,
    status: impl Fn(&Key, &Kept<K>) -> Option<K::Status>,
    written: &mut HashMap<(&'static str, Key), Value>,
    due: &mut Vec<Write>,
) where
    K: HasStatus + KindName,
    K::Status: PartialEq + Serialize,
{
    for (key, kept) in shelf.iter() {
        let Some(wanted) = status(key, kept) else { continue };
        let id = (K::KIND, key.clone());
        if kept.object.status() == Some(&wanted) {
            written.remove(&id);
            continue;
        }
        // Statuses are plain values.
        let Ok(wanted) = serde_json::to_value(&wanted) else { continue };
        if written.get(&id) != Some(&wanted) {
            due.push(Write { kind: K::KIND, key: key.clone(), status: wanted });
        }
    }
    for (key, invalid) in shelf.unreadable() {
        let status = unreadable_status(invalid, K::CONDITIONS);
        if written.get(&(K::KIND, key.clone())) != Some(&status) {
            due.push(Write { kind: K::KIND, key: key.clone(), status });
        }
    }
}

/// A kind as its objects state it, and the conditions they carry.
trait KindName {
    const KIND: &'static str;
    const CONDITIONS: &'static [ConditionType];
}

impl KindName for ContainerRepository {
    const KIND: &'static str = "ContainerRepository";
    const CONDITIONS: &'static [ConditionType] = &ConditionType::OF_REPOSITORIES;
}

impl KindName for RegistryVisibility {
    const KIND: &'static str = "RegistryVisibility";
    const CONDITIONS: &'static [ConditionType] = &ConditionType::OF_REPOSITORIES;
}

impl KindName for CleanupPolicy {
    const KIND: &'static str = "CleanupPolicy";
    const CONDITIONS: &'static [ConditionType] = &ConditionType::OF_POLICIES;
}

/// Server-side apply of the whole status: fields left out are removed, and nobody else's are touched.
async fn patch<K>(client: &Client, write: &Write) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + KindName + Clone + Debug + DeserializeOwned,
{
    let Key { namespace, name } = &write.key;
    let body = json!({"apiVersion": API_VERSION, "kind": K::KIND, "metadata": {"name": name, "namespace": namespace},
        "status": write.status});
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    match api.patch_status(name, &parameters, &Patch::Apply(body)).await {
        // It was deleted meanwhile.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}
