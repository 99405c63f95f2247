//! DELETE of a tag: lists the versions until a LIST adds nothing, then deletes them oldest first. What was pushed
//! above the highest version first seen survives: it is a push after the delete.

use super::{At, Turn};
use crate::scenario::{Flaw, Scenario};
use crate::state::{Class, State, VERSIONS, each, version};

/// The next step. The sets are tag versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST of the versions begins.
    Start,
    /// It ends with the set to delete.
    First,
    /// A further LIST ends.
    Again { set: u8 },
    /// DELETE of one version.
    Delete { set: u8 },
}

pub(super) fn turn(turn: &mut Turn<'_>, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    match step {
        Step::Start => turn.go(|state| {
            state.list(me, 0, VERSIONS);
            At::TagDelete(Step::First)
        }),
        Step::First => turn.for_answers(0, |state, answer| {
            let set = answer.slots(Class::Version);
            if set == 0 {
                return At::Done;
            }
            At::TagDelete(if list_again(plan, state, me) { Step::Again { set } } else { Step::Delete { set } })
        }),
        Step::Again { set } => turn.for_answers(0, |state, answer| {
            let (set, settled) = settle(plan, state, me, set, answer.slots(Class::Version));
            At::TagDelete(if settled { Step::Delete { set } } else { Step::Again { set } })
        }),
        Step::Delete { set } => {
            for v in next_deleted(plan, turn.state, set) {
                turn.go(|state| {
                    state.delete(version(v));
                    match set & !(1 << v) {
                        0 => At::Done,
                        set => At::TagDelete(Step::Delete { set }),
                    }
                });
            }
        }
    }
}

/// Starts the second LIST of a deleter; false only where that is ablated.
pub(super) fn list_again(plan: &Scenario, state: &mut State, me: usize) -> bool {
    let again = !plan.lacks(Flaw::VersionsListedOnce);
    if again {
        state.list(me, 0, VERSIONS);
    }
    again
}

/// A further LIST showed `seen`: adds what lies below the highest version of the set, and unless that was nothing
/// starts another LIST. Returns the set and whether it is complete. One LIST may catch the newest version and miss an
/// older one; deleting only the newest would let the tag fall back to a version that was replaced long ago.
pub(super) fn settle(plan: &Scenario, state: &mut State, me: usize, set: u8, seen: u8) -> (u8, bool) {
    let highest = state.highest(set).expect("a deleter has found a version");
    let added = state.lower(seen, highest) & !set;
    let settled = added == 0 || plan.lacks(Flaw::VersionsListedTwice);
    if !settled {
        state.list(me, 0, VERSIONS);
    }
    (set | added, settled)
}

/// The versions one of which is deleted next: the oldest (R8). A batch promises no order inside it, so an ablation
/// that puts several versions of one tag into one batch may delete any of them first.
pub(super) fn next_deleted(plan: &Scenario, state: &State, set: u8) -> impl Iterator<Item = u8> + use<> {
    let highest = state.highest(set).map_or(0, |v| 1 << v);
    let oldest = state.lowest(set).map_or(0, |v| 1 << v);
    each(match () {
        () if plan.lacks(Flaw::NewestVersionFirst) => highest,
        () if plan.lacks(Flaw::HighestSharesBatch) => set,
        () if plan.lacks(Flaw::LowerShareBatch) && set != highest => set & !highest,
        () => oldest,
    })
}
