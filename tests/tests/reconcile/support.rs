//! What the tests of this program share.

use berth_tests::control_plane::ControlPlane;
use berth_tests::process::PATIENCE;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// An installation has one leader and one Service, so the tests that run operators take turns.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// A repository with an empty spec.
pub(crate) fn repository(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: berth.dev/v1alpha1\nkind: ContainerRepository\n\
         metadata: {{namespace: {namespace}, name: {name}}}\nspec: {{}}\n"
    )
}

/// Asks until the answer is right.
pub(crate) async fn eventually<T, F>(what: &str, ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(last) => assert!(tokio::time::Instant::now() < deadline, "{what}: still {last}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The object once its conditions are these, each as `Type=Status Reason`.
pub(crate) async fn with_conditions<K>(client: &Client, namespace: &str, name: &str, wanted: &[&str]) -> K
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + HasConditions,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    eventually(&format!("{namespace}/{name}"), || async {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let generation = object.meta().generation;
        let conditions = object.conditions();
        let seen: Vec<String> =
            conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason)).collect();
        let current = conditions.iter().all(|one| one.observed_generation == generation);
        if current && wanted.iter().all(|one| seen.iter().any(|other| other == one)) {
            Ok(object)
        } else {
            Err(format!("{conditions:?}"))
        }
    })
    .await
}

/// A kind with conditions.
pub(crate) trait HasConditions {
    fn conditions(&self) -> Vec<Condition>;
}

macro_rules! has_conditions {
    ($($kind:ty),*) => {$(
        impl HasConditions for $kind {
            fn conditions(&self) -> Vec<Condition> {
                self.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default()
            }
        }
    )*};
}

has_conditions!(
    berth_crds::kinds::ContainerRepository,
    berth_crds::kinds::RegistryVisibility,
    berth_crds::kinds::CleanupPolicy
);

/// Writes by the operator that the API server has answered, without Leases.
pub(crate) fn writes(plane: &ControlPlane) -> usize {
    let events = plane.audit().unwrap();
    let by_operator = events.iter().filter(|event| {
        event.impersonated_user.as_ref().is_some_and(|user| user.username.ends_with(":berth-operator"))
    });
    by_operator
        .filter(|event| matches!(event.verb.as_str(), "create" | "update" | "patch" | "delete"))
        .filter(|event| {
            let resource = event.object_ref.as_ref().map(|object| object.resource.as_str()).unwrap_or_default();
            !matches!(resource, "leases" | "tokenreviews" | "subjectaccessreviews")
        })
        .count()
}
