//! The scenarios that must hold.
//!
//! Slots, unless a scenario says otherwise. Manifests: 0 has blob 0, 1 is an index of 0, 2 refers to 0 and has no blob,
//! 3 refers to 0 and has blob 0, 4 has blobs 0 and 1, 5 and 6 have blob 0. Instances: n0, n1 and n2 are manifest 0 in
//! image 0, n3 is the same in image 1, n4 is the index. Holdings, all of blob 0: e0 and e1 in image 0, e2 in image 1, e3
//! a spare one in image 0 for healing. Where blobs are large e0, e2 and e3 name data K0, e1 names K1, and e4 is a spare
//! one of fresh data K2.
//!
//! A push needs instances, versions, holdings and watch keys that nobody else creates, or create-once would be broken
//! by the scenario instead of by the protocol.

use crate::scenario::{Holding, Instance, Manifest, Push, Scenario, Task, Try};
use crate::state::{Keys, body, certificate, data, data_certificate, entry, holding, link, seal};

mod blobs;
mod faults;
mod manifests;
mod progress;
mod tags;

/// A scenario with small blobs.
fn small(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = Scenario::empty(name, about);
    plan.manifests[0] = PLAIN;
    plan.manifests[1] = Manifest { children: &[0], ..Manifest::default() };
    plan.manifests[2] = Manifest { subject: Some(0), ..Manifest::default() };
    plan.manifests[3] = Manifest { subject: Some(0), ..PLAIN };
    plan.manifests[4] = Manifest { blobs: &[0, 1], ..Manifest::default() };
    plan.manifests[5] = PLAIN;
    plan.manifests[6] = PLAIN;
    for (n, (digest, image)) in [(0, 0), (0, 0), (0, 0), (0, 1), (1, 0)].into_iter().enumerate() {
        plan.instances[n] = Instance { digest, image };
    }
    for (e, image) in [0, 0, 1, 0].into_iter().enumerate() {
        plan.holdings[e].image = image;
    }
    plan
}

const PLAIN: Manifest = Manifest { blobs: &[0], children: &[], subject: None };

/// A scenario with large blobs.
fn large(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = small(name, about);
    plan.holdings[4].image = 0;
    for (e, k) in [0, 1, 0, 0, 2].into_iter().enumerate() {
        plan.holdings[e].data = Some(k);
    }
    plan
}

impl Scenario {
    fn tasks(mut self, tasks: &[Task]) -> Self {
        self.tasks[..tasks.len()].copy_from_slice(tasks);
        self
    }

    /// Instance n is this manifest, in image 0.
    fn instance(mut self, n: u8, digest: u8) -> Self {
        self.instances[n as usize] = Instance { digest, image: 0 };
        self
    }

    fn holding(mut self, e: u8, blob: u8, image: u8, data: Option<u8>) -> Self {
        self.holdings[e as usize] = Holding { blob, image, data };
        self
    }

    fn with(mut self, keys: Keys) -> Self {
        self.keys |= keys;
        self
    }

    /// Acknowledged versions of the tag: each names the instance, in ascending order.
    fn tagged(mut self, instances: &[u8]) -> Self {
        self.tags = (0u8..).zip(instances).map(|(v, &n)| (v, v + 1, n)).collect();
        self
    }

    fn tag_stays(mut self) -> Self {
        self.promises.tag_stays = true;
        self
    }

    fn client(mut self, tries: &[Try]) -> Self {
        self.client = tries.to_vec();
        self
    }
}

/// Everything of a pushed instance.
fn pushed(n: u8) -> Keys {
    certificate(n) | body(n) | seal(n)
}

/// Everything of complete large data.
fn complete(k: u8) -> Keys {
    data_certificate(k) | data(k)
}

fn push(instance: u8) -> Push {
    Push { instance, ..Push::default() }
}

impl Push {
    fn tag(self, first: u8, second: u8) -> Self {
        Self { versions: Some((first, second)), ..self }
    }

    fn heals_with(self, holdings: &[u8]) -> Self {
        Self { spare_holdings: holdings.iter().fold(0, |mask, e| mask | 1 << e), ..self }
    }

    fn may_bear(self, instances: &[u8]) -> Self {
        Self { spare_instances: instances.iter().fold(0, |mask, n| mask | 1 << n), ..self }
    }

    fn early(self) -> Self {
        Self { early: true, ..self }
    }

    fn watching(self, w: u8) -> Self {
        Self { watch: Some(w), ..self }
    }
}

impl From<Push> for Task {
    fn from(push: Push) -> Self {
        Self::Push(push)
    }
}

fn upload(holding: u8) -> Task {
    Task::UploadSmall { holding }
}

fn upload_large(holding: u8) -> Task {
    Task::UploadLarge { holding }
}

fn mount(from: u8, holding: u8) -> Task {
    Task::Mount { from, holding }
}

fn collect(instance: u8) -> Task {
    Task::CollectManifest { instance }
}

fn sweep(holding: u8) -> Task {
    Task::Sweep { holding, moved_to: None }
}

fn collect_data(data: u8) -> Task {
    Task::CollectData { data }
}

fn reap(data: u8) -> Task {
    Task::Reap { data }
}

fn delete(digest: u8) -> Task {
    Task::DeleteManifest { digest, image: 0 }
}

/// Every scenario that must hold.
pub fn all() -> Vec<Scenario> {
    [
        blobs::small_ones(),
        blobs::large_ones(),
        blobs::watch_keys(),
        tags::all(),
        manifests::indexes(),
        manifests::referrers(),
        faults::crashes_and_duplicates(),
        faults::amendments(),
        progress::all(),
    ]
    .concat()
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().chain(traps()).find(|plan| plan.name == name)
}

/// Scenarios that exist only to be broken by an ablation; they hold as well.
pub fn traps() -> Vec<Scenario> {
    vec![
        small("V1", "two pushes of one layer in a row, collectors, sweeper")
            .instance(1, 5)
            .instance(2, 6)
            .with(holding(0) | pushed(0))
            .tasks(&[push(1).into(), collect(0), sweep(0)]),
        large("V2", "the source of a mount is swept, with a spare name for its holding")
            .with(complete(0) | holding(0))
            .tasks(&[mount(0, 2), push(3).tag(0, 1).into(), sweep(0), collect_data(0), collect_data(0), sweep(2)]),
    ]
}

/// The beginning of a random configuration, without actors. n0 to n2 are manifest 0 (or n1 another one), n3 and n4 its
/// index, n5 to n7 a referrer to it. `start` 0: nothing exists; 1: the blob; 2: the manifest, tagged, with its referrer
/// n5; 3: the index, tagged, with its manifest.
pub(crate) fn blank(is_large: bool, two_manifests: bool, start: u64) -> Scenario {
    let about = "a random configuration";
    let mut plan = if is_large { large("random", about) } else { small("random", about) };
    let referrer = if two_manifests { 2 } else { 3 };
    for (n, digest) in
        [(1, if two_manifests { 5 } else { 0 }), (3, 1), (4, 1), (5, referrer), (6, referrer), (7, referrer)]
    {
        plan = plan.instance(n, digest);
    }
    if !is_large {
        plan = plan.holding(4, 0, 0, None);
    }
    let blob = if is_large { complete(0) | holding(0) } else { holding(0) };
    match start {
        0 => plan,
        1 => plan.with(blob),
        2 => plan.with(blob | pushed(0) | pushed(5) | entry(5)).tagged(&[0]),
        _ => plan.with(blob | pushed(0) | pushed(3) | link(3, 0)).tagged(&[3]),
    }
}
