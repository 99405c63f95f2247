//! Mistakes, and what a user of kubectl sees: `mistakes.md` beside this file, which reads as documentation and is compared
//! word by word. `BERTH_UPDATE=1` writes it anew, for whoever has changed a text to read.

use berth_tests::control_plane::{ControlPlane, Person, root};
use std::fmt::Write as _;

const NAMESPACE: &str = "team-m";
const TABLE: &str = "tests/tests/admit/mistakes.md";

/// Who types.
#[derive(Clone, Copy)]
enum Typing {
    Admin,
    /// May write the objects of the namespace, and has no right over images.
    Wendy,
    /// Has berth-developer.
    Dan,
    /// Has berth-maintainer.
    Maya,
}
use Typing::{Admin, Dan, Maya, Wendy};

/// Title, who makes it, kind, and the spec as written (flow YAML). The object is named `shop`.
const OBJECTS: &[(&str, Typing, &str, &str)] = &[
    (
        "A pattern that is not closed",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['v(1']}}",
    ),
    (
        "A pattern with look-ahead, which RE2 has not",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['(?!v).*']}}",
    ),
    (
        "A pattern that keeps, with a back reference",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5, tagsMatching: ['(a)\\1']}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "An empty pattern",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['']}}",
    ),
    (
        "The same pattern twice",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['a', 'a']}}",
    ),
    ("Nothing to remove", Admin, "CleanupPolicy", "{schedule: {cadence: 7d}, keep: {mostRecent: 5}}"),
    ("No limit on what goes", Admin, "CleanupPolicy", "{schedule: {cadence: 7d}, remove: {tagsMatching: ['.*']}}"),
    (
        "Both cadence and cron",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d, cron: '0 3 * * *'}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "Neither cadence nor cron",
        Admin,
        "CleanupPolicy",
        "{schedule: {}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A cadence that does not exist",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 2d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A cron line with a sixth field",
        Admin,
        "CleanupPolicy",
        "{schedule: {cron: '0 0 3 * * *'}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A cron line with an hour of 24",
        Admin,
        "CleanupPolicy",
        "{schedule: {cron: '0 24 * * *'}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A time zone in the cron line",
        Admin,
        "CleanupPolicy",
        "{schedule: {cron: 'TZ=Europe/Berlin 0 3 * * *'}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "An unknown time zone",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d, timeZone: Europe/Atlantis}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "Keep none of the most recent",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 0}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "An age in months",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, remove: {tagsMatching: ['.*'], olderThan: 3month}}",
    ),
    (
        "An age of nothing",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, remove: {tagsMatching: ['.*'], olderThan: 0s}}",
    ),
    (
        "An unknown field",
        Admin,
        "CleanupPolicy",
        "{enabled: true, schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "Names and a selector",
        Admin,
        "CleanupPolicy",
        "{repositories: {names: [shop], selector: {}}, schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "Names in a default for other namespaces",
        Admin,
        "CleanupPolicy",
        "{namespaceSelector: {}, repositories: {names: [shop]}, schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "More deletions than a run may do",
        Admin,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}, limits: {maxDeletions: 5000000}}",
    ),
    (
        "Public by label",
        Admin,
        "RegistryVisibility",
        "{repositories: {selector: {matchLabels: {tier: prod}}}, visibility: Public}",
    ),
    ("Internal for everything", Admin, "RegistryVisibility", "{visibility: Internal}"),
    ("A visibility in lower case", Admin, "RegistryVisibility", "{repositories: {names: [shop]}, visibility: public}"),
    (
        "A path where a name belongs",
        Admin,
        "RegistryVisibility",
        "{repositories: {names: [team-m/shop]}, visibility: Public}",
    ),
    ("No visibility", Admin, "RegistryVisibility", "{repositories: {names: [shop]}}"),
    (
        "A label selector that compares with nothing",
        Admin,
        "RegistryVisibility",
        "{repositories: {selector: {matchExpressions: [{key: tier, operator: In}]}}, visibility: Private}",
    ),
    ("A quota in words", Admin, "ContainerRepository", "{quota: 50 GB}"),
    ("An unknown tag rule", Admin, "ContainerRepository", "{tags: [{name: releases, matching: ['^v'], rule: Locked}]}"),
    (
        "Two rules of one name",
        Admin,
        "ContainerRepository",
        "{tags: [{name: r, matching: ['^v'], rule: Immutable}, {name: r, matching: ['^w'], rule: Immutable}]}",
    ),
    ("A token that may delete", Admin, "ContainerRepository", "{deployTokens: [{name: ci, scopes: [DeleteRegistry]}]}"),
    (
        "A token instead of its hash",
        Admin,
        "ContainerRepository",
        "{deployTokens: [{name: ci, scopes: [ReadRegistry], sha256: berth_01_secret}]}",
    ),
    (
        "A token that expires on a date",
        Admin,
        "ContainerRepository",
        "{deployTokens: [{name: ci, scopes: [ReadRegistry], expiresAt: '2027-01-01'}]}",
    ),
    (
        "One Secret for two purposes",
        Admin,
        "ContainerRepository",
        "{pullSecret: {name: shop-ci}, deployTokens: [{name: ci, scopes: [ReadRegistry]}]}",
    ),
    ("An undo window in weeks", Admin, "ContainerRepository", "{undoWindow: 2w}"),
    (
        "A developer writes a policy",
        Dan,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A writer without rights over images writes a policy",
        Wendy,
        "CleanupPolicy",
        "{schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    (
        "A maintainer writes a policy for other namespaces",
        Maya,
        "CleanupPolicy",
        "{namespaceSelector: {}, schedule: {cadence: 7d}, keep: {mostRecent: 5}, remove: {tagsMatching: ['.*']}}",
    ),
    ("A maintainer publishes", Maya, "RegistryVisibility", "{repositories: {names: [shop]}, visibility: Public}"),
    ("A maintainer sets a quota", Maya, "ContainerRepository", "{quota: 50Gi}"),
    (
        "A writer without rights over images gives out a token that pushes",
        Wendy,
        "ContainerRepository",
        "{deployTokens: [{name: ci, scopes: [WriteRegistry]}]}",
    ),
    (
        "A writer without rights over images lets images be deleted",
        Wendy,
        "ContainerRepository",
        "{deletionPolicy: Delete}",
    ),
];

/// Mistakes that are no spec: title, and the whole object.
const WHOLE: &[(&str, &str)] = &[
    (
        "A name that is too long",
        "{apiVersion: berth.dev/v1alpha1, kind: ContainerRepository, metadata: {name: a-name-of-more-than-sixty-three-characters-is-too-long-for-a-path-segment}}",
    ),
    ("A name with capitals", "{apiVersion: berth.dev/v1alpha1, kind: ContainerRepository, metadata: {name: Shop}}"),
    ("A version that does not exist", "{apiVersion: berth.dev/v1, kind: ContainerRepository, metadata: {name: shop}}"),
    ("A kind that does not exist", "{apiVersion: berth.dev/v1alpha1, kind: Repository, metadata: {name: shop}}"),
];

#[tokio::test]
async fn admit_no_mistake_without_saying_what_to_do() {
    let plane = ControlPlane::shared().await.unwrap();
    plane.namespace_named(NAMESPACE).await.unwrap();
    let writer = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: mistaken-writer}, rules: \
                  [{apiGroups: [berth.dev], resources: [containerrepositories, registryvisibilities, cleanuppolicies], verbs: [get, create, update, patch, delete]}]}";
    plane.apply(writer).await.unwrap();
    let (wendy, dan, maya) = (Person::user("wendy"), Person::user("dan"), Person::user("maya"));
    for (person, role) in [(&wendy, "mistaken-writer"), (&dan, "berth-developer"), (&maya, "berth-maintainer")] {
        plane.bind(person, role, NAMESPACE).await.unwrap();
    }
    let kubectl = plane.kubectl().unwrap();

    let mut table = String::from(
        "# Mistakes, and what kubectl says\n\n\
         What the API server answers to objects that cannot be meant, and to people who lack a right: the exact words, \
         written by\n`admit_no_mistake_without_saying_what_to_do` and compared by it. Each object is named `shop` and is \
         created with\n`kubectl create` in namespace `team-m`. Wendy may write objects and has no right over images; Dan has \
         `berth-developer`,\nMaya `berth-maintainer`. What only a controller can see (a selector that matches nothing, two \
         policies for one image) is\nsaid by conditions, see `kubectl describe`.\n",
    );
    let objects = OBJECTS.iter().map(|(title, who, kind, spec)| {
        let object =
            format!("{{apiVersion: berth.dev/v1alpha1, kind: {kind}, metadata: {{name: shop}}, spec: {spec}}}");
        (*title, *who, format!("{kind}: {spec}"), object)
    });
    let whole = WHOLE.iter().map(|(title, object)| (*title, Admin, (*object).to_owned(), (*object).to_owned()));
    let mut count = 0;
    for (title, who, shown, object) in objects.chain(whole) {
        let kubectl = match who {
            Admin => kubectl.clone(),
            Wendy => kubectl.acting_as(&wendy),
            Dan => kubectl.acting_as(&dan),
            Maya => kubectl.acting_as(&maya),
        };
        let printed = kubectl.try_run(&["create", "-n", NAMESPACE, "-f", "-"], &object).await.unwrap();
        assert!(!printed.success, "{title} is accepted: {object}");
        count += 1;
        write!(table, "\n## {title}\n\n```yaml\n{shown}\n```\n```text\n{}\n```\n", printed.stderr.trim_end()).unwrap();
    }
    assert!(count >= 30, "only {count} mistakes");

    let path = root().join(TABLE);
    if std::env::var_os("BERTH_UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differing: Vec<_> = table.lines().zip(committed.lines()).filter(|(is, was)| is != was).take(6).collect();
    assert!(
        table == committed,
        "what kubectl says is not what {TABLE} says; if the new words are better, write it anew with BERTH_UPDATE=1. First \
         differences (now, before): {differing:#?}"
    );
}
