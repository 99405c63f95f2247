//! A small registry to start with.

use serde_json::json;

use super::{Sample, file, meta, texts};
use crate::kinds::{
    Access, Cadence, CleanupPolicy, CleanupPolicySpec, ContainerRepository, ContainerRepositorySpec, InUse, Keep,
    Limits, Protection, RegistryVisibility, RegistryVisibilitySpec, Remove, RepositorySelection, Schedule, TagRule,
    Visibility,
};
use crate::quantity::Quantity;
use crate::schema;

pub(super) fn files() -> Vec<(String, String)> {
    let introductions = [
        "Two teams. In a cluster `kubectl create namespace` does the same; a registry that reads a directory learns the labels of namespaces from here.",
        "Where images may be pushed. Each object is one path, <namespace>/<name>; images live at it and up to two levels below it.",
        "Who may see what without being a member. A repository that nothing here names is private.",
        "Which tags go, and when.",
    ];
    let files = samples().into_iter().zip(introductions);
    files.map(|((path, samples), introduction)| file(path, introduction, &samples, None)).collect()
}

pub(super) fn samples() -> Vec<(&'static str, Vec<Sample>)> {
    vec![
        ("quickstart/namespaces", vec![namespace("team-a"), namespace("team-b")]),
        (
            "quickstart/repositories",
            vec![
                repository(
                    "Private, because no RegistryVisibility says otherwise. Releases cannot be overwritten or deleted by anybody.",
                    "team-a",
                    "shop",
                    ContainerRepositorySpec {
                        tags: vec![TagRule {
                            name: "releases".to_owned(),
                            matching: texts(&["^v[0-9]"]),
                            rule: Protection::Immutable,
                        }],
                        quota: Some(Quantity::from_bytes(50 << 30)),
                        ..ContainerRepositorySpec::default()
                    },
                ),
                repository("Public: see visibility.yaml.", "team-a", "website", ContainerRepositorySpec::default()),
                repository("Internal: see visibility.yaml.", "team-b", "tools", ContainerRepositorySpec::default()),
            ],
        ),
        (
            "quickstart/visibility",
            vec![
                visibility(
                    "Everybody may pull the website, also without signing in.",
                    "team-a",
                    "website",
                    Visibility::Public,
                ),
                visibility("Everybody who is signed in may pull the tools.", "team-b", "tools", Visibility::Internal),
            ],
        ),
        ("quickstart/cleanup", vec![nightly()]),
    ]
}

fn namespace(name: &str) -> Sample {
    Sample::new("", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

fn repository(comment: &'static str, namespace: &str, name: &str, spec: ContainerRepositorySpec) -> Sample {
    let object = ContainerRepository { metadata: meta(namespace, name, &[]), spec, status: None };
    Sample::trimmed(comment, schema::REPOSITORY, &object)
}

fn visibility(comment: &'static str, namespace: &str, repository: &str, visibility: Visibility) -> Sample {
    let spec = RegistryVisibilitySpec {
        repositories: Some(RepositorySelection { names: Some(texts(&[repository])), selector: None }),
        namespace_selector: None,
        visibility,
        access: Access::Enabled,
    };
    let name = format!("{repository}-{}", if visibility == Visibility::Public { "public" } else { "internal" });
    let object = RegistryVisibility { metadata: meta(namespace, &name, &[]), spec, status: None };
    Sample::trimmed(comment, schema::VISIBILITY, &object)
}

fn nightly() -> Sample {
    let spec = CleanupPolicySpec {
        repositories: Some(RepositorySelection { names: Some(texts(&["shop"])), selector: None }),
        namespace_selector: None,
        images: None,
        schedule: Schedule { cadence: Some(Cadence::Daily), cron: None, time_zone: "Etc/UTC".to_owned() },
        keep: Keep { most_recent: Some(3), tags_matching: texts(&["main"]), in_use: InUse::Required },
        remove: Remove { tags_matching: texts(&[".*"]), older_than: None },
        limits: Limits::default(),
        allow_unbounded: false,
        dry_run: false,
        suspend: false,
    };
    let object = CleanupPolicy { metadata: meta("team-a", "nightly", &[]), spec, status: None };
    let comment = "Every night, of each image of team-a/shop, all tags go but the three most recent, main, latest, the \
                   releases that are immutable, and whatever a workload uses.";
    Sample::trimmed(comment, schema::POLICY, &object)
}
