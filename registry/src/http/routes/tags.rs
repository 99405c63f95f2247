//! `GET /v2/<name>/tags/list` (distribution-spec end-8).

use axum::response::Response;
use berth_crds::access::Action;
use http::header::LINK;
use serde_json::json;

use crate::http::api::{self, Api, Asked};
use crate::http::error::Problem;
use crate::http::page::{self, PageRequest};

/// Most tags of one page: with tags of full length it stays below the 4 MiB at which clients stop reading.
const PAGE: usize = 30_000;

/// Tags in the order of their names.
pub(in crate::http) async fn get(api: &Api, asked: &Asked) -> Result<Response, Problem> {
    api.permit(&asked.parts, &asked.image, &Action::Pull).await?;
    let wanted = PageRequest::parse(&asked.query, PAGE)?;
    // At least one is asked for, so that n=0 still tells an image without tags from one that is not there.
    let found = api.storage.tags(&asked.image, wanted.last.as_deref(), wanted.limit.max(1)).await?;
    if found.items.is_empty() && !api.storage.image_exists(&asked.image).await? {
        return Err(Problem::name_unknown(asked.image.as_str()));
    }
    let tags: Vec<&str> = found.items.iter().take(wanted.limit).map(|tag| tag.name.as_str()).collect();
    let mut response = api::json("application/json", &json!({ "name": asked.image, "tags": tags }));
    let path = format!("/v2/{}/tags/list", asked.image);
    let link = tags
        .last()
        .filter(|_| found.more)
        .and_then(|last| page::next_link(&path, &[("last", last), ("n", &wanted.limit.to_string())]));
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}
