//! `GET /v2/_catalog`: the images that the caller may list.

use std::collections::BTreeMap;

use axum::response::Response;
use berth_crds::name::{ImageName, RepositoryName};
use futures::future::try_join_all;
use http::header::LINK;
use http::request::Parts;
use serde_json::json;

use crate::auth::Caller;
use crate::http::api::{self, Api};
use crate::http::error::Problem;
use crate::http::page::{self, PageRequest};
use crate::http::query::Query;

/// Most images of one page.
const PAGE: usize = 1000;
/// Images whose visibility is decided at once: each may be a question to the identity service.
const DECISIONS: usize = 16;

/// Images in path order, those out of the caller's sight left out.
pub(in crate::http) async fn get(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let caller = api.access.authorize_listing(parts).await?;
    api::identified(parts, &caller);
    let wanted = PageRequest::parse(&Query::parse(parts.uri.query()), PAGE)?;
    let mut images: Vec<String> = Vec::new();
    let mut position = wanted.last.clone();
    let mut more = wanted.limit > 0;
    // Images of one repository are seen by the same people: one decision for all of them.
    let mut decided: BTreeMap<RepositoryName, bool> = BTreeMap::new();
    while more && images.len() < wanted.limit {
        let found = api.storage.images(position.as_deref(), PAGE).await?;
        more = found.more;
        position = found.items.last().map(ToString::to_string).or(position);
        for few in found.items.chunks(DECISIONS) {
            if images.len() == wanted.limit {
                // More are there; whether the caller may see them is for the next page.
                more = true;
                break;
            }
            decide(api, &caller, few, &mut decided).await?;
            let mut seen = few.iter().filter(|image| decided.get(image.repository()) == Some(&true));
            let room = wanted.limit - images.len();
            images.extend(seen.by_ref().take(room).map(ToString::to_string));
            more |= seen.next().is_some();
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

/// Decides side by side about the repositories of some images, as far as that was not done before.
async fn decide(
    api: &Api,
    caller: &Caller,
    images: &[ImageName],
    decided: &mut BTreeMap<RepositoryName, bool>,
) -> Result<(), Problem> {
    let open: BTreeMap<&RepositoryName, &ImageName> = images
        .iter()
        .map(|image| (image.repository(), image))
        .filter(|(repository, _)| !decided.contains_key(*repository))
        .collect();
    let answers = open.into_iter().map(async |(repository, image)| {
        Ok::<_, Problem>((repository.clone(), api.access.listable(caller, image).await?))
    });
    decided.extend(try_join_all(answers).await?);
    Ok(())
}
