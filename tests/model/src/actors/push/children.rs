//! Step 4 for the children of an index: child links first, then every child must be read as live (rule 2). None live,
//! but one whose body can be read: it is pushed again, born after the link (rule 11, R4).

use super::super::{At, Turn, newest, sealed};
use super::{Birth, Context, Progress, Role, Step as PushStep, confirmed};
use crate::scenario::Flaw;
use crate::state::{State, each, link};

/// The next step. Child number `ordinal` is in hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// PUT of a child link.
    Link { ordinal: u8 },
    /// LIST `m/<child>/` ends.
    Choose { ordinal: u8 },
    /// HEAD `a/q`; `rest` follow, `known` were listed with a seal.
    Read { ordinal: u8, q: u8, rest: u8, known: u8 },
}

/// Begins with the links.
pub(super) fn begin(ctx: Context<'_>, state: &mut State, progress: Progress) -> At {
    if ctx.lacks(Flaw::LinkAfterCheck) {
        return look(ctx, state, progress, 0);
    }
    progress.at(PushStep::Child(Step::Link { ordinal: 0 }))
}

/// Begins to look for child number `ordinal`; past the last one the index is confirmed.
pub(super) fn look(ctx: Context<'_>, state: &mut State, progress: Progress, ordinal: u8) -> At {
    let (_, image) = ctx.target();
    match ctx.plan.manifest(ctx.push.instance).children.get(ordinal as usize) {
        Some(&child) => {
            state.list(ctx.me, 0, ctx.plan.manifest_prefix(child, image));
            progress.at(PushStep::Child(Step::Choose { ordinal }))
        }
        None if ctx.lacks(Flaw::LinkAfterCheck) => progress.at(PushStep::Child(Step::Link { ordinal: 0 })),
        None => confirmed(ctx, state, progress, ctx.own()),
    }
}

pub(super) fn turn(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, step: Step) {
    let next = |step: Step| progress.at(PushStep::Child(step));
    match step {
        Step::Link { ordinal } => turn.go(|state| {
            state.put(link(ctx.push.instance, ordinal));
            match () {
                () if (ordinal as usize + 1) < ctx.plan.manifest(ctx.push.instance).children.len() => {
                    next(Step::Link { ordinal: ordinal + 1 })
                }
                () if ctx.lacks(Flaw::LinkAfterCheck) => confirmed(ctx, state, progress, ctx.own()),
                () if ctx.lacks(Flaw::LinkBeforeBody) => progress.at(PushStep::Body(ctx.own())),
                () => look(ctx, state, progress, 0),
            }
        }),
        Step::Choose { ordinal } => {
            for answer in turn.state.answers(ctx.me, 0) {
                let known = sealed(answer);
                for q in each(known) {
                    turn.go_listed(0, |state| {
                        if ctx.lacks(Flaw::ChildUnread) {
                            return look(ctx, state, progress, ordinal + 1);
                        }
                        next(Step::Read { ordinal, q, rest: known & !(1 << q), known })
                    });
                }
                if known == 0 {
                    turn.go_listed(0, |_| At::Failed); // 400, or the sparse policy decides
                }
            }
        }
        Step::Read { ordinal, q, rest, known } => {
            if turn.live(q) {
                return turn.go(|state| look(ctx, state, progress, ordinal + 1));
            }
            if let Some(q) = newest(rest) {
                return turn.go(|_| next(Step::Read { ordinal, q, rest: rest & !(1 << q), known }));
            }
            let digest = ctx.plan.instances[q as usize].digest;
            match ctx.spare_instance(progress, digest) {
                Some(instance) if !ctx.lacks(Flaw::ChildNotPushedAgain) => {
                    for source in each(known) {
                        let birth = Birth { instance, role: Role::Child { ordinal } };
                        turn.go(|_| born(progress, source, birth));
                    }
                }
                _ => turn.go(|_| At::Failed),
            }
        }
    }
}

/// A spare instance is taken to copy the body of `source`.
pub(super) fn born(progress: Progress, source: u8, birth: Birth) -> At {
    let instances_used = progress.instances_used | 1 << birth.instance;
    Progress { instances_used, ..progress }.at(PushStep::Copy { source, birth })
}
