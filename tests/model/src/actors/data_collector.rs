//! Collection of large data K: delete its certificate, then look for holdings that name it (rule 3); none: delete it.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{data, data_certificate};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// DELETE `a/K`; LIST of the holdings begins. Nothing happens before there is something of K.
    Start,
    /// It ends.
    Holdings,
    /// DELETE of the data.
    Data,
    /// Ablation: DELETE `a/K` after the LIST.
    LateRetirement,
}

pub(super) fn turn(turn: &mut Turn<'_>, k: u8, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    let list_first = turn.lacks(Flaw::DataCollectorListsFirst);
    match step {
        Step::Start => {
            let holdings = plan.holdings_of_data(k);
            if turn.state.keys.meets(data_certificate(k) | data(k) | holdings) {
                turn.go(|state| {
                    if !list_first {
                        state.delete(data_certificate(k));
                    }
                    state.list(me, 0, holdings);
                    At::DataCollector(Step::Holdings)
                });
            }
        }
        Step::Holdings => turn.for_answers(0, |_, answer| match () {
            () if !answer.is_empty() => At::Failed,
            () if list_first => At::DataCollector(Step::LateRetirement),
            () => At::DataCollector(Step::Data),
        }),
        Step::LateRetirement => turn.go(|state| {
            state.delete(data_certificate(k));
            At::DataCollector(Step::Data)
        }),
        Step::Data => turn.go(|state| {
            state.delete(data(k));
            At::Done
        }),
    }
}
