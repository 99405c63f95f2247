//! Every cell of DESIGN §3's visibility table and §4's role table, decided end to end: site, subject, action, and an
//! authority that knows one role.
#![allow(clippy::unwrap_used)]

use berth_crds::access::{
    Action, Change, Decision, Denial, Guard, Permission, Refusal, Role, Site, Subject, TokenGrant, decide, decide_run,
};
use berth_crds::kinds::{Access, Scope, Visibility};

const VISIBILITIES: [Visibility; 3] = [Visibility::Public, Visibility::Internal, Visibility::Private];
const ACCESSES: [Access; 3] = [Access::Enabled, Access::MembersOnly, Access::Disabled];

fn site(visibility: Visibility, access: Access) -> Site {
    Site { repository: "team-a/shop".parse().unwrap(), visibility, access }
}

fn user() -> Subject {
    Subject::User { name: "alice".to_owned() }
}

fn token(repository: &str, scopes: &[Scope]) -> Subject {
    let repository = repository.parse().unwrap();
    Subject::DeployToken(TokenGrant { repository, name: "edge".to_owned(), scopes: scopes.to_vec() })
}

fn free() -> Guard {
    Guard::default()
}

fn protected() -> Guard {
    Guard { protected: Some("main".to_owned()), immutable: None }
}

fn immutable() -> Guard {
    Guard { protected: None, immutable: Some("releases".to_owned()) }
}

fn push(guard: Guard, change: Change) -> Action {
    Action::PushTag { guard, change }
}

/// All actions that change something, without and with every guard.
fn writes() -> Vec<Action> {
    let mut actions = vec![Action::Push, Action::Administer];
    for guard in [free(), protected(), immutable(), protected().and(immutable())] {
        for change in [Change::Create, Change::Repeat, Change::Move] {
            actions.push(push(guard.clone(), change));
        }
        actions.push(Action::DeleteOne { guard: guard.clone() });
        actions.push(Action::DeleteMany { guard });
    }
    actions
}

/// The answer for a user with this role; `None` is a signed-in stranger.
fn answer(site: &Site, role: Option<Role>, action: &Action) -> Result<(), Denial> {
    decide(site, &user(), action).settle(|permission| role.is_some_and(|role| role.grants(permission)))
}

fn nobody_asked(decision: Decision) -> Result<(), Denial> {
    decision.settle(|permission| panic!("asked for {permission}"))
}

#[test]
fn reading_follows_the_visibility_table() {
    use Access::{Disabled, Enabled, MembersOnly};
    use Visibility::{Internal, Private, Public};
    // visibility × access: anonymous, signed in, member
    let rows = [
        (Public, Enabled, [true, true, true]),
        (Internal, Enabled, [false, true, true]),
        (Private, Enabled, [false, false, true]),
        (Public, MembersOnly, [false, false, true]),
        (Internal, MembersOnly, [false, false, true]),
        (Private, MembersOnly, [false, false, true]),
        (Public, Disabled, [false, false, false]),
        (Internal, Disabled, [false, false, false]),
        (Private, Disabled, [false, false, false]),
    ];
    assert_eq!(rows.len(), VISIBILITIES.len() * ACCESSES.len());
    for (visibility, access, [anonymous, signed_in, member]) in rows {
        let site = site(visibility, access);
        for action in [Action::Pull, Action::List] {
            let row = format!("{visibility:?} × {access:?}, {action:?}");
            let unsigned = nobody_asked(decide(&site, &Subject::Anonymous, &action));
            assert_eq!(unsigned, if anonymous { Ok(()) } else { Err(Denial::Unauthorized) }, "{row}");
            assert_eq!(answer(&site, None, &action), if signed_in { Ok(()) } else { Err(Denial::Hidden) }, "{row}");
            for role in Role::ALL {
                assert_eq!(answer(&site, Some(role), &action).is_ok(), member, "{row}, {role:?}");
            }
        }
    }
}

#[test]
fn writing_follows_the_role_table_whatever_the_visibility() {
    use Change::{Create, Move, Repeat};
    // action: reporter, developer, maintainer, owner
    let rows = [
        (Action::Push, [false, true, true, true]),
        (push(free(), Create), [false, true, true, true]),
        (push(free(), Move), [false, true, true, true]),
        (push(protected(), Create), [false, false, true, true]),
        (push(protected(), Repeat), [false, false, true, true]),
        (push(protected(), Move), [false, false, true, true]),
        (push(immutable(), Create), [false, true, true, true]),
        (push(immutable(), Repeat), [false, true, true, true]),
        (push(immutable(), Move), [false, false, false, false]),
        (push(protected().and(immutable()), Create), [false, false, true, true]),
        (push(protected().and(immutable()), Repeat), [false, false, true, true]),
        (push(protected().and(immutable()), Move), [false, false, false, false]),
        (Action::DeleteOne { guard: free() }, [false, true, true, true]),
        (Action::DeleteOne { guard: protected() }, [false, false, true, true]),
        (Action::DeleteOne { guard: immutable() }, [false, false, false, false]),
        (Action::DeleteMany { guard: free() }, [false, false, true, true]),
        (Action::DeleteMany { guard: protected() }, [false, false, true, true]),
        (Action::DeleteMany { guard: protected().and(immutable()) }, [false, false, false, false]),
        (Action::Administer, [false, false, false, true]),
    ];
    for visibility in VISIBILITIES {
        for access in [Access::Enabled, Access::MembersOnly] {
            let site = site(visibility, access);
            for (action, row) in &rows {
                assert_eq!(answer(&site, None, action), Err(Denial::Hidden), "a stranger learns nothing: {action:?}");
                for (role, expected) in Role::ALL.into_iter().zip(row) {
                    let told = answer(&site, Some(role), action);
                    assert_eq!(told.is_ok(), *expected, "{visibility:?} × {access:?}, {role:?}, {action:?}: {told:?}");
                }
                let unsigned = nobody_asked(decide(&site, &Subject::Anonymous, action));
                assert_eq!(unsigned, Err(Denial::Unauthorized), "anonymous never writes: {action:?}");
            }
        }
    }
}

#[test]
fn what_guards_a_tag_is_told_only_to_who_could_push_otherwise() {
    let site = site(Visibility::Private, Access::Enabled);
    for (action, least) in [
        (push(protected(), Change::Move), Role::Developer),
        (push(immutable(), Change::Move), Role::Developer),
        (Action::DeleteOne { guard: immutable() }, Role::Developer),
        (Action::DeleteMany { guard: immutable() }, Role::Maintainer),
    ] {
        for role in Role::ALL {
            match answer(&site, Some(role), &action) {
                Ok(()) => assert!(role >= Role::Maintainer && action == push(protected(), Change::Move)),
                Err(Denial::Hidden) => assert!(role < least, "{role:?} {action:?}"),
                Err(Denial::Forbidden(refusal)) => {
                    assert!(role >= least, "{role:?} {action:?}");
                    let text = refusal.to_string();
                    assert!(
                        text.contains("team-a/shop") && (text.contains("main") || text.contains("releases")),
                        "{text}"
                    );
                }
                Err(Denial::Unauthorized) => panic!("credentials were shown"),
            }
        }
    }
}

#[test]
fn disabled_stops_everybody_and_tells_only_members() {
    for visibility in VISIBILITIES {
        let site = site(visibility, Access::Disabled);
        let disabled = Err(Denial::Forbidden(Refusal::Disabled { repository: site.repository.clone() }));
        for action in writes().into_iter().chain([Action::Pull, Action::List]) {
            assert_eq!(nobody_asked(decide(&site, &Subject::Anonymous, &action)), Err(Denial::Unauthorized));
            assert_eq!(answer(&site, None, &action), Err(Denial::Hidden));
            for role in Role::ALL {
                assert_eq!(answer(&site, Some(role), &action), disabled, "{role:?} {action:?}");
            }
            let own = token("team-a/shop", &[Scope::ReadRegistry, Scope::WriteRegistry]);
            assert_eq!(nobody_asked(decide(&site, &own, &action)), disabled);
            let foreign = token("team-a/other", &[Scope::WriteRegistry]);
            assert_eq!(nobody_asked(decide(&site, &foreign, &action)), Err(Denial::Hidden));
        }
    }
}

#[test]
fn a_deploy_token_reads_and_writes_its_own_repository_also_for_members_only_and_never_deletes() {
    for visibility in VISIBILITIES {
        for access in [Access::Enabled, Access::MembersOnly] {
            let site = site(visibility, access);
            let told = |subject: &Subject, action: &Action| nobody_asked(decide(&site, subject, action));
            let reader = token("team-a/shop", &[Scope::ReadRegistry]);
            let writer = token("team-a/shop", &[Scope::WriteRegistry]);
            for action in [Action::Pull, Action::List] {
                assert_eq!(told(&reader, &action), Ok(()));
                assert_eq!(told(&writer, &action), Ok(()), "writing includes reading");
            }
            for action in writes() {
                assert_eq!(told(&reader, &action), Err(Denial::Hidden), "{action:?}");
                let answer = told(&writer, &action);
                match &action {
                    Action::Push => assert_eq!(answer, Ok(())),
                    Action::PushTag { guard, change } => {
                        let refused =
                            guard.protected.is_some() || (guard.immutable.is_some() && *change == Change::Move);
                        assert_eq!(answer.is_err(), refused, "{action:?}");
                        assert!(matches!(answer, Ok(()) | Err(Denial::Forbidden(_))), "{action:?}");
                    }
                    _ => assert_eq!(answer, Err(Denial::Hidden), "{action:?}"),
                }
            }
            let scopeless = token("team-a/shop", &[]);
            let foreign = token("team-b/shop", &[Scope::ReadRegistry, Scope::WriteRegistry]);
            let open = visibility == Visibility::Public && access == Access::Enabled;
            for subject in [scopeless, foreign] {
                for action in [Action::Pull, Action::List] {
                    let expected = if open { Ok(()) } else { Err(Denial::Hidden) };
                    assert_eq!(told(&subject, &action), expected, "a deploy token is not signed in: {visibility:?}");
                }
                for action in writes() {
                    assert_eq!(told(&subject, &action), Err(Denial::Hidden));
                }
            }
        }
    }
}

#[test]
fn an_authority_that_knows_nothing_denies_everything_that_is_asked() {
    for visibility in VISIBILITIES {
        for access in ACCESSES {
            for action in writes() {
                let decision = decide(&site(visibility, access), &user(), &action);
                assert_eq!(decision.settle(|_| false), Err(Denial::Hidden), "{visibility:?} × {access:?}, {action:?}");
            }
        }
    }
}

#[test]
fn an_absent_path_is_answered_like_a_private_one() {
    let absent = Site::absent("team-a/shop".parse().unwrap());
    assert_eq!(absent, site(Visibility::Private, Access::Enabled));
}

#[test]
fn a_run_is_started_by_who_holds_the_right_over_runs() {
    assert_eq!(nobody_asked(decide_run(&Subject::Anonymous)), Err(Denial::Unauthorized));
    let writer = token("team-a/shop", &[Scope::WriteRegistry]);
    assert_eq!(nobody_asked(decide_run(&writer)), Err(Denial::Hidden));
    for role in Role::ALL {
        let told = decide_run(&user()).settle(|permission| {
            assert_eq!(permission, Permission::RUN_POLICY);
            role.grants(permission)
        });
        assert_eq!(told.is_ok(), role >= Role::Maintainer, "{role:?}");
    }
}

#[test]
fn a_permission_reads_as_an_administrator_would_write_it() {
    assert_eq!(Permission::PUSH.to_string(), "update on containerrepositories/images");
    assert_eq!(Permission::RUN_POLICY.to_string(), "create on cleanuppolicies/runs");
    assert_eq!(Permission::ADMINISTER.to_string(), "administer on containerrepositories");
}
