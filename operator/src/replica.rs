//! This replica's own Lease: it says what the registry beside us acts on, so that a leader can call something enforced.
//!
//! Written when that changes, and every [`RENEWAL`] for whoever looks at ages. It is the one thing that a follower writes.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::configuration::Loaded;
use crate::deadline::within;
use crate::index::Watermark;

/// How often the Lease is renewed without news.
pub(crate) const RENEWAL: Duration = Duration::from_secs(10);
/// Label of every replica's Lease.
pub(crate) const LABEL: &str = "berth.dev/replica";
/// Annotation with the [`Watermark`] that the registry has loaded, as JSON; absent before it has loaded any.
pub(crate) const LOADED: &str = "berth.dev/loaded";
/// Until a write is tried again.
const AGAIN: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Name of a pod's Lease.
pub(crate) fn lease_name(pod: &str) -> String {
    format!("berth-replica-{pod}")
}

/// Keeps the Lease until told to stop.
pub(crate) async fn keep(
    client: Client,
    namespace: String,
    pod: String,
    mut loaded: watch::Receiver<Option<Loaded>>,
    stop: CancellationToken,
) {
    let leases: Api<Lease> = Api::namespaced(client, &namespace);
    let keeping = async {
        let mut held: Option<Lease> = None;
        loop {
            let told = *loaded.borrow_and_update();
            let wait = match write(&leases, &pod, held.take(), told.map(|told| told.watermark)).await {
                Ok(written) => {
                    held = Some(written);
                    RENEWAL
                }
                Err(error) => {
                    tracing::warn!(%error, "the Lease of this replica cannot be written");
                    AGAIN
                }
            };
            // Not at once, unless it is news: whether the time passed or something was loaded makes no difference.
            let _ = tokio::time::timeout(wait, loads_another(&mut loaded, told)).await;
        }
    };
    stop.run_until_cancelled(keeping).await;
}

/// Waits until the registry has loaded what was compiled from other objects. Every status that is written moves the
/// watermark a little; that can wait for the next renewal.
async fn loads_another(loaded: &mut watch::Receiver<Option<Loaded>>, told: Option<Loaded>) {
    let compiled_at = |loaded: &Option<Loaded>| loaded.map(|loaded| loaded.compiled_at);
    if loaded.wait_for(|now| compiled_at(now) != compiled_at(&told)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Writes the whole Lease: `replace` with the resourceVersion of what was there, so that nobody's write is lost unseen.
async fn write(
    leases: &Api<Lease>,
    pod: &str,
    held: Option<Lease>,
    loaded: Option<Watermark>,
) -> Result<Lease, kube::Error> {
    let name = lease_name(pod);
    let writing = async {
        let before = match held {
            Some(held) => Some(held),
            None => leases.get_opt(&name).await?,
        };
        let wanted = lease(&name, pod, before.as_ref(), loaded, Timestamp::now());
        match before {
            Some(_) => leases.replace(&name, &PostParams::default(), &wanted).await,
            None => leases.create(&PostParams::default(), &wanted).await,
        }
    };
    within(TIMEOUT, writing).await
}

fn lease(name: &str, pod: &str, before: Option<&Lease>, loaded: Option<Watermark>, now: Timestamp) -> Lease {
    let mut lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: before.and_then(kube::ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(pod.to_owned()),
            lease_duration_seconds: Some(i32::try_from(3 * RENEWAL.as_secs()).unwrap_or(i32::MAX)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    };
    lease.labels_mut().insert(LABEL.to_owned(), "true".to_owned());
    if let Some(loaded) = loaded {
        lease.annotations_mut().insert(LOADED.to_owned(), loaded.to_string());
    }
    lease
}
