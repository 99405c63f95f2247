//! Listings: images, their tags as an inventory, repositories. Each shows what the caller may list at this moment.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use berth_crds::access::Action;
use berth_crds::name::{ImageName, RepositoryName};
use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;

use super::Rest;
use super::answers::document;
use super::wire::{Images, Repositories, Repository, Tags};
use crate::auth::Caller;
use crate::cleanup::inventory;
use crate::http::api::identified;
use crate::http::error::{Code, Problem};
use crate::http::page::PageRequest;
use crate::http::query::Query;

/// Most entries of a page.
const PAGE: usize = 1000;

/// `GET /api/v1/images?last=&n=`
pub(super) async fn images(State(rest): State<Rest>, parts: Parts) -> Result<Response, Problem> {
    let caller = lister(&rest, &parts).await?;
    let wanted = PageRequest::parse(&Query::parse(parts.uri.query()), PAGE)?;
    let mut images = Vec::new();
    let mut position = wanted.last;
    let mut more = wanted.limit > 0;
    while more && images.len() < wanted.limit {
        let page = rest.api.storage.images(position.as_deref(), wanted.limit - images.len()).await?;
        more = page.more;
        position = page.items.last().map(ToString::to_string);
        for image in page.items {
            if rest.api.access.listable(&caller, &image).await? {
                images.push(image);
            }
        }
    }
    Ok(document(&Images { images, more }))
}

/// `GET /api/v1/tags?image=&last=&n=`: a page of the image's inventory. `more` tells whether tags follow.
pub(super) async fn tags(State(rest): State<Rest>, parts: Parts) -> Result<Response, Problem> {
    let query = Query::parse(parts.uri.query());
    let name = query.get("image").ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, Code::NameInvalid, "name the image: /api/v1/tags?image=team-a/shop/api")
    })?;
    let image: ImageName = name.parse().map_err(|reason| Problem::name_invalid(name, &reason))?;
    rest.api.permit(&parts, &image, &Action::Pull).await?;
    let wanted = PageRequest::parse(&query, PAGE)?;
    let source = rest.runs.source();
    let (inventory, more) = source.page(&image, wanted.last.as_deref(), wanted.limit, Timestamp::now()).await?;
    let empty = inventory.images.iter().all(|image| image.tags.is_empty());
    if empty && !rest.api.storage.image_exists(&image).await? {
        return Err(Problem::name_unknown(image.as_str()));
    }
    Ok(document(&Tags { images: inventory.images, in_use: inventory.in_use, more }))
}

/// `GET /api/v1/repositories?retained=true`: with `retained` also what deleted ContainerRepositories left behind, in
/// namespaces whose policies the caller may run.
pub(super) async fn repositories(State(rest): State<Rest>, parts: Parts) -> Result<Response, Problem> {
    let caller = lister(&rest, &parts).await?;
    let retained = Query::parse(parts.uri.query()).get("retained") == Some("true");
    let images = inventory::all_images(&rest.api.storage).await?;
    let mut of_repository: BTreeMap<&RepositoryName, Vec<&ImageName>> = BTreeMap::new();
    for image in &images {
        of_repository.entry(image.repository()).or_default().push(image);
    }
    let configuration = rest.api.configuration.document().load_full();
    let mut repositories = Vec::new();
    for (name, entry) in &configuration.repositories {
        if !rest.api.access.listable(&caller, &name.clone().into()).await? {
            continue;
        }
        let mut repository = Repository {
            repository: name.clone(),
            retained: false,
            visibility: Some(entry.visibility),
            access: Some(entry.access),
            decided_by: entry.decided_by.clone(),
            governed_by: entry.governed_by.clone(),
            images: 0,
            tags: 0,
            last_push_time: None,
        };
        count(&rest, &mut repository, of_repository.get(name).map(Vec::as_slice).unwrap_or_default()).await?;
        repositories.push(repository);
    }
    if retained {
        let mut namespaces: BTreeMap<&str, bool> = BTreeMap::new();
        for (name, images) in of_repository.iter().filter(|(name, _)| !configuration.repositories.contains_key(**name))
        {
            let known = namespaces.get(name.namespace()).copied();
            let visible = match known {
                Some(visible) => visible,
                None => rest.api.access.may_run(&caller, name.namespace()).await?,
            };
            namespaces.insert(name.namespace(), visible);
            if visible {
                let mut repository = Repository {
                    repository: (*name).clone(),
                    retained: true,
                    visibility: None,
                    access: None,
                    decided_by: Vec::new(),
                    governed_by: None,
                    images: 0,
                    tags: 0,
                    last_push_time: None,
                };
                count(&rest, &mut repository, images).await?;
                repositories.push(repository);
            }
        }
        repositories.sort_by(|a, b| a.repository.cmp(&b.repository));
    }
    Ok(document(&Repositories { repositories }))
}

/// `GET /api/v1/status`: what became of each object, as far as the caller may see it.
pub(super) async fn status(State(rest): State<Rest>, parts: Parts) -> Result<Response, Problem> {
    let caller = lister(&rest, &parts).await?;
    let mut status = rest.status.read(Timestamp::now()).await?;
    let mut namespaces: BTreeMap<String, bool> = BTreeMap::new();
    let mut visible = Vec::new();
    for object in status.objects {
        let listable = match object.repository() {
            Some(repository) => rest.api.access.listable(&caller, &repository.into()).await?,
            None => false,
        };
        let seen = match namespaces.get(&object.namespace) {
            _ if listable => true,
            Some(seen) => *seen,
            None => {
                let seen = rest.api.access.may_run(&caller, &object.namespace).await?;
                namespaces.insert(object.namespace.clone(), seen);
                seen
            }
        };
        if seen {
            visible.push(object);
        }
    }
    status.objects = visible;
    Ok(document(&status))
}

async fn lister(rest: &Rest, parts: &Parts) -> Result<Caller, Problem> {
    let caller = rest.api.access.authorize_listing(parts).await?;
    identified(parts, &caller);
    Ok(caller)
}

/// Counts what images hold: one LIST per image and thousand tags.
async fn count(rest: &Rest, repository: &mut Repository, images: &[&ImageName]) -> Result<(), Problem> {
    repository.images = images.len() as u64;
    for image in images {
        let tags = inventory::all_tags(&rest.api.storage, image).await?;
        repository.tags += tags.len() as u64;
        let newest = tags.iter().map(|tag| tag.pushed_at).max().and_then(|time| Timestamp::try_from(time).ok());
        repository.last_push_time = repository.last_push_time.max(newest);
    }
    Ok(())
}
