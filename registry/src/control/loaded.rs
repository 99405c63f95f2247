//! `GET /v1/loaded?after=<state>`: which configuration is in force, told when it is another one than `after`.

use axum::Json;
use axum::extract::{Query, State};
use berth_crds::wire::control::{LONGEST_WAIT, Loaded};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::Control;
use crate::configuration::Status;

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    after: Option<String>,
}

pub(super) async fn get(State(control): State<Control>, Query(question): Query<Question>) -> Json<Loaded> {
    let mut changes = control.api.configuration.changes();
    let news = changes.wait_for(|status| question.after.as_deref() != Some(state(status).as_str()));
    // Who goes on waiting for a registry that is told to stop would keep it from stopping.
    let waited = control.stop.run_until_cancelled(timeout(LONGEST_WAIT, news)).await;
    drop(waited);
    Json(loaded(&control.api.configuration.status()))
}

fn loaded(status: &Status) -> Loaded {
    Loaded { state: state(status), revision: status.revision.clone(), problems: status.problems.clone() }
}

/// The revision, and while a newer document cannot be used also what is wrong, in a form that fits a query.
fn state(status: &Status) -> String {
    if status.problems.is_empty() {
        return status.revision.clone();
    }
    let mut hash = Sha256::new();
    for problem in &status.problems {
        hash.update(problem);
        hash.update([0]);
    }
    format!("{}-{}", status.revision, &data_encoding::HEXLOWER.encode(&hash.finalize())[..16])
}
