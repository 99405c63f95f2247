//! fsck of one certificate of large data: it goes only if there is neither data nor a record of an upload (R3).

use super::{At, Turn};
use crate::state::{data, data_certificate, record};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// HEAD `k/K`. Nothing happens before there is a certificate.
    Data,
    /// HEAD of the record.
    Record,
    /// DELETE `a/K`.
    Certificate,
}

pub(super) fn turn(turn: &mut Turn<'_>, k: u8, step: Step) {
    if step == Step::Data && !turn.sees(data_certificate(k)) {
        return;
    }
    turn.go(|state| match step {
        Step::Data if state.keys.has(data(k)) => At::Done,
        Step::Data => At::CertificateFsck(Step::Record),
        Step::Record if state.keys.has(record(k)) => At::Done,
        Step::Record => At::CertificateFsck(Step::Certificate),
        Step::Certificate => {
            state.delete(data_certificate(k));
            At::Done
        }
    });
}
