//! Kubernetes identities and roles at the registry: a ServiceAccount token is the password.

use crate::support::{eventually, repository, turn, with_conditions};
use berth_crds::kinds::{ContainerRepository, RegistryVisibility};
use berth_tests::control_plane::{ControlPlane, Person};
use berth_tests::pod::{Pod, publish_endpoints};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use reqwest::StatusCode;

/// A token of a ServiceAccount for an audience.
async fn token(plane: &ControlPlane, namespace: &str, account: &str, audience: Option<&str>) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin().await.unwrap(), namespace);
    let audiences = audience.map(str::to_owned).into_iter().collect();
    let spec = TokenRequestSpec { audiences, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

/// The status of a login for pushing, and the registry token it gave.
async fn login(registry: &str, password: &str, scope: &str) -> (StatusCode, String) {
    let request = reqwest::Client::new()
        .get(format!("{registry}/token"))
        .query(&[("service", "registry.berth.dev"), ("scope", scope)])
        .basic_auth("anything", Some(password));
    let response = request.send().await.unwrap();
    let status = response.status();
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    (status, body["token"].as_str().unwrap_or_default().to_owned())
}

/// What the start of an upload with a registry token is answered with.
async fn start_upload(registry: &str, token: &str, image: &str) -> StatusCode {
    let request = reqwest::Client::new().post(format!("{registry}/v2/{image}/blobs/uploads/")).bearer_auth(token);
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn auth_a_service_account_pushes_with_its_token_as_far_as_rbac_lets_it() {
    let _turn = turn().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("access").await.unwrap();
    let mut pod = Pod::start(plane, "berth-0", &[]).await.unwrap();
    publish_endpoints(plane, &[&pod]).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let registry = pod.start_registry(data.path()).await.unwrap().url();
    plane
        .apply(&format!(
            "{}---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{namespace: {namespace}, name: ci}}\n",
            repository(&namespace, "shop")
        ))
        .await
        .unwrap();
    let _: ContainerRepository = with_conditions(&client, &namespace, "shop", &["Enforced=True Enforced"]).await;
    let image = format!("{namespace}/shop");
    let scope = format!("repository:{image}:pull,push");

    // Without a role the token proves who it is, and that is not enough.
    let ours = token(plane, &namespace, "ci", Some("registry.berth.dev")).await;
    let (status, without_role) = login(&registry, &ours, &scope).await;
    assert_eq!(status, StatusCode::OK, "{}", pod.log());
    assert_eq!(start_upload(&registry, &without_role, &image).await, StatusCode::UNAUTHORIZED);

    // With it the very same credential pushes. A refusal is remembered for 5 seconds.
    plane.bind(&Person::service_account(&namespace, "ci"), "berth-developer", &namespace).await.unwrap();
    eventually("the new role", || async {
        let (_, token) = login(&registry, &ours, &scope).await;
        match start_upload(&registry, &token, &image).await {
            StatusCode::ACCEPTED => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;

    // A token for the API server, and one that only looks like a token, prove nobody.
    let default_audience = token(plane, &namespace, "ci", None).await;
    for password in [default_audience.as_str(), "a.b.c", "hunter2"] {
        assert_eq!(login(&registry, password, &scope).await.0, StatusCode::UNAUTHORIZED);
    }
    let reviews = plane
        .audit()
        .unwrap()
        .into_iter()
        .filter(|event| event.object_ref.as_ref().is_some_and(|object| object.resource == "tokenreviews"));
    assert!(reviews.count() <= 2, "what cannot be right is not asked about");
}

/// What a replica answers who shows this registry token and lists tags.
async fn list(registry: &str, token: &str, image: &str) -> StatusCode {
    let request = reqwest::Client::new().get(format!("{registry}/v2/{image}/tags/list")).bearer_auth(token);
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn auth_enforced_means_that_no_replica_takes_a_token_issued_before() {
    let _turn = turn().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.admin().await.unwrap();
    let namespace = plane.namespace("flips").await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut pods = Vec::new();
    let mut registries = Vec::new();
    for name in ["berth-0", "berth-1", "berth-2"] {
        let mut pod = Pod::start(plane, name, &[]).await.unwrap();
        registries.push(pod.start_registry(data.path()).await.unwrap().url());
        pods.push(pod);
    }
    publish_endpoints(plane, &pods.iter().collect::<Vec<_>>()).await.unwrap();
    let visibility = |visibility: &str| {
        format!(
            "{}---\napiVersion: berth.dev/v1alpha1\nkind: RegistryVisibility\n\
             metadata: {{namespace: {namespace}, name: shop}}\n\
             spec: {{visibility: {visibility}, repositories: {{names: [shop]}}}}\n",
            repository(&namespace, "shop")
        )
    };
    let image = format!("{namespace}/shop");
    let anonymous = [("service", "registry.berth.dev"), ("scope", &format!("repository:{image}:pull"))];
    let enforced = ["Enforced=True Enforced"];
    for flip in 0..10 {
        plane.apply(&visibility("Public")).await.unwrap();
        let _: RegistryVisibility = with_conditions(&client, &namespace, "shop", &enforced).await;
        let request = reqwest::Client::new().get(format!("{}/token", registries[flip % 3])).query(&anonymous);
        let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        let token = answer["token"].as_str().unwrap();
        for registry in &registries {
            assert_eq!(list(registry, token, &image).await, StatusCode::NOT_FOUND, "let in; nothing was pushed");
        }
        plane.apply(&visibility("Private")).await.unwrap();
        let _: RegistryVisibility = with_conditions(&client, &namespace, "shop", &enforced).await;
        for registry in &registries {
            assert_eq!(list(registry, token, &image).await, StatusCode::UNAUTHORIZED, "flip {flip}");
        }
    }
}
