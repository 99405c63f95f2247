//! Every cell of who may do what, through real credentials of every sort.

use super::*;

const NO: &str = "401 insufficient_scope";

/// One row: pull, push, delete of one tag.
type Row<'a> = [&'a str; 3];

async fn row(bed: &Bed, credential: &Credential, image: &str) -> [String; 3] {
    [bed.pull(credential, image).await, bed.push(credential, image).await, bed.delete(credential, image).await]
}

/// Checks a subject with the credential itself and with a registry token that asked for everything.
async fn check(bed: &Bed, credential: &Credential, image: &str, expected: Row<'_>) {
    assert_eq!(row(bed, credential, image).await, expected, "{credential:?} at {image}");
    let token = Credential::bearer(bed.token(credential, &[&format!("repository:{image}:*")]).await);
    assert_eq!(row(bed, &token, image).await, expected, "registry token of {credential:?} at {image}");
}

#[tokio::test]
async fn every_cell_of_the_visibility_and_role_tables() {
    let bed = Bed::new().await;
    let everything = ["ok", "ok", "ok"];
    let reads = ["ok", NO, NO];
    let nothing = [NO, NO, NO];
    let disabled = ["403 DENIED", "403 DENIED", "403 DENIED"];
    // repository, outsider, reporter, developer, maintainer, owner
    let table = [
        ("team-a/public", [reads, reads, everything, everything, everything]),
        ("team-a/internal", [reads, reads, everything, everything, everything]),
        ("team-a/private", [nothing, reads, everything, everything, everything]),
        ("team-a/members", [nothing, reads, everything, everything, everything]),
        ("team-a/disabled", [nothing, disabled, disabled, disabled, disabled]),
    ];
    for (repository, rows) in table {
        for (user, expected) in ["outsider", "reporter", "developer", "maintainer", "owner"].into_iter().zip(rows) {
            check(&bed, &Credential::user(user), repository, expected).await;
            check(&bed, &Credential::user(user), &format!("{repository}/api/v2"), expected).await;
        }
    }
}

#[tokio::test]
async fn anonymous_reads_what_is_public_and_nothing_else() {
    let bed = Bed::new().await;
    for repository in ["public", "internal", "private", "members", "disabled", "absent"] {
        let image = format!("team-a/{repository}");
        let readable = repository == "public";
        let expected = [if readable { "ok" } else { "401" }, "401", "401"];
        assert_eq!(row(&bed, &Credential::Nothing, &image).await, expected, "{image}");
        let token = bed.token(&Credential::Nothing, &[&format!("repository:{image}:*")]).await;
        let expected = [if readable { "ok" } else { NO }, NO, NO];
        assert_eq!(row(&bed, &Credential::bearer(token), &image).await, expected, "{image}");
    }
}

#[tokio::test]
async fn deploy_tokens_have_their_scopes_in_their_repository_and_never_delete() {
    let bed = Bed::new().await;
    check(&bed, &Credential::deploy(READ_TOKEN), "team-a/private/api", ["ok", NO, NO]).await;
    check(&bed, &Credential::deploy(WRITE_TOKEN), "team-a/private/api", ["ok", "ok", NO]).await;
    for elsewhere in ["team-a/internal", "team-a/members", "team-a/absent", "team-a/disabled"] {
        check(&bed, &Credential::deploy(WRITE_TOKEN), elsewhere, [NO, NO, NO]).await;
    }
    check(&bed, &Credential::deploy(WRITE_TOKEN), "team-a/public", ["ok", NO, NO]).await;

    bed.change("team-a/private", |entry| entry.access = Openness::MembersOnly);
    check(&bed, &Credential::deploy(WRITE_TOKEN), "team-a/private", ["ok", "ok", NO]).await;
    bed.change("team-a/private", |entry| entry.access = Openness::Disabled);
    let disabled = ["403 DENIED", "403 DENIED", "403 DENIED"];
    check(&bed, &Credential::deploy(WRITE_TOKEN), "team-a/private", disabled).await;
}

#[tokio::test]
async fn a_deploy_token_works_wherever_a_client_may_put_it() {
    let bed = Bed::new().await;
    let image = "team-a/private";
    for credential in [
        Credential::deploy(READ_TOKEN),
        Credential::Basic(String::new(), READ_TOKEN.to_owned()),
        Credential::bearer(READ_TOKEN),
    ] {
        assert_eq!(bed.pull(&credential, image).await, "ok", "{credential:?}");
    }
    let scope = ("scope", "repository:team-a/private:pull,push");
    for form in [
        vec![("grant_type", "password"), ("username", "x"), ("password", WRITE_TOKEN), scope],
        vec![("grant_type", "refresh_token"), ("refresh_token", WRITE_TOKEN), scope],
    ] {
        let (status, answer) = bed.post_token(&form).await;
        assert_eq!((status, answer["scope"].as_str()), (StatusCode::OK, Some(scope.1)));
        let token = Credential::bearer(answer["access_token"].as_str().unwrap());
        assert_eq!(bed.push(&token, image).await, "ok");
    }
    let mut wrong = READ_TOKEN.to_owned();
    wrong.replace_range(wrong.len() - 1.., "b");
    assert_eq!(bed.pull(&Credential::deploy(&wrong), "team-a/public").await, "401 invalid_token");
}

#[tokio::test]
async fn a_bad_credential_is_never_anonymous() {
    let bed = Bed::new().await;
    let other_registrys = "eyJhbGciOiJub25lIn0.e30.";
    for credential in [
        Credential::Basic("reporter".to_owned(), "wrong".to_owned()),
        Credential::Basic("nobody".to_owned(), "wrong".to_owned()),
        Credential::Basic(String::new(), String::new()),
        Credential::Basic("reporter".to_owned(), String::new()),
        Credential::bearer("nonsense"),
        Credential::bearer(other_registrys),
        Credential::bearer("berth_unknown0_token"),
    ] {
        assert_eq!(bed.pull(&credential, "team-a/public").await, "401 invalid_token", "{credential:?}");
        if let Credential::Basic(name, password) = &credential {
            let (status, answer) = bed.ask_token(&credential, &["repository:team-a/public:pull"]).await;
            assert_eq!(
                (status, answer["errors"][0]["code"].as_str()),
                (StatusCode::UNAUTHORIZED, Some("UNAUTHORIZED"))
            );
            let form = [("grant_type", "password"), ("username", name.as_str()), ("password", password.as_str())];
            assert_eq!(bed.post_token(&form).await.0, StatusCode::UNAUTHORIZED);
        }
    }
}

/// The whole answer, challenge and body, for a caller without the right.
async fn whole_answer(bed: &Bed, credential: &Credential, path: &str, action: &Action) -> (StatusCode, String, String) {
    let refusal = bed.access.authorize(&request(credential), &image(path), action).await.unwrap_err();
    let Answer { status, challenge, body } = Answer::of(refusal).await;
    let name = path.rsplit_once('/').unwrap().1;
    (status, challenge.unwrap().replace(name, "NAME"), body.to_string().replace(name, "NAME"))
}

#[tokio::test]
async fn what_is_forbidden_looks_exactly_like_what_is_absent() {
    let bed = Bed::new().await;
    let everything = ["repository:team-a/private:*", "repository:team-a/disabled:*", "repository:team-a/absent:*"];
    for credential in [
        Credential::user("outsider"),
        Credential::bearer(bed.token(&Credential::user("outsider"), &everything).await),
        Credential::bearer(bed.token(&Credential::Nothing, &everything).await),
        Credential::Nothing,
    ] {
        for action in [Action::Pull, Action::Push, delete_one()] {
            let absent = whole_answer(&bed, &credential, "team-a/absent", &action).await;
            for hidden in ["team-a/private", "team-a/disabled", "team-a/members"] {
                assert_eq!(whole_answer(&bed, &credential, hidden, &action).await, absent, "{hidden} {action:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_without_an_object_tells_who_may_push_how_to_create_it() {
    let bed = Bed::new().await;
    let image_below: ImageName = "team-a/absent/api".parse().unwrap();
    for user in ["developer", "maintainer", "owner"] {
        let direct = Credential::user(user);
        let token = Credential::bearer(bed.token(&direct, &["repository:team-a/absent/api:pull,push"]).await);
        for credential in [direct, token] {
            for action in [Action::Pull, Action::Push] {
                let refusal = bed.access.authorize(&request(&credential), &image_below, &action).await.unwrap_err();
                let Answer { status, body, .. } = Answer::of(refusal).await;
                let error = &body["errors"][0];
                assert_eq!((status, error["code"].as_str()), (StatusCode::NOT_FOUND, Some("NAME_UNKNOWN")));
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("| kubectl apply -f -"), "{message}");
                let manifest = &error["detail"]["manifest"];
                assert!(message.contains(&manifest.to_string()), "the command creates what the detail says: {message}");
                assert_eq!(manifest["kind"], "ContainerRepository");
                assert_eq!(manifest["metadata"], serde_json::json!({"namespace": "team-a", "name": "absent"}));
            }
        }
    }
    assert_eq!(bed.push(&Credential::user("reporter"), "team-a/absent").await, NO);
    assert_eq!(bed.push(&Credential::user("outsider"), "team-a/absent").await, NO);
}

#[tokio::test]
async fn a_disabled_repository_says_so_to_its_members() {
    let bed = Bed::new().await;
    let refusal =
        bed.access.authorize(&request(&Credential::user("reporter")), &image("team-a/disabled"), &Action::Pull).await;
    let message = Answer::of(refusal.unwrap_err()).await.body["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("team-a/disabled is disabled"), "{message}");
}

#[tokio::test]
async fn a_registry_token_is_good_for_what_it_names_and_no_more() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let pull_only = Credential::bearer(bed.token(&developer, &["repository:team-a/private:pull"]).await);
    assert_eq!(row(&bed, &pull_only, "team-a/private").await, ["ok", NO, NO]);
    assert_eq!(bed.pull(&pull_only, "team-a/private/api").await, NO, "another image is another scope");
    let push_only = Credential::bearer(bed.token(&developer, &["repository:team-a/private:push"]).await);
    assert_eq!(row(&bed, &push_only, "team-a/private").await, [NO, NO, NO], "pushing takes pull and push");
    let none = Credential::bearer(bed.token(&developer, &[]).await);
    assert_eq!(row(&bed, &none, "team-a/private").await, [NO, NO, NO]);
}

#[tokio::test]
async fn mounts_ask_for_the_subjects_rights_not_for_the_tokens() {
    let bed = Bed::new().await;
    let target = image("team-a/private/app");
    let source = image("team-a/internal/base");
    let developer = Credential::user("developer");
    let token = Credential::bearer(bed.token(&developer, &["repository:team-a/private/app:pull,push"]).await);
    let caller = bed.access.authorize_mount(&request(&token), &target, Some(&source)).await.unwrap();
    let sources = bed.access.mount_sources(&caller, &target, Some(&source)).await.unwrap();
    assert_eq!(sources, vec![source.clone()], "the token does not name the source, its subject may read it");
    let foreign = image("team-b/base");
    assert!(bed.access.mount_sources(&caller, &target, Some(&foreign)).await.unwrap().is_empty());

    let alone = bed.access.mount_sources(&caller, &target, None).await.unwrap();
    assert_eq!(alone, vec![target.clone()], "without a source only what the token names");
    let scopes = [
        "repository:team-a/private/app:pull,push",
        "repository:team-a/internal/base:pull",
        "repository:team-a/public/x:push",
    ];
    let token = Credential::bearer(bed.token(&developer, &scopes).await);
    let caller = bed.access.authorize_mount(&request(&token), &target, None).await.unwrap();
    assert_eq!(bed.access.mount_sources(&caller, &target, None).await.unwrap(), [target.clone(), source]);
    bed.change("team-a/internal", |entry| entry.access = Openness::Disabled);
    assert_eq!(bed.access.mount_sources(&caller, &target, None).await.unwrap(), [target]);
}

#[tokio::test]
async fn listings_need_a_login_and_show_what_may_be_listed() {
    let bed = Bed::new().await;
    let shown = async |credential: &Credential| {
        let caller = bed.access.authorize_listing(&request(credential)).await.unwrap();
        let mut shown = Vec::new();
        for repository in ["public", "internal", "private", "members", "disabled", "absent"] {
            if bed.access.listable(&caller, &image(&format!("team-a/{repository}"))).await.unwrap() {
                shown.push(repository);
            }
        }
        shown
    };
    assert!(bed.access.authorize_listing(&request(&Credential::Nothing)).await.is_err());
    let catalog = ["registry:catalog:*"];
    let anonymous = Credential::bearer(bed.token(&Credential::Nothing, &catalog).await);
    assert_eq!(shown(&anonymous).await, ["public"]);
    assert_eq!(shown(&Credential::user("outsider")).await, ["public", "internal"]);
    assert_eq!(shown(&Credential::user("reporter")).await, ["public", "internal", "private", "members"]);
    assert_eq!(shown(&Credential::deploy(READ_TOKEN)).await, ["public", "private"]);
    let reporter = Credential::bearer(bed.token(&Credential::user("reporter"), &catalog).await);
    assert_eq!(shown(&reporter).await, ["public", "internal", "private", "members"]);
    let unscoped = Credential::bearer(bed.token(&Credential::user("reporter"), &[]).await);
    let refusal = bed.access.authorize_listing(&request(&unscoped)).await.unwrap_err();
    assert_eq!(outcome_of(refusal).await, NO);
}

#[tokio::test]
async fn a_further_demand_is_refused_with_what_is_missing() {
    let bed = Bed::new().await;
    let target = image("team-a/private");
    let many = Action::DeleteMany { guard: Guard::default() };
    let protected = |name: &str| Guard { protected: Some(name.to_owned()), immutable: None };
    let developer = Credential::user("developer");
    let caller = bed.access.authorize(&request(&developer), &target, &delete_one()).await.unwrap();
    for (action, says) in [
        (many.clone(), "deletecollection on containerrepositories/images"),
        (Action::DeleteOne { guard: protected("releases") }, "\"releases\""),
    ] {
        let answer = Answer::of(bed.access.demand(&caller, &target, &action).await.unwrap_err()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    let caller = bed.access.authorize(&request(&Credential::user("maintainer")), &target, &delete_one()).await.unwrap();
    bed.access.demand(&caller, &target, &many).await.unwrap();
    bed.access.demand(&caller, &target, &Action::DeleteOne { guard: protected("releases") }).await.unwrap();
}

#[tokio::test]
async fn a_further_demand_is_bounded_by_the_token_too() {
    let bed = Bed::new().await;
    let target = image("team-a/private");
    let token = Credential::bearer(bed.token(&Credential::user("owner"), &["repository:team-a/private:pull"]).await);
    let caller = bed.access.authorize(&request(&token), &target, &Action::Pull).await.unwrap();
    let many = Action::DeleteMany { guard: Guard::default() };
    let refusal = bed.access.demand(&caller, &target, &many).await.unwrap_err();
    assert_eq!(outcome_of(refusal).await, "403 DENIED");
}

#[tokio::test]
async fn runs_are_for_people_with_the_right_in_the_whole_namespace() {
    let bed = Bed::new().await;
    let run = async |credential: Credential| bed.access.authorize_run(&request(&credential), "team-a").await;
    assert!(run(Credential::user("maintainer")).await.is_ok());
    for credential in [
        Credential::user("developer"),
        Credential::user("outsider"),
        Credential::deploy(WRITE_TOKEN),
        Credential::bearer(bed.token(&Credential::user("maintainer"), &["registry:catalog:*"]).await),
    ] {
        let refusal = run(credential.clone()).await.unwrap_err();
        let message = refusal.message();
        assert!(message.contains("no such policy") && !message.contains("image"), "{credential:?}: {message}");
        assert_eq!(outcome_of(refusal).await, NO, "{credential:?}");
    }
    assert_eq!(outcome_of(run(Credential::Nothing).await.unwrap_err()).await, "401");
}
