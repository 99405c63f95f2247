//! The ClusterRoles grant, to a real authorizer, what the registry's own table grants (DESIGN §4).

use berth_crds::access::{Permission, RUNNER, Role, cluster_role};
use berth_tests::control_plane::{ControlPlane, Person, root};
use berth_tests::process::PATIENCE;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

async fn may(client: &Client, person: &Person, namespace: &str, verb: &str, resource: &str, subresource: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(person.username().to_owned()),
            groups: Some(vec!["system:authenticated".to_owned()]),
            resource_attributes: Some(ResourceAttributes {
                group: Some("berth.dev".into()),
                version: Some("*".into()),
                namespace: Some(namespace.into()),
                name: Some("shop".into()),
                verb: Some(verb.into()),
                resource: Some(resource.into()),
                subresource: Some(subresource.into()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test]
async fn admit_each_role_to_what_the_table_grants_it_and_only_in_its_namespace() {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let (namespace, other) = (plane.namespace("roles").await.unwrap(), plane.namespace("roles").await.unwrap());
    for role in Role::ALL {
        let person = Person::user(format!("member-{role:?}"));
        plane.bind(&person, cluster_role(role), &namespace).await.unwrap();
        for Permission { resource, verb } in Permission::ALL {
            let (plural, subresource) = (resource.plural(), resource.subresource());
            let granted = role.grants(Permission { resource, verb });
            let verb = verb.as_str();
            assert_eq!(
                may(&client, &person, &namespace, verb, plural, subresource).await,
                granted,
                "{role:?} {verb} {plural}"
            );
            assert!(
                !may(&client, &person, &other, verb, plural, subresource).await,
                "{role:?} {verb} {plural} elsewhere"
            );
        }
        for kind in ["containerrepositories", "registryvisibilities", "cleanuppolicies"] {
            assert!(may(&client, &person, &namespace, "watch", kind, "").await);
            assert_eq!(may(&client, &person, &namespace, "patch", kind, "").await, role >= Role::Maintainer);
            assert!(!may(&client, &person, &namespace, "patch", kind, "status").await, "status is the operator's");
        }
        assert_eq!(may(&client, &person, &namespace, "publish", "registryvisibilities", "").await, role == Role::Owner);
    }
    let runner = Person::user("machine");
    plane.bind(&runner, RUNNER, &namespace).await.unwrap();
    assert!(may(&client, &runner, &namespace, "create", "cleanuppolicies", "runs").await);
    assert!(!may(&client, &runner, &namespace, "get", "cleanuppolicies", "").await);
    assert!(!may(&client, &runner, &namespace, "get", "containerrepositories", "images").await);
}

#[tokio::test]
async fn admit_nobody_to_an_object_without_a_trace_in_the_audit_log() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("roles").await.unwrap();
    let stranger = Person::service_account(&namespace, "stranger");
    let kubectl = plane.kubectl().unwrap().acting_as(&stranger);
    let printed = kubectl.try_run(&["get", "crepo", "-n", &namespace], "").await.unwrap();
    assert!(!printed.success && printed.stderr.contains("is forbidden"), "{printed:?}");
    let events = plane.audit().unwrap();
    let asked = events.iter().find(|event| {
        event.username() == stranger.username()
            && event.object_ref.as_ref().is_some_and(|object| object.resource == "containerrepositories")
    });
    assert!(asked.is_some_and(|event| event.denied() && event.verb == "list"), "{asked:?}");
}

#[tokio::test]
async fn admit_holders_of_kubernetes_own_roles_where_the_administrator_wants_it() {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("roles").await.unwrap();
    let editor = Person::user("editor");
    plane.bind(&editor, "edit", &namespace).await.unwrap();
    let images = ("containerrepositories", "images");
    assert!(!may(&client, &editor, &namespace, "update", images.0, images.1).await, "not by default");
    let file = root().join("charts/berth/files/aggregation/roles.yaml");
    plane.apply(&std::fs::read_to_string(file).unwrap()).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !may(&client, &editor, &namespace, "update", images.0, images.1).await {
        assert!(tokio::time::Instant::now() < deadline, "edit does not become berth-developer");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!may(&client, &editor, &namespace, "deletecollection", images.0, images.1).await);
}
