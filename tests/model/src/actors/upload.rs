//! Upload of a blob. A small one is its holding. A large one is data under a fresh id, complete before the first
//! holding that names it; there is no read of `a/K` at the end, the manifest push checks.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{data, data_certificate, multipart, record};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// PUT `a/K` (rule 1).
    Certificate,
    /// CreateMultipartUpload, PUT `u/<S>`.
    Begin,
    /// CompleteMultipartUpload.
    Complete,
    /// PUT of the holding, and the answer.
    Holding,
    /// DELETE `u/<S>`.
    Forget,
    /// Ablation: PUT `a/K` after the data.
    LateCertificate,
}

pub(super) fn turn(turn: &mut Turn<'_>, e: u8, step: Step) {
    let me = turn.me;
    let Some(k) = turn.plan.data_of(e) else {
        return turn.go(|state| {
            state.put_holding(e);
            state.succeed(me);
            At::Done
        });
    };
    let holding_first = turn.lacks(Flaw::HoldingBeforeData);
    let certificate_late = turn.lacks(Flaw::DataCertificateLate);
    turn.go(|state| match step {
        Step::Certificate => {
            if !certificate_late {
                state.put(data_certificate(k));
            }
            At::Upload(Step::Begin)
        }
        Step::Begin => {
            state.put(multipart(k) | record(k));
            At::Upload(if holding_first { Step::Holding } else { Step::Complete })
        }
        Step::Complete => {
            // What a reaper aborted cannot be completed: the upload id is what stops a slow uploader.
            if !state.keys.has(multipart(k)) {
                return At::Failed;
            }
            state.put(data(k));
            state.delete(multipart(k));
            At::Upload(match () {
                () if holding_first => Step::Forget,
                () if certificate_late => Step::LateCertificate,
                () => Step::Holding,
            })
        }
        Step::LateCertificate => {
            state.put(data_certificate(k));
            At::Upload(Step::Holding)
        }
        Step::Holding => {
            state.put_holding(e);
            if holding_first && !state.keys.has(data(k)) {
                return At::Upload(Step::Complete);
            }
            state.succeed(me);
            At::Upload(Step::Forget)
        }
        Step::Forget => {
            state.delete(record(k));
            At::Done
        }
    });
}
