//! The scenarios that must hold.
//!
//! Slots, unless a scenario says otherwise. Manifests: 0 is an image of blob 0, 1 an index of it, 2 a referrer to it, 3 a
//! referrer with blob 0, 4 an image of blobs 0 and 1, 5 and 6 other images of blob 0. Instances n0, n1 and n2 are image
//! 0 in repository 0, n3 the same in repository 1, n4 index 1. Holdings e0 and e1 are in repository 0, e2 in repository
//! 1, e3 is a spare one in repository 0 for healing, all of blob 0; where it is large e0, e2 and e3 name data K0, e1 K1,
//! and e4 is a spare one of fresh data K2.
//!
//! A push needs instances, versions, holdings and watch keys that nobody else creates, or create-once would be broken
//! by the scenario instead of by the protocol.

use crate::scenario::Task::{CheckTag, DeleteTag, ReadTag};
use crate::scenario::{Holding, Instance, Manifest, Push, Scenario, Task, Try};
use crate::state::{Keys, body, certificate, data, data_certificate, entry, holding, link, seal};

/// A scenario with small blobs.
fn small(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = Scenario::empty(name, about);
    plan.manifests[0] = IMAGE;
    plan.manifests[1] = Manifest { children: &[0], ..Manifest::default() };
    plan.manifests[2] = Manifest { subject: Some(0), ..Manifest::default() };
    plan.manifests[3] = Manifest { subject: Some(0), ..IMAGE };
    plan.manifests[4] = Manifest { blobs: &[0, 1], ..Manifest::default() };
    plan.manifests[5] = IMAGE;
    plan.manifests[6] = IMAGE;
    for (n, (digest, repository)) in [(0, 0), (0, 0), (0, 0), (0, 1), (1, 0)].into_iter().enumerate() {
        plan.instances[n] = Instance { digest, repository };
    }
    for (e, repository) in [0, 0, 1, 0].into_iter().enumerate() {
        plan.holdings[e].repository = repository;
    }
    plan
}

const IMAGE: Manifest = Manifest { blobs: &[0], children: &[], subject: None };

/// A scenario with large blobs.
fn large(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = small(name, about);
    plan.holdings[4].repository = 0;
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

    /// Instance n is this manifest, in repository 0.
    fn instance(mut self, n: u8, digest: u8) -> Self {
        self.instances[n as usize] = Instance { digest, repository: 0 };
        self
    }

    fn holding(mut self, e: u8, blob: u8, repository: u8, data: Option<u8>) -> Self {
        self.holdings[e as usize] = Holding { blob, repository, data };
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
    Task::DeleteManifest { digest, repository: 0 }
}

/// Every scenario that must hold.
pub fn all() -> Vec<Scenario> {
    [small_blobs(), large_blobs(), watch_keys(), tags(), indexes(), referrers(), faults(), amendments()].concat()
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().chain(traps()).find(|plan| plan.name == name)
}

fn small_blobs() -> Vec<Scenario> {
    let image = holding(0) | pushed(0);
    vec![
        small("S1", "upload and push vs two sweepers of the holding and a manifest collector")
            .tasks(&[upload(0), push(0).tag(0, 1).into(), sweep(0), sweep(0), collect(0)])
            .tag_stays(),
        small("S2", "one blob uploaded twice, body written before the LISTs end, sweepers of both")
            .tasks(&[upload(0), upload(1), push(0).tag(0, 1).early().into(), sweep(0), sweep(1), collect(0)])
            .tag_stays(),
        small("S3", "image untagged and collected while pushed again under the same tag, two sweepers")
            .with(image)
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).into(), collect(0), sweep(0), sweep(0)]),
        small("S4", "image pushed again vs two collectors of the old instance and a sweeper")
            .with(image)
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).into(), collect(0), collect(0), sweep(0)]),
        small("S5", "push heals a retired holding by copying it, sweepers of both")
            .with(holding(0))
            .tasks(&[push(0).tag(0, 1).heals_with(&[3]).into(), sweep(0), sweep(0), sweep(3), collect(0)])
            .tag_stays(),
        small("S6", "mount and push in repository 1 vs deletion of the source").with(image).tagged(&[0]).tasks(&[
            mount(0, 2),
            push(3).into(),
            DeleteTag,
            collect(0),
            sweep(0),
            sweep(2),
        ]),
        small("B1", "image of two blobs: both uploaded and pushed vs a sweeper of each and a collector")
            .instance(0, 4)
            .holding(1, 1, 0, None)
            .tasks(&[upload(0), upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1), collect(0)])
            .tag_stays(),
        small("B2", "image of two blobs, one shared with an image that is untagged and collected; both healed")
            .instance(1, 4)
            .holding(1, 1, 0, None)
            .holding(4, 1, 0, None)
            .with(image | holding(1))
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).heals_with(&[3, 4]).into(), collect(0), sweep(0), sweep(1)]),
    ]
}

fn large_blobs() -> Vec<Scenario> {
    vec![
        large("L1", "upload and push vs reaper, sweeper, data collector, manifest collector")
            .tasks(&[upload_large(0), push(0).tag(0, 1).into(), reap(0), sweep(0), collect_data(0), collect(0)])
            .tag_stays(),
        large("L1b", "the same with two data collectors and two reapers, no tag").tasks(&[
            upload_large(0),
            push(0).into(),
            reap(0),
            reap(0),
            collect_data(0),
            collect_data(0),
        ]),
        large("L2", "two uploads of one blob, push, sweepers and data collectors of both")
            .with(complete(0) | holding(0))
            .tasks(&[upload_large(1), push(0).tag(0, 1).into(), sweep(0), collect_data(0), sweep(1), collect_data(1)])
            .tag_stays(),
        large("L3", "mount and push in repository 1 vs sweep of the source and two data collectors")
            .with(complete(0) | holding(0))
            .tasks(&[mount(0, 2), push(3).tag(0, 1).into(), sweep(0), collect_data(0), collect_data(0), sweep(2)]),
        large("L4", "two repositories mount one blob from each other, both push, the source is swept")
            .with(complete(0) | holding(0))
            .tasks(&[mount(0, 2), mount(1, 3), push(3).into(), push(0).into(), sweep(0), collect_data(0)]),
        large("L5", "push heals a retired holding, sweepers, two data collectors")
            .with(complete(0) | holding(0))
            .tasks(&[
                push(0).tag(0, 1).heals_with(&[3]).into(),
                sweep(0),
                collect_data(0),
                collect_data(0),
                sweep(3),
                collect(0),
            ])
            .tag_stays(),
        large("L6", "push relies on the holding of a mount that has not checked it; source swept, collectors")
            .with(complete(0) | holding(2))
            .tasks(&[mount(1, 0), push(0).into(), sweep(2), collect_data(0), collect_data(0)]),
        large("L7", "image of a small and a large blob vs sweepers of both, data collector, manifest collector")
            .instance(0, 4)
            .holding(1, 1, 0, None)
            .with(complete(0) | holding(0))
            .tasks(&[upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1), collect_data(0), collect(0)])
            .tag_stays(),
    ]
}

fn watch_keys() -> Vec<Scenario> {
    vec![
        small("W1", "push by watch key vs two sweepers and a manifest collector")
            .tasks(&[upload(0), push(0).tag(0, 1).watching(0).into(), sweep(0), sweep(0), collect(0)])
            .tag_stays(),
        large("W2", "two pushes by watch keys, large blob, sweeper and data collector")
            .instance(1, 5)
            .with(complete(0) | holding(0))
            .tasks(&[push(0).watching(0).into(), push(1).watching(1).into(), sweep(0), collect_data(0)]),
    ]
}

fn tags() -> Vec<Scenario> {
    let image = holding(0) | pushed(0);
    let movers = |name, about| {
        let plan = small(name, about).instance(1, 5).instance(2, 6);
        plan.with(image).tagged(&[0])
    };
    let (first, second) = (push(1).tag(1, 2).into(), push(2).tag(3, 4).into());
    vec![
        small("T1", "two pushes of one image to one tag, collector of the old instance, delete by digest")
            .with(image)
            .tagged(&[0])
            .tasks(&[first, second, collect(0), delete(0)]),
        movers("T2", "two movers of one tag to different images, collectors of all three")
            .tasks(&[first, second, collect(0), collect(1), collect(2)])
            .tag_stays(),
        movers("T3", "two replicas delete the tag while a third pushes it, collectors").tasks(&[
            DeleteTag,
            DeleteTag,
            first,
            collect(0),
            collect(1),
        ]),
        movers("T4", "mover and delete by digest, an older version left over, collectors of all three")
            .with(pushed(1))
            .tagged(&[0, 1])
            .tasks(&[push(2).tag(2, 3).into(), delete(5), collect(0), collect(1), collect(2)]),
        small("T5", "two deletes of one manifest by digest vs a push under its tag, collector, sweeper")
            .with(image)
            .tagged(&[0])
            .tasks(&[delete(0), delete(0), first, collect(0), sweep(0)]),
        movers("T6", "mover vs fsck of the tag and collectors")
            .instance(3, 5)
            .with(pushed(1))
            .tasks(&[push(3).tag(1, 2).into(), collect(1), CheckTag, collect(0), collect(3)])
            .tag_stays(),
        movers("T7", "two movers, answered at once, vs delete of the tag").tasks(&[first, second, DeleteTag]),
        movers("T8", "two movers, answered at once, vs delete of the newest by digest").tasks(&[
            first,
            second,
            delete(6),
        ]),
        small("T9", "re-push and mover vs delete of the tag and delete by digest")
            .instance(2, 5)
            .with(image)
            .tagged(&[0])
            .tasks(&[push(1).tag(3, 4).into(), push(2).tag(1, 2).into(), DeleteTag, delete(0)]),
        movers("T10", "three movers, answered at once, vs delete of the tag").instance(3, 5).tasks(&[
            first,
            second,
            push(3).tag(5, 6).into(),
            DeleteTag,
        ]),
        movers("T11", "reader of the tag vs a mover and the collector of the old image")
            .tasks(&[ReadTag, first, collect(0), collect(1), CheckTag])
            .tag_stays(),
    ]
}

fn indexes() -> Vec<Scenario> {
    let image = holding(0) | pushed(0);
    let index = pushed(4) | link(4, 0);
    vec![
        small("P1", "repository delete (index, image and tag in three requests) vs a push of both")
            .instance(3, 1)
            .with(image | index)
            .tagged(&[4])
            .tasks(&[delete(1), delete(0), DeleteTag, push(1).into(), push(3).tag(1, 2).into()]),
        small("X1", "index push vs collectors of its untagged child and of the blob")
            .with(image)
            .tasks(&[push(4).tag(0, 1).into(), collect(0), collect(0), sweep(0), collect(4)])
            .tag_stays(),
        small("X2", "child and index pushed at once, collectors of both, delete of the child by digest")
            .with(holding(0))
            .tasks(&[push(0).into(), push(4).tag(0, 1).into(), collect(0), collect(4), delete(0)]),
        small("X3", "old index untagged and collected while pushed again under a new tag with its child")
            .instance(3, 1)
            .with(image | index)
            .tagged(&[4])
            .tasks(&[DeleteTag, push(3).tag(1, 2).into(), push(1).into(), collect(4), collect(0), sweep(0)]),
        two_children("X4", "index of two images, one of them being pushed, vs collectors of both")
            .with(holding(0) | pushed(0))
            .tasks(&[push(1).into(), push(4).tag(0, 1).into(), collect(0), collect(1), collect(4)])
            .tag_stays(),
        small("X5", "index pushed onto a retired child, which is pushed again (R4), collectors, sweeper")
            .with(holding(0) | body(0) | seal(0))
            .tasks(&[push(4).tag(0, 1).may_bear(&[1]).into(), collect(0), collect(1), sweep(0), collect(4)])
            .tag_stays(),
    ]
}

/// n4 is an index of image 0 (n0) and image 5 (n1).
fn two_children(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = small(name, about).instance(1, 5);
    plan.manifests[1].children = &[0, 5];
    plan
}

fn referrers() -> Vec<Scenario> {
    let subject = holding(0) | pushed(0);
    let referring =
        |name, about, digest| small(name, about).instance(3, digest).instance(4, digest).instance(5, digest);
    let again = push(1).tag(1, 2).may_bear(&[5]).heals_with(&[3]);
    vec![
        referring("F1", "referrer pushed to a tagged subject vs collectors of both, delete of the tag", 2)
            .with(subject)
            .tagged(&[0])
            .tasks(&[push(4).into(), collect(4), collect(0), DeleteTag, collect(4)]),
        referring("F2", "subject and referrer pushed again, collectors of the old ones, delete of the tag", 2)
            .with(subject | pushed(3) | entry(3))
            .tagged(&[0])
            .tasks(&[push(4).into(), again.into(), collect(3), collect(0), DeleteTag]),
        referring("F3", "the same without the delete, collector of the revived one", 2)
            .with(subject | pushed(3) | entry(3))
            .tagged(&[0])
            .tasks(&[push(4).into(), again.into(), collect(3), collect(0), collect(5)]),
        referring("F4", "the referrer has the blob: subject pushed again revives it, sweeper (R6)", 3)
            .with(holding(0) | pushed(0) | pushed(3) | entry(3))
            .tagged(&[0])
            .tasks(&[DeleteTag, again.into(), collect(3), collect(0), sweep(0)])
            .subject_without_blob(),
        referring("F5", "the same with a push of the referrer, which must not be lost (R6)", 3)
            .with(holding(0) | pushed(0) | pushed(3) | entry(3))
            .tagged(&[0])
            .tasks(&[push(4).into(), again.into(), collect(3), collect(0), sweep(0)])
            .subject_without_blob(),
        referring("F6", "two pushes of one referrer, either may die between seal and entry (R18), collector", 2)
            .with(subject)
            .tagged(&[0])
            .tasks(&[push(3).into(), push(4).into(), collect(3), collect(4)]),
    ]
}

impl Scenario {
    fn subject_without_blob(mut self) -> Self {
        self.manifests[0].blobs = &[];
        self
    }
}

fn faults() -> Vec<Scenario> {
    let mut crash = small("Q1", "crash at any point: uploads, push, move of the tag, mount, push elsewhere")
        .instance(1, 5)
        .tasks(&[upload(0), push(0).tag(0, 1).into(), push(1).tag(2, 3).into(), mount(0, 2), push(3).into()])
        .tag_stays();
    crash.promises.tag_readable_by_digest = true;
    let mut duplicated = vec![
        small("D1", "one write arrives twice: upload and push vs sweeper, collector").tasks(&[
            upload(0),
            push(0).tag(0, 1).into(),
            sweep(0),
            collect(0),
        ]),
        small("D2", "one write arrives twice: untag and collect vs push")
            .with(holding(0) | pushed(0))
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).into(), collect(0), sweep(0)]),
        large("D3", "one write arrives twice: large upload and push vs sweeper, data collector").tasks(&[
            upload_large(0),
            push(0).tag(0, 1).into(),
            sweep(0),
            collect_data(0),
        ]),
        small("D4", "one write arrives twice: push by watch key vs sweeper (R5)").tasks(&[
            upload(0),
            push(0).tag(0, 1).watching(0).into(),
            sweep(0),
        ]),
    ];
    for plan in &mut duplicated {
        plan.duplicates = true;
    }
    let untag = large("G1", "untag, two manifest collectors, two sweepers, data collector, nobody pushes")
        .with(complete(0) | holding(0) | pushed(0))
        .tagged(&[0])
        .tasks(&[DeleteTag, collect(0), collect(0), sweep(0), sweep(0), collect_data(0)]);
    [vec![crash, untag], duplicated].concat()
}

fn amendments() -> Vec<Scenario> {
    let image = holding(0) | pushed(0);
    let mut readable = small("A2", "delete by digest vs a move of the tag to that image, crash at any point (R7)")
        .instance(1, 5)
        .instance(2, 0)
        .with(image | pushed(1))
        .tagged(&[1])
        .tasks(&[push(2).tag(1, 2).into(), delete(0)]);
    readable.promises.tag_readable_by_digest = true;
    let mut hidden = small("A5", "blob deleted by a client vs a push of an image of it (R9)")
        .with(holding(0))
        .tasks(&[push(0).into(), Task::DeleteBlob { holding: 0 }, Task::DeleteBlob { holding: 0 }]);
    hidden.promises.digest_stays = true;
    vec![
        large("A1", "push heals a holding whose data lost its certificate with fresh data (R3), all collectors")
            .with(data(0) | holding(0))
            .tasks(&[
                push(0).tag(0, 1).heals_with(&[3, 4]).into(),
                sweep(0),
                collect_data(0),
                sweep(4),
                collect_data(2),
                collect(0),
            ])
            .tag_stays(),
        readable,
        small("A3", "untagged image is deleted by digest while tagged, its blob swept, collectors (R7)")
            .with(image)
            .tasks(&[push(2).tag(1, 2).into(), delete(0), collect(0), sweep(0), collect(2)]),
        small("A4", "delete of a tag whose highest version was never acknowledged, crash at any point (R8)")
            .instance(1, 5)
            .instance(2, 6)
            .with(image | pushed(1))
            .tagged(&[0, 1])
            .tasks(&[push(2).tag(2, 3).into(), DeleteTag, collect(2)]),
        hidden,
        small("A6", "one blob uploaded twice, both swept as one digest, vs push (R17)")
            .with(holding(0))
            .tasks(&[upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1)])
            .tag_stays(),
        progress_of_uploads(),
        progress_of_mounts(),
        progress_of_children(),
    ]
}

/// The holdings e1 and e3 to e7 belong to a lone client, who pushes image 0 as n5 to n7: each try uploads fresh data, or
/// heals, with a new holding of K0 or with that fresh data.
fn large_progress(name: &'static str, about: &'static str) -> Scenario {
    const UPLOADS: [&[Task]; 3] =
        [&[Task::UploadLarge { holding: 3 }], &[Task::UploadLarge { holding: 5 }], &[Task::UploadLarge { holding: 7 }]];
    let mut plan = large(name, about);
    for n in [5, 6, 7] {
        plan = plan.instance(n, 0);
    }
    for (same, fresh) in [(1, 3), (4, 5), (6, 7)] {
        plan = plan.holding(same, 0, 0, Some(0)).holding(fresh, 0, 0, Some(fresh));
    }
    let attempt = |i: usize| {
        let (same, fresh) = [(1, 3), (4, 5), (6, 7)][i];
        Try { uploads: UPLOADS[i], push: push(5 + i as u8).heals_with(&[same, fresh]) }
    };
    plan.client(&[attempt(0), attempt(1), attempt(2)])
}

fn progress_of_uploads() -> Scenario {
    large_progress("Z5", "progress: large upload and push vs reaper and fsck of the certificate (R3)").tasks(&[
        upload_large(0),
        push(0).into(),
        reap(0),
        Task::CheckCertificate { data: 0 },
    ])
}

fn progress_of_mounts() -> Scenario {
    large_progress("Z6", "progress: mount from repository 1, source swept, data collector stops (R3)")
        .holding(2, 0, 1, Some(0))
        .with(complete(0) | holding(2))
        .tasks(&[mount(1, 0), push(0).tag(0, 1).into(), sweep(2), sweep(0), collect_data(0)])
}

fn progress_of_children() -> Scenario {
    let push = |instance: u8, child: u8| push(instance).may_bear(&[child]).heals_with(&[3]);
    let attempt = |instance, child| Try { uploads: &[], push: push(instance, child) };
    let mut plan = small("Z8", "progress: a second index of a child whose delete was refused (R4)");
    plan.manifests[6] = plan.manifests[1];
    plan.instance(1, 6)
        .instance(5, 6)
        .instance(2, 0)
        .instance(6, 0)
        .with(holding(0) | pushed(0) | pushed(4) | link(4, 0))
        .tagged(&[4])
        .tasks(&[delete(0), collect(0), sweep(0)])
        .client(&[attempt(1, 2), attempt(5, 6)])
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

/// The beginning of a random configuration, without actors. n0 to n2 are image 0 (or n1 another one), n3 and n4 its
/// index, n5 and n6 a referrer to it, n7 the referrer too. `start` 0: nothing exists; 1: the blob; 2: the image, tagged,
/// with its referrer n5; 3: the index, tagged, with its image.
pub(crate) fn blank(is_large: bool, two_images: bool, start: u64) -> Scenario {
    let about = "a random configuration";
    let mut plan = if is_large { large("random", about) } else { small("random", about) };
    let referrer = if two_images { 2 } else { 3 };
    for (n, digest) in
        [(1, if two_images { 5 } else { 0 }), (3, 1), (4, 1), (5, referrer), (6, referrer), (7, referrer)]
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
