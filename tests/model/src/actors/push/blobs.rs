//! Step 4 for the blobs of an instance: every one must have a holding that is read as live after the body was written.
//! All holdings of the image are looked at (R3). None live, but one whose bytes can be read: it is healed.

use super::super::{At, Turn, live, newest, sealed};
use super::{Birth, Context, Progress, Step as PushStep, confirmed};
use crate::scenario::Flaw;
use crate::state::{Class, Keys, State, data, data_certificate, each, flag, holding};

/// One blob in hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Work {
    /// The instance that mentions it.
    pub birth: Birth,
    /// Which of its blobs.
    pub ordinal: u8,
    /// The holding to heal from, if none is live.
    pub source: Option<Source>,
    /// The next step.
    pub step: Step,
}

/// A holding whose bytes can be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// Flagged; if it is large its data has a certificate.
    Flagged(u8),
    /// Its data is there, but without certificate.
    Orphan(u8),
}

/// The next step for one blob. `rest`: holdings that are still to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// LIST `b/<digest>/<R>!/` ends.
    Choose,
    /// HEAD of a holding ∥ HEAD `a/K`; what one of them said.
    Read { e: u8, rest: u8, flagged: Option<bool>, certified: Option<bool> },
    /// HEAD `k/K`.
    Data { e: u8, rest: u8 },
    /// DELETE of a dead holding.
    Bury { e: u8, rest: u8 },
    /// Healing a small one: CopyObject reads.
    CopyRead { e: u8 },
    /// It writes.
    CopyWrite { spare: u8 },
    /// Healing a large one: PUT of a new holding of K.
    Holding { e: u8, spare: u8 },
    /// HEAD `a/K` of the new holding.
    Certificate { e: u8, spare: u8 },
    /// Healing with fresh data K': PUT `a/K'`.
    FreshCertificate { e: u8, spare: u8 },
    /// CopyObject reads K.
    FreshRead { e: u8, spare: u8 },
    /// It writes K'.
    FreshWrite { spare: u8 },
    /// PUT of the holding of K'.
    FreshHolding { spare: u8 },
    /// HEAD `a/K'`.
    FreshCheck { spare: u8 },
    /// Ablation: HEAD `a/q` of another manifest of the blob.
    Voucher { q: u8 },
    /// Ablation: DELETE of the own holding.
    TakeBack { spare: u8 },
}

/// Begins with blob number `ordinal`; past the last one the instance is confirmed.
pub(super) fn begin(ctx: Context<'_>, state: &mut State, progress: Progress, birth: Birth, ordinal: u8) -> At {
    let image = ctx.plan.image(birth.instance);
    let Some(&blob) = ctx.plan.manifest(birth.instance).blobs.get(ordinal as usize) else {
        return confirmed(ctx, state, progress, birth);
    };
    state.list(
        ctx.me,
        0,
        match ctx.lacks(Flaw::ManifestVouches) {
            true => Keys::of(Class::Seal, ctx.plan.users_of(blob, image) & !(1 << birth.instance)),
            false => ctx.plan.holdings_of(blob, image),
        },
    );
    progress.at(PushStep::Blob(Work { birth, ordinal, source: None, step: Step::Choose }))
}

pub(super) fn turn(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, work: Work) {
    let plan = ctx.plan;
    let next = |step: Step| progress.at(PushStep::Blob(Work { step, ..work }));
    let done = |state: &mut State| begin(ctx, state, progress, work.birth, work.ordinal + 1);
    match work.step {
        Step::Choose => choose(turn, ctx, progress, work),
        Step::Read { e, rest, flagged, certified } => read(turn, ctx, progress, work, (e, rest, flagged, certified)),
        Step::Data { e, rest } => {
            let there = plan.data_of(e).is_some_and(|k| turn.sees(data(k)));
            turn.go(|_| match () {
                () if there && !plan.lacks(Flaw::OrphanNotHealed) => {
                    let source = work.source.or(Some(Source::Orphan(e)));
                    next_holding(ctx, progress, Work { source, ..work }, rest)
                }
                () if there => next_holding(ctx, progress, work, rest),
                () => next(Step::Bury { e, rest }),
            });
        }
        Step::Bury { e, rest } => turn.go(|state| {
            // The exception of rule 6: data is complete before its first holding, so this one is dead for good, and
            // HEAD of the blob would say 200 as long as it is there.
            state.delete(holding(e));
            next_holding(ctx, progress, work, rest)
        }),
        Step::CopyRead { e } => {
            let there = turn.sees(holding(e));
            turn.go(|_| match spare(ctx, progress, e, true) {
                Some(spare) if there => next(Step::CopyWrite { spare }),
                _ => At::Failed,
            });
        }
        // Born after the body: whatever retires it does so later (rule 11), no read is needed.
        Step::CopyWrite { spare } => turn.go(|state| {
            state.put_holding(spare);
            begin(ctx, state, used(progress, spare), work.birth, work.ordinal + 1)
        }),
        Step::Holding { e, spare } => turn.go(|state| {
            state.put_holding(spare);
            let progress = used(progress, spare);
            if plan.lacks(Flaw::HealUnread) {
                return begin(ctx, state, progress, work.birth, work.ordinal + 1);
            }
            progress.at(PushStep::Blob(Work { step: Step::Certificate { e, spare }, ..work }))
        }),
        Step::Certificate { e, spare } => {
            let certified = plan.data_of(spare).is_some_and(|k| turn.sees(data_certificate(k)));
            turn.go(|state| {
                if certified {
                    state.check_holding(spare);
                    return done(state);
                }
                match self::spare(ctx, progress, e, false) {
                    _ if plan.lacks(Flaw::FailureDeletesHolding) => next(Step::TakeBack { spare }),
                    Some(spare) => next(Step::FreshCertificate { e, spare }),
                    None => At::Failed,
                }
            });
        }
        Step::FreshCertificate { e, spare } => turn.go(|state| {
            state.put(fresh(ctx, spare, data_certificate));
            next(Step::FreshRead { e, spare })
        }),
        Step::FreshRead { e, spare } => {
            let there = plan.data_of(e).is_some_and(|k| turn.sees(data(k)));
            turn.go(|_| if there { next(Step::FreshWrite { spare }) } else { At::Failed });
        }
        Step::FreshWrite { spare } => turn.go(|state| {
            state.put(fresh(ctx, spare, data));
            next(Step::FreshHolding { spare })
        }),
        Step::FreshHolding { spare } => turn.go(|state| {
            state.put_holding(spare);
            used(progress, spare).at(PushStep::Blob(Work { step: Step::FreshCheck { spare }, ..work }))
        }),
        Step::FreshCheck { spare } => {
            let certified = turn.sees(fresh(ctx, spare, data_certificate));
            turn.go(|state| {
                if !certified {
                    return At::Failed;
                }
                state.check_holding(spare);
                done(state)
            });
        }
        Step::Voucher { q } => {
            let vouches = live(plan, turn.state.keys, q);
            turn.go(|state| if vouches { done(state) } else { At::Failed });
        }
        Step::TakeBack { spare } => turn.go(|state| {
            state.delete(holding(spare));
            At::Failed
        }),
    }
}

/// The LIST ended. The holding this replica happens to know may be any of them, so the first to be read is; the others
/// follow newest first.
fn choose(turn: &mut Turn<'_>, ctx: Context<'_>, progress: Progress, work: Work) {
    for answer in turn.state.answers(ctx.me, 0) {
        if ctx.lacks(Flaw::ManifestVouches) {
            for q in each(sealed(answer)) {
                let at = progress.at(PushStep::Blob(Work { step: Step::Voucher { q }, ..work }));
                turn.go_listed(0, |_| at);
            }
            continue;
        }
        let found = answer.slots(Class::Holding);
        for e in each(found) {
            turn.go_listed(0, |state| {
                if ctx.lacks(Flaw::HoldingUnread) {
                    return begin(ctx, state, progress, work.birth, work.ordinal + 1);
                }
                look_at(ctx, progress, work, e, found & !(1 << e))
            });
        }
        if found == 0 {
            turn.go_listed(0, |_| At::Failed); // 400 MANIFEST_BLOB_UNKNOWN
        }
    }
}

fn look_at(ctx: Context<'_>, progress: Progress, work: Work, e: u8, rest: u8) -> At {
    let unread = ctx.plan.data_of(e).is_none() || ctx.lacks(Flaw::UncheckedDataTrusted);
    let step = Step::Read { e, rest, flagged: None, certified: unread.then_some(true) };
    progress.at(PushStep::Blob(Work { step, ..work }))
}

fn next_holding(ctx: Context<'_>, progress: Progress, work: Work, rest: u8) -> At {
    if let Some(e) = newest(rest) {
        return look_at(ctx, progress, work, e, rest & !(1 << e));
    }
    let step = match work.source {
        None => None,
        Some(Source::Flagged(e)) if ctx.plan.data_of(e).is_none() => Some(Step::CopyRead { e }),
        Some(Source::Flagged(e)) => spare(ctx, progress, e, true).map(|spare| Step::Holding { e, spare }),
        // A new holding of K would be dead from the start: K cannot get its certificate back.
        Some(Source::Orphan(e)) => spare(ctx, progress, e, false).map(|spare| Step::FreshCertificate { e, spare }),
    };
    step.map_or(At::Failed, |step| progress.at(PushStep::Blob(Work { step, ..work })))
}

/// The two reads of a large holding are parallel: either may be the first.
fn read(
    turn: &mut Turn<'_>,
    ctx: Context<'_>,
    progress: Progress,
    work: Work,
    (e, rest, flagged, certified): (u8, u8, Option<bool>, Option<bool>),
) {
    let here = turn.sees(holding(e));
    let certificate = ctx.plan.data_of(e).is_some_and(|k| turn.sees(data_certificate(k)));
    let flag_now = turn.sees(flag(e));
    let known = |state: &mut State, flagged: Option<bool>, certified: Option<bool>| match (flagged, certified) {
        (Some(false), Some(true)) => begin(ctx, state, progress, work.birth, work.ordinal + 1),
        (Some(true), Some(true)) => {
            next_holding(ctx, progress, Work { source: Some(Source::Flagged(e)), ..work }, rest)
        }
        (Some(_), Some(false)) => progress.at(PushStep::Blob(Work { step: Step::Data { e, rest }, ..work })),
        _ => progress.at(PushStep::Blob(Work { step: Step::Read { e, rest, flagged, certified }, ..work })),
    };
    if flagged.is_none() {
        turn.go(
            |state| {
                if here { known(state, Some(flag_now), certified) } else { next_holding(ctx, progress, work, rest) }
            },
        );
    }
    if certified.is_none() {
        turn.go(|state| {
            if certificate {
                state.check_holding(e);
            }
            known(state, flagged, Some(certificate))
        });
    }
}

/// A spare holding with which holding e is healed: of the same data, or of fresh data.
fn spare(ctx: Context<'_>, progress: Progress, e: u8, same_data: bool) -> Option<u8> {
    let (plan, from) = (ctx.plan, ctx.plan.holdings[e as usize]);
    let fits = |spare: &u8| {
        let to = plan.holdings[*spare as usize];
        to.blob == from.blob && to.image == from.image && (to.data == from.data) == same_data
    };
    each(ctx.push.spare_holdings & !progress.holdings_used).find(fits)
}

fn used(progress: Progress, spare: u8) -> Progress {
    Progress { holdings_used: progress.holdings_used | 1 << spare, ..progress }
}

/// A key of the data that a spare holding names.
fn fresh(ctx: Context<'_>, spare: u8, key: fn(u8) -> Keys) -> Keys {
    ctx.plan.data_of(spare).map_or(Keys::NONE, key)
}
