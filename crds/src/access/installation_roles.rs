//! What Berth's own programs may do in a cluster: one table, and nothing beyond it.
//!
//! The registry is not in it: the container that faces the network holds no Kubernetes credential (DESIGN §1). A cleanup
//! Job may start runs ([`RUNNER`]); the operator may what [`OPERATOR`] says.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use serde::Serialize;
use serde_json::Value;

use super::cluster_roles::{GROUP, KINDS, RUNNER, aggregated_roles, cluster_roles, metadata, named, rule};
use crate::kinds::SYSTEM_NAMESPACE;

/// The operator's ServiceAccount and roles.
pub const OPERATOR_NAME: &str = "berth-operator";
/// The ServiceAccount of cleanup Jobs.
pub const CLEANUP_NAME: &str = "berth-cleanup";

/// Where a right of the operator holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In every namespace.
    Cluster,
    /// In the namespace of the installation.
    System,
    /// Where repositories are: everywhere unless the administrator binds it namespace by namespace.
    Repositories,
    /// Only where the administrator binds it: namespaces that may have Secrets made for them.
    Listed,
}

const READ: &[&str] = &["get", "list", "watch"];
/// Server-side apply creates what is missing, and reads nothing.
const APPLY: &[&str] = &["create", "patch"];

/// Everything the operator may do. Each line is one reason.
#[rustfmt::skip]
const OPERATOR: &[(Place, &str, &[&str], &[&str])] = &[
    // What it acts by: the objects, and the namespaces that select and own them.
    (Place::Cluster,      GROUP,                   &KINDS,                                                  READ),
    (Place::Cluster,      "",                      &["namespaces"],                                         READ),
    // What it reports: status and events.
    (Place::Cluster,      GROUP,                   &["containerrepositories/status", "registryvisibilities/status",
                                                     "cleanuppolicies/status"],                             &["patch"]),
    (Place::Cluster,      "events.k8s.io",         &["events"],                                             APPLY),
    // The finalizer of `deletionPolicy: Delete` is part of the object's metadata.
    (Place::Cluster,      GROUP,                   &["containerrepositories"],                              &["patch"]),
    // Who is it, and may they? For the registry, on the identity socket.
    (Place::Cluster,      "authentication.k8s.io", &["tokenreviews"],                                       &["create"]),
    (Place::Cluster,      "authorization.k8s.io",  &["subjectaccessreviews"],                               &["create"]),
    // Which images are in use.
    (Place::Cluster,      "",                      &["pods"],                                               READ),
    (Place::Cluster,      "apps",                  &["replicasets", "deployments", "statefulsets", "daemonsets"], READ),
    (Place::Cluster,      "batch",                 &["jobs", "cronjobs"],                                   READ),
    // Which replicas live, what each has loaded, and who leads.
    (Place::System,       "discovery.k8s.io",      &["endpointslices"],                                     READ),
    (Place::System,       "coordination.k8s.io",   &["leases"],          &["get", "list", "watch", "create", "update", "delete"]),
    // Scheduled and requested runs: created suspended, resumed by a patch.
    (Place::System,       "batch",                 &["cronjobs", "jobs"],                                   &["create", "patch", "delete"]),
    // Beside each repository: where to push, and the authority to trust. Goes with the repository, by its owner reference.
    (Place::Repositories, "",                      &["configmaps"],                                         APPLY),
    // Pull secrets and deploy tokens. Written and removed, never read.
    (Place::Listed,       "",                      &["secrets"],                                            &["create", "patch", "delete"]),
];

fn operator_rules(place: Place) -> Vec<PolicyRule> {
    let lines = OPERATOR.iter().filter(|(own, ..)| *own == place);
    lines.map(|(_, group, resources, verbs)| rule(group, resources, verbs)).collect()
}

/// The files that grant rights, as a chart installs them: paths from the root of the repository, and the objects in each.
pub fn files() -> Vec<(String, Vec<Value>)> {
    let path = |file: &str| format!("charts/berth/files/{file}.yaml");
    vec![
        (path("roles/people"), documents(cluster_roles())),
        (path("roles/operator"), operator()),
        (path("roles/cleanup"), cleanup()),
        (path("aggregation/roles"), documents(aggregated_roles())),
    ]
}

fn operator() -> Vec<Value> {
    let cluster = |name: &str, about: &str, place| document(named(name, about, operator_rules(place)));
    let repositories = format!("{OPERATOR_NAME}-repositories");
    let secrets = format!("{OPERATOR_NAME}-secrets");
    let role = Role {
        metadata: in_system(OPERATOR_NAME, "What the operator does in its own namespace."),
        rules: Some(operator_rules(Place::System)),
    };
    vec![
        account(OPERATOR_NAME, "The operator. The registry beside it holds no credential of the cluster."),
        cluster(OPERATOR_NAME, "What the operator does in every namespace.", Place::Cluster),
        bound_everywhere(OPERATOR_NAME, OPERATOR_NAME, OPERATOR_NAME),
        cluster(
            &repositories,
            "What the operator writes beside repositories. Bound everywhere; bind it in single namespaces to narrow it.",
            Place::Repositories,
        ),
        bound_everywhere(&repositories, &repositories, OPERATOR_NAME),
        cluster(
            &secrets,
            "Lets the operator write Secrets for pulls and deploy tokens. Bind it in each namespace that wants them.",
            Place::Listed,
        ),
        document(role),
        document(RoleBinding {
            metadata: in_system(OPERATOR_NAME, "What the operator does in its own namespace."),
            role_ref: reference("Role", OPERATOR_NAME),
            subjects: Some(vec![subject(OPERATOR_NAME)]),
        }),
    ]
}

fn cleanup() -> Vec<Value> {
    let about = "Cleanup Jobs: they may start runs of policies that others have written, and nothing else.";
    vec![account(CLEANUP_NAME, about), bound_everywhere(CLEANUP_NAME, RUNNER, CLEANUP_NAME)]
}

fn account(name: &str, about: &str) -> Value {
    let account = ServiceAccount {
        metadata: in_system(name, about),
        // Pods name the tokens they need, each for one audience.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    document(account)
}

fn bound_everywhere(name: &str, cluster_role: &str, account: &str) -> Value {
    let binding = ClusterRoleBinding {
        metadata: metadata(name, &format!("Gives {account} the rights of {cluster_role} in every namespace.")),
        role_ref: reference("ClusterRole", cluster_role),
        subjects: Some(vec![subject(account)]),
    };
    document(binding)
}

fn in_system(name: &str, about: &str) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { namespace: Some(SYSTEM_NAMESPACE.to_owned()), ..metadata(name, about) }
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn subject(account: &str) -> Subject {
    Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: account.to_owned(),
        namespace: Some(SYSTEM_NAMESPACE.to_owned()),
    }
}

fn documents<T: Serialize>(objects: Vec<T>) -> Vec<Value> {
    objects.into_iter().map(document).collect()
}

fn document<T: Serialize>(object: T) -> Value {
    serde_json::to_value(object).expect("an object of Kubernetes is plain JSON")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_reads_no_secret_and_asks_for_nothing_by_wildcard() {
        for (_, group, resources, verbs) in OPERATOR {
            assert!(![*group].iter().chain(*resources).chain(*verbs).any(|text| text.contains('*')), "{resources:?}");
            if resources.contains(&"secrets") {
                assert!(!READ.iter().any(|verb| verbs.contains(verb)), "Secrets are never read");
            }
            let forbidden = ["serviceaccounts", "serviceaccounts/token", "roles", "rolebindings"];
            assert!(!resources.iter().any(|resource| forbidden.contains(resource)), "{resources:?}");
        }
    }

    #[test]
    fn the_operator_writes_no_object_of_its_users_but_metadata_and_status() {
        let ours = OPERATOR.iter().filter(|(_, group, ..)| *group == GROUP);
        let written: Vec<_> =
            ours.filter(|(.., verbs)| *verbs != READ).map(|(_, _, resources, _)| *resources).collect();
        assert_eq!(written.len(), 2);
        assert!(
            written[0].iter().all(|resource| resource.ends_with("/status")) && written[1] == ["containerrepositories"]
        );
    }
}
