//! `GET /v2/<name>/referrers/<digest>` (distribution-spec end-12): never 404.

use axum::response::Response;
use berth_crds::access::Action;
use berth_crds::digest::{Digest, DigestError};
use http::header::LINK;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::http::api::{self, Api, Asked};
use crate::http::error::Problem;
use crate::http::page;
use crate::oci::media_type::OCI_INDEX;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Bytes of descriptors in one answer. Clients stop reading at 4 MiB, and some never follow a Link, so a page is
/// as large as it may be.
const PAGE_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// Descriptors of the manifests that refer to this digest. A digest that nobody knows, or an image nobody pushed to,
/// has an empty list: clients ask before they push, and take 404 for a registry without referrers.
pub(in crate::http) async fn get(api: &Api, asked: &Asked, digest: &str) -> Result<Response, Problem> {
    let exists = match api.permit(&asked.parts, &asked.image, &Action::Pull).await {
        Ok(_) => true,
        // The caller may read here; there is just nothing yet.
        Err(Problem::Refused(refusal)) if refusal.status() == StatusCode::NOT_FOUND => false,
        Err(problem) => return Err(problem),
    };
    let digest = match digest.parse::<Digest>() {
        Ok(digest) => Some(digest),
        // Well formed, but nothing here can refer to it.
        Err(DigestError::UnknownAlgorithm(_)) => None,
        Err(reason) => return Err(Problem::digest_invalid(digest, &reason)),
    };
    let mut found = match &digest {
        Some(digest) if exists => api.storage.referrers(&asked.image, digest).await?,
        _ => Vec::new(),
    };
    let filter = asked.query.get("artifactType");
    if let Some(filter) = filter {
        found.retain(|descriptor| descriptor["artifactType"] == filter);
    }
    let (page, next) = paged(found, asked.query.get("last"));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page });
    let mut response = api::json(OCI_INDEX, &index);
    if filter.is_some() {
        response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (Some(next), Some(digest)) = (next, digest) {
        let mut parameters = vec![("last", next.as_str())];
        parameters.extend(filter.map(|filter| ("artifactType", filter)));
        if let Some(link) = page::next_link(&format!("/v2/{}/referrers/{digest}", asked.image), &parameters) {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

/// The descriptors behind `last` that fit, in the order of their digests, and where the next page begins.
fn paged(mut all: Vec<Value>, last: Option<&str>) -> (Vec<Value>, Option<String>) {
    let name = |descriptor: &Value| descriptor["digest"].as_str().unwrap_or_default().to_owned();
    all.sort_by_cached_key(name);
    all.retain(|descriptor| last.is_none_or(|last| name(descriptor).as_str() > last));
    let mut bytes = 0;
    let fitting = all.iter().take_while(|descriptor| {
        bytes += descriptor.to_string().len() + 1;
        bytes <= PAGE_BYTES
    });
    // A manifest may have 4 MiB of annotations, so that a descriptor alone does not fit: it goes alone.
    let count = fitting.count().max(1);
    if count >= all.len() {
        return (all, None);
    }
    all.truncate(count);
    let next = all.last().map(name);
    (all, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptors(count: usize, padding: usize) -> Vec<Value> {
        let entry = |i: usize| json!({"digest": format!("sha256:{i:064x}"), "annotations": {"x": "x".repeat(padding)}});
        (0..count).rev().map(entry).collect()
    }

    #[test]
    fn every_entry_is_on_exactly_one_page_below_the_limit() {
        let mut seen: Vec<String> = Vec::new();
        let mut pages = 0;
        let mut last: Option<String> = None;
        loop {
            let (page, next) = paged(descriptors(90, 100_000), last.as_deref());
            assert!(json!(page).to_string().len() < 4 * 1024 * 1024);
            seen.extend(page.iter().map(|entry| entry["digest"].as_str().unwrap_or_default().to_owned()));
            pages += 1;
            last = next;
            if last.is_none() {
                break;
            }
        }
        assert_eq!((seen.len(), pages), (90, 3));
        assert!(seen.is_sorted());
    }

    #[test]
    fn a_single_entry_beyond_the_limit_still_comes() {
        let (page, next) = paged(descriptors(2, PAGE_BYTES), None);
        assert_eq!(page.len(), 1);
        assert_eq!(paged(descriptors(2, PAGE_BYTES), next.as_deref()).0.len(), 1);
    }

    #[test]
    fn few_entries_are_one_page() {
        assert_eq!(paged(Vec::new(), None), (Vec::new(), None));
        assert_eq!(paged(descriptors(3, 1), None).1, None);
    }
}
