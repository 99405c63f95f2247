//! `GET /v1/runs/<id>`: what became of a cleanup run.

use axum::Json;
use axum::extract::{Path, State};
use berth_crds::wire::control::Run;
use http::StatusCode;

use super::Control;
use super::answers::Refusal;
use crate::cleanup::RunId;

pub(super) async fn get(State(control): State<Control>, Path(run): Path<String>) -> Result<Json<Run>, Refusal> {
    let run: RunId = run.parse().map_err(|error| Refusal::invalid(format!("{error}")))?;
    let Some(state) = control.runs.state(&run).await? else {
        let message = format!("there is no run {run}: nobody started it, or it is forgotten");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    };
    Ok(Json(Run {
        policy: state.policy.as_str().to_owned(),
        report: state.report,
        failure: state.failure.map(|failure| failure.message),
    }))
}
