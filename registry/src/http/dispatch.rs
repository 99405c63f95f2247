//! From a request below `/v2/` to the handler of its endpoint.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::Method;

use super::api::{Api, Asked};
use super::error::Problem;
use super::path::{self, Target};
use super::routes::{base, blobs, catalog, manifests, referrers, tags, uploads};

/// Answers everything that no other route does.
pub(super) async fn dispatch(State(api): State<Api>, request: Request) -> Response {
    let Some(target) = path::parse(request.uri().path()) else { return Problem::no_endpoint().into_response() };
    handle(&api, target, request).await.unwrap_or_else(|problem| problem.into_response())
}

async fn handle(api: &Api, target: Target, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    match target {
        Target::Base => match method {
            Method::GET | Method::HEAD => base::get(api, &parts).await,
            _ => Err(Problem::method(&method, "GET, HEAD")),
        },
        Target::Catalog => match method {
            Method::GET | Method::HEAD => catalog::get(api, &parts).await,
            _ => Err(Problem::method(&method, "GET, HEAD")),
        },
        Target::Tags { name } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::GET | Method::HEAD => tags::get(api, &asked).await,
                _ => Err(Problem::method(&method, "GET, HEAD")),
            }
        }
        Target::Referrers { name, digest } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::GET | Method::HEAD => referrers::get(api, &asked, &digest).await,
                _ => Err(Problem::method(&method, "GET, HEAD")),
            }
        }
        Target::Manifest { name, reference } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::GET => manifests::get(api, &asked, &reference).await,
                Method::HEAD => manifests::head(api, &asked, &reference).await,
                Method::PUT => manifests::push(api, &asked, &reference, body).await,
                Method::DELETE => manifests::delete(api, &asked, &reference).await,
                _ => Err(Problem::method(&method, "GET, HEAD, PUT, DELETE")),
            }
        }
        Target::Blob { name, digest } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::GET => blobs::get(api, &asked, &digest).await,
                Method::HEAD => blobs::head(api, &asked, &digest).await,
                Method::DELETE => blobs::delete(api, &asked, &digest).await,
                _ => Err(Problem::method(&method, "GET, HEAD, DELETE")),
            }
        }
        Target::Uploads { name } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::POST => uploads::begin(api, &asked, body).await,
                _ => Err(Problem::method(&method, "POST")),
            }
        }
        Target::Upload { name, session } => {
            let asked = Asked::new(parts, &name)?;
            match method {
                Method::PATCH => uploads::append(api, &asked, &session, body).await,
                Method::PUT => uploads::finish(api, &asked, &session, body).await,
                Method::GET | Method::HEAD => uploads::status(api, &asked, &session).await,
                Method::DELETE => uploads::cancel(api, &asked, &session).await,
                _ => Err(Problem::method(&method, "PATCH, PUT, GET, HEAD, DELETE")),
            }
        }
    }
}
