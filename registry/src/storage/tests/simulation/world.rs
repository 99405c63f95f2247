//! What exists in a run: the store, its replicas, and everything that is ever pushed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::history::History;
use super::*;

/// Two images of different repositories, so that large data is shared by mounts only.
pub(super) const IMAGES: [&str; 2] = ["a/x", "b/y"];
/// One byte more than a holding takes.
const LARGE: usize = (8 << 20) + 1;

pub(super) struct Replica {
    pub(super) store: MemoryStore,
    pub(super) storage: Storage,
}

/// A manifest, with everything it needs.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
    pub(super) blobs: Vec<Bytes>,
    pub(super) children: Vec<Content>,
}

impl Content {
    pub(super) fn image(blobs: &[Bytes], subject: Option<&Digest>) -> Self {
        let layers: Vec<&[u8]> = blobs.iter().map(AsRef::as_ref).collect();
        let bytes = manifest_of(&layers, subject);
        let mut blobs = blobs.to_vec();
        blobs.push(Bytes::from_static(CONFIG));
        let (media_type, digest) = (OCI_MANIFEST, sha256(&bytes));
        Self { media_type, bytes, digest, blobs, children: Vec::new() }
    }

    fn index(children: &[Content]) -> Self {
        let bytes = index_of(&children.iter().map(|child| &child.digest).collect::<Vec<_>>());
        let (media_type, digest) = (OCI_INDEX, sha256(&bytes));
        Self { media_type, bytes, digest, blobs: Vec::new(), children: children.to_vec() }
    }
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) store: MemoryStore,
    pub(super) ids: Ids,
    pub(super) replicas: Vec<Replica>,
    /// Blobs that come and go.
    pub(super) blobs: Vec<Bytes>,
    /// Images and an index that share those blobs; tags move among them.
    pub(super) moving: Vec<Content>,
    /// What nobody deletes once it is tagged, and its referrers.
    pub(super) kept: Content,
    pub(super) referrers: Vec<Content>,
    pub(super) history: RefCell<History>,
    /// Actors other than collectors that are still at work.
    pub(super) working: Cell<usize>,
}

impl World {
    pub(super) fn new(seed: u64, conditions: Conditions) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let store = MemoryStore::simulated(seed, conditions.faults);
        let ids = Ids::seeded(seed);
        let replicas: Vec<Replica> =
            (0..random.random_range(2..=3)).map(|n| Replica::new(&store, &ids, &format!("replica-{n}"))).collect();
        if conditions.kill {
            let victim = random.random_range(0..replicas.len());
            replicas[victim].store.cut_after(random.random_range(5..150));
        }
        let mut blobs: Vec<Bytes> = (0..3).map(|n| Bytes::from(format!("layer {n}"))).collect();
        // Large blobs cost time, so only some runs have one.
        if seed.is_multiple_of(10) {
            blobs[0] = vec![7; LARGE].into();
        }
        let mut moving = vec![
            Content::image(&blobs[..1], None),
            Content::image(&blobs[..2], None),
            Content::image(&blobs[1..], None),
        ];
        moving.push(Content::index(&moving[..2]));
        let kept = Content::image(&blobs[..2].iter().rev().cloned().collect::<Vec<_>>(), None);
        let referrers = (0..2)
            .map(|n| Content::image(&[Bytes::from(format!("signature {n}")), blobs[2].clone()], Some(&kept.digest)))
            .collect();
        Self {
            seed,
            store: store.named("checker"),
            ids,
            replicas,
            blobs,
            moving,
            kept,
            referrers,
            history: RefCell::default(),
            working: Cell::new(0),
        }
    }

    /// A replica that saw nothing of what happened.
    pub(super) fn fresh_replica(&self) -> Storage {
        Storage::with_ids(Arc::new(self.store.named("late")), impatient(), self.ids.clone())
    }

    /// Every blob there can be, by digest.
    pub(super) fn contents(&self) -> BTreeMap<Digest, Bytes> {
        let manifests = self.moving.iter().chain(&self.referrers).chain([&self.kept]);
        manifests.flat_map(|content| &content.blobs).map(|blob| (sha256(blob), blob.clone())).collect()
    }
}

impl Replica {
    fn new(store: &MemoryStore, ids: &Ids, name: &str) -> Self {
        let store = store.named(name);
        let storage = Storage::with_ids(Arc::new(store.clone()), impatient(), ids.clone());
        Self { store, storage }
    }
}
