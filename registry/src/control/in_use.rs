//! `PUT /v1/in-use`: what the workloads of a cluster use, into the bucket.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use berth_crds::wire::control::InUse;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::Control;
use super::answers::Refusal;
use crate::cleanup::{ClusterName, record_in_use};

/// Longest record, in bytes: some hundred thousand references.
pub(super) const LIMIT: usize = 32 * 1024 * 1024;
/// How far the clock of the operator's machine may be ahead of ours. A record from further ahead would count as fresh
/// for longer than an hour, and keep the next leader's records out.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

pub(super) async fn put(
    State(control): State<Control>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let InUse { cluster, recorded_at, references } = serde_json::from_slice(&body?)
        .map_err(|error| Refusal::invalid(format!("the body is no in-use record: {error}")))?;
    let cluster: ClusterName = cluster.parse().map_err(|error| Refusal::invalid(format!("{error}")))?;
    if recorded_at.duration_since(Timestamp::now()) > AHEAD {
        return Err(Refusal::invalid(format!(
            "the record is from {recorded_at}, which is in the future here: set the clocks of the machines by NTP"
        )));
    }
    let storage = control.api.storage.clone();
    let recording = async move { record_in_use(storage.store().as_ref(), &cluster, recorded_at, references).await };
    match control.api.to_the_end(recording).await?? {
        None => Ok(StatusCode::NO_CONTENT),
        Some(newer) => Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("the bucket has a record of this cluster from {newer}: another leader has written it"),
        )),
    }
}
