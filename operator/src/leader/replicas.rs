//! Which replicas of the registry are live, and what they act on: endpoints of the Service, and the Leases of their pods.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;

use crate::replica::{LABEL, LOADED, lease_name};
use crate::status::Replica;

/// Label with which a cluster marks the EndpointSlices of a Service.
const SERVICE: &str = "kubernetes.io/service-name";

/// Keeps `replicas` at what the cluster says until it is dropped.
pub(super) async fn follow(client: Client, namespace: &str, service: &str, replicas: &watch::Sender<Vec<Replica>>) {
    let (leases, lease_writer) = reflector::store();
    let (slices, slice_writer) = reflector::store();
    let lease_events = watcher(
        Api::<Lease>::namespaced(client.clone(), namespace),
        watcher::Config::default().labels(&format!("{LABEL}=true")),
    );
    let slice_events = watcher(
        Api::<EndpointSlice>::namespaced(client, namespace),
        watcher::Config::default().labels(&format!("{SERVICE}={service}")),
    );
    let mut events = futures::stream::select(
        reflector(lease_writer, lease_events.default_backoff()).map(|event| event.map(drop)),
        reflector(slice_writer, slice_events.default_backoff()).map(|event| event.map(drop)),
    )
    .boxed();
    while let Some(event) = events.next().await {
        if let Err(error) = event {
            tracing::warn!(%error, "the watch of replicas is interrupted and goes on");
            continue;
        }
        let now = live(&slices.state(), &leases.state());
        replicas.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}

/// Every pod that clients may be sent to, with what its Lease says. An endpoint that is not ready counts as well while it
/// serves: a pod that drains goes on answering.
fn live<S: AsRef<EndpointSlice>, L: AsRef<Lease>>(slices: &[S], leases: &[L]) -> Vec<Replica> {
    let endpoints = slices.iter().flat_map(|slice| &slice.as_ref().endpoints);
    let serving = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        // Unknown counts as yes (discovery.k8s.io/v1).
        conditions.serving.or(conditions.ready).unwrap_or(true)
    });
    let pods: BTreeSet<&str> = serving.filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.as_deref()).collect();
    let leases: BTreeMap<String, &Lease> =
        leases.iter().map(|lease| (lease.as_ref().name_any(), lease.as_ref())).collect();
    pods.into_iter()
        .map(|pod| {
            let annotation = leases.get(&lease_name(pod)).and_then(|lease| lease.annotations().get(LOADED));
            Replica { pod: pod.to_owned(), loaded: annotation.and_then(|text| text.parse().ok()) }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_replica_is_a_serving_endpoint_and_acts_on_what_its_own_lease_says() {
        let endpoint = |pod: &str, conditions: serde_json::Value| json!({"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": pod}});
        let slice: EndpointSlice = serde_json::from_value(json!({"addressType": "IPv4", "endpoints": [
            endpoint("b", json!({"ready": true})), endpoint("a", json!({"ready": false, "serving": true, "terminating": true})),
            endpoint("starting", json!({"ready": false, "serving": false}))], "metadata": {"name": "x"}}))
        .unwrap();
        let lease = |pod: &str, loaded: &str| {
            let mut lease = Lease::default();
            lease.metadata.name = Some(lease_name(pod));
            lease.annotations_mut().insert(LOADED.to_owned(), loaded.to_owned());
            Arc::new(lease)
        };
        let text = r#"{"namespaces":1,"repositories":2,"visibilities":3,"policies":4}"#;
        let replicas = live(&[Arc::new(slice)], &[lease("b", text), lease("gone", text), lease("a", "damaged")]);
        let expected = [
            Replica { pod: "a".to_owned(), loaded: None },
            Replica { pod: "b".to_owned(), loaded: Some(text.parse().unwrap()) },
        ];
        assert_eq!(replicas, expected);
    }
}
