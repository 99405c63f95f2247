//! One replica acts, the others are ready to.

use crate::support::{repository, turn, with_conditions};
use berth_crds::kinds::ContainerRepository;
use berth_tests::control_plane::ControlPlane;
use berth_tests::pod::Pod;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

#[tokio::test]
async fn reconcile_goes_on_when_the_leader_is_killed() {
    let _turn = turn().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("leader").await.unwrap();
    let first = Pod::start(plane, "berth-0", &[]).await.unwrap();
    plane.apply(&repository(&namespace, "before")).await.unwrap();
    let accepted = ["Accepted=True Accepted"];
    let _: ContainerRepository = with_conditions(&client, &namespace, "before", &accepted).await;
    let second = Pod::start(plane, "berth-1", &[]).await.unwrap();

    // SIGKILL: the Lease is not given back, and has to run out before the other's eyes.
    drop(first);
    plane.apply(&repository(&namespace, "after")).await.unwrap();
    let _: ContainerRepository = with_conditions(&client, &namespace, "after", &accepted).await;
    let leases: Api<Lease> = Api::namespaced(client, berth_tests::pod::SYSTEM_NAMESPACE);
    let lease = leases.get("berth-leader").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref(), Some(second.name()));
}
