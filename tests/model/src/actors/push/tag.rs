//! Steps 7 to 9: tag version, the read that confirms it, the answer, and the older versions afterwards.

use super::super::{At, Turn, live};
use super::{Context, Progress, Step as PushStep};
use crate::scenario::{Flaw, Push};
use crate::state::{Class, State, VERSIONS, Version, each, version};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST of the versions ends; PUT of a version above all of them.
    Put,
    /// HEAD `a/n`, then the answer.
    Check,
    /// DELETE of an older version.
    Clean,
}

/// Where a push goes on once its instance is sealed.
pub(super) fn begin(push: &Push) -> PushStep {
    PushStep::Tag(if push.versions.is_some() { Step::Put } else { Step::Check })
}

pub(super) fn turn(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, step: Step) {
    let (plan, me) = (ctx.plan, ctx.me);
    let slot = ctx.push.versions.map(|(first, second)| if progress.again { second } else { first });
    match step {
        Step::Put => turn.for_answers(1, |state, answer| {
            let seen = progress.seen | answer.slots(Class::Version);
            let seq = state.highest(seen).map_or(0, |v| state.versions[v as usize].seq) + 1;
            let v = slot.expect("a push without a tag writes no version");
            state.versions[v as usize] = Version { seq, instance: progress.instance };
            state.put(version(v));
            let progress = Progress { seen, ..progress };
            match () {
                () if plan.lacks(Flaw::VersionBeforeSeal) && progress.instance == ctx.push.instance => {
                    progress.at(PushStep::Seal(ctx.own()))
                }
                () if plan.lacks(Flaw::AnswerWithoutRead) => answer_push(ctx, state, progress, slot),
                () => progress.at(PushStep::Tag(Step::Check)),
            }
        }),
        Step::Check => {
            let alive = live(plan, turn.state.keys, progress.instance);
            let reused = progress.instance != ctx.push.instance && !progress.again && !ctx.push.early;
            turn.go(|state| {
                if alive {
                    return answer_push(ctx, state, progress, slot);
                }
                if let Some(v) = slot.filter(|_| plan.lacks(Flaw::FailureDeletesVersion)) {
                    state.delete(version(v));
                }
                if !reused {
                    return At::Failed;
                }
                // The instance it reused was retired: once more with its own. The version written stays; like any
                // other it is outranked.
                let written = slot.map_or(0, |v| 1 << v);
                if slot.is_some() {
                    state.list(me, 1, VERSIONS);
                }
                let instance = ctx.push.instance;
                let progress = Progress { instance, again: true, seen: progress.seen | written, ..progress };
                progress.at(PushStep::Certificate(ctx.own()))
            });
        }
        Step::Clean => turn.go(|state| {
            let newest_first = plan.lacks(Flaw::NewestVersionFirst);
            let v = if newest_first { state.highest(progress.seen) } else { state.lowest(progress.seen) };
            let v = v.expect("a push cleans only what it has seen");
            state.delete(version(v));
            clean(Progress { seen: progress.seen & !(1 << v), ..progress })
        }),
    }
}

/// 201.
fn answer_push(ctx: Context<'_>, state: &mut State, progress: Progress, slot: Option<u8>) -> At {
    state.succeed(ctx.me);
    if let Some(v) = slot.filter(|&v| state.keys.has(version(v))) {
        // A version that names the same instance is no loss if the tag should fall back to it.
        let other = each(progress.seen).filter(|&w| w != v && state.named(w) != state.named(v));
        state.ghost.replaced |= other.fold(0, |mask, w| mask | 1 << w);
        state.ghost.acknowledged |= 1 << v;
        state.ghost.ever = true;
    }
    crate::invariants::referrer_acknowledged(ctx.plan, state, ctx.me);
    clean(progress)
}

fn clean(progress: Progress) -> At {
    if progress.seen == 0 { At::Done } else { progress.at(PushStep::Tag(Step::Clean)) }
}
