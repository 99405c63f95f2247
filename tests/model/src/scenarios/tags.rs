//! Movers, deleters and readers of one tag.

use super::{collect, delete, push, pushed, small, sweep};
use crate::scenario::Scenario;
use crate::scenario::Task::{CheckTag, DeleteTag, ReadTag};
use crate::state::holding;

pub(super) fn all() -> Vec<Scenario> {
    let manifest = holding(0) | pushed(0);
    let movers = |name, about| {
        let plan = small(name, about).instance(1, 5).instance(2, 6);
        plan.with(manifest).tagged(&[0])
    };
    let (first, second) = (push(1).tag(1, 2).into(), push(2).tag(3, 4).into());
    vec![
        small("T1", "two pushes of one manifest to one tag, collector of the old instance, delete by digest")
            .with(manifest)
            .tagged(&[0])
            .tasks(&[first, second, collect(0), delete(0)]),
        movers("T2", "two movers of one tag to different manifests, collectors of all three")
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
            .with(manifest)
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
            .with(manifest)
            .tagged(&[0])
            .tasks(&[push(1).tag(3, 4).into(), push(2).tag(1, 2).into(), DeleteTag, delete(0)]),
        movers("T10", "three movers, answered at once, vs delete of the tag").instance(3, 5).tasks(&[
            first,
            second,
            push(3).tag(5, 6).into(),
            DeleteTag,
        ]),
        movers("T11", "reader of the tag vs a mover and the collector of the old manifest")
            .tasks(&[ReadTag, first, collect(0), collect(1), CheckTag])
            .tag_stays(),
    ]
}
