//! Who uses the store. Each file is one request or one background task, written as its steps in the order of
//! `docs/storage.md`; [`Turn::go`] takes one of them. Every step reads or writes the store once; the end of a LIST and
//! the next step of the same actor are one step, because a LIST that ends later has only more possible answers.

use std::fmt;

use crate::scenario::{Flaw, Scenario, Task};
use crate::state::{Class, Keys, List, SLOTS, State, body, certificate, each, retired_body, seal};

pub mod blob_delete;
pub mod certificate_fsck;
pub mod data_collector;
pub mod manifest_collector;
pub mod manifest_delete;
pub mod mount;
pub mod push;
pub mod reaper;
pub mod sweeper;
pub mod tag_delete;
pub mod tag_fsck;
pub mod tag_read;
pub mod upload;

/// The next step of an actor, each kind in a module of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum At {
    /// It is through, with success or because there is nothing to do.
    #[default]
    Done,
    /// It gave up: an error was answered, or the work was left for later.
    Failed,
    Upload(upload::Step),
    Mount(mount::Step),
    Push(push::Progress),
    TagDelete(tag_delete::Step),
    ManifestDelete(manifest_delete::Step),
    BlobDelete(blob_delete::Step),
    ManifestCollector(manifest_collector::Step),
    Sweeper(sweeper::Step),
    DataCollector(data_collector::Step),
    Reaper(reaper::Step),
    TagFsck(tag_fsck::Step),
    CertificateFsck(certificate_fsck::Step),
    TagRead(tag_read::Step),
}

impl At {
    /// Where an actor with this task begins.
    pub fn start(task: &Task) -> Self {
        match task {
            Task::Nobody => Self::Done,
            Task::UploadSmall { .. } => Self::Upload(upload::Step::Holding),
            Task::UploadLarge { .. } => Self::Upload(upload::Step::Certificate),
            Task::Mount { .. } => Self::Mount(mount::Step::Start),
            Task::Push(push) => Self::Push(push::Progress::start(push)),
            Task::DeleteTag => Self::TagDelete(tag_delete::Step::Start),
            Task::DeleteManifest { .. } => Self::ManifestDelete(manifest_delete::Step::Start),
            Task::DeleteBlob { .. } => Self::BlobDelete(blob_delete::Step::Start),
            Task::CollectManifest { .. } => Self::ManifestCollector(manifest_collector::Step::Start),
            Task::Sweep { .. } => Self::Sweeper(sweeper::Step::Start),
            Task::CollectData { .. } => Self::DataCollector(data_collector::Step::Start),
            Task::Reap { .. } => Self::Reaper(reaper::Step::Data),
            Task::CheckTag => Self::TagFsck(tag_fsck::Step::Start),
            Task::CheckCertificate { .. } => Self::CertificateFsck(certificate_fsck::Step::Data),
            Task::ReadTag => Self::TagRead(tag_read::Step::Start),
        }
    }

    /// Whether no step is left.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// For traces, which name the task beside it.
impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "Done"),
            Self::Failed => write!(f, "Failed"),
            Self::Upload(step) => write!(f, "{step:?}"),
            Self::Mount(step) => write!(f, "{step:?}"),
            Self::Push(progress) => write!(f, "{progress:?}"),
            Self::TagDelete(step) => write!(f, "{step:?}"),
            Self::ManifestDelete(step) => write!(f, "{step:?}"),
            Self::BlobDelete(step) => write!(f, "{step:?}"),
            Self::ManifestCollector(step) => write!(f, "{step:?}"),
            Self::Sweeper(step) => write!(f, "{step:?}"),
            Self::DataCollector(step) => write!(f, "{step:?}"),
            Self::Reaper(step) => write!(f, "{step:?}"),
            Self::TagFsck(step) => write!(f, "{step:?}"),
            Self::CertificateFsck(step) => write!(f, "{step:?}"),
            Self::TagRead(step) => write!(f, "{step:?}"),
        }
    }
}

/// One actor's turn in one state: collects the states its next step may lead to.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The scenario.
    pub plan: &'a Scenario,
    /// The state before the step.
    pub state: &'a State,
    /// Who takes the step.
    pub me: usize,
    /// What it has to do.
    pub task: &'a Task,
    out: &'a mut Vec<State>,
}

/// Appends the states that actor `me`, with this task, can reach in one step.
pub fn take_turn(plan: &Scenario, task: &Task, state: &State, me: usize, out: &mut Vec<State>) {
    let at = state.actors[me].at;
    let turn = &mut Turn { plan, state, me, task, out };
    match (task, at) {
        (_, At::Done | At::Failed) => {}
        (&(Task::UploadSmall { holding } | Task::UploadLarge { holding }), At::Upload(step)) => {
            upload::turn(turn, holding, step);
        }
        (&Task::Mount { from, holding }, At::Mount(step)) => mount::turn(turn, from, holding, step),
        (Task::Push(push), At::Push(progress)) => push::turn(turn, push, progress),
        (Task::DeleteTag, At::TagDelete(step)) => tag_delete::turn(turn, step),
        (&Task::DeleteManifest { digest, image }, At::ManifestDelete(step)) => {
            manifest_delete::turn(turn, digest, image, step);
        }
        (&Task::DeleteBlob { holding }, At::BlobDelete(step)) => blob_delete::turn(turn, holding, step),
        (&Task::CollectManifest { instance }, At::ManifestCollector(step)) => {
            manifest_collector::turn(turn, instance, step);
        }
        (&Task::DeleteBlob { .. }, At::ManifestCollector(step)) => {
            manifest_collector::turn(turn, step.instance(), step);
        }
        (&Task::Sweep { holding, moved_to }, At::Sweeper(step)) => sweeper::turn(turn, holding, moved_to, step),
        (&Task::DeleteBlob { holding }, At::Sweeper(step)) => sweeper::turn(turn, holding, None, step),
        (&Task::CollectData { data }, At::DataCollector(step)) => data_collector::turn(turn, data, step),
        (&Task::Reap { data }, At::Reaper(step)) => reaper::turn(turn, data, step),
        (Task::CheckTag, At::TagFsck(step)) => tag_fsck::turn(turn, step),
        (&Task::CheckCertificate { data }, At::CertificateFsck(step)) => certificate_fsck::turn(turn, data, step),
        (Task::ReadTag, At::TagRead(step)) => tag_read::turn(turn, step),
        (task, at) => unreachable!("{at:?} is no step of {task:?}"),
    }
}

impl Turn<'_> {
    /// Takes a step: `step` changes the store and says where the actor goes on.
    pub fn go(&mut self, step: impl FnOnce(&mut State) -> At) {
        let mut next = self.state.clone();
        let at = step(&mut next);
        let actor = &mut next.actors[self.me];
        actor.at = at;
        if at.is_over() {
            actor.lists = Default::default();
        }
        self.out.push(next);
    }

    /// Like [`Turn::go`], after the end of the LIST in `slot`.
    pub fn go_listed(&mut self, slot: usize, step: impl FnOnce(&mut State) -> At) {
        let me = self.me;
        self.go(|state| {
            state.actors[me].lists[slot] = List::default();
            step(state)
        });
    }

    /// Ends the LIST in `slot` with each answer it may have, and takes a step with it.
    pub fn for_answers(&mut self, slot: usize, mut step: impl FnMut(&mut State, Keys) -> At) {
        for answer in self.state.answers(self.me, slot) {
            self.go_listed(slot, |state| step(state, answer));
        }
    }

    /// Whether this rule is removed.
    pub fn lacks(&self, flaw: Flaw) -> bool {
        self.plan.lacks(flaw)
    }

    /// HEAD of these keys: whether all of them are there.
    pub fn sees(&self, keys: Keys) -> bool {
        self.state.keys.has(keys)
    }

    /// HEAD `a/n`: whether instance n is live.
    pub fn live(&self, n: u8) -> bool {
        live(self.plan, self.state.keys, n)
    }
}

/// Whether instance n is live.
pub fn live(plan: &Scenario, keys: Keys, n: u8) -> bool {
    if plan.lacks(Flaw::ManifestRetiredInPlace) {
        keys.has(body(n)) && !keys.has(retired_body(n))
    } else {
        keys.has(certificate(n))
    }
}

/// The instances that a LIST answer shows with a seal.
fn sealed(answer: Keys) -> u8 {
    answer.slots(Class::Seal)
}

/// The tag version that a tag resolves to (reads, R7): the highest whose instance has a body and a seal.
pub fn resolve(plan: &Scenario, state: &State) -> Option<u8> {
    let readable = |v: &u8| {
        let n = state.named(*v);
        state.keys.has(body(n)) && (plan.lacks(Flaw::UnsealedResolves) || state.keys.has(seal(n)))
    };
    each(state.keys.slots(Class::Version)).filter(readable).max_by_key(|&v| state.rank(v))
}

/// The highest slot of a mask: ids are born in the order of the slots, so this is the newest.
fn newest(mask: u8) -> Option<u8> {
    (0..SLOTS).rev().find(|slot| mask & (1 << slot) != 0)
}
