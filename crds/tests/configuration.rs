//! What follows from which objects (DESIGN §3): the compiled document, and one outcome per object.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use berth_crds::configuration::{
    Compiled, Configuration, ConfigurationError, Governance, Objects, Outcome, RepositoryEntry, compile,
};
use berth_crds::kinds::{Access, MadeToken, Visibility};
use berth_crds::manifest::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde::de::DeserializeOwned;

/// Every object that a test compiles.
#[derive(Clone, Default)]
struct World(Objects);

/// An object as an API server hands it out: not judged by anybody yet.
fn object<K: DeserializeOwned>(kind: &str, path: &str, labels: &str, spec: &str) -> K {
    let (namespace, name) = path.split_once('/').unwrap();
    let yaml = format!(
        "{{apiVersion: berth.dev/v1alpha1, kind: {kind}, spec: {spec}, \
         metadata: {{namespace: {namespace}, name: {name}, labels: {labels}, generation: 3}}}}"
    );
    serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"))
}

impl World {
    /// `team-a/shop` of tier prod and `team-a/site` without labels; the system namespace is `berth-system`.
    fn new() -> Self {
        Self(Objects { system_namespace: Some("berth-system".to_owned()), ..Objects::default() })
            .labelled("team-a/shop", "{tier: prod}", "{}")
            .repository("team-a/site", "{}")
    }

    fn repository(self, path: &str, spec: &str) -> Self {
        self.labelled(path, "{}", spec)
    }

    fn labelled(mut self, path: &str, labels: &str, spec: &str) -> Self {
        self.0.repositories.push(object("ContainerRepository", path, labels, spec));
        self
    }

    fn visibility(mut self, path: &str, spec: &str) -> Self {
        self.0.visibilities.push(object("RegistryVisibility", path, "{}", spec));
        self
    }

    /// A policy that removes what is older than 90 days, with further fields.
    fn policy(self, path: &str, fields: &str) -> Self {
        self.whole_policy(
            path,
            &format!("{{schedule: {{cadence: 7d}}, remove: {{tagsMatching: ['.*'], olderThan: 90d}}{fields}}}"),
        )
    }

    fn whole_policy(mut self, path: &str, spec: &str) -> Self {
        self.0.policies.push(object("CleanupPolicy", path, "{}", spec));
        self
    }

    fn compile(&self) -> (Configuration, Vec<Outcome>) {
        compile(&self.0)
    }

    fn document(&self) -> Configuration {
        self.compile().0
    }

    fn entry(&self, path: &str) -> RepositoryEntry {
        self.document().repositories[&path.parse().unwrap()].clone()
    }

    fn axes(&self, path: &str) -> (Visibility, Access) {
        let entry = self.entry(path);
        (entry.visibility, entry.access)
    }

    /// What became of the only object of that name.
    fn outcome(&self, path: &str) -> Outcome {
        let (_, outcomes) = self.compile();
        let mut named =
            outcomes.into_iter().filter(|outcome| outcome.object.to_string().ends_with(&format!(" {path}")));
        let outcome = named.next().unwrap_or_else(|| panic!("no outcome for {path}"));
        assert_eq!(named.next(), None, "{path} is named twice");
        outcome
    }

    fn reason(&self, path: &str) -> (bool, &'static str) {
        let outcome = self.outcome(path);
        (outcome.accepted, outcome.reason.as_str())
    }

    /// Who cleans an image: nobody, one policy, or several that do not because of each other.
    fn cleans(&self, image: &str) -> String {
        let compiled = Compiled::new(self.document()).unwrap();
        match compiled.policy_for(&image.parse().unwrap()) {
            Governance::Nobody => "nobody".to_owned(),
            Governance::By(policy) => {
                assert!(compiled.governs(&policy.name, &image.parse().unwrap()));
                policy.name.clone()
            }
            Governance::Conflict(policies) => {
                let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
                assert!(names.iter().all(|name| !compiled.governs(name, &image.parse().unwrap())));
                format!("conflict of {}", names.join(" and "))
            }
        }
    }
}

/// Every kind of object, several of each, with agreement and conflict among them.
fn busy() -> World {
    World::new()
        .repository("team-b/tools", "{tags: [{name: releases, matching: ['^v'], rule: Immutable}]}")
        .visibility("team-a/public", "{visibility: Public, repositories: {names: [shop, site]}}")
        .visibility("team-a/closed", "{visibility: Private, access: MembersOnly, repositories: {names: [shop]}}")
        .visibility("berth-system/off", "{visibility: Private, access: Disabled, namespaceSelector: {}}")
        .policy("team-a/one", "")
        .policy("team-a/other", "")
        .policy("team-a/shop", ", repositories: {names: [shop]}")
        .policy("berth-system/default", ", namespaceSelector: {}")
}

proptest! {
    #[test]
    fn the_order_of_the_objects_never_shows(
        (repositories, visibilities, policies) in {
            let World(all) = busy();
            (
                Just(all.repositories).prop_shuffle(),
                Just(all.visibilities).prop_shuffle(),
                Just(all.policies).prop_shuffle(),
            )
        }
    ) {
        let World(all) = busy();
        let shuffled = World(Objects { repositories, visibilities, policies, ..all });
        let ((expected, outcomes), (document, of_shuffled)) = (busy().compile(), shuffled.compile());
        prop_assert_eq!(document.to_json_bytes(), expected.to_json_bytes());
        prop_assert_eq!(of_shuffled, outcomes);
    }
}

#[test]
fn every_object_gets_one_outcome_with_its_generation() {
    let (_, outcomes) = busy().compile();
    let objects: Vec<String> = outcomes.iter().map(|outcome| outcome.object.to_string()).collect();
    assert_eq!(objects.len(), 10);
    assert!(objects.is_sorted(), "{objects:?}");
    assert!(outcomes.iter().all(|outcome| outcome.generation == Some(3)));
}

#[test]
fn every_reason_is_given_where_it_belongs() {
    let system = "namespaceSelector: {}";
    let broken = "schedule: {cadence: 7d}, remove: {tagsMatching: ['(?=v)'], olderThan: 1d}";
    let never = "schedule: {cron: '0 0 31 2 *'}, remove: {tagsMatching: ['.*'], olderThan: 1d}";
    let unbounded = "schedule: {cadence: 7d}, remove: {tagsMatching: ['.*']}";
    for (name, world, expected) in [
        ("team-a/shop", World::new(), (true, "Accepted")),
        ("team-a/x", World::new().visibility("team-a/x", "{visibility: Private}"), (true, "Accepted")),
        ("team-a/x", World::new().policy("team-a/x", ""), (true, "Accepted")),
        ("team-b/x", World::new().policy("team-b/x", ""), (true, "NothingSelected")),
        ("team-b/x", World::new().visibility("team-b/x", "{visibility: Private}"), (true, "NothingSelected")),
        (
            "team-a/x",
            World::new().policy("team-a/x", ", repositories: {selector: {matchLabels: {tier: test}}}"),
            (true, "NothingSelected"),
        ),
        (
            "team-a/x",
            World::new()
                .visibility("team-a/x", "{visibility: Public, repositories: {names: [shop]}}")
                .visibility("team-a/y", "{visibility: Private, access: Disabled}"),
            (true, "Overruled"),
        ),
        (
            "team-a/x",
            World::new()
                .policy("team-a/x", ", repositories: {selector: {matchLabels: {tier: prod}}}")
                .policy("team-a/y", ", repositories: {names: [shop]}"),
            (true, "Overruled"),
        ),
        ("team-a/x", World::new().policy("team-a/x", "").policy("team-a/y", ""), (false, "Conflict")),
        ("team-a/x", World::new().policy("team-a/x", &format!(", {system}")), (false, "NotInSystemNamespace")),
        (
            "team-a/x",
            World::new().visibility("team-a/x", &format!("{{visibility: Private, {system}}}")),
            (false, "NotInSystemNamespace"),
        ),
        ("team-a/x", World::new().whole_policy("team-a/x", &format!("{{{broken}}}")), (false, "InvalidPattern")),
        (
            "team-a/x",
            World::new().whole_policy("team-a/x", &format!("{{{broken}, suspend: true}}")),
            (false, "InvalidPattern"),
        ),
        ("team-a/x", World::new().policy("team-a/x", ", images: {matching: ['(']}"), (false, "InvalidPattern")),
        ("team-a/x", World::new().whole_policy("team-a/x", &format!("{{{never}}}")), (false, "InvalidSchedule")),
        ("team-a/x", World::new().whole_policy("team-a/x", &format!("{{{unbounded}}}")), (false, "Invalid")),
        ("team-a/x", World::new().visibility("team-a/x", "{visibility: Public}"), (false, "Invalid")),
    ] {
        assert_eq!(world.reason(name), expected, "{:?}", world.outcome(name));
        assert!(!world.outcome(name).message.is_empty(), "{expected:?}");
    }
}

#[test]
fn a_refused_policy_is_not_in_the_document_and_a_conflicting_one_is() {
    let refused = World::new().policy("team-a/x", ", images: {matching: ['(']}");
    assert!(refused.document().policies.is_empty());
    let conflict = World::new().policy("team-a/x", "").policy("team-a/y", "");
    assert_eq!(conflict.document().policies.len(), 2, "where they do not meet they work");
}

#[test]
fn a_name_that_no_repository_has_is_warned_about() {
    let world = World::new()
        .policy("team-a/x", ", repositories: {names: [shop, shpo]}")
        .visibility("team-a/y", "{visibility: Private, repositories: {names: [shop, shpo]}}");
    for name in ["team-a/x", "team-a/y"] {
        let outcome = world.outcome(name);
        assert!(outcome.accepted);
        assert_eq!(outcome.warnings.len(), 1, "{outcome:?}");
        assert!(outcome.warnings[0].contains("\"shpo\""), "{outcome:?}");
    }
}

#[test]
fn the_most_restrictive_visibility_wins_each_axis_for_itself() {
    use Access::{Disabled, Enabled, MembersOnly};
    use Visibility::{Internal, Private, Public};
    let all = [Public, Internal, Private];
    let accesses = [Enabled, MembersOnly, Disabled];
    for (one, other) in all.into_iter().flat_map(|one| all.map(|other| (one, other))) {
        for (first, second) in accesses.into_iter().flat_map(|one| accesses.map(|other| (one, other))) {
            let spec = |visibility: Visibility, access: Access| {
                format!("{{visibility: {visibility:?}, access: {access:?}, repositories: {{names: [shop]}}}}")
            };
            let world =
                World::new().visibility("team-a/x", &spec(one, first)).visibility("team-a/y", &spec(other, second));
            assert_eq!(world.axes("team-a/shop"), (one.max(other), first.max(second)));
            assert_eq!(world.axes("team-a/site"), (Private, Enabled), "the default is untouched");
        }
    }
}

#[test]
fn a_repository_says_who_decides_and_who_is_overruled() {
    let entry = World::new()
        .visibility("team-a/internal", "{visibility: Internal, repositories: {names: [shop]}}")
        .visibility("team-a/members", "{visibility: Public, access: MembersOnly, repositories: {names: [shop]}}")
        .visibility("team-a/public", "{visibility: Public, repositories: {names: [shop]}}")
        .entry("team-a/shop");
    assert_eq!((entry.visibility, entry.access), (Visibility::Internal, Access::MembersOnly));
    assert_eq!(entry.decided_by, ["RegistryVisibility/internal", "RegistryVisibility/members"]);
    assert_eq!(
        entry.overruled,
        ["RegistryVisibility/internal", "RegistryVisibility/members", "RegistryVisibility/public"],
        "each is overruled on some axis"
    );
}

#[test]
fn only_names_publish() {
    for wide in ["", ", repositories: {selector: {matchLabels: {tier: prod}}}", ", namespaceSelector: {}"] {
        for visibility in ["Public", "Internal"] {
            for namespace in ["team-a", "berth-system"] {
                let name = format!("{namespace}/x");
                let world = World::new().visibility(&name, &format!("{{visibility: {visibility}{wide}}}"));
                assert_eq!(world.reason(&name), (false, "Invalid"), "{visibility}{wide}");
                assert_eq!(world.axes("team-a/shop"), (Visibility::Private, Access::Enabled));
            }
        }
    }
    let elsewhere = World::new().visibility("team-b/x", "{visibility: Public, repositories: {names: [shop]}}");
    assert_eq!(elsewhere.axes("team-a/shop"), (Visibility::Private, Access::Enabled), "names stay in their namespace");
}

#[test]
fn defaults_of_the_system_namespace_narrow_where_their_selectors_say() {
    let mut world = World::new()
        .repository("team-b/tools", "{}")
        .visibility("team-a/public", "{visibility: Public, repositories: {names: [shop]}}")
        .visibility(
            "berth-system/closed",
            "{visibility: Private, access: MembersOnly, namespaceSelector: {matchLabels: {strict: 'yes'}}}",
        );
    assert_eq!(world.axes("team-a/shop"), (Visibility::Public, Access::Enabled), "no namespace has the label");
    let strict = Namespace {
        labels: BTreeMap::from([("strict".to_owned(), "yes".to_owned())]),
        uid: Some("1234".to_owned()),
        ..Namespace::named("team-a")
    };
    world.0.namespaces.insert("team-a".to_owned(), strict);
    let shop = world.entry("team-a/shop");
    assert_eq!((shop.visibility, shop.access), (Visibility::Private, Access::MembersOnly));
    assert_eq!(shop.decided_by, ["RegistryVisibility/berth-system/closed"]);
    assert_eq!(shop.overruled, ["RegistryVisibility/public"]);
    assert_eq!(shop.namespace_uid.as_deref(), Some("1234"));
    assert_eq!(world.axes("team-b/tools"), (Visibility::Private, Access::Enabled));
    world.0.system_namespace = None;
    assert_eq!(world.reason("berth-system/closed"), (false, "NotInSystemNamespace"));
    assert_eq!(world.axes("team-a/shop"), (Visibility::Public, Access::Enabled));
}

/// Selections from the most to the least specific, each with a policy of that name.
const LADDER: [(&str, &str); 5] = [
    ("team-a/by-path", ", images: {matching: ['team-a/shop(/.+)?']}"),
    ("team-a/by-names", ", repositories: {names: [shop]}"),
    ("team-a/by-selector", ", repositories: {selector: {matchLabels: {tier: prod}}}"),
    ("team-a/namespace", ""),
    ("berth-system/default", ", namespaceSelector: {}"),
];

#[test]
fn the_most_specific_policy_governs() {
    for top in 0..LADDER.len() {
        let world = LADDER[top..].iter().rev().fold(World::new(), |world, (name, fields)| world.policy(name, fields));
        assert_eq!(world.cleans("team-a/shop/api"), LADDER[top].0);
    }
    assert_eq!(World::new().cleans("team-a/shop"), "nobody");
    assert_eq!(World::new().policy("team-b/x", "").cleans("team-a/shop"), "nobody");
}

#[test]
fn policies_of_equal_rank_clean_nothing_where_they_meet() {
    for (name, fields) in LADDER {
        let twin = format!("{name}-twin");
        let world = World::new().policy(name, fields).policy(&twin, fields);
        assert_eq!(world.cleans("team-a/shop"), format!("conflict of {name} and {twin}"));
        for (one, other) in [(name, twin.as_str()), (twin.as_str(), name)] {
            assert_eq!(world.reason(one), (false, "Conflict"));
            assert!(world.outcome(one).message.contains(&format!("CleanupPolicy {other} is")), "{one}");
        }
        assert_eq!(world.entry("team-a/shop").governed_by, None);
    }
}

#[test]
fn policies_by_path_meet_per_image_only() {
    let world = World::new()
        .policy("team-a/api", ", images: {matching: ['team-a/shop/api']}")
        .policy("team-a/web", ", images: {matching: ['team-a/shop/web']}")
        .policy("team-a/rest", "");
    for (image, cleaner) in
        [("team-a/shop/api", "team-a/api"), ("team-a/shop/web", "team-a/web"), ("team-a/shop", "team-a/rest")]
    {
        assert_eq!(world.cleans(image), cleaner);
    }
    assert_eq!(world.reason("team-a/api"), (true, "Accepted"));
    assert_eq!(world.entry("team-a/shop").governed_by.as_deref(), Some("CleanupPolicy/rest"));
}

#[test]
fn a_repository_names_its_policy_with_the_namespace_of_a_default() {
    let world = World::new().policy("berth-system/default", ", namespaceSelector: {}");
    assert_eq!(world.entry("team-a/shop").governed_by.as_deref(), Some("CleanupPolicy/berth-system/default"));
}

#[test]
fn a_refused_tag_pattern_leaves_the_repository_served_and_its_rule_guards_every_tag() {
    let world = World::new().repository(
        "team-a/bad",
        "{tags: [{name: broken, matching: ['^v', '(?=x)'], rule: Protected}, {name: good, matching: ['^r'], rule: Immutable}]}",
    );
    let outcome = world.outcome("team-a/bad");
    assert_eq!((outcome.accepted, outcome.reason.as_str()), (false, "InvalidPattern"));
    assert!(outcome.message.contains("spec.tags[0].matching[1]"), "{}", outcome.message);
    assert!(outcome.message.contains("every tag"), "{}", outcome.message);
    let compiled = Compiled::new(world.document()).unwrap();
    let repository = compiled.repository(&"team-a/bad".parse().unwrap()).unwrap();
    for (tag, immutable) in [("v1", None), ("anything", None), ("r1", Some("good"))] {
        let guard = repository.guard(&tag.parse().unwrap());
        assert_eq!((guard.protected.as_deref(), guard.immutable.as_deref()), (Some("broken"), immutable), "{tag}");
    }
}

#[test]
fn deploy_tokens_without_a_known_hash_are_left_out_and_warned_about() {
    let hash = "ab".repeat(32);
    let spec = format!(
        "{{deployTokens: [{{name: given, scopes: [ReadRegistry], sha256: {hash}, expiresAt: '2027-01-01T00:00:00Z'}}, \
         {{name: made, scopes: [WriteRegistry]}}]}}"
    );
    let mut world = World::new().repository("team-a/edge", &spec);
    let [given] = world.entry("team-a/edge").deploy_tokens.try_into().unwrap();
    assert_eq!((given.name.as_str(), given.id.as_str(), given.sha256.as_str()), ("given", &hash[..16], hash.as_str()));
    assert_eq!(given.expires_at, Some("2027-01-01T00:00:00Z".parse().unwrap()));
    let warnings = world.outcome("team-a/edge").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("\"made\"") && warnings[0].contains("registry deploy-token"), "{warnings:?}");

    let made = |token: Option<&str>, secret: &str, sha256: &str| MadeToken {
        token: token.map(str::to_owned),
        secret: secret.to_owned(),
        sha256: sha256.repeat(32),
        written: true,
        made_at: Time("2026-01-01T00:00:00Z".parse().unwrap()),
        expires_at: None,
    };
    let all = [made(Some("made"), "edge-made", "cd"), made(Some("gone"), "edge-gone", "ef"), made(None, "pull", "aa")];
    world.0.made_tokens.insert("team-a/edge".parse().unwrap(), all.into());
    let names: Vec<String> = world.entry("team-a/edge").deploy_tokens.into_iter().map(|token| token.name).collect();
    assert_eq!(names, ["given", "made"], "what the spec no longer names does not work");
    assert!(world.outcome("team-a/edge").warnings.is_empty());
}

#[test]
fn a_document_survives_being_written_and_read() {
    let document = busy().document();
    assert_eq!(Configuration::from_json_bytes(&document.to_json_bytes()).unwrap(), document);
    assert_eq!(document.revision, busy().document().revision);
    assert_ne!(document.revision, busy().repository("team-b/more", "{}").document().revision);
}

#[test]
fn a_document_that_is_foreign_or_altered_is_refused() {
    let text = String::from_utf8(busy().document().to_json_bytes()).unwrap();
    let read = |from: &str, to: &str| {
        assert!(text.contains(from));
        Configuration::from_json_bytes(text.replace(from, to).as_bytes()).unwrap_err()
    };
    // The version is looked at before anything else of a document whose shape may have changed.
    assert!(matches!(read("{\"version\":1", "{\"new\":0,\"version\":2"), ConfigurationError::Version(2)));
    assert!(matches!(read("{\"version\":1", "{\"new\":0,\"version\":1"), ConfigurationError::Malformed(_)));
    assert!(matches!(read("\"Disabled\"", "\"Enabled\""), ConfigurationError::Altered));
    let revision = &busy().document().revision;
    assert!(matches!(read(revision, &"0".repeat(64)), ConfigurationError::Altered));
    assert!(matches!(Configuration::from_json_bytes(b"{"), Err(ConfigurationError::Malformed(_))));
}

#[test]
fn compiled_answers_by_name() {
    let compiled = Compiled::new(busy().document()).unwrap();
    let site = compiled.repository(&"team-b/tools".parse().unwrap()).unwrap();
    assert_eq!(site.name.as_str(), "team-b/tools");
    assert_eq!((site.site().visibility, site.site().access), (Visibility::Private, Access::Disabled));
    assert_eq!(site.guard(&"v1".parse().unwrap()).immutable.as_deref(), Some("releases"));
    assert!(compiled.repository(&"team-b/none".parse().unwrap()).is_none());
    let names: Vec<&str> = compiled.policies().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["berth-system/default", "team-a/one", "team-a/other", "team-a/shop"]);
    assert_eq!(compiled.policy("team-a/one").unwrap().name, "team-a/one");
    assert!(compiled.policy("one").is_none());
}

#[test]
fn a_document_with_a_pattern_that_cannot_be_used_is_refused_with_its_place() {
    let mut document = busy().document();
    let tools = document.repositories.get_mut(&"team-b/tools".parse().unwrap()).unwrap();
    tools.tags[0].matching = vec!["(?=v)".to_owned()];
    let problems = Compiled::new(document).unwrap_err();
    assert_eq!(problems[0].path, "repositories.team-b/tools.spec.tags[0].matching[0]");
}

#[test]
fn the_write_of_a_status_makes_no_other_document() {
    let mut objects = World::new().visibility("team-a/internal", "{visibility: Private}");
    let before = objects.document();
    objects.0.repositories[0].metadata.resource_version = Some("10".to_owned());
    objects.0.visibilities[0].metadata.resource_version = Some("11".to_owned());
    assert_eq!(objects.document().to_json_bytes(), before.to_json_bytes());
}
