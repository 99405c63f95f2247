//! Conditions and the rest of the status of all three kinds.

use crate::support::{eventually, repository, turn, with_conditions, writes};
use berth_crds::kinds::{Access, CleanupPolicy, ContainerRepository, RegistryVisibility, Visibility};
use berth_tests::control_plane::ControlPlane;
use berth_tests::pod::{Pod, publish_endpoints};

fn objects(namespace: &str) -> String {
    format!(
        "{}---\n\
         apiVersion: berth.dev/v1alpha1\n\
         kind: RegistryVisibility\n\
         metadata: {{namespace: {namespace}, name: internal}}\n\
         spec: {{visibility: Internal, repositories: {{names: [shop]}}}}\n\
         ---\n\
         apiVersion: berth.dev/v1alpha1\n\
         kind: CleanupPolicy\n\
         metadata: {{namespace: {namespace}, name: nightly}}\n\
         spec: {{schedule: {{cron: '30 2 * * *'}}, keep: {{mostRecent: 5}}, remove: {{tagsMatching: ['.*']}}}}\n",
        repository(namespace, "shop")
    )
}

#[tokio::test]
async fn reconcile_statuses_tell_what_is_accepted_who_decides_and_what_every_replica_acts_on() {
    let _turn = turn().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("statuses").await.unwrap();
    publish_endpoints(plane, &[]).await.unwrap();
    let mut pod = Pod::start(plane, "berth-0", &[]).await.unwrap();
    plane.apply(&objects(&namespace)).await.unwrap();

    // Nobody serves it, and the status says so.
    let pending = ["Accepted=True Accepted", "Enforced=False Pending", "Ready=False Pending"];
    let shop: ContainerRepository = with_conditions(&client, &namespace, "shop", &pending).await;
    let status = shop.status.unwrap();
    assert_eq!(status.address, Some(format!("registry.example.com/{namespace}/shop")));
    assert_eq!((status.visibility, status.access), (Some(Visibility::Internal), Some(Access::Enabled)));
    assert_eq!(status.decided_by, ["RegistryVisibility/internal"]);
    assert_eq!(status.governed_by.as_deref(), Some("CleanupPolicy/nightly"));
    assert!(status.conditions[1].message.contains("no replica"), "{}", status.conditions[1].message);

    // A replica that has loaded nothing holds it up, and is named.
    publish_endpoints(plane, &[&pod]).await.unwrap();
    eventually("the replica that is behind", || async {
        let shop: ContainerRepository = with_conditions(&client, &namespace, "shop", &pending).await;
        let message = shop.status.unwrap().conditions[1].message.clone();
        if message.contains("berth-0") { Ok(()) } else { Err(message) }
    })
    .await;

    let data = tempfile::tempdir().unwrap();
    pod.start_registry(data.path()).await.unwrap();
    let enforced = ["Accepted=True Accepted", "Enforced=True Enforced", "Ready=True Enforced"];
    let _: ContainerRepository = with_conditions(&client, &namespace, "shop", &enforced).await;
    let _: RegistryVisibility = with_conditions(&client, &namespace, "internal", &enforced).await;
    let nightly: CleanupPolicy = with_conditions(&client, &namespace, "nightly", &enforced).await;
    let status = nightly.status.unwrap();
    assert!(status.next_run_time.unwrap().0.to_string().ends_with("T02:30:00Z"));
    assert_eq!(status.conditions[2].reason, "NeverRun");

    // What means nothing causes no write; what means something is enforced anew.
    let before = writes(plane);
    let kubectl = plane.kubectl().unwrap();
    kubectl.run(&["annotate", "crepo", "shop", "-n", &namespace, "example.com/note=hello"]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(writes(plane), before, "an annotation of somebody else's");
    let patch = r#"{"spec":{"access":"Disabled"}}"#;
    kubectl.run(&["patch", "rvis", "internal", "-n", &namespace, "--type=merge", "-p", patch]).await.unwrap();
    kubectl.run(&["wait", "--for=condition=Enforced", "rvis/internal", "-n", &namespace]).await.unwrap();
    let shop: ContainerRepository = with_conditions(&client, &namespace, "shop", &enforced).await;
    assert_eq!(shop.status.unwrap().access, Some(Access::Disabled));
}

#[tokio::test]
async fn reconcile_two_policies_of_equal_rank_are_told_of_each_other() {
    let _turn = turn().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("conflict").await.unwrap();
    let _pod = Pod::start(plane, "berth-0", &[]).await.unwrap();
    plane.apply(&objects(&namespace)).await.unwrap();
    plane.apply(&objects(&namespace).replace("nightly", "weekly")).await.unwrap();
    let refused = ["Accepted=False Conflict", "Enforced=False NotAccepted", "Ready=False NotAccepted"];
    for (name, other) in [("nightly", "weekly"), ("weekly", "nightly")] {
        let policy: CleanupPolicy = with_conditions(&client, &namespace, name, &refused).await;
        let status = policy.status.unwrap();
        assert!(status.conditions[0].message.contains(other), "{}", status.conditions[0].message);
        assert_eq!(status.next_run_time, None);
    }
}
