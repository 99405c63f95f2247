//! Mount of a blob from another image: a small one is copied (read, then write), of a large one a holding is
//! written first and its data read afterwards (rules 2 and 5). De-duplication of an upload is the same thing.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{Class, data_certificate, each, holding};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST of the source's holdings begins.
    Start,
    /// It ends.
    Choose,
    /// CopyObject reads the source.
    Read(u8),
    /// CopyObject writes the copy, without flag.
    Write,
    /// PUT of a holding that names the source's data.
    Holding,
    /// HEAD `a/K`.
    Certificate,
    /// Ablation: DELETE of the own holding.
    TakeBack,
}

pub(super) fn turn(turn: &mut Turn<'_>, from: u8, e: u8, step: Step) {
    let me = turn.me;
    let plan = turn.plan;
    let target = plan.holdings[e as usize];
    match step {
        Step::Start => turn.go(|state| {
            state.list(me, 0, plan.holdings_of(target.blob, from));
            At::Mount(Step::Choose)
        }),
        Step::Choose => {
            for answer in turn.state.answers(me, 0) {
                let fits = each(answer.slots(Class::Holding)).filter(|&source| plan.data_of(source) == target.data);
                let steps = fits.map(|source| At::Mount(target.data.map_or(Step::Read(source), |_| Step::Holding)));
                let none = answer.is_empty().then_some(At::Failed);
                for at in steps.chain(none) {
                    turn.go_listed(0, |_| at);
                }
            }
        }
        Step::Read(source) => {
            let there = turn.sees(holding(source));
            turn.go(|_| if there { At::Mount(Step::Write) } else { At::Failed });
        }
        Step::Write => turn.go(|state| {
            state.put_holding(e);
            state.succeed(me);
            At::Done
        }),
        Step::Holding => turn.go(|state| {
            state.put_holding(e);
            At::Mount(Step::Certificate)
        }),
        Step::Certificate => {
            let live = target.data.is_some_and(|k| turn.sees(data_certificate(k)));
            let take_back = turn.lacks(Flaw::FailureDeletesHolding);
            turn.go(|state| {
                if live {
                    state.check_holding(e);
                    state.succeed(me);
                    return At::Done;
                }
                // Rule 6: the holding stays. Somebody may rely on it already.
                if take_back { At::Mount(Step::TakeBack) } else { At::Failed }
            });
        }
        Step::TakeBack => turn.go(|state| {
            state.delete(holding(e));
            At::Failed
        }),
    }
}
