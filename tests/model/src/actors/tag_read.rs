//! GET of a manifest by tag (reads, R14): the highest version whose body and seal can be read. If a listed version
//! could not be read, or none was listed, the reader lists again; a lower version, or 404, is answered only if a LIST
//! that began later names the same versions. A LIST may miss a version that was written while it ran together with the
//! one it replaced.

use super::{At, Turn};
use crate::scenario::{Flaw, Scenario};
use crate::state::{Class, State, VERSIONS, body, seal};

/// The next step. `floor`: the highest version that was acknowledged when the request began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The first LIST begins.
    Start,
    /// A LIST ends. `before`: what the LIST before it named, if that led to no answer.
    Versions { floor: Option<u8>, before: Option<u8>, round: u8 },
    /// GET of the body of the highest version left.
    Body(Reading),
    /// GET of its seal, whose key is a function of the body: so it comes second.
    Seal(Reading),
}

/// The versions that a LIST named (`set`), and those that may still be readable (`rest`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reading {
    floor: Option<u8>,
    before: Option<u8>,
    round: u8,
    set: u8,
    rest: u8,
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
                _ => At::TagRead(Step::Body(Reading { floor, before, round, set, rest: set })),
            }
        }),
        Step::Body(reading) => turn.go(|state| {
            let there = state.keys.has(body(state.named(reading.highest(state))));
            if there { At::TagRead(Step::Seal(reading)) } else { missed(plan, state, me, reading) }
        }),
        Step::Seal(reading) => turn.go(|state| {
            let v = reading.highest(state);
            let first = reading.rest == reading.set || reading.is_settled() || plan.lacks(Flaw::MissingTrusted);
            match state.keys.has(seal(state.named(v))) {
                true if first => answered(state, me, reading.floor, Some(v)),
                true => again(state, me, reading.floor, reading.set, reading.round),
                false => missed(plan, state, me, reading),
            }
        }),
    }
}

impl Reading {
    fn highest(&self, state: &State) -> u8 {
        state.highest(self.rest).expect("there is a version to read")
    }

    /// Whether two LISTs, the second begun after a failed read, named the same versions.
    fn is_settled(&self) -> bool {
        self.before == Some(self.set)
    }
}

/// The highest version left cannot be read: the next one, or none.
fn missed(plan: &Scenario, state: &mut State, me: usize, mut reading: Reading) -> At {
    reading.rest &= !(1 << reading.highest(state));
    match reading.rest {
        0 if reading.is_settled() || plan.lacks(Flaw::MissingTrusted) => answered(state, me, reading.floor, None),
        0 => again(state, me, reading.floor, reading.set, reading.round),
        _ => At::TagRead(Step::Body(reading)),
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
