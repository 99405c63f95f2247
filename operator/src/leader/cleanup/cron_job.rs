//! The CronJob of a policy: a pure function of the policy and of this installation's settings.
//!
//! It lives in the system namespace, because whoever can create Pods beside it could use its ServiceAccount. Its Jobs are
//! created suspended, and resumed by [`decision`](super::decision): that bounds how many run, and makes `14d` exact.

use std::collections::BTreeMap;

use berth_crds::access::CLEANUP_NAME;
use berth_crds::kinds::CleanupPolicy;
use berth_crds::schedule::Slots;
use k8s_openapi::api::batch::v1::{
    CronJob, CronJobSpec, JobSpec, JobTemplateSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::index::Key;

/// Labels that say whose a CronJob, Job or Pod is. Names of both fit a label's 63 characters.
pub(super) const POLICY_NAMESPACE: &str = "berth.dev/policy-namespace";
pub(super) const POLICY_NAME: &str = "berth.dev/policy-name";
/// Annotation with `<namespace>/<name>`, for people.
pub(super) const POLICY: &str = "berth.dev/policy";
/// Label by which Kubernetes gives a Job's Pods the Job's UID.
pub(super) const JOB_UID: &str = "batch.kubernetes.io/controller-uid";
/// The one container.
pub(super) const CONTAINER: &str = "registry";

/// A start missed by more than this many seconds is not made up for.
const STARTING_DEADLINE: i64 = 3600;
/// Seconds beyond the policy's own timeout, which counts deletions only: for planning, for starting a container, and for
/// the attempts after a failure.
const GRACE: u64 = 1800;
/// Attempts after the first; every one continues the same run.
const RETRIES: i32 = 2;
/// Seconds for which a token is valid: the shortest that Kubernetes gives.
const TOKEN_LIFE: i64 = 600;
const TOKEN_FOLDER: &str = "/var/run/secrets/berth.dev";
const TOKEN_FILE: &str = "token";
/// Exit codes after which a retry is useless: not permitted, and invalid (DESIGN §7).
const FINAL_EXIT_CODES: [i32; 2] = [77, 78];

/// Name of a policy's CronJob. Kubernetes allows 52 characters, and appends to it for Jobs.
pub(super) fn name(policy: &Key) -> String {
    format!("cleanup-{}", short_hash(&format!("{}/{}", policy.namespace, policy.name)))
}

/// 16 hexadecimal digits: the same in every release, so that nothing is made twice.
pub(super) fn short_hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..8])
}

/// The policy that an object of ours belongs to.
pub(super) fn policy_of(object: &impl kube::Resource) -> Option<Key> {
    let label = |name| object.labels().get(name).cloned();
    Some(Key { namespace: label(POLICY_NAMESPACE)?, name: label(POLICY_NAME)? })
}

/// The CronJob that an accepted policy should have.
pub(super) fn cron_job(policy: &CleanupPolicy, slots: &Slots, settings: &Settings) -> CronJob {
    let key = Key::of(policy);
    let metadata = |name: Option<String>| ObjectMeta {
        name,
        labels: Some(labels(&key)),
        annotations: Some(BTreeMap::from([(POLICY.to_owned(), format!("{}/{}", key.namespace, key.name))])),
        ..ObjectMeta::default()
    };
    let spec = CronJobSpec {
        schedule: slots.cron().to_owned(),
        time_zone: Some(slots.time_zone().to_owned()),
        suspend: Some(policy.spec.suspend),
        concurrency_policy: Some("Forbid".to_owned()),
        starting_deadline_seconds: Some(STARTING_DEADLINE),
        successful_jobs_history_limit: Some(1),
        failed_jobs_history_limit: Some(3),
        job_template: JobTemplateSpec {
            metadata: Some(metadata(None)),
            spec: Some(JobSpec {
                suspend: Some(true),
                backoff_limit: Some(RETRIES),
                active_deadline_seconds: Some(deadline(policy)),
                pod_failure_policy: Some(failure_policy()),
                template: PodTemplateSpec { metadata: Some(metadata(None)), spec: Some(pod(policy, &key, settings)) },
                ..JobSpec::default()
            }),
        },
    };
    let metadata = ObjectMeta { namespace: Some(settings.namespace.clone()), ..metadata(Some(name(&key))) };
    CronJob { metadata, spec: Some(spec), status: None }
}

/// Not the label that the registry's Service selects by: a Job's Pod is no replica.
fn labels(policy: &Key) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/component".to_owned(), "cleanup".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "berth-operator".to_owned()),
        (POLICY_NAMESPACE.to_owned(), policy.namespace.clone()),
        (POLICY_NAME.to_owned(), policy.name.clone()),
    ])
}

/// Seconds; bounded, because Kubernetes counts them in nanoseconds of 64 bits.
fn deadline(policy: &CleanupPolicy) -> i64 {
    let seconds = policy.spec.limits.timeout.as_secs().saturating_add(GRACE);
    i32::try_from(seconds).unwrap_or(i32::MAX).into()
}

fn failure_policy() -> PodFailurePolicy {
    let useless = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: FINAL_EXIT_CODES.to_vec(),
        }),
        on_pod_conditions: None,
    };
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
    };
    PodFailurePolicy { rules: vec![useless, disrupted] }
}

fn pod(policy: &CleanupPolicy, key: &Key, settings: &Settings) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(CLEANUP_NAME.to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(policy, key, settings)],
        volumes: Some(vec![Volume {
            name: TOKEN_FILE.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(vec![VolumeProjection {
                    service_account_token: Some(ServiceAccountTokenProjection {
                        audience: Some(settings.audience.clone()),
                        expiration_seconds: Some(TOKEN_LIFE),
                        path: TOKEN_FILE.to_owned(),
                    }),
                    ..VolumeProjection::default()
                }]),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn container(policy: &CleanupPolicy, key: &Key, settings: &Settings) -> Container {
    let mut arguments = vec![
        "cleanup".to_owned(),
        format!("--policy={}/{}", key.namespace, key.name),
        format!("--registry={}", settings.registry),
        format!("--token-file={TOKEN_FOLDER}/{TOKEN_FILE}"),
        // Every Pod of one Job continues the same run.
        "--run-id=$(RUN_ID)".to_owned(),
    ];
    arguments.extend(policy.metadata.generation.map(|generation| format!("--minimum-revision={generation}")));
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        command: Some(vec!["registry".to_owned()]),
        args: Some(arguments),
        env: Some(vec![EnvVar {
            name: "RUN_ID".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.labels['{JOB_UID}']"),
                    ..ObjectFieldSelector::default()
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        // It watches: the registry works.
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity("10m".to_owned())),
                ("memory".to_owned(), Quantity("32Mi".to_owned())),
            ])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: TOKEN_FILE.to_owned(),
            mount_path: TOKEN_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}
