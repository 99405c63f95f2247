//! Progress: in every state, once everybody else has stopped, a client that pushes on its own succeeds at its third
//! try at the latest. It takes the very steps of [`crate::actors`], with ids of its own.

use crate::actors::{At, take_turn};
use crate::scenario::{Scenario, Task, Try};
use crate::state::{ACTORS, Actor, State};

/// Says so if the client of this scenario fails for ever.
pub(crate) fn stuck(plan: &Scenario, state: &State) -> Option<String> {
    if plan.client.is_empty() {
        return None;
    }
    let mut state = State { actors: [Actor::default(); ACTORS], ..state.clone() };
    let succeeds = plan.client.iter().any(|attempt| succeeds(plan, &mut state, attempt));
    (!succeeds).then(|| format!("progress: a lone client failed {} times", plan.client.len()))
}

/// HEAD of every blob, upload of what the image does not hold, push.
fn succeeds(plan: &Scenario, state: &mut State, attempt: &Try) -> bool {
    for upload in attempt.uploads {
        let (Task::UploadSmall { holding } | Task::UploadLarge { holding }) = upload else { continue };
        let target = plan.holdings[*holding as usize];
        // HEAD says 200 for a flagged holding too (reads).
        if !state.keys.meets(plan.holdings_of(target.blob, target.image)) {
            run(plan, state, upload);
        }
    }
    run(plan, state, &Task::Push(attempt.push))
}

/// Runs one task to its end. Nobody interferes, so a LIST has one answer; where the client may choose (which holding
/// to read first) it takes the first.
fn run(plan: &Scenario, state: &mut State, task: &Task) -> bool {
    const CLIENT: usize = ACTORS - 1;
    state.ghost.answered &= !(1 << CLIENT);
    state.actors[CLIENT] = Actor { at: At::start(task), ..Actor::default() };
    let mut next = Vec::new();
    while !state.actors[CLIENT].at.is_over() {
        take_turn(plan, task, state, CLIENT, &mut next);
        *state = next.swap_remove(0);
        next.clear();
    }
    state.ghost.answered & (1 << CLIENT) != 0
}
