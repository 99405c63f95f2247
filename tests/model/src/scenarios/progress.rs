//! A lone client that comes after everybody else has stopped.

use super::{collect, collect_data, complete, delete, large, mount, push, pushed, reap, small, sweep, upload_large};
use crate::scenario::{Scenario, Task, Try};
use crate::state::{holding, link};

pub(super) fn all() -> Vec<Scenario> {
    vec![uploads(), mounts(), children()]
}

/// The holdings e1 and e3 to e7 belong to a lone client, who pushes manifest 0 as n5 to n7: each try uploads fresh
/// data, or heals, with a new holding of K0 or with that fresh data.
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

fn uploads() -> Scenario {
    large_progress("Z5", "progress: large upload and push vs reaper and fsck of the certificate (R3)").tasks(&[
        upload_large(0),
        push(0).into(),
        reap(0),
        Task::CheckCertificate { data: 0 },
    ])
}

fn mounts() -> Scenario {
    large_progress("Z6", "progress: mount from image 1, source swept, data collector stops (R3)")
        .holding(2, 0, 1, Some(0))
        .with(complete(0) | holding(2))
        .tasks(&[mount(1, 0), push(0).tag(0, 1).into(), sweep(2), sweep(0), collect_data(0)])
}

fn children() -> Scenario {
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
