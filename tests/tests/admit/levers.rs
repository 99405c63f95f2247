//! An object must not be a lever for a right that its writer lacks (DESIGN §4): each attempt, as each role, with the exact
//! words of the refusal.
//!
//! "Writer" is somebody who may write the three kinds and has no right over images, as a role of one's own or a deployment
//! tool's may give. Every other person is a writer too, so that admission decides and not the lack of a right to write.

use berth_tests::control_plane::{ControlPlane, Person};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

/// May write the objects, and nothing else.
const WRITER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: writer}
rules:
- apiGroups: [berth.dev]
  resources: [containerrepositories, registryvisibilities, cleanuppolicies]
  verbs: [get, create, update, patch, delete]
";

/// From the least to the most powerful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Writer,
    Reporter,
    Developer,
    Maintainer,
    Owner,
    /// For what nobody may whose rights end with the namespace.
    Nobody,
}

impl Who {
    const ALL: [Self; 5] = [Self::Writer, Self::Reporter, Self::Developer, Self::Maintainer, Self::Owner];

    fn name(self) -> &'static str {
        match self {
            Self::Writer => "wendy",
            Self::Reporter => "rita",
            Self::Developer => "dan",
            Self::Maintainer => "maya",
            Self::Owner => "olga",
            Self::Nobody => unreachable!("nobody tries"),
        }
    }

    fn cluster_role(self) -> Option<&'static str> {
        match self {
            Self::Writer | Self::Nobody => None,
            Self::Reporter => Some("berth-reporter"),
            Self::Developer => Some("berth-developer"),
            Self::Maintainer => Some("berth-maintainer"),
            Self::Owner => Some("berth-owner"),
        }
    }
}

/// One namespace with all five people.
struct Place {
    admin: Client,
    people: Vec<(Who, Client)>,
    namespace: String,
}

impl Place {
    async fn new() -> Self {
        let plane = ControlPlane::shared().await.unwrap();
        let namespace = plane.namespace("levers").await.unwrap();
        plane.apply(WRITER).await.unwrap();
        let mut people = Vec::new();
        for who in Who::ALL {
            let person = Person::user(who.name());
            plane.bind(&person, "writer", &namespace).await.unwrap();
            if let Some(role) = who.cluster_role() {
                plane.bind(&person, role, &namespace).await.unwrap();
            }
            people.push((who, plane.client_as(&person).await.unwrap()));
        }
        Self { admin: plane.admin().await.unwrap(), people, namespace }
    }

    fn api(&self, client: &Client, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("berth.dev", "v1alpha1", kind));
        Api::namespaced_with(client.clone(), &self.namespace, &resource)
    }

    fn object(&self, kind: &str, name: &str, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "berth.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }))
        .unwrap()
    }

    /// Makes an object as the administrator.
    async fn given(&self, kind: &str, name: &str, spec: Value) {
        let api = self.api(&self.admin, kind);
        api.create(&PostParams::default(), &self.object(kind, name, spec)).await.unwrap();
    }

    /// That creating the object is allowed from `least` on, and refused to everybody below with these words.
    async fn create(&self, kind: &str, spec: Value, least: Who, refusal: &str) {
        let object = self.object(kind, "tried", spec);
        for (who, client) in &self.people {
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            let answer = self.api(client, kind).create(&dry_run, &object).await.map(drop);
            self.judge(&format!("create {}", object.data["spec"]), *who, least, answer, refusal);
        }
    }

    /// The same of a merge patch.
    async fn patch(&self, kind: &str, name: &str, patch: Value, least: Who, refusal: &str) {
        for (who, client) in &self.people {
            let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
            let answer = self.api(client, kind).patch(name, &dry_run, &Patch::Merge(&patch)).await.map(drop);
            self.judge(&format!("patch {patch}"), *who, least, answer, refusal);
        }
    }

    /// The same of a deletion.
    async fn delete(&self, kind: &str, name: &str, least: Who, refusal: &str) {
        for (who, client) in &self.people {
            let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
            let answer = self.api(client, kind).delete(name, &dry_run).await.map(drop);
            self.judge(&format!("delete {kind} {name}"), *who, least, answer, refusal);
        }
    }

    fn judge(&self, what: &str, who: Who, least: Who, answer: Result<(), kube::Error>, refusal: &str) {
        match answer {
            Ok(()) => assert!(who >= least, "{who:?} may not: {what}"),
            Err(kube::Error::Api(status)) => {
                assert!(who < least, "{who:?} may: {what}: {}", status.message);
                assert_eq!(status.code, 403, "{what}");
                let said = status.message.split_once("denied request: ").map_or(&*status.message, |(_, said)| said);
                let expected = refusal.replace("USER", who.name()).replace("NAMESPACE", &self.namespace);
                assert_eq!(said, expected, "{who:?}: {what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

const REPOSITORY: &str = "ContainerRepository";
const VISIBILITY: &str = "RegistryVisibility";
const POLICY: &str = "CleanupPolicy";

fn policy() -> Value {
    json!({"schedule": {"cadence": "7d"}, "keep": {"mostRecent": 5}, "remove": {"tagsMatching": [".*"]}})
}

/// "…, which CLUSTER_ROLE grants: ask an administrator for …"
fn refused(why: &str, cluster_role: &str) -> String {
    format!(
        "{why}, which {cluster_role} grants: ask an administrator for \"kubectl create rolebinding {cluster_role}-USER \
         --clusterrole={cluster_role} --user=USER --namespace=NAMESPACE\""
    )
}

fn needs_deletion(why: &str) -> String {
    let right = "the right to delete many of them (deletecollection on containerrepositories/images)";
    refused(&format!("{why} needs {right}"), "berth-maintainer")
}

fn needs_administration(why: &str) -> String {
    refused(&format!("{why}, which needs the verb administer on containerrepositories"), "berth-owner")
}

fn needs_publishing(why: &str) -> String {
    refused(&format!("{why}, which needs the verb publish on registryvisibilities"), "berth-owner")
}

#[tokio::test]
async fn admit_a_cleanup_policy_from_who_may_delete_images() {
    let place = Place::new().await;
    let refusal = needs_deletion("a cleanup policy deletes images, so writing one");
    place.create(POLICY, policy(), Who::Maintainer, &refusal).await;
    place.given(POLICY, "nightly", policy()).await;
    place.patch(POLICY, "nightly", json!({"spec": {"keep": {"mostRecent": 1}}}), Who::Maintainer, &refusal).await;
    place.patch(POLICY, "nightly", json!({"spec": {"suspend": true}}), Who::Maintainer, &refusal).await;
    place.patch(POLICY, "nightly", json!({"metadata": {"labels": {"a": "b"}}}), Who::Writer, "").await;
    place.patch(POLICY, "nightly", json!({"spec": {"keep": {"mostRecent": 5}}}), Who::Writer, "").await;
    place.delete(POLICY, "nightly", Who::Writer, "").await;
}

#[tokio::test]
async fn admit_a_policy_for_other_namespaces_from_who_may_delete_images_everywhere() {
    let place = Place::new().await;
    let mut default = policy();
    default["namespaceSelector"] = json!({"matchLabels": {"team": "payments"}});
    let refusal = "a cleanup policy with a namespaceSelector deletes images of other namespaces, so writing one needs the \
                   right to delete many of them (deletecollection on containerrepositories/images) in every namespace: ask \
                   an administrator for \"kubectl create clusterrolebinding berth-maintainer-USER \
                   --clusterrole=berth-maintainer --user=USER\"";
    place.create(POLICY, default.clone(), Who::Nobody, refusal).await;
    place.given(POLICY, "default", default).await;
    place.patch(POLICY, "default", json!({"spec": {"namespaceSelector": null}}), Who::Nobody, refusal).await;
}

#[tokio::test]
async fn admit_a_request_for_a_run_from_who_may_start_runs() {
    let place = Place::new().await;
    place.given(POLICY, "nightly", policy()).await;
    let refusal =
        refused("asking for a run needs the right to start one (create on cleanuppolicies/runs)", "berth-maintainer");
    for annotation in ["berth.dev/run-requested-at", "berth.dev/dry-run-requested-at"] {
        let request = json!({"metadata": {"annotations": {annotation: "2026-01-01T00:00:00Z"}}});
        place.patch(POLICY, "nightly", request.clone(), Who::Maintainer, &refusal).await;
        let api = place.api(&place.admin, POLICY);
        api.patch("nightly", &PatchParams::default(), &Patch::Merge(&request)).await.unwrap();
        place.patch(POLICY, "nightly", json!({"metadata": {"labels": {"a": "b"}}}), Who::Writer, "").await;
        place.patch(POLICY, "nightly", json!({"metadata": {"annotations": {annotation: null}}}), Who::Writer, "").await;
    }
}

#[tokio::test]
async fn admit_deploy_tokens_from_who_may_do_what_they_do() {
    let place = Place::new().await;
    let token = |name: &str, scope: &str| json!({"name": name, "scopes": [scope]});
    let pushes = refused(
        "whoever holds a deploy token with scope WriteRegistry pushes, so giving one out needs the right to push (update on \
         containerrepositories/images)",
        "berth-developer",
    );
    let pulls = refused(
        "whoever holds a deploy token or the pull secret pulls, so giving one out needs the right to pull (get on \
         containerrepositories/images)",
        "berth-reporter",
    );
    place.create(REPOSITORY, json!({}), Who::Writer, "").await;
    let read = json!({"deployTokens": [token("edge", "ReadRegistry")]});
    place.create(REPOSITORY, read.clone(), Who::Reporter, &pulls).await;
    place.create(REPOSITORY, json!({"pullSecret": {"name": "pull"}}), Who::Reporter, &pulls).await;
    place.given(REPOSITORY, "shop", read).await;
    let both = json!({"spec": {"deployTokens": [token("edge", "ReadRegistry"), token("ci", "WriteRegistry")]}});
    place.patch(REPOSITORY, "shop", both.clone(), Who::Developer, &pushes).await;
    let widened = json!({"spec": {"deployTokens": [token("edge", "WriteRegistry")]}});
    place.patch(REPOSITORY, "shop", widened, Who::Developer, &pushes).await;

    let api = place.api(&place.admin, REPOSITORY);
    api.patch("shop", &PatchParams::default(), &Patch::Merge(&both)).await.unwrap();
    let mut renewed = both.clone();
    renewed["spec"]["deployTokens"][1]["sha256"] = json!("0".repeat(64));
    place.patch(REPOSITORY, "shop", renewed, Who::Developer, &pushes).await;
    // Whoever may write may take away, and edit beside it.
    let fewer = json!({"spec": {"deployTokens": [token("ci", "WriteRegistry")]}});
    place.patch(REPOSITORY, "shop", fewer, Who::Writer, "").await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"indexes": "Strict"}}), Who::Writer, "").await;
}

#[tokio::test]
async fn admit_less_protection_from_who_may_delete_images() {
    let place = Place::new().await;
    let rule = |name: &str, matching: &[&str], rule: &str| json!({"name": name, "matching": matching, "rule": rule});
    let deletion = needs_deletion("deletionPolicy: Delete lets the images be deleted with this object, which");
    place.create(REPOSITORY, json!({"deletionPolicy": "Delete"}), Who::Maintainer, &deletion).await;
    place.create(REPOSITORY, json!({"tags": [rule("all", &["."], "Immutable")]}), Who::Writer, "").await;

    let tags = json!([rule("releases", &["^v", "^r"], "Immutable"), rule("main", &["^main$"], "Protected")]);
    place.given(REPOSITORY, "shop", json!({"tags": tags})).await;
    let patch = |tags: Value| json!({"spec": {"tags": tags}});
    place.patch(REPOSITORY, "shop", json!({"spec": {"deletionPolicy": "Delete"}}), Who::Maintainer, &deletion).await;
    let loosened = needs_deletion("this takes protection from tags, which");
    for looser in [
        json!([]),
        json!([rule("releases", &["^v", "^r"], "Immutable")]),
        json!([rule("releases", &["^v"], "Immutable"), rule("main", &["^main$"], "Protected")]),
        json!([rule("releases", &["^v", "^r"], "Protected"), rule("main", &["^main$"], "Protected")]),
    ] {
        place.patch(REPOSITORY, "shop", patch(looser), Who::Maintainer, &loosened).await;
    }
    for stricter in [
        json!([rule("releases", &["^v", "^r", "^x"], "Immutable"), rule("main", &["^main$"], "Immutable")]),
        json!([rule("one", &["^v"], "Immutable"), rule("two", &["^r", "^main$"], "Immutable")]),
    ] {
        place.patch(REPOSITORY, "shop", patch(stricter), Who::Writer, "").await;
    }
    let hurried = needs_deletion("undoWindow decides how long deleted images can be restored, which");
    place.patch(REPOSITORY, "shop", json!({"spec": {"undoWindow": "0s"}}), Who::Maintainer, &hurried).await;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]);
    let owned = needs_deletion("an owner makes this repository go with it, which");
    let dependent = json!({"metadata": {"ownerReferences": owner}});
    place.patch(REPOSITORY, "shop", dependent, Who::Maintainer, &owned).await;
    place.patch(REPOSITORY, "shop", json!({"metadata": {"labels": {"a": "b"}}}), Who::Writer, "").await;
    let gone = needs_deletion("without this object the images of the repository can no longer be reached, which");
    place.delete(REPOSITORY, "shop", Who::Maintainer, &gone).await;
}

#[tokio::test]
async fn admit_a_quota_and_an_adoption_from_who_may_administer() {
    let place = Place::new().await;
    let quota = needs_administration("spec.quota limits what a team may store");
    let adoption = needs_administration("spec.adopt takes over the images of an earlier namespace of this name");
    place.create(REPOSITORY, json!({"quota": "50Gi"}), Who::Owner, &quota).await;
    place.create(REPOSITORY, json!({"adopt": true}), Who::Owner, &adoption).await;
    place.given(REPOSITORY, "shop", json!({"quota": "50Gi"})).await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"quota": "60Gi"}}), Who::Owner, &quota).await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"quota": null}}), Who::Owner, &quota).await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"adopt": true}}), Who::Owner, &adoption).await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"indexes": "Strict"}}), Who::Writer, "").await;
}

#[tokio::test]
async fn admit_what_publishes_from_who_may_publish() {
    let place = Place::new().await;
    let object = |names: &[&str], visibility: &str, access: &str| json!({"repositories": {"names": names}, "visibility": visibility, "access": access});
    let publishes = needs_publishing("this publishes repositories");
    for visibility in ["Public", "Internal"] {
        place.create(VISIBILITY, object(&["shop"], visibility, "Enabled"), Who::Owner, &publishes).await;
    }
    place.create(VISIBILITY, object(&["shop"], "Private", "Disabled"), Who::Writer, "").await;
    place.create(VISIBILITY, json!({"visibility": "Private"}), Who::Writer, "").await;

    place.given(VISIBILITY, "internal", object(&["shop", "api"], "Internal", "MembersOnly")).await;
    let spec = |spec: Value| json!({"spec": spec});
    let names = |names: &[&str]| spec(json!({"repositories": {"names": names}}));
    let wider = needs_publishing("this makes repositories visible to more people");
    for patch in [json!({"visibility": "Public"}), json!({"access": "Enabled"})] {
        place.patch(VISIBILITY, "internal", spec(patch), Who::Owner, &wider).await;
    }
    for patch in [json!({"visibility": "Private"}), json!({"access": "Disabled"})] {
        place.patch(VISIBILITY, "internal", spec(patch), Who::Writer, "").await;
    }
    let more = needs_publishing("this publishes more repositories");
    place.patch(VISIBILITY, "internal", names(&["shop", "api", "web"]), Who::Owner, &more).await;
    let fewer = needs_publishing("this no longer restricts some repositories, which may become visible to more people");
    place.patch(VISIBILITY, "internal", names(&["shop"]), Who::Owner, &fewer).await;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]);
    let owned = needs_publishing(
        "an owner makes this object go with it, and its repositories may become visible to more people",
    );
    place.patch(VISIBILITY, "internal", json!({"metadata": {"ownerReferences": owner}}), Who::Owner, &owned).await;
    place.patch(VISIBILITY, "internal", json!({"metadata": {"labels": {"a": "b"}}}), Who::Writer, "").await;
    let gone = needs_publishing("without this object its repositories may become visible to more people");
    place.delete(VISIBILITY, "internal", Who::Owner, &gone).await;

    // What only publishes may shrink and go.
    place.given(VISIBILITY, "public", object(&["shop", "api"], "Public", "Enabled")).await;
    place.patch(VISIBILITY, "public", names(&["shop"]), Who::Writer, "").await;
    place.delete(VISIBILITY, "public", Who::Writer, "").await;
    // What only restricts may grow.
    place.given(VISIBILITY, "private", object(&["shop"], "Private", "Enabled")).await;
    place.patch(VISIBILITY, "private", names(&["shop", "api"]), Who::Writer, "").await;
    place.patch(VISIBILITY, "private", spec(json!({"repositories": null})), Who::Writer, "").await;
    let selector = json!({"names": null, "selector": {"matchLabels": {"tier": "prod"}}});
    place.patch(VISIBILITY, "private", spec(json!({"repositories": selector})), Who::Owner, &fewer).await;
}

#[tokio::test]
async fn admit_a_visibility_for_other_namespaces_from_who_may_publish_everywhere() {
    let place = Place::new().await;
    let default = json!({"visibility": "Private", "namespaceSelector": {"matchLabels": {"team": "payments"}}});
    let refusal = "an object with a namespaceSelector decides for other namespaces, which needs the verb publish on \
                   registryvisibilities in every namespace: ask an administrator for \"kubectl create clusterrolebinding \
                   berth-owner-USER --clusterrole=berth-owner --user=USER\"";
    place.create(VISIBILITY, default.clone(), Who::Nobody, refusal).await;
    place.given(VISIBILITY, "default", default).await;
    place.patch(VISIBILITY, "default", json!({"spec": {"access": "Disabled"}}), Who::Nobody, refusal).await;
    place.patch(VISIBILITY, "default", json!({"metadata": {"labels": {"a": "b"}}}), Who::Writer, "").await;
    place.delete(VISIBILITY, "default", Who::Nobody, refusal).await;
}

/// Waits until there is none of this name, as deletion by a controller takes a moment.
async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let deadline = tokio::time::Instant::now() + berth_tests::process::PATIENCE;
    while api.get_opt(name).await.unwrap().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "{name} is still there");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn admit_that_objects_go_with_their_owners_and_their_namespace() {
    let place = Place::new().await;
    let config_maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(place.admin.clone(), &place.namespace);
    let mut owner = k8s_openapi::api::core::v1::ConfigMap::default();
    owner.metadata.name = Some("owner".into());
    let owner = config_maps.create(&PostParams::default(), &owner).await.unwrap();
    let mut owned = place.object(REPOSITORY, "owned", json!({"quota": "1Gi"}));
    owned.metadata.owner_references = Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: "owner".into(),
        uid: owner.metadata.uid.unwrap(),
        ..Default::default()
    }]);
    let repositories = place.api(&place.admin, REPOSITORY);
    repositories.create(&PostParams::default(), &owned).await.unwrap();
    config_maps.delete("owner", &DeleteParams::default()).await.unwrap();
    until_gone(&repositories, "owned").await;

    place.given(REPOSITORY, "shop", json!({"quota": "1Gi", "deletionPolicy": "Delete"})).await;
    place.given(VISIBILITY, "closed", json!({"visibility": "Private"})).await;
    place.given(POLICY, "nightly", policy()).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(place.admin.clone());
    namespaces.delete(&place.namespace, &DeleteParams::default()).await.unwrap();
    until_gone(&namespaces, &place.namespace).await;
}

#[tokio::test]
async fn admit_the_largest_objects_within_the_budget_of_admission() {
    let place = Place::new().await;
    // The worst case of each comparison: every rule is another, every pattern stands in the last rule looked at.
    let rules = |prefix: &str| -> Value {
        let pattern = |rule: usize, pattern: usize| format!("{:x>250}{:03}", "^", rule * 16 + pattern);
        let patterns = |rule: usize| (0..16).map(|number| pattern(31 - rule, number)).collect::<Vec<_>>();
        (0..32)
            .map(|rule| json!({"name": format!("{prefix}{rule}"), "matching": patterns(rule), "rule": "Immutable"}))
            .collect()
    };
    place.given(REPOSITORY, "shop", json!({"tags": rules("a")})).await;
    place.patch(REPOSITORY, "shop", json!({"spec": {"tags": rules("b")}}), Who::Writer, "").await;
    let names = |last: &str| -> Vec<String> {
        (0..127).map(|number| format!("{:a>50}{number}", "")).chain([last.to_owned()]).collect()
    };
    place.given(VISIBILITY, "many", json!({"visibility": "Private", "repositories": {"names": names("x")}})).await;
    let patch = json!({"spec": {"repositories": {"names": names("y")}}});
    let fewer = needs_publishing("this no longer restricts some repositories, which may become visible to more people");
    place.patch(VISIBILITY, "many", patch, Who::Owner, &fewer).await;
}
