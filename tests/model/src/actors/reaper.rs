//! Reaper of an upload that nobody finished. It never deletes data: Complete after Abort fails, so an upload either
//! has its data before the abort and keeps it, or gets none.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{data, data_certificate, multipart, record};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// HEAD `k/K`. Nothing happens before there is a record.
    Data,
    /// DELETE `a/K`.
    Certificate,
    /// AbortMultipartUpload.
    Abort,
    /// DELETE of the record.
    Record,
    /// Ablation: DELETE of the data.
    DeleteData,
}

pub(super) fn turn(turn: &mut Turn<'_>, k: u8, step: Step) {
    if step == Step::Data && !turn.sees(record(k)) {
        return;
    }
    let deletes_data = turn.lacks(Flaw::ReaperDeletesData);
    turn.go(|state| match step {
        Step::Data => {
            let finished = state.keys.has(data(k)) && !deletes_data;
            At::Reaper(if finished { Step::Record } else { Step::Certificate })
        }
        Step::Certificate => {
            state.delete(data_certificate(k));
            At::Reaper(Step::Abort)
        }
        Step::Abort => {
            state.delete(multipart(k));
            At::Reaper(if deletes_data { Step::DeleteData } else { Step::Record })
        }
        Step::DeleteData => {
            state.delete(data(k));
            At::Reaper(Step::Record)
        }
        Step::Record => {
            state.delete(record(k));
            At::Done
        }
    });
}
