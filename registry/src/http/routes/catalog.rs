//! `GET /v2/_catalog`: the images that the caller may list.

use axum::response::Response;
use http::header::LINK;
use http::request::Parts;
use serde_json::json;

use crate::http::api::{self, Api};
use crate::http::error::Problem;
use crate::http::page::{self, PageRequest};
use crate::http::query::Query;

/// Most images of one page.
const PAGE: usize = 1000;

/// Images in path order, those out of the caller's sight left out.
pub(in crate::http) async fn get(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let caller = api.access.authorize_listing(parts).await?;
    api::identified(parts, &caller);
    let wanted = PageRequest::parse(&Query::parse(parts.uri.query()), PAGE)?;
    let mut images: Vec<String> = Vec::new();
    let mut position = wanted.last.clone();
    let mut more = wanted.limit > 0;
    while more && images.len() < wanted.limit {
        let found = api.storage.images(position.as_deref(), PAGE).await?;
        more = found.more;
        for image in found.items {
            if images.len() == wanted.limit {
                // One more is there; whether the caller may see it is for the next page.
                more = true;
                break;
            }
            position = Some(image.to_string());
            if api.access.listable(&caller, &image).await? {
                images.push(image.to_string());
            }
        }
    }
    let link = images
        .last()
        .filter(|_| more)
        .and_then(|last| page::next_link("/v2/_catalog", &[("last", last), ("n", &wanted.limit.to_string())]));
    let mut response = api::json("application/json", &json!({ "repositories": images }));
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}
