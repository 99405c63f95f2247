//! The invariants of docs/storage.md, judged on the store and on what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::actors::push_content;
use super::world::{IMAGES, World};
use super::*;
use crate::oci::Manifest;
use crate::storage::layout::{Holding, ManifestKey, TagVersion};
use crate::store::memory::{Happening, Operation};

/// Invariants I1 and I1t, on the whole store as it is in this moment: whatever has a body and a seal, or a body and a
/// tag, has its blobs.
pub(super) fn at_any_time(world: &World) -> Result<(), String> {
    let objects = world.store.snapshot();
    let contents = world.contents();
    let mut held: BTreeMap<(ImageName, Digest), bool> = BTreeMap::new();
    let (mut sealed, mut tagged) = (BTreeSet::new(), BTreeSet::new());
    for (key, object) in &objects {
        if let Some(holding) = Holding::parse(key) {
            let there = match holding.data {
                None => contents.get(&holding.digest) == Some(&object.bytes),
                Some(data) => {
                    objects.get(&layout::data(data)).is_some_and(|data| data.bytes.len() as u64 == holding.size)
                }
            };
            *held.entry((holding.image, holding.digest)).or_default() |= there;
        }
        sealed.extend(ManifestKey::parse(key).filter(|key| key.seal.is_some()).map(|key| key.instance));
        tagged.extend(TagVersion::parse(key).map(|version| version.instance));
    }
    for (key, object) in &objects {
        let Some(manifest) = ManifestKey::parse(key).filter(|key| key.seal.is_none()) else { continue };
        if !sealed.contains(&manifest.instance) && !tagged.contains(&manifest.instance) {
            continue;
        }
        let media_type = object.content_type.as_deref().unwrap_or_default();
        let parsed = Manifest::parse(media_type, &object.bytes).map_err(|error| format!("{key}: {error}"))?;
        for blob in parsed.blobs.into_iter().filter(|blob| blob.required) {
            if held.get(&(manifest.image.clone(), blob.digest.clone())) != Some(&true) {
                return Err(format!("{key} is visible and lacks {}", blob.digest));
            }
        }
    }
    Ok(())
}

/// Everything that must hold once everybody has stopped, wherever they were.
pub(super) async fn at_the_end(world: &World) -> Result<(), String> {
    world.store.calm();
    world.store.settle();
    no_birth_was_repeated(world)?;
    at_any_time(world)?;
    all_is_readable(world).await?;
    // Progress: a lone client's third try of a push succeeds, whatever was left behind.
    let lone = world.fresh_replica();
    for image in IMAGES.map(name) {
        for content in world.moving.iter().chain(&world.referrers) {
            let mut outcome = Ok(());
            for _ in 0..3 {
                outcome = push_content(&lone, &image, content, &[]).await;
                if outcome.is_ok() {
                    break;
                }
            }
            outcome.map_err(|error| format!("a lone client cannot push {} to {image}: {error}", content.digest))?;
        }
    }
    lone.settle().await;
    world.store.settle();
    all_is_readable(world).await?;
    let collected = world.fresh_replica();
    collected.collect_all().await.map_err(|error| error.to_string())?;
    at_any_time(world)?;
    all_is_readable(world).await?;
    // L1: what no tag reaches is gone.
    let report = collected.fsck(false).await.map_err(|error| error.to_string())?;
    if !report.findings.is_empty() {
        return Err(format!("left after a collection: {:#?}", report.findings));
    }
    if report.objects != report.reachable_objects {
        return Err(format!(
            "{} objects, of which tags reach {}: {:#?}",
            report.objects,
            report.reachable_objects,
            world.store.snapshot().keys()
        ));
    }
    Ok(())
}

/// Rule 10: whatever was answered, or not, no key was born twice.
fn no_birth_was_repeated(world: &World) -> Result<(), String> {
    let mut born = BTreeSet::new();
    for record in world.store.log() {
        let birth = matches!(record.operation, Operation::Birth | Operation::CopyNew);
        if birth && record.happening == Happening::Asked && !born.insert(record.key.clone()) {
            return Err(format!("{} was born twice", record.key));
        }
    }
    Ok(())
}

/// Acknowledged tags and referrers, read by a replica that remembers nothing, blobs and children included.
async fn all_is_readable(world: &World) -> Result<(), String> {
    let storage = world.fresh_replica();
    for image in IMAGES.map(name) {
        for tag in ["latest", "edge", "kept"].map(tag) {
            let since = world.history.borrow_mut().tick();
            let reference = Reference::Tag(tag.clone());
            let read = storage.get_manifest(&image, &reference).await.map_err(|error| error.to_string())?;
            let digest = read.map(|manifest| manifest.digest);
            if let Some(objection) = world.history.borrow().objection(&image, &tag, since, digest.as_ref()) {
                return Err(objection);
            }
            if let Some(digest) = digest {
                whole(world, &storage, &image, &digest).await?;
            }
        }
    }
    let referrers = world.history.borrow().referrers.clone();
    for (image, subject, referrer) in referrers {
        let listed = storage.referrers(&image, &subject).await.map_err(|error| error.to_string())?;
        if !listed.iter().any(|descriptor| descriptor["digest"] == json!(referrer)) {
            return Err(format!("{image} does not list the referrer {referrer}"));
        }
        whole(world, &storage, &image, &referrer).await?;
    }
    Ok(())
}

/// A manifest, its children and all of their blobs, byte for byte.
async fn whole(world: &World, storage: &Storage, image: &ImageName, digest: &Digest) -> Result<(), String> {
    let mut manifests = world.moving.iter().chain(&world.referrers).chain([&world.kept]);
    let content = manifests.find(|content| content.digest == *digest).ok_or("nobody pushed this")?;
    for manifest in content.children.iter().chain([content]) {
        let reference = Reference::Digest(manifest.digest.clone());
        let read = storage.get_manifest(image, &reference).await.map_err(|error| error.to_string())?;
        if read.is_none_or(|read| read.bytes != manifest.bytes) {
            return Err(format!("{image} has lost the manifest {}", manifest.digest));
        }
        for blob in &manifest.blobs {
            let digest = sha256(blob);
            let reader = storage.get_blob(image, &digest, None).await.map_err(|error| format!("{digest}: {error}"))?;
            if read_all(reader.body).await.map_err(|error| error.to_string())? != blob {
                return Err(format!("{image} serves other bytes as {digest}"));
            }
        }
    }
    Ok(())
}
