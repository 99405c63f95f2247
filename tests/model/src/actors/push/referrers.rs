//! Step 3b: a fresh instance of a known digest. Referrers that a collector has retired while the older instance went
//! are revived: a LIST of that collector may have missed both the old and the new body of the subject.

use super::super::{At, Turn, newest};
use super::{Birth, Context, Progress, Role, Step as PushStep, children::born, confirm_own};
use crate::state::{Class, Keys, State};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST `f/<digest>/` ends.
    Choose,
    /// HEAD `a/r` of the newest of these.
    Read { rest: u8 },
}

/// LIST `f/<digest>/` begins, unless nothing in the scenario refers to this digest.
pub(super) fn begin(ctx: Context<'_>, state: &mut State, progress: Progress) -> At {
    let (digest, image) = ctx.target();
    let entries = Keys::of(Class::Entry, ctx.plan.referrers_of(digest, image));
    if entries.is_empty() {
        return confirm_own(ctx, state, progress);
    }
    state.list(ctx.me, 0, entries);
    progress.at(PushStep::Referrers(Step::Choose))
}

pub(super) fn turn(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, step: Step) {
    let read = |rest: u8| progress.at(PushStep::Referrers(Step::Read { rest }));
    match step {
        Step::Choose => turn.for_answers(0, |_, answer| read(answer.slots(Class::Entry))),
        Step::Read { rest } => {
            let Some(r) = newest(rest) else {
                return turn.go(|state| confirm_own(ctx, state, progress));
            };
            let rest = rest & !(1 << r);
            if turn.live(r) {
                return turn.go(|_| read(rest));
            }
            // Where the scenario has no fresh instance left the push ends: fewer runs, but no wrong ones.
            let spare = ctx.spare_instance(progress, ctx.plan.instances[r as usize].digest);
            turn.go(|_| match spare {
                Some(instance) => born(progress, r, Birth { instance, role: Role::Referrer { rest } }),
                None => At::Failed,
            });
        }
    }
}
