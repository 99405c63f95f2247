//! Option W: a replica writes its watch key first and then reads holdings as live; after the body one read of the
//! watch key says whether anything in the image was retired since.

use super::super::{At, Turn};
use super::{Context, Progress, Step as PushStep, blobs, confirmed};
use crate::scenario::Flaw;
use crate::state::{Class, Keys, State, data_certificate, each, flag, holding, watch};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST of the holdings ends.
    Choose,
    /// HEAD of one.
    Holding(u8),
    /// HEAD `a/K`.
    Certificate(u8),
    /// After the body: HEAD `w/<w>`.
    Reread,
    /// Ablation: PUT of the watch key after the holdings were read.
    LateKey,
}

/// PUT of the watch key; LIST of the holdings begins. Such a push has one blob.
pub(super) fn begin(ctx: Context<'_>, state: &mut State, progress: Progress, w: u8) -> At {
    let (_, image) = ctx.target();
    let blob = ctx.plan.manifest(ctx.push.instance).blobs[0];
    if !ctx.lacks(Flaw::WatchKeyLate) {
        state.put(watch(w));
    }
    state.list(ctx.me, 0, ctx.plan.holdings_of(blob, image));
    progress.at(PushStep::Watched(Step::Choose))
}

pub(super) fn turn(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, step: Step) {
    let key = ctx.push.watch.map_or(Keys::NONE, watch);
    let next = |step: Step| progress.at(PushStep::Watched(step));
    let birth = || progress.at(PushStep::Certificate(ctx.own()));
    let remembered = || if ctx.lacks(Flaw::WatchKeyLate) { next(Step::LateKey) } else { birth() };
    match step {
        Step::Choose => {
            for answer in turn.state.answers(ctx.me, 0) {
                for e in each(answer.slots(Class::Holding)) {
                    turn.go_listed(0, |_| next(Step::Holding(e)));
                }
                if answer.is_empty() {
                    turn.go_listed(0, |_| At::Failed);
                }
            }
        }
        Step::Holding(e) => {
            let live = turn.sees(holding(e)) && !turn.sees(flag(e));
            turn.go(|_| match ctx.plan.data_of(e) {
                _ if !live => At::Failed,
                Some(_) => next(Step::Certificate(e)),
                None => remembered(),
            });
        }
        Step::Certificate(e) => {
            let live = ctx.plan.data_of(e).is_some_and(|k| turn.sees(data_certificate(k)));
            turn.go(|state| {
                if !live {
                    return At::Failed;
                }
                state.check_holding(e);
                remembered()
            });
        }
        Step::LateKey => turn.go(|state| {
            state.put(key);
            birth()
        }),
        Step::Reread => {
            let unchanged = turn.sees(key);
            turn.go(|state| {
                if unchanged {
                    confirmed(ctx, state, progress, ctx.own())
                } else {
                    blobs::begin(ctx, state, progress, ctx.own(), 0)
                }
            });
        }
    }
}
