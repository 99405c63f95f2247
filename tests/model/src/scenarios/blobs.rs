//! Uploads, mounts, healing and watch keys against sweepers and collectors.

use super::{collect, collect_data, complete, large, mount, push, pushed, reap, small, sweep, upload, upload_large};
use crate::scenario::Scenario;
use crate::scenario::Task::DeleteTag;
use crate::state::holding;

pub(super) fn small_ones() -> Vec<Scenario> {
    let manifest = holding(0) | pushed(0);
    vec![
        small("S1", "upload and push vs two sweepers of the holding and a manifest collector")
            .tasks(&[upload(0), push(0).tag(0, 1).into(), sweep(0), sweep(0), collect(0)])
            .tag_stays(),
        small("S2", "one blob uploaded twice, body written before the LISTs end, sweepers of both")
            .tasks(&[upload(0), upload(1), push(0).tag(0, 1).early().into(), sweep(0), sweep(1), collect(0)])
            .tag_stays(),
        small("S3", "manifest untagged and collected while pushed again under the same tag, two sweepers")
            .with(manifest)
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).into(), collect(0), sweep(0), sweep(0)]),
        small("S4", "manifest pushed again vs two collectors of the old instance and a sweeper")
            .with(manifest)
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).into(), collect(0), collect(0), sweep(0)]),
        small("S5", "push heals a retired holding by copying it, sweepers of both")
            .with(holding(0))
            .tasks(&[push(0).tag(0, 1).heals_with(&[3]).into(), sweep(0), sweep(0), sweep(3), collect(0)])
            .tag_stays(),
        small("S6", "mount and push in image 1 vs deletion of the source").with(manifest).tagged(&[0]).tasks(&[
            mount(0, 2),
            push(3).into(),
            DeleteTag,
            collect(0),
            sweep(0),
            sweep(2),
        ]),
        small("B1", "manifest of two blobs: both uploaded and pushed vs a sweeper of each and a collector")
            .instance(0, 4)
            .holding(1, 1, 0, None)
            .tasks(&[upload(0), upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1), collect(0)])
            .tag_stays(),
        small("B2", "manifest of two blobs, one shared with a manifest that is untagged and collected; both healed")
            .instance(1, 4)
            .holding(1, 1, 0, None)
            .holding(4, 1, 0, None)
            .with(manifest | holding(1))
            .tagged(&[0])
            .tasks(&[DeleteTag, push(1).tag(1, 2).heals_with(&[3, 4]).into(), collect(0), sweep(0), sweep(1)]),
    ]
}

pub(super) fn large_ones() -> Vec<Scenario> {
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
        large("L3", "mount and push in image 1 vs sweep of the source and two data collectors")
            .with(complete(0) | holding(0))
            .tasks(&[mount(0, 2), push(3).tag(0, 1).into(), sweep(0), collect_data(0), collect_data(0), sweep(2)]),
        large("L4", "two images mount one blob from each other, both push, the source is swept")
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
        large("L7", "manifest of a small and a large blob vs sweepers of both, data collector, manifest collector")
            .instance(0, 4)
            .holding(1, 1, 0, None)
            .with(complete(0) | holding(0))
            .tasks(&[upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1), collect_data(0), collect(0)])
            .tag_stays(),
    ]
}

pub(super) fn watch_keys() -> Vec<Scenario> {
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
