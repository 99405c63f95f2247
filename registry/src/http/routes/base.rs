//! `GET /v2/`: is this a registry, and am I logged in (distribution-spec end-1)?

use axum::response::Response;
use http::request::Parts;
use serde_json::json;

use crate::http::api::{self, Api};
use crate::http::error::Problem;

/// 200 for any valid credential; without one always a challenge (protocol rule R1).
pub(in crate::http) async fn get(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let caller = api.access.authorize_ping(parts).await?;
    api::identified(parts, &caller);
    Ok(api::json("application/json", &json!({})))
}
