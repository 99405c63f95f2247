//! fsck of one tag: removes the versions below the highest *confirmed* one, and a version whose instance has neither
//! seal nor certificate (R7). A highest version that is not confirmed may belong to a push under way, or to a dead one:
//! what lies below it is then still what the tag resolves to.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{Class, State, VERSIONS, body, seal, version};

/// The next step. `set`: tag versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST of the versions begins. Nothing happens before there is one.
    Start,
    /// It ends.
    Versions,
    /// HEAD `a/n` of the highest.
    Certificate { set: u8 },
    /// HEAD of its body.
    Body { set: u8 },
    /// LIST of the seal of the highest, which is not live.
    Seal { set: u8 },
    /// DELETE of the lowest of these.
    Delete { set: u8 },
}

pub(super) fn turn(turn: &mut Turn<'_>, step: Step) {
    let me = turn.me;
    match step {
        Step::Start => {
            if turn.state.keys.meets(VERSIONS) {
                turn.go(|state| {
                    state.list(me, 0, VERSIONS);
                    At::TagFsck(Step::Versions)
                });
            }
        }
        Step::Versions => turn.for_answers(0, |_, answer| match answer.slots(Class::Version) {
            0 => At::Done,
            set => At::TagFsck(Step::Certificate { set }),
        }),
        Step::Certificate { set } => {
            let n = turn.state.named(highest(turn.state, set));
            let confirmed = turn.live(n) || turn.lacks(Flaw::FsckTrustsUnconfirmed);
            turn.go(|_| At::TagFsck(if confirmed { Step::Body { set } } else { Step::Seal { set } }));
        }
        Step::Body { set } => {
            let top = highest(turn.state, set);
            let there = turn.sees(body(turn.state.named(top)));
            let lower = set & !(1 << top);
            turn.go(|_| if there && lower != 0 { At::TagFsck(Step::Delete { set: lower }) } else { At::Done });
        }
        Step::Seal { set } => {
            let top = highest(turn.state, set);
            let hidden = !turn.sees(seal(turn.state.named(top)));
            turn.go(|_| if hidden { At::TagFsck(Step::Delete { set: 1 << top }) } else { At::Done });
        }
        Step::Delete { set } => turn.go(|state| {
            let v = state.lowest(set).expect("there is a version to delete");
            state.delete(version(v));
            match set & !(1 << v) {
                0 => At::Done,
                set => At::TagFsck(Step::Delete { set }),
            }
        }),
    }
}

fn highest(state: &State, set: u8) -> u8 {
    state.highest(set).expect("fsck has found a version")
}
