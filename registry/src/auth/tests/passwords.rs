//! The users file, its hashes, and deploy tokens as texts.

use super::*;
use crate::auth::authority::{Authority as _, Credential as Proof};
use crate::auth::deploy_token;
use crate::auth::users::{self, CheckMemory, PasswordError, hash_password};

fn refused(text: &str) -> String {
    Users::parse(text).unwrap_err().to_string()
}

#[test]
fn a_users_file_reads_as_the_design_writes_it() {
    let hash = hash_password("secret").unwrap();
    let text = format!(
        "users:\n- {{name: alice, password: \"{hash}\", roles: {{team-a: developer, team-b/shop: maintainer, \"*\": \
         reporter}}}}\n- name: bob\n  password: \"{hash}\"\n"
    );
    let users = Users::parse(&text).unwrap();
    assert_eq!(users.len(), 2);
    use berth_crds::access::Permission;
    let roles = &users.get("alice").unwrap().roles;
    assert!(roles.may(&"team-a/x".parse().unwrap(), Permission::PUSH));
    assert!(roles.may(&"team-b/shop".parse().unwrap(), Permission::DELETE_MANY));
    assert!(roles.may(&"team-c/x".parse().unwrap(), Permission::PULL));
    assert!(!roles.may(&"team-c/x".parse().unwrap(), Permission::PUSH));
    assert!(Users::parse("users: []").unwrap().is_empty());
}

#[test]
fn what_is_wrong_in_a_users_file_is_named_with_what_to_do() {
    let hash = quick_hash("x");
    let user = |name: &str| format!("{{name: \"{name}\", password: \"{hash}\"}}");
    for (text, expected) in [
        ("user: []".to_owned(), "users"),
        ("users: []\nadmins: []".to_owned(), "admins"),
        (format!("users: [{{name: a, password: \"{hash}\", role: owner}}]"), "role"),
        (format!("users: [{{name: a, password: \"{hash}\", roles: {{team-a: guest}}}}]"), "guest"),
        (format!("users: [{{name: a, password: \"{hash}\", roles: {{Team: owner}}}}]"), "no place for a role"),
        (format!("users: [{}, {}]", user("a"), user("a")), "listed twice"),
        (format!("users: [{}]", user("")), "1 to 128 characters"),
        (format!("users: [{}]", user("a:b")), "without blanks, colons"),
        (format!("users: [{}]", user("a b")), "without blanks, colons"),
        (format!("users: [{}]", user("system:serviceaccount:a:b")), "belong to the cluster"),
        ("users: [{name: a, password: secret}]".to_owned(), "registry hash-password"),
        ("users: [{name: a, password: \"$2y$10$abcdefghijklmnopqrstuv\"}]".to_owned(), "registry hash-password"),
        (format!("users: [{{name: a, password: \"{}\"}}]", hash.replace("argon2id", "argon2i")), "argon2id"),
        (format!("users: [{{name: a, password: \"{}\"}}]", hash.replace("m=8", "m=4000000")), "256 MiB"),
        (format!("users: [{{name: a, password: \"{}\"}}]", hash.replace("t=1", "t=99")), "16 passes"),
        (format!("users: [{{name: a, password: \"{}\"}}]", hash.rsplit_once('$').unwrap().0), "hash-password"),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(!error.contains(&hash), "a hash is not for logs: {error}");
    }
}

#[test]
fn a_hash_is_argon2id_with_a_fresh_salt_and_matches_only_its_password() {
    let (one, two) = (hash_password("pässword").unwrap(), hash_password("pässword").unwrap());
    assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, two);
    // One memory for all: what a check leaves in it must not matter to the next.
    let memory = CheckMemory::default();
    let check_password = |password: &str, hash: &str| users::check_password(password, hash, &memory);
    assert!(check_password("pässword", &one) && check_password("pässword", &two));
    for wrong in ["password", "pässwor", "pässword ", ""] {
        assert!(!check_password(wrong, &one), "{wrong:?}");
    }
    assert!(!check_password("x", "no hash"));
}

#[test]
fn passwords_that_could_not_be_used_are_refused() {
    assert_eq!(hash_password(""), Err(PasswordError::Empty));
    assert_eq!(hash_password(&"x".repeat(1025)), Err(PasswordError::TooLong));
    assert_eq!(hash_password("berth_x"), Err(PasswordError::LooksLikeDeployToken));
}

#[tokio::test]
async fn a_right_password_is_checked_slowly_once_and_a_wrong_one_always() {
    let bed = Bed::new().await;
    let proof = |secret| Proof { name: Some("reporter"), secret, client: None };
    for _ in 0..5 {
        let proven = bed.users.authenticate(proof("retroper")).await.unwrap();
        assert_eq!((proven.user.name.as_str(), proven.expires), ("reporter", None));
    }
    assert_eq!(bed.users.slow_checks(), 1);
    for _ in 0..3 {
        assert!(bed.users.authenticate(proof("wrong")).await.is_err());
    }
    assert_eq!(bed.users.slow_checks(), 4);
    let unknown = Proof { name: Some("nobody"), secret: "x", client: None };
    assert!(bed.users.authenticate(unknown).await.is_err());
    assert_eq!(bed.users.slow_checks(), 5, "an unknown name costs as much as a known one");
}

#[tokio::test]
async fn requests_that_begin_together_with_one_login_check_it_for_each_other() {
    let bed = Bed::new().await;
    let proof = Proof { name: Some("reporter"), secret: "retroper", client: None };
    let proven = futures::future::join_all((0..64).map(|_| bed.users.authenticate(proof))).await;
    assert!(proven.iter().all(Result::is_ok));
    // Two may begin at the same moment.
    assert!(bed.users.slow_checks() <= 2, "{} slow checks", bed.users.slow_checks());
}

#[tokio::test]
async fn guesses_sent_all_at_once_do_not_overtake_the_lock() {
    let bed = Bed::new().await;
    let guesses = (0..100).map(|guess| {
        let users = Arc::clone(&bed.users);
        tokio::spawn(async move {
            let secret = format!("guess {guess}");
            users.authenticate(Proof { name: Some("owner"), secret: &secret, client: None }).await.is_err()
        })
    });
    for guess in guesses.collect::<Vec<_>>() {
        assert!(guess.await.unwrap());
    }
    // Ten are free, and one more may be under way beside the tenth.
    assert!(bed.users.slow_checks() <= 11, "{} guesses were checked", bed.users.slow_checks());
}

#[tokio::test]
async fn a_changed_users_file_is_read_again_and_a_broken_one_keeps_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    let write = |role: &str| {
        let text = format!("users: [{{name: a, password: \"{}\", roles: {{team-a: {role}}}}}]", quick_hash("a"));
        std::fs::write(&path, text).unwrap();
    };
    write("reporter");
    let (mut file, users) = UsersFile::open(path.clone()).await.unwrap();
    let authority = UsersAuthority::new(users, TestClock::new().clock());
    let user = authority.authenticate(Proof { name: Some("a"), secret: "a", client: None }).await.unwrap().user;
    let mut may_push_after_a_look = async || {
        authority.look(&mut file).await;
        let push = berth_crds::access::Permission::PUSH;
        authority.may(&user, &"team-a/x".parse().unwrap(), push).await.unwrap()
    };
    assert!(!may_push_after_a_look().await);
    write("developer");
    assert!(may_push_after_a_look().await);
    std::fs::write(&path, "users: nonsense").unwrap();
    assert!(may_push_after_a_look().await, "the last good one stays in force");
    std::fs::remove_file(&path).unwrap();
    assert!(may_push_after_a_look().await);
    write("reporter");
    assert!(!may_push_after_a_look().await);

    let missing = UsersFile::open(folder.path().join("none.yaml")).await.unwrap_err().to_string();
    assert!(missing.contains("none.yaml"), "{missing}");
}

#[test]
fn deploy_tokens_are_made_of_256_random_bits_and_found_by_their_hash() {
    let (one, two) = (deploy_token::generate(), deploy_token::generate());
    assert_ne!(one.token, two.token);
    for made in [&one, &two] {
        let [prefix, id, secret] = made.token.split('_').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((prefix, id.len(), secret.len()), ("berth", 8, 52));
        assert!(deploy_token::claimed_by(&made.token));
        assert_eq!(deploy_token_entry("x", &made.token, &[], None).sha256, made.sha256);
        assert!(!format!("{made:?}").contains(secret), "a secret is not for logs");
    }
}
