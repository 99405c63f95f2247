//! Holding the leader's Lease, with `replace` alone: of two that write at once one gets a conflict.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::claim::{ABANDON, Claim, DURATION, RENEWAL, Sight, TIMEOUT};

/// Name of the Lease.
const NAME: &str = "berth-leader";

/// Tries to lead until told to stop; `leads` says whether it does. Gives the Lease back at the end, so that nobody has
/// to wait for it to run out.
pub(super) async fn run(
    client: Client,
    namespace: &str,
    me: &str,
    leads: &watch::Sender<bool>,
    stop: &CancellationToken,
) {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let mut sight = Sight::default();
    let mut looked = Instant::now();
    let mut renewed = Instant::now();
    loop {
        let passed = looked.elapsed();
        looked = Instant::now();
        let began = Instant::now();
        match tokio::time::timeout(TIMEOUT, attempt(&leases, me, &mut sight, passed)).await {
            Ok(Ok(true)) => {
                // From before the request: whoever watches counts from when it saw the write.
                renewed = began;
                set(leads, true, me);
            }
            Ok(Ok(false)) => set(leads, false, me),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease of the leader cannot be renewed or looked at"),
            Err(_) => tracing::warn!("the Lease of the leader cannot be renewed or looked at in time"),
        }
        if *leads.borrow() && renewed.elapsed() >= ABANDON {
            set(leads, false, me);
        }
        if stop.run_until_cancelled(tokio::time::sleep(RENEWAL)).await.is_none() {
            break;
        }
    }
    if leads.send_replace(false) {
        let _ = tokio::time::timeout(TIMEOUT, give_back(&leases, me)).await;
    }
}

fn set(leads: &watch::Sender<bool>, now: bool, me: &str) {
    leads.send_if_modified(|before| {
        let changed = *before != now;
        if changed {
            tracing::info!(leader = now, replica = me, "leadership changed");
        }
        *before = now;
        changed
    });
}

/// Whether the Lease is ours now.
async fn attempt(leases: &Api<Lease>, me: &str, sight: &mut Sight, passed: Duration) -> Result<bool, kube::Error> {
    let Some(lease) = leases.get_opt(NAME).await? else {
        return settled(leases.create(&PostParams::default(), &held(None, me)).await);
    };
    sight.look(&lease, passed);
    match sight.claim(&lease, me) {
        Claim::Wait => Ok(false),
        Claim::Take => settled(leases.replace(NAME, &PostParams::default(), &held(Some(&lease), me)).await),
    }
}

/// A conflict means that somebody else was faster.
fn settled(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

fn held(before: Option<&Lease>, me: &str) -> Lease {
    let old = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let ours = old.holder_identity.as_deref() == Some(me);
    let now = MicroTime(Timestamp::now());
    Lease {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            resource_version: before.and_then(Lease::resource_version),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if ours { old.acquire_time } else { Some(now.clone()) },
            lease_transitions: Some(old.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours))),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}

async fn give_back(leases: &Api<Lease>, me: &str) -> Result<(), kube::Error> {
    let Some(mut lease) = leases.get_opt(NAME).await? else { return Ok(()) };
    let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(me)) else {
        return Ok(());
    };
    spec.holder_identity = None;
    leases.replace(NAME, &PostParams::default(), &lease).await.map(drop)
}
