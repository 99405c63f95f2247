//! Who does what, all drawn from the seed.

use futures::future::{BoxFuture, LocalBoxFuture, join_all};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::checks;
use super::history::Change;
use super::world::{Content, IMAGES, Replica, World};
use super::*;

/// What a client does in one go.
#[derive(Clone, Copy, Debug)]
enum Deed {
    MoveTag,
    KeepTag,
    PushReferrer,
    Mount,
    DeleteTag,
    DeleteManifest,
    DeleteBlob,
    Read,
}

const DEEDS: [Deed; 14] = [
    Deed::MoveTag,
    Deed::MoveTag,
    Deed::MoveTag,
    Deed::MoveTag,
    Deed::KeepTag,
    Deed::KeepTag,
    Deed::PushReferrer,
    Deed::PushReferrer,
    Deed::Mount,
    Deed::DeleteTag,
    Deed::DeleteManifest,
    Deed::DeleteBlob,
    Deed::DeleteBlob,
    Deed::Read,
];

/// Lets clients and a collector per replica work until the clients are through.
///
/// # Errors
/// The first broken invariant.
pub(super) async fn run(world: &World) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(!world.seed);
    let clients = random.random_range(3..=6);
    world.working.set(clients);
    let mut all: Vec<LocalBoxFuture<'_, Result<(), String>>> = Vec::new();
    for _ in 0..clients {
        let replica = &world.replicas[random.random_range(0..world.replicas.len())];
        let random = StdRng::seed_from_u64(random.random());
        all.push(Box::pin(async move {
            let outcome = until_cut(replica, client(world, replica, random)).await;
            world.working.set(world.working.get() - 1);
            outcome
        }));
    }
    for replica in &world.replicas {
        let random = StdRng::seed_from_u64(random.random());
        all.push(Box::pin(until_cut(replica, collector(world, replica, random))));
    }
    for outcome in join_all(all).await {
        outcome?;
    }
    for replica in &world.replicas {
        until_cut(replica, async {
            replica.storage.settle().await;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A replica that was cut off dies in the middle of whatever it does.
async fn until_cut(replica: &Replica, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::select! {
        biased;
        () = replica.store.until_cut() => Ok(()),
        outcome = work => outcome,
    }
}

async fn client(world: &World, replica: &Replica, mut random: StdRng) -> Result<(), String> {
    for _ in 0..random.random_range(2..=5) {
        let deed = DEEDS[random.random_range(0..DEEDS.len())];
        perform(world, &replica.storage, deed, &mut random).await?;
        checks::at_any_time(world)?;
    }
    Ok(())
}

async fn perform(world: &World, storage: &Storage, deed: Deed, random: &mut StdRng) -> Result<(), String> {
    // Most of it happens in one image, or nobody would meet.
    let image = name(IMAGES[usize::from(random.random_ratio(1, 5))]);
    let moved = tag(["latest", "edge"][usize::from(random.random_ratio(1, 4))]);
    let content = &world.moving[random.random_range(0..world.moving.len())];
    match deed {
        Deed::MoveTag => {
            let content = content.clone();
            push_tag(world, storage, &image, &moved, &content).await;
        }
        Deed::KeepTag => push_tag(world, storage, &image, &tag("kept"), &world.kept).await,
        Deed::PushReferrer => {
            let referrer = &world.referrers[random.random_range(0..world.referrers.len())];
            let subject_is_kept = world.history.borrow().was_set(&image, &tag("kept"));
            let pushed = push_content(storage, &image, referrer, &[]).await;
            if pushed.is_ok() && subject_is_kept {
                let subject = world.kept.digest.clone();
                world.history.borrow_mut().referrers.push((image, subject, referrer.digest.clone()));
            }
        }
        Deed::Mount => {
            let blob = sha256(&world.blobs[random.random_range(0..world.blobs.len())]);
            // Whatever comes of it: the next push asks.
            let _ = storage.mount(&image, &blob, &IMAGES.map(name)).await;
        }
        Deed::DeleteTag => {
            let entry = world.history.borrow_mut().begin(&image, Some(&moved), Change::Deleted);
            if storage.delete_tag(&image, &moved).await.is_ok() {
                world.history.borrow_mut().acknowledge(entry);
            }
        }
        Deed::DeleteManifest => {
            let change = Change::ManifestDeleted(content.digest.clone());
            let entry = world.history.borrow_mut().begin(&image, None, change);
            if storage.delete_manifest(&image, &content.digest).await.is_ok() {
                world.history.borrow_mut().acknowledge(entry);
            }
        }
        Deed::DeleteBlob => {
            let blob = sha256(&world.blobs[random.random_range(0..world.blobs.len())]);
            let _ = storage.delete_blob(&image, &blob).await;
        }
        Deed::Read => {
            let since = world.history.borrow_mut().tick();
            if let Ok(read) = storage.get_manifest(&image, &Reference::Tag(moved.clone())).await {
                let digest = read.map(|manifest| manifest.digest);
                if let Some(objection) = world.history.borrow().objection(&image, &moved, since, digest.as_ref()) {
                    return Err(objection);
                }
            }
        }
    }
    Ok(())
}

async fn push_tag(world: &World, storage: &Storage, image: &ImageName, tag: &TagName, content: &Content) {
    let entry = world.history.borrow_mut().begin(image, Some(tag), Change::Set(content.digest.clone()));
    if push_content(storage, image, content, &[tag.as_str()]).await.is_ok() {
        world.history.borrow_mut().acknowledge(entry);
    }
}

/// What a client does to push: it asks for every blob, uploads what is not there, then pushes the manifests.
///
/// # Errors
/// What was answered; nobody knows then what became of it.
pub(super) fn push_content<'a>(
    storage: &'a Storage,
    image: &'a ImageName,
    content: &'a Content,
    tags: &'a [&'a str],
) -> BoxFuture<'a, Result<(), String>> {
    Box::pin(async move {
        for blob in &content.blobs {
            let digest = sha256(blob);
            match storage.head_blob(image, &digest).await {
                Ok(_) => continue,
                Err(BlobError::Unknown) => {}
                Err(error) => return Err(error.to_string()),
            }
            let state = storage.begin_upload(None);
            let body: Incoming = Box::pin(futures::stream::iter([Ok(blob.clone())]));
            let closed = storage.finish(image, state, None, Some(blob.len() as u64), body, &digest).await;
            closed.map_err(|error| error.to_string())?;
        }
        for child in &content.children {
            push_content(storage, image, child, &[]).await?;
        }
        let push = ManifestPush {
            digest: content.digest.clone(),
            media_type: content.media_type.to_owned(),
            bytes: content.bytes.clone(),
            tags: tags.iter().map(|name| TagPush { name: tag(name), immutable: false }).collect(),
            lenient: false,
        };
        storage.push_manifest(image, push).await.map(|_| ()).map_err(|error| error.to_string())
    })
}

/// Collects as long as anybody works; what fails is done at the next turn.
async fn collector(world: &World, replica: &Replica, mut random: StdRng) -> Result<(), String> {
    while world.working.get() > 0 {
        let _ = match random.random_ratio(1, 3) {
            true => replica.storage.fsck(true).await.map(|_| ()),
            false => replica.storage.collect_due().await.map(|_| ()),
        };
        checks::at_any_time(world)?;
    }
    Ok(())
}
