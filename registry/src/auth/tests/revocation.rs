//! Tokens held while the world changes: every request is decided by what holds at that moment.

use super::*;

const EVERYTHING: &[&str] =
    &["repository:team-a/private:*", "repository:team-a/public:*", "repository:team-a/internal:*"];
const NO: &str = "401 insufficient_scope";
const BAD: &str = "401 invalid_token";

#[tokio::test]
async fn a_flip_of_visibility_counts_at_once_both_ways() {
    let bed = Bed::new().await;
    let anonymous = Credential::bearer(bed.token(&Credential::Nothing, EVERYTHING).await);
    let outsider = Credential::bearer(bed.token(&Credential::user("outsider"), EVERYTHING).await);
    let reporter = Credential::bearer(bed.token(&Credential::user("reporter"), EVERYTHING).await);
    let seen = async || {
        [
            bed.pull(&Credential::Nothing, "team-a/public").await,
            bed.pull(&anonymous, "team-a/public").await,
            bed.pull(&outsider, "team-a/public").await,
            bed.pull(&reporter, "team-a/public").await,
        ]
    };
    assert_eq!(seen().await, ["ok", "ok", "ok", "ok"]);
    bed.change("team-a/public", |entry| entry.visibility = Visibility::Internal);
    assert_eq!(seen().await, ["401", NO, "ok", "ok"]);
    bed.change("team-a/public", |entry| entry.visibility = Visibility::Private);
    assert_eq!(seen().await, ["401", NO, NO, "ok"]);
    bed.change("team-a/public", |entry| entry.visibility = Visibility::Public);
    bed.change("team-a/public", |entry| entry.access = Openness::MembersOnly);
    assert_eq!(seen().await, ["401", NO, NO, "ok"]);
    bed.change("team-a/public", |entry| entry.access = Openness::Disabled);
    assert_eq!(seen().await, ["401", NO, NO, "403 DENIED"]);
    bed.change("team-a/public", |entry| entry.access = Openness::Enabled);
    assert_eq!(seen().await, ["ok", "ok", "ok", "ok"]);
    bed.remove("team-a/public");
    assert_eq!(seen().await, ["401", NO, NO, "404 NAME_UNKNOWN"]);
}

#[tokio::test]
async fn a_removed_or_lowered_role_counts_at_once() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::user("developer"), EVERYTHING).await);
    let seen = async |credential: &Credential| {
        [
            bed.pull(credential, "team-a/private").await,
            bed.push(credential, "team-a/private").await,
            bed.delete(credential, "team-a/private").await,
            bed.pull(credential, "team-a/internal").await,
        ]
    };
    assert_eq!(seen(&token).await, ["ok", "ok", "ok", "ok"]);
    let same_password = |role: &[(&str, &str)]| {
        // Another hash of the same password would be another login; keep the entry and change its roles only.
        let roles: BTreeMap<&str, &str> = role.iter().copied().collect();
        let hash = bed.users.password_hash_of("developer");
        let text = serde_json::json!({ "users": [{ "name": "developer", "password": hash, "roles": roles }] });
        Users::parse(&text.to_string()).unwrap()
    };
    bed.users.replace(same_password(&[("team-a", "reporter")]));
    assert_eq!(seen(&token).await, ["ok", NO, NO, "ok"]);
    bed.users.replace(same_password(&[]));
    assert_eq!(seen(&token).await, [NO, NO, NO, "ok"], "still signed in, and no member");
    bed.users.replace(same_password(&[("team-a/private", "developer")]));
    assert_eq!(seen(&token).await, ["ok", "ok", "ok", "ok"]);
    bed.users.replace(users(&[]));
    assert_eq!(seen(&token).await, [BAD, BAD, BAD, BAD], "no user any more");
    assert_eq!(seen(&Credential::user("developer")).await, [BAD, BAD, BAD, BAD]);
}

#[tokio::test]
async fn a_changed_password_ends_what_was_logged_in_with_the_old_one() {
    let bed = Bed::new().await;
    let login = Credential::user("developer");
    let token = Credential::bearer(bed.token(&login, EVERYTHING).await);
    assert_eq!(bed.pull(&token, "team-a/private").await, "ok");
    let text = format!(
        "users: [{{name: developer, password: \"{}\", roles: {{team-a: developer}}}}]",
        quick_hash("new password")
    );
    bed.users.replace(Users::parse(&text).unwrap());
    assert_eq!(bed.pull(&token, "team-a/private").await, BAD);
    assert_eq!(bed.pull(&login, "team-a/private").await, BAD, "also not from the memory of right passwords");
    let new = Credential::Basic("developer".to_owned(), "new password".to_owned());
    assert_eq!(bed.pull(&new, "team-a/private").await, "ok");
}

#[tokio::test]
async fn a_revoked_or_renewed_deploy_token_ends_at_once() {
    let bed = Bed::new().await;
    let direct = Credential::deploy(WRITE_TOKEN);
    let token = Credential::bearer(bed.token(&direct, EVERYTHING).await);
    let seen = async || {
        [
            bed.push(&direct, "team-a/private").await,
            bed.push(&token, "team-a/private").await,
            bed.pull(&token, "team-a/public").await,
        ]
    };
    assert_eq!(seen().await, ["ok", "ok", "ok"]);
    bed.change("team-a/private", |entry| {
        // A new secret under the old name must not revive what was signed for the old one.
        let renewed = deploy_token_entry("writer", "berth_writer01_c", &[TokenScope::WriteRegistry], None);
        entry.deploy_tokens = vec![renewed];
    });
    assert_eq!(seen().await, [BAD, BAD, BAD], "not even what anybody may read: the credential is bad");
    let refusal = bed.access.authorize_ping(&request(&token)).await.unwrap_err();
    assert_eq!(outcome_of(refusal).await, BAD);
    assert_eq!(bed.push(&Credential::deploy("berth_writer01_c"), "team-a/private").await, "ok");
}

#[tokio::test]
async fn a_narrowed_deploy_token_loses_what_its_registry_token_names() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::deploy(WRITE_TOKEN), EVERYTHING).await);
    assert_eq!(bed.push(&token, "team-a/private").await, "ok");
    bed.change("team-a/private", |entry| {
        entry.deploy_tokens = vec![deploy_token_entry("writer", WRITE_TOKEN, &[TokenScope::ReadRegistry], None)];
    });
    assert_eq!(bed.pull(&token, "team-a/private").await, "ok");
    assert_eq!(bed.push(&token, "team-a/private").await, NO);
}

#[tokio::test]
async fn a_deploy_token_ends_at_its_expiry_and_so_does_what_was_given_for_it() {
    let bed = Bed::new().await;
    let end = bed.time.clock().now() + SignedDuration::from_secs(90);
    bed.change("team-a/private", |entry| {
        entry.deploy_tokens = vec![deploy_token_entry("reader", READ_TOKEN, &[TokenScope::ReadRegistry], Some(end))];
    });
    let direct = Credential::deploy(READ_TOKEN);
    let (_, answer) = bed.ask_token(&direct, EVERYTHING).await;
    assert_eq!(answer["expires_in"], 90);
    let token = Credential::bearer(answer["token"].as_str().unwrap());
    bed.time.advance(SignedDuration::from_secs(89));
    assert_eq!(bed.pull(&direct, "team-a/private").await, "ok");
    assert_eq!(bed.pull(&token, "team-a/private").await, "ok");
    bed.time.advance(SignedDuration::from_secs(1));
    assert_eq!(bed.pull(&direct, "team-a/private").await, BAD);
    assert_eq!(bed.pull(&token, "team-a/private").await, BAD);
}

#[tokio::test]
async fn a_registry_token_ends_exactly_at_its_expiry() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::user("developer"), EVERYTHING).await);
    bed.time.advance(SignedDuration::from_secs(299));
    assert_eq!(bed.pull(&token, "team-a/private").await, "ok");
    bed.time.advance(SignedDuration::from_secs(1));
    assert_eq!(bed.pull(&token, "team-a/private").await, BAD);
    assert_eq!(bed.pull(&token, "team-a/public").await, BAD, "an expired token is not anonymous");
    let refusal = bed.access.authorize_ping(&request(&token)).await.unwrap_err();
    assert_eq!(outcome_of(refusal).await, BAD);
}

#[tokio::test]
async fn an_expiry_moved_forward_counts_for_what_was_given_out_before() {
    let bed = Bed::new().await;
    let token = Credential::bearer(bed.token(&Credential::deploy(READ_TOKEN), EVERYTHING).await);
    assert_eq!(bed.pull(&token, "team-a/private").await, "ok");
    let now = bed.time.clock().now();
    bed.change("team-a/private", |entry| {
        entry.deploy_tokens = vec![deploy_token_entry("reader", READ_TOKEN, &[TokenScope::ReadRegistry], Some(now))];
    });
    assert_eq!(bed.pull(&token, "team-a/private").await, BAD);
}
