//! `/api/v1`: what the command line asks beyond the Distribution API. Answers are JSON; a run is answered by one JSON
//! line for every step it takes.
//!
//! | Endpoint | Right |
//! |---|---|
//! | `POST policies/{namespace}/{name}/runs` starts or continues a run | `create` on `cleanuppolicies/runs` |
//! | `POST plans` executes a saved plan | per image `delete`, or `deletecollection` for several tags |
//! | `GET runs/{id}`, `GET runs/{id}/plan` | as starting the run |
//! | `GET images`, `GET repositories` | shows what the caller may list |
//! | `GET tags?image=` | pull |
//! | `GET status` | repositories: list; policies and visibilities: running policies of the namespace |

mod answers;
mod listings;
mod runs;
pub mod wire;

use axum::Router;
use axum::routing::{get, post};

use crate::cleanup::{Runs, Status};
use crate::http::Api;

/// What the routes have at hand beyond [`Api`].
#[derive(Clone, Debug)]
pub struct Rest {
    pub api: Api,
    pub runs: Runs,
    pub status: Status,
}

/// The routes below `/api/v1`.
pub fn router(rest: Rest) -> Router {
    Router::new()
        .route("/api/v1/policies/{namespace}/{name}/runs", post(runs::start))
        .route("/api/v1/plans", post(runs::execute))
        .route("/api/v1/runs/{run}", get(runs::state))
        .route("/api/v1/runs/{run}/plan", get(runs::plan))
        .route("/api/v1/images", get(listings::images))
        .route("/api/v1/tags", get(listings::tags))
        .route("/api/v1/repositories", get(listings::repositories))
        .route("/api/v1/status", get(listings::status))
        .with_state(rest)
}
