//! DELETE of a manifest by digest: retires every visible instance, refuses if an index still lists it (409, the
//! instance then stays retired but readable), removes the tag versions that name it with all lower ones, then hides it.

use super::tag_delete::{list_again, next_deleted, settle};
use super::{At, Turn, newest, sealed};
use crate::scenario::Flaw;
use crate::state::{Class, State, VERSIONS, body, certificate, each, entry, seal, version};

/// The next step. `rest`: the instances still to delete, the lowest in hand; `set`: tag versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST `m/<digest>/` begins.
    Start,
    /// It ends.
    Instances,
    /// DELETE `a/n`, then LIST `c/<digest>/` begins.
    Retire { rest: u8 },
    /// It ends.
    Parents { rest: u8 },
    /// HEAD of the body of one parent.
    Parent { rest: u8, parents: u8 },
    /// LIST of the tag versions ends.
    Versions { rest: u8 },
    /// A further one ends.
    Again { rest: u8, set: u8 },
    /// DELETE of one version.
    Delete { rest: u8, set: u8 },
    /// DELETE of seal and referrer entry.
    Hide { rest: u8 },
}

pub(super) fn turn(turn: &mut Turn<'_>, digest: u8, image: u8, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    match step {
        Step::Start => turn.go(|state| {
            state.list(me, 0, plan.manifest_prefix(digest, image));
            At::ManifestDelete(Step::Instances)
        }),
        Step::Instances => turn.for_answers(0, |_, answer| match sealed(answer) {
            0 => At::Done,
            rest => At::ManifestDelete(Step::Retire { rest }),
        }),
        Step::Retire { rest } => turn.go(|state| {
            if !plan.lacks(Flaw::DeleteDoesNotRetire) {
                state.delete(certificate(first(rest)));
            }
            state.list(me, 0, plan.links_to(digest, image));
            At::ManifestDelete(Step::Parents { rest })
        }),
        Step::Parents { rest } => turn.for_answers(0, |state, answer| {
            let parents = answer.slots(Class::Link) | answer.slots(Class::SecondLink);
            next_parent(state, me, rest, parents)
        }),
        Step::Parent { rest, parents } => {
            let parent = newest(parents).expect("there is a parent to read");
            let refused = turn.sees(body(parent));
            turn.go(|state| if refused { At::Failed } else { next_parent(state, me, rest, parents & !(1 << parent)) });
        }
        Step::Versions { rest } => turn.for_answers(0, |state, answer| {
            let seen = answer.slots(Class::Version);
            let naming = each(seen).filter(|&v| state.named(v) == first(rest)).fold(0, |mask, v| mask | 1 << v);
            let Some(highest) = state.highest(naming) else {
                return At::ManifestDelete(Step::Hide { rest });
            };
            let set = state.lower(seen, highest) | 1 << highest;
            let again = list_again(plan, state, me);
            At::ManifestDelete(if again { Step::Again { rest, set } } else { Step::Delete { rest, set } })
        }),
        Step::Again { rest, set } => turn.for_answers(0, |state, answer| {
            let (set, settled) = settle(plan, state, me, set, answer.slots(Class::Version));
            At::ManifestDelete(if settled { Step::Delete { rest, set } } else { Step::Again { rest, set } })
        }),
        Step::Delete { rest, set } => {
            for v in next_deleted(plan, turn.state, set) {
                turn.go(|state| {
                    state.delete(version(v));
                    At::ManifestDelete(match set & !(1 << v) {
                        0 => Step::Hide { rest },
                        set => Step::Delete { rest, set },
                    })
                });
            }
        }
        Step::Hide { rest } => turn.go(|state| {
            let n = first(rest);
            state.delete(seal(n) | entry(n));
            match rest & !(1 << n) {
                0 => At::Done,
                rest => At::ManifestDelete(Step::Retire { rest }),
            }
        }),
    }
}

fn first(rest: u8) -> u8 {
    rest.trailing_zeros() as u8
}

/// With no parent left to read the LIST of the tag versions begins.
fn next_parent(state: &mut State, me: usize, rest: u8, parents: u8) -> At {
    At::ManifestDelete(if parents == 0 {
        state.list(me, 0, VERSIONS);
        Step::Versions { rest }
    } else {
        Step::Parent { rest, parents }
    })
}
