//! DELETE of a blob: refused while a visible manifest mentions it. A hidden one that mentions it (a push under way or
//! a failed one) is retired, then its seal is looked for once more, for the push may have been answered meanwhile
//! (R9); only then it is collected, and the holding swept, both without grace and quarantine.

use super::{At, Turn, manifest_collector, newest, sealed, sweeper};
use crate::scenario::Flaw;
use crate::state::{Class, Keys, certificate, seal};

/// The next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST `m/` begins.
    Start,
    /// It ends: visible, hidden or no users.
    Users,
    /// DELETE `a/n` of a hidden one, then LIST `m/<its digest>/<n>.` begins.
    Retire(u8),
    /// It ends.
    Sealed(u8),
}

pub(super) fn turn(turn: &mut Turn<'_>, e: u8, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    let target = plan.holdings[e as usize];
    let users = plan.users_of(target.blob, target.image);
    match step {
        Step::Start => turn.go(|state| {
            state.list(me, 0, Keys::of(Class::Body, users) | Keys::of(Class::Seal, users));
            At::BlobDelete(Step::Users)
        }),
        Step::Users => turn.for_answers(0, |_, answer| match newest(answer.slots(Class::Body)) {
            _ if sealed(answer) != 0 => At::Failed,
            Some(n) => At::BlobDelete(Step::Retire(n)),
            None => At::Sweeper(sweeper::Step::Start),
        }),
        Step::Retire(n) => turn.go(|state| {
            state.delete(certificate(n));
            if plan.lacks(Flaw::HiddenNotListed) {
                return manifest_collector::look_for_references(state, me, n);
            }
            state.list(me, 0, seal(n));
            At::BlobDelete(Step::Sealed(n))
        }),
        Step::Sealed(n) => turn.for_answers(0, |state, answer| {
            if answer.is_empty() { manifest_collector::look_for_references(state, me, n) } else { At::Failed }
        }),
    }
}
