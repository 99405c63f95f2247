//! Indexes and their children, subjects and their referrers.

use super::{collect, delete, push, pushed, small, sweep};
use crate::scenario::Scenario;
use crate::scenario::Task::DeleteTag;
use crate::state::{body, entry, holding, link, seal};

pub(super) fn indexes() -> Vec<Scenario> {
    let manifest = holding(0) | pushed(0);
    let index = pushed(4) | link(4, 0);
    vec![
        small("P1", "image delete (index, manifest and tag in three requests) vs a push of both")
            .instance(3, 1)
            .with(manifest | index)
            .tagged(&[4])
            .tasks(&[delete(1), delete(0), DeleteTag, push(1).into(), push(3).tag(1, 2).into()]),
        small("X1", "index push vs collectors of its untagged child and of the blob")
            .with(manifest)
            .tasks(&[push(4).tag(0, 1).into(), collect(0), collect(0), sweep(0), collect(4)])
            .tag_stays(),
        small("X2", "child and index pushed at once, collectors of both, delete of the child by digest")
            .with(holding(0))
            .tasks(&[push(0).into(), push(4).tag(0, 1).into(), collect(0), collect(4), delete(0)]),
        small("X3", "old index untagged and collected while pushed again under a new tag with its child")
            .instance(3, 1)
            .with(manifest | index)
            .tagged(&[4])
            .tasks(&[DeleteTag, push(3).tag(1, 2).into(), push(1).into(), collect(4), collect(0), sweep(0)]),
        two_children("X4", "index of two manifests, one of them being pushed, vs collectors of both")
            .with(holding(0) | pushed(0))
            .tasks(&[push(1).into(), push(4).tag(0, 1).into(), collect(0), collect(1), collect(4)])
            .tag_stays(),
        small("X5", "index pushed onto a retired child, which is pushed again (R4), collectors, sweeper")
            .with(holding(0) | body(0) | seal(0))
            .tasks(&[push(4).tag(0, 1).may_bear(&[1]).into(), collect(0), collect(1), sweep(0), collect(4)])
            .tag_stays(),
    ]
}

/// n4 is an index of manifest 0 (n0) and manifest 5 (n1).
fn two_children(name: &'static str, about: &'static str) -> Scenario {
    let mut plan = small(name, about).instance(1, 5);
    plan.manifests[1].children = &[0, 5];
    plan
}

pub(super) fn referrers() -> Vec<Scenario> {
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
