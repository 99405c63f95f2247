//! Sweep of one holding: flag it, delete the watch keys of its image, then look for bodies that mention the blob
//! (rule 3); none: delete it. The flag is set by a copy onto itself, which reads first and writes later, so a late one
//! may bring a deleted holding back, flagged.

use super::{At, Turn};
use crate::scenario::{Flaw, Scenario, Task};
use crate::state::{Class, Keys, State, WATCHES, flag, holding};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Nothing happens before the holding is there.
    Start,
    /// The copy onto itself reads.
    Read,
    /// It writes; LIST `w/` begins.
    Write,
    /// LIST `w/` ends.
    Watches,
    /// DELETE of the watch keys found, one by one.
    DeleteWatch(u8),
    /// LIST `m/` ends.
    Users,
    /// DELETE of the holding.
    Delete,
    /// Ablation: the holding was copied to another name and goes here.
    DeleteOld,
}

pub(super) fn turn(turn: &mut Turn<'_>, e: u8, moved_to: Option<u8>, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    match step {
        Step::Start => {
            if !turn.sees(holding(e)) {
                if matches!(turn.task, Task::DeleteBlob { .. }) {
                    turn.go(|_| At::Done);
                }
                return;
            }
            turn.go(|state| match () {
                () if plan.lacks(Flaw::SweeperListsFirst) || plan.lacks(Flaw::SweeperDoesNotRetire) => {
                    look_for_users(plan, state, me, e)
                }
                () if plan.lacks(Flaw::WatchKeysDeletedFirst) => look_for_watches(state, me),
                () => At::Sweeper(Step::Read),
            });
        }
        Step::Read => {
            let there = turn.sees(holding(e));
            turn.go(|_| if there { At::Sweeper(Step::Write) } else { At::Done });
        }
        Step::Write => turn.go(|state| {
            if let Some(to) = moved_to {
                let checked = state.ghost.checked_holdings >> e & 1;
                state.put(holding(to) | flag(to));
                state.ghost.checked_holdings |= checked << to;
                return At::Sweeper(Step::DeleteOld);
            }
            state.put(holding(e) | flag(e));
            if plan.lacks(Flaw::SweeperListsFirst) {
                At::Sweeper(Step::Delete)
            } else {
                after_retirement(plan, state, me, e)
            }
        }),
        Step::DeleteOld => turn.go(|state| {
            state.delete(holding(e));
            after_retirement(plan, state, me, e)
        }),
        Step::Watches => turn.for_answers(0, |state, answer| match answer.slots(Class::Watch) {
            0 => after_watches(plan, state, me, e),
            rest => At::Sweeper(Step::DeleteWatch(rest)),
        }),
        Step::DeleteWatch(rest) => turn.go(|state| {
            state.delete(Keys::of(Class::Watch, rest & rest.wrapping_neg()));
            match rest & (rest - 1) {
                0 => after_watches(plan, state, me, e),
                rest => At::Sweeper(Step::DeleteWatch(rest)),
            }
        }),
        Step::Users => turn.for_answers(0, |_, answer| match () {
            () if !answer.is_empty() => At::Failed,
            () if plan.lacks(Flaw::SweeperListsFirst) => At::Sweeper(Step::Read),
            () => At::Sweeper(Step::Delete),
        }),
        Step::Delete => turn.go(|state| {
            let target = plan.holdings[e as usize];
            // R17: what was flagged is deleted, not what a fresh LIST finds.
            if plan.lacks(Flaw::SweeperDeletesAnew) {
                state.delete(plan.holdings_of(target.blob, target.image));
            } else {
                state.delete(holding(moved_to.unwrap_or(e)));
            }
            At::Done
        }),
    }
}

fn after_retirement(plan: &Scenario, state: &mut State, me: usize, e: u8) -> At {
    let watched = plan.tasks.iter().any(|task| matches!(task, Task::Push(push) if push.watch.is_some()));
    // Where nobody has a watch key the LIST of them cannot find any.
    if !watched || plan.lacks(Flaw::WatchKeysLeft) || plan.lacks(Flaw::WatchKeysDeletedFirst) {
        look_for_users(plan, state, me, e)
    } else {
        look_for_watches(state, me)
    }
}

fn look_for_watches(state: &mut State, me: usize) -> At {
    state.list(me, 0, WATCHES);
    At::Sweeper(Step::Watches)
}

fn after_watches(plan: &Scenario, state: &mut State, me: usize, e: u8) -> At {
    if plan.lacks(Flaw::WatchKeysDeletedFirst) { At::Sweeper(Step::Read) } else { look_for_users(plan, state, me, e) }
}

fn look_for_users(plan: &Scenario, state: &mut State, me: usize, e: u8) -> At {
    let target = plan.holdings[e as usize];
    state.list(me, 0, Keys::of(Class::Body, plan.users_of(target.blob, target.image)));
    At::Sweeper(Step::Users)
}
