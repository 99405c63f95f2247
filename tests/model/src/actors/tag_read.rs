//! GET of a manifest by tag (reads, R14): the highest version whose body and seal can be read. If a listed version
//! could not be read, or none was listed, the reader lists again; a lower version, or 404, is answered only if a LIST
//! that began later names the same versions. A LIST may miss a version that was written while it ran together with the
//! one it replaced.

use super::{At, Turn};
use crate::scenario::Flaw;
use crate::state::{Class, State, VERSIONS, body, seal};

/// The next step. `floor`: the highest version that was acknowledged when the request began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The first LIST begins.
    Start,
    /// A LIST ends. `before`: what the LIST before it named, if that led to no answer.
    Versions { floor: Option<u8>, before: Option<u8>, round: u8 },
    /// GET of the body ∥ LIST of the seal of the highest of `rest`.
    Read { floor: Option<u8>, before: Option<u8>, round: u8, set: u8, rest: u8 },
}

/// How often a reader lists before it answers 503.
const ROUNDS: u8 = 3;

pub(super) fn turn(turn: &mut Turn<'_>, step: Step) {
    let (plan, me) = (turn.plan, turn.me);
    match step {
        Step::Start => turn.go(|state| {
            let floor = state.highest(state.ghost.acknowledged);
            state.list(me, 0, VERSIONS);
            At::TagRead(Step::Versions { floor, before: None, round: 1 })
        }),
        Step::Versions { floor, before, round } => turn.for_answers(0, |state, answer| {
            let set = answer.slots(Class::Version);
            match set {
                0 if before == Some(0) || plan.lacks(Flaw::EmptyListTrusted) => answered(state, me, floor, None),
                0 => again(state, me, floor, 0, round),
                _ => At::TagRead(Step::Read { floor, before, round, set, rest: set }),
            }
        }),
        Step::Read { floor, before, round, set, rest } => turn.go(|state| {
            let v = state.highest(rest).expect("there is a version to read");
            let n = state.named(v);
            let readable = state.keys.has(body(n) | seal(n));
            let first = rest == set || before == Some(set) || plan.lacks(Flaw::MissingTrusted);
            match rest & !(1 << v) {
                _ if readable && first => answered(state, me, floor, Some(v)),
                0 if before == Some(set) || plan.lacks(Flaw::MissingTrusted) => answered(state, me, floor, None),
                rest if !readable && rest != 0 => At::TagRead(Step::Read { floor, before, round, set, rest }),
                _ => again(state, me, floor, set, round),
            }
        }),
    }
}

fn again(state: &mut State, me: usize, floor: Option<u8>, set: u8, round: u8) -> At {
    if round == ROUNDS {
        return At::Failed;
    }
    state.list(me, 0, VERSIONS);
    At::TagRead(Step::Versions { floor, before: Some(set), round: round + 1 })
}

/// The answer must not be older than what was acknowledged before the request began.
fn answered(state: &mut State, me: usize, floor: Option<u8>, v: Option<u8>) -> At {
    state.ghost.misread |= match (floor, v) {
        (Some(floor), Some(v)) => state.rank(v) < state.rank(floor),
        (Some(_), None) => true,
        (None, _) => false,
    };
    state.succeed(me);
    At::Done
}
