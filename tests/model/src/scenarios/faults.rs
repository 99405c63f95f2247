//! Crashes, writes that arrive twice, and what the amendments mend.

use super::{collect, collect_data, complete, delete, large, mount, push, pushed, small, sweep, upload, upload_large};
use crate::scenario::Task::DeleteTag;
use crate::scenario::{Scenario, Task};
use crate::state::{data, holding};

pub(super) fn crashes_and_duplicates() -> Vec<Scenario> {
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

pub(super) fn amendments() -> Vec<Scenario> {
    let manifest = holding(0) | pushed(0);
    let mut readable = small("A2", "delete by digest vs a move of the tag to that manifest, crash at any point (R7)")
        .instance(1, 5)
        .instance(2, 0)
        .with(manifest | pushed(1))
        .tagged(&[1])
        .tasks(&[push(2).tag(1, 2).into(), delete(0)]);
    readable.promises.tag_readable_by_digest = true;
    let mut hidden = small("A5", "blob deleted by a client vs a push of a manifest of it (R9)")
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
        small("A3", "untagged manifest is deleted by digest while tagged, its blob swept, collectors (R7)")
            .with(manifest)
            .tasks(&[push(2).tag(1, 2).into(), delete(0), collect(0), sweep(0), collect(2)]),
        small("A4", "delete of a tag whose highest version was never acknowledged, crash at any point (R8)")
            .instance(1, 5)
            .instance(2, 6)
            .with(manifest | pushed(1))
            .tagged(&[0, 1])
            .tasks(&[push(2).tag(2, 3).into(), DeleteTag, collect(2)]),
        hidden,
        small("A6", "one blob uploaded twice, both swept as one digest, vs push (R17)")
            .with(holding(0))
            .tasks(&[upload(1), push(0).tag(0, 1).into(), sweep(0), sweep(1)])
            .tag_stays(),
    ]
}
