//! One file per kind that shows every field with its description.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Sample, file, meta, texts};
use crate::duration::Span;
use crate::kinds::{
    Access, Cadence, CleanupPolicy, CleanupPolicySpec, ContainerRepository, ContainerRepositorySpec, DeletionPolicy,
    DeployToken, ImageSelection, InUse, Indexes, Keep, LabelExpression, LabelOperator, LabelSelector, Limits,
    Protection, PullSecret, RegistryVisibility, RegistryVisibilitySpec, Remove, RepositorySelection, Schedule, Scope,
    TagRule, Visibility,
};
use crate::quantity::Quantity;
use crate::schema;

pub(super) fn files() -> Vec<(String, String)> {
    let introduction = "Every field of the kind, with its description. Most of them are optional.";
    let documents = schema::documents();
    let files = samples().into_iter().zip(&documents);
    files
        .map(|((path, samples), document)| {
            let schema = &document["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            file(path, introduction, &samples, Some(schema))
        })
        .collect()
}

/// In the order of [`schema::documents`].
pub(super) fn samples() -> Vec<(&'static str, Vec<Sample>)> {
    vec![
        ("containerrepository", vec![Sample::new("", &repository())]),
        (
            "registryvisibility",
            vec![
                Sample::new("For repositories by name.", &visibility_of_names()),
                Sample::new("For repositories by label, as a default for other namespaces.", &default_visibility()),
            ],
        ),
        (
            "cleanuppolicy",
            vec![
                Sample::new("For repositories by label, at a cadence.", &policy_by_label()),
                Sample::new("For repositories by name, at fixed times.", &policy_by_name()),
            ],
        ),
    ]
}

fn repository() -> ContainerRepository {
    let spec = ContainerRepositorySpec {
        tags: vec![
            TagRule { name: "releases".to_owned(), matching: texts(&["^v[0-9]"]), rule: Protection::Immutable },
            TagRule {
                name: "branches".to_owned(),
                matching: texts(&["^main$", "^stable-"]),
                rule: Protection::Protected,
            },
        ],
        quota: Some(Quantity::from_bytes(50 << 30)),
        indexes: Indexes::Lenient,
        undo_window: Some(Span::days(1)),
        deploy_tokens: vec![
            DeployToken {
                name: "edge".to_owned(),
                scopes: vec![Scope::ReadRegistry],
                // The first second of 2027.
                expires_at: Timestamp::from_second(1_798_761_600).ok().map(Time),
                sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
            },
            DeployToken {
                name: "build".to_owned(),
                scopes: vec![Scope::WriteRegistry],
                expires_at: None,
                sha256: None,
            },
        ],
        pull_secret: Some(PullSecret { name: "shop-pull".to_owned() }),
        deletion_policy: DeletionPolicy::Retain,
        adopt: false,
    };
    ContainerRepository { metadata: meta("team-a", "shop", &[("tier", "prod")]), spec, status: None }
}

fn visibility_of_names() -> RegistryVisibility {
    let spec = RegistryVisibilitySpec {
        repositories: Some(names(&["shop", "website"])),
        namespace_selector: None,
        visibility: Visibility::Internal,
        access: Access::Enabled,
    };
    RegistryVisibility { metadata: meta("team-a", "internal", &[]), spec, status: None }
}

fn default_visibility() -> RegistryVisibility {
    let spec = RegistryVisibilitySpec {
        repositories: Some(production()),
        namespace_selector: Some(labels(&[("team", "payments")], Some(not_in_sandboxes()))),
        visibility: Visibility::Private,
        access: Access::MembersOnly,
    };
    RegistryVisibility { metadata: meta("berth-system", "payments-private", &[]), spec, status: None }
}

fn policy_by_label() -> CleanupPolicy {
    let spec = CleanupPolicySpec {
        repositories: Some(production()),
        namespace_selector: Some(labels(&[("team", "payments")], Some(not_in_sandboxes()))),
        images: None,
        schedule: Schedule { cadence: Some(Cadence::Weekly), cron: None, time_zone: "Etc/UTC".to_owned() },
        keep: Keep { most_recent: Some(10), tags_matching: texts(&["v.+", "main"]), in_use: InUse::Required },
        remove: Remove { tags_matching: texts(&[".*"]), older_than: Some(Span::days(90)) },
        limits: Limits::default(),
        allow_unbounded: false,
        dry_run: false,
        suspend: false,
    };
    CleanupPolicy { metadata: meta("berth-system", "payments-weekly", &[]), spec, status: None }
}

fn policy_by_name() -> CleanupPolicy {
    let spec = CleanupPolicySpec {
        repositories: Some(names(&["shop"])),
        namespace_selector: None,
        images: Some(ImageSelection { matching: texts(&["team-a/shop/.+"]) }),
        schedule: Schedule {
            cadence: None,
            cron: Some("30 2 * * MON-FRI".to_owned()),
            time_zone: "Europe/Berlin".to_owned(),
        },
        ..policy_by_label().spec
    };
    CleanupPolicy { metadata: meta("team-a", "weekdays", &[]), spec, status: None }
}

fn names(names: &[&str]) -> RepositorySelection {
    RepositorySelection { names: Some(texts(names)), selector: None }
}

fn production() -> RepositorySelection {
    let tier = LabelExpression {
        key: "tier".to_owned(),
        operator: LabelOperator::In,
        values: Some(texts(&["prod", "staging"])),
    };
    RepositorySelection { names: None, selector: Some(labels(&[("keep", "short")], Some(tier))) }
}

fn not_in_sandboxes() -> LabelExpression {
    LabelExpression {
        key: "example.com/stage".to_owned(),
        operator: LabelOperator::NotIn,
        values: Some(texts(&["sandbox"])),
    }
}

fn labels(match_labels: &[(&str, &str)], expression: Option<LabelExpression>) -> LabelSelector {
    let labels: BTreeMap<_, _> =
        match_labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LabelSelector { match_labels: Some(labels), match_expressions: expression.map(|expression| vec![expression]) }
}
