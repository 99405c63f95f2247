//! The roles of DESIGN §4 as Kubernetes ClusterRoles: bound in a namespace, they are membership there.
//!
//! What a role may do with images, protected tags and runs comes from the table that the registry itself decides by
//! ([`Role::grants`]). What it may do with the objects is written here: everybody who pulls may read them, maintainers
//! write them, owners publish and administer. Admission policies bound what a writer may write (docs/access.md).

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::ObjectMeta;

use super::{Permission, Role};

/// The API group of the kinds.
pub(super) const GROUP: &str = "berth.dev";
/// Plurals of the kinds.
pub(super) const KINDS: [&str; 3] = ["containerrepositories", "registryvisibilities", "cleanuppolicies"];
/// Who may start runs, and nothing else: cleanup Jobs, and machines that do it on demand.
pub const RUNNER: &str = "berth-runner";

/// The verb on `registryvisibilities` that admission asks for before something becomes visible to more people. The registry
/// never asks for it, so it is no [`Permission`].
const PUBLISH: &str = "publish";

/// The ClusterRole of a role.
pub const fn cluster_role(role: Role) -> &'static str {
    match role {
        Role::Reporter => "berth-reporter",
        Role::Developer => "berth-developer",
        Role::Maintainer => "berth-maintainer",
        Role::Owner => "berth-owner",
    }
}

/// The ClusterRoles for people and machines: one for each role, and [`RUNNER`].
pub fn cluster_roles() -> Vec<ClusterRole> {
    let about = |role| match role {
        Role::Reporter => "Sees and pulls images.",
        Role::Developer => "Pulls and pushes images, deletes single tags.",
        Role::Maintainer => {
            "Also deletes many tags at once, pushes protected tags, writes repositories and cleanup policies."
        }
        Role::Owner => "Also makes repositories visible to others, sets quotas, adopts images of an earlier namespace.",
    };
    let roles = Role::ALL.map(|role| named(cluster_role(role), about(role), rules(role)));
    let runner = named(
        RUNNER,
        "Starts runs of cleanup policies that somebody else has written, and nothing else.",
        vec![rule(GROUP, &["cleanuppolicies/runs"], &["create"])],
    );
    roles.into_iter().chain([runner]).collect()
}

/// The same rights for whoever holds Kubernetes' own roles `view`, `edit` and `admin` in a namespace. Optional: `edit`
/// silently becoming the right to push would surprise.
pub fn aggregated_roles() -> Vec<ClusterRole> {
    [("view", Role::Reporter), ("edit", Role::Developer), ("admin", Role::Maintainer)]
        .into_iter()
        .map(|(into, role)| {
            let about = format!("Gives everybody with role {into} what {} gives.", cluster_role(role));
            let mut aggregated = named(&format!("berth-aggregate-to-{into}"), &about, rules(role));
            let label = (format!("rbac.authorization.k8s.io/aggregate-to-{into}"), "true".to_owned());
            aggregated.metadata.labels.get_or_insert_default().extend([label]);
            aggregated
        })
        .collect()
}

fn rules(role: Role) -> Vec<PolicyRule> {
    let mut rules = vec![rule(GROUP, &KINDS, &["get", "list", "watch"])];
    if role >= Role::Maintainer {
        rules.push(rule(GROUP, &KINDS, &["create", "update", "patch", "delete"]));
    }
    let mut granted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for permission in Permission::ALL.into_iter().filter(|permission| role.grants(*permission)) {
        granted.entry(resource(permission)).or_default().push(permission.verb.as_str());
    }
    rules.extend(granted.iter().map(|(resource, verbs)| rule(GROUP, &[resource], verbs)));
    if role >= Role::Owner {
        rules.push(rule(GROUP, &["registryvisibilities"], &[PUBLISH]));
    }
    rules
}

/// A permission's resource as a rule names it: `containerrepositories/images`.
fn resource(permission: Permission) -> String {
    match permission.resource.subresource() {
        "" => permission.resource.plural().to_owned(),
        subresource => format!("{}/{subresource}", permission.resource.plural()),
    }
}

pub(super) fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

pub(super) fn named(name: &str, about: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole { metadata: metadata(name, about), rules: Some(rules), aggregation_rule: None }
}

/// Name, the label that finds everything of ours, and a sentence for `kubectl describe`.
pub(super) fn metadata(name: &str, about: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([("app.kubernetes.io/name".to_owned(), "berth".to_owned())])),
        annotations: Some(BTreeMap::from([("kubernetes.io/description".to_owned(), about.to_owned())])),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn granted(role: &ClusterRole) -> BTreeSet<(String, String)> {
        let rules = role.rules.iter().flatten();
        rules
            .flat_map(|rule| {
                let resources = rule.resources.iter().flatten();
                resources.flat_map(|resource| rule.verbs.iter().map(|verb| (resource.clone(), verb.clone())))
            })
            .collect()
    }

    #[test]
    fn a_cluster_role_grants_of_the_table_what_its_role_grants() {
        for (role, cluster_role) in Role::ALL.into_iter().zip(cluster_roles()) {
            let granted = granted(&cluster_role);
            for permission in Permission::ALL {
                let right = (resource(permission), permission.verb.as_str().to_owned());
                assert_eq!(granted.contains(&right), role.grants(permission), "{role:?}: {permission}");
            }
        }
    }

    #[test]
    fn each_role_includes_the_ones_before_it_and_none_names_everything() {
        let all: Vec<_> = cluster_roles().iter().map(granted).collect();
        for pair in all[..Role::ALL.len()].windows(2) {
            assert!(pair[0].is_subset(&pair[1]) && pair[0] != pair[1]);
        }
        assert!(all.iter().flatten().all(|(resource, verb)| resource != "*" && verb != "*"));
        assert_eq!(all.last().unwrap(), &BTreeSet::from([("cleanuppolicies/runs".to_owned(), "create".to_owned())]));
    }
}
