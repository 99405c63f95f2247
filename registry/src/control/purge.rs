//! `POST /v1/repositories/<namespace>/<name>:purge`: removes every image of a repository whose object is gone.

use axum::Json;
use axum::extract::{Path, State};
use berth_crds::name::RepositoryName;
use berth_crds::wire::control::Purged;
use http::StatusCode;

use super::Control;
use super::answers::Refusal;
use crate::configuration::Current;
use crate::storage::Storage;

pub(super) async fn post(
    State(control): State<Control>,
    Path((namespace, name_and_verb)): Path<(String, String)>,
) -> Result<Json<Purged>, Refusal> {
    let name = name_and_verb.strip_suffix(":purge").ok_or_else(Refusal::no_endpoint)?;
    let repository = RepositoryName::new(&namespace, name).map_err(|error| Refusal::invalid(error.to_string()))?;
    let (storage, configuration) = (control.api.storage.clone(), control.api.configuration.clone());
    let purging = async move { purge(&storage, &configuration, &repository).await };
    Ok(Json(control.api.to_the_end(purging).await??))
}

/// Looks at the configuration before each image: an object that was made anew keeps what is left.
async fn purge(storage: &Storage, configuration: &Current, repository: &RepositoryName) -> Result<Purged, Refusal> {
    refuse_in_force(configuration, repository)?;
    let mut purged = Purged::default();
    for image in storage.images_of(repository).await? {
        refuse_in_force(configuration, repository)?;
        let removed = storage.purge_image(&image).await?;
        purged.images += u64::from(removed.tags + removed.manifests > 0);
        purged.tags += removed.tags;
        purged.manifests += removed.manifests;
    }
    let Purged { images, tags, manifests } = purged;
    tracing::info!(%repository, images, tags, manifests, "the images of the repository were removed");
    Ok(purged)
}

fn refuse_in_force(configuration: &Current, repository: &RepositoryName) -> Result<(), Refusal> {
    if !configuration.accepts_changes() {
        let message = "the document has not appeared, so it is not known whether the repository is in force: write it";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    if configuration.document().load().repositories.contains_key(repository) {
        let message = format!(
            "the repository {repository} is in force here: take it out of the configuration first, and ask again when \
             that is loaded"
        );
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    Ok(())
}
