//! `/token`: what clients send and what they get.

use super::*;
use crate::auth::keys::TokenType;

const PRIVATE: &str = "repository:team-a/private:pull,push,delete";

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_answer_has_what_clients_of_either_age_read() {
    let bed = Bed::new().await;
    let developer = Credential::user("developer");
    let (status, answer) = bed.ask_token(&developer, &[PRIVATE]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["issued_at"].as_str().unwrap().parse::<Timestamp>().unwrap(), bed.time.clock().now());
    assert_eq!(answer.get("scope"), None, "only to POST");
    assert_eq!(answer.get("refresh_token"), None);

    let claims = claims(answer["token"].as_str().unwrap());
    let issued = bed.time.clock().now().as_second();
    assert_eq!(claims["iss"], SERVICE);
    assert_eq!(claims["aud"], SERVICE);
    assert_eq!(claims["sub"], "developer");
    assert_eq!([&claims["iat"], &claims["nbf"], &claims["exp"]], [issued, issued, issued + 300]);
    assert_eq!(
        claims["access"],
        serde_json::json!([{"type": "repository", "name": "team-a/private", "actions": ["pull", "push", "delete"]}])
    );
    let (_, again) = bed.ask_token(&developer, &[PRIVATE]).await;
    assert_ne!(claims["jti"], self::claims(again["token"].as_str().unwrap())["jti"]);
}

#[tokio::test]
async fn a_grant_is_the_intersection_and_too_little_is_no_error() {
    let bed = Bed::new().await;
    for (user, scopes, granted) in [
        ("developer", vec![PRIVATE], PRIVATE),
        ("reporter", vec![PRIVATE], "repository:team-a/private:pull"),
        ("outsider", vec![PRIVATE], ""),
        ("outsider", vec!["repository:team-a/public:*"], "repository:team-a/public:pull"),
        ("outsider", vec!["repository:team-a/absent:pull,push"], ""),
        ("developer", vec!["repository:team-a/absent:pull,push"], "repository:team-a/absent:pull,push"),
        ("developer", vec!["repository:team-a/absent:pull"], "repository:team-a/absent:pull"),
        ("reporter", vec!["repository:team-a/disabled:*"], ""),
        ("reporter", vec!["registry:catalog:*"], "registry:catalog:*"),
        ("reporter", vec![], ""),
        (
            "reporter",
            vec!["repository:team-a/private:pull repository:team-a/public:pull,push", "repository:team-b/x:pull"],
            "repository:team-a/private:pull repository:team-a/public:pull",
        ),
    ] {
        let password: String = user.chars().rev().collect();
        let mut form = vec![("grant_type", "password"), ("username", user), ("password", &password)];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let (status, answer) = bed.post_token(&form).await;
        assert_eq!((status, answer["scope"].as_str()), (StatusCode::OK, Some(granted)), "{user} {scopes:?}");
        let got = bed.token(&Credential::user(user), &scopes).await;
        let posted = claims(answer["token"].as_str().unwrap());
        assert_eq!(claims(&got)["access"], posted["access"], "GET and POST grant the same");
    }
}

#[tokio::test]
async fn anonymous_gets_what_anonymous_may() {
    let bed = Bed::new().await;
    let scopes = ["repository:team-a/public:pull,push", "repository:team-a/internal:pull", PRIVATE];
    let claims = claims(&bed.token(&Credential::Nothing, &scopes).await);
    assert_eq!(claims["sub"], "anonymous");
    let expected = serde_json::json!([{"type": "repository", "name": "team-a/public", "actions": ["pull"]}]);
    assert_eq!(claims["access"], expected);
}

#[tokio::test]
async fn no_refresh_token_is_ever_issued() {
    let bed = Bed::new().await;
    let uri = "/token?service=registry.berth.dev&offline_token=true&client_id=docker&account=developer";
    let request = Credential::user("developer").add_to(Request::get(uri).header(HOST, HOST_NAME));
    let (status, answer) = bed.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((status, answer.get("refresh_token")), (StatusCode::OK, None));
    let form = [
        ("grant_type", "password"),
        ("username", "developer"),
        ("password", "repoleved"),
        ("access_type", "offline"),
        ("service", SERVICE),
        ("client_id", "containerd"),
    ];
    let (status, answer) = bed.post_token(&form).await;
    assert_eq!((status, answer.get("refresh_token")), (StatusCode::OK, None));
}

#[tokio::test]
async fn a_registry_token_is_no_way_to_get_another() {
    let bed = Bed::new().await;
    let token = bed.token(&Credential::user("developer"), &[PRIVATE]).await;
    let as_password = Credential::Basic("developer".to_owned(), token.clone());
    let checked = bed.users.slow_checks();
    for credential in [Credential::bearer(&token), as_password] {
        assert_eq!(bed.ask_token(&credential, &[PRIVATE]).await.0, StatusCode::UNAUTHORIZED, "{credential:?}");
    }
    let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(bed.post_token(&form).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(bed.users.slow_checks(), checked, "it is not even tried as a password");
}

#[tokio::test]
async fn questions_that_are_none_are_answered_with_what_to_send() {
    let bed = Bed::new().await;
    for form in [
        vec![],
        vec![("grant_type", "password"), ("username", "developer")],
        vec![("grant_type", "authorization_code"), ("code", "x")],
        vec![("grant_type", "refresh_token")],
    ] {
        let (status, answer) = bed.post_token(&form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains("grant_type=password"), "{answer}");
    }
    let request = Request::post("/token").header("content-type", "application/json").body(Body::from("{}")).unwrap();
    assert_eq!(bed.send(request).await.0, StatusCode::BAD_REQUEST);
    let form = "scope=".to_owned() + &"x".repeat(70_000);
    let request = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    assert_eq!(bed.send(request).await.0, StatusCode::BAD_REQUEST);
    let request = Request::get("/token?service=other.example.com").body(Body::empty()).unwrap();
    assert_eq!(bed.send(request).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_for_another_service_or_of_another_key_is_refused() {
    let bed = Bed::new().await;
    let elsewhere = Bed::new().await;
    let credential = Credential::user("developer");
    let foreign = Credential::bearer(elsewhere.token(&credential, &[PRIVATE]).await);
    assert_eq!(elsewhere.pull(&foreign, "team-a/private").await, "ok");
    assert_eq!(bed.pull(&foreign, "team-a/private").await, "401 invalid_token", "signed by a key this bucket lacks");

    let mine: Value = claims(&bed.token(&credential, &[PRIVATE]).await);
    let signed = |claims: &Value| Credential::bearer(bed.keys.sign(TokenType::Access, claims).unwrap());
    assert_eq!(bed.pull(&signed(&mine), "team-a/private").await, "ok");
    for (claim, value) in [
        ("aud", "other.example.com".into()),
        ("aud", Value::Null),
        ("aud", format!("{SERVICE}/uploads").into()),
        ("iss", "other.example.com".into()),
        ("exp", 0.into()),
        ("nbf", (bed.time.clock().now().as_second() + 61).into()),
        ("exp", Value::Null),
        ("berth.dev/subject", Value::Null),
    ] {
        let mut altered = mine.clone();
        altered[claim] = value;
        assert_eq!(bed.pull(&signed(&altered), "team-a/private").await, "401 invalid_token", "{claim}");
    }
    let mut early = mine.clone();
    early["nbf"] = (bed.time.clock().now().as_second() + 30).into();
    assert_eq!(bed.pull(&signed(&early), "team-a/private").await, "ok", "replicas' clocks differ a little");
    let sealed_as_upload = Credential::bearer(bed.keys.sign(TokenType::Upload, &mine).unwrap());
    assert_eq!(bed.pull(&sealed_as_upload, "team-a/private").await, "401 invalid_token");
}

#[tokio::test]
async fn replicas_verify_each_others_tokens_over_one_bucket() {
    let bed = Bed::new().await;
    let keys = Arc::new(Keys::open(Arc::new(bed.store.clone()), bed.time.clock()).await.unwrap());
    let settings = Settings {
        service: SERVICE.parse().unwrap(),
        token_ttl: SignedDuration::from_mins(5),
        session_ttl: SignedDuration::from_hours(24),
        trusted_proxies: TrustedProxies::default(),
        tls: false,
    };
    let access = Access::new(settings, keys, Arc::clone(&bed.configuration), bed.users.clone(), bed.time.clock());
    let token = Credential::bearer(bed.token(&Credential::user("developer"), &[PRIVATE]).await);
    access.authorize(&request(&token), &image("team-a/private"), &Action::Push).await.unwrap();
}

#[tokio::test]
async fn repeated_wrong_passwords_lock_the_name_for_this_client_with_a_time_to_wait() {
    let bed = Bed::new().await;
    let wrong = Credential::Basic("developer".to_owned(), "wrong".to_owned());
    for _ in 0..10 {
        assert_eq!(bed.ask_token(&wrong, &[]).await.0, StatusCode::UNAUTHORIZED);
    }
    let refused = Credential::user("developer").add_to(Request::get("/token").header(HOST, HOST_NAME));
    let response = token_router(Arc::clone(&bed.access)).oneshot(refused.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(bed.ask_token(&Credential::user("reporter"), &[]).await.0, StatusCode::OK, "others log in");
    bed.time.advance(SignedDuration::from_secs(5));
    assert_eq!(bed.ask_token(&Credential::user("developer"), &[]).await.0, StatusCode::OK);
}
