//! The exact text of challenges: the strictest clients read nothing else.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;

use super::*;

/// The challenge of `GET /v2/` for a request with these headers from this address.
async fn challenge(bed: &Bed, peer: &str, headers: &[(&str, &str)]) -> String {
    let mut builder = Request::get("/v2/");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let mut parts = builder.body(()).unwrap().into_parts().0;
    parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
    Answer::of(bed.access.authorize_ping(&parts).await.unwrap_err()).await.challenge.unwrap_or_default()
}

fn realm(realm: &str) -> String {
    format!("Bearer realm=\"{realm}\",service=\"registry.berth.dev\"")
}

#[tokio::test]
async fn the_realm_follows_the_host_that_was_asked() {
    let bed = Bed::new().await;
    for host in ["registry.example.com", "registry.example.com:5000", "127.0.0.1:30500", "[::1]:5000", "localhost"] {
        let seen = challenge(&bed, "192.0.2.1:4711", &[("host", host)]).await;
        assert_eq!(seen, realm(&format!("http://{host}/token")));
    }
    let parts = Request::get("https://registry.example.com/v2/").body(()).unwrap().into_parts().0;
    let seen = Answer::of(bed.access.authorize_ping(&parts).await.unwrap_err()).await.challenge;
    assert_eq!(seen.unwrap(), realm("http://registry.example.com/token"), "HTTP/2 names the host in the target");
}

#[tokio::test]
async fn forwarded_headers_count_only_from_trusted_proxies() {
    let bed = Bed::with_proxies("10.0.0.0/8, 2001:db8::/32").await;
    let headers = [("host", "inner:8080"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "r.example.com")];
    for trusted in ["10.1.2.3:1", "[2001:db8::7]:1", "[::ffff:10.1.2.3]:1"] {
        assert_eq!(challenge(&bed, trusted, &headers).await, realm("https://r.example.com/token"), "{trusted}");
    }
    for stranger in ["192.0.2.1:1", "[2001:db9::7]:1"] {
        assert_eq!(challenge(&bed, stranger, &headers).await, realm("http://inner:8080/token"), "{stranger}");
    }
    for (headers, expected) in [
        (vec![("host", "r.example.com"), ("x-forwarded-proto", "https")], "https://r.example.com/token"),
        (vec![("host", "inner"), ("x-forwarded-host", "r.example.com:8443")], "http://r.example.com:8443/token"),
        (vec![("host", "r"), ("x-forwarded-proto", "\"https\"")], "https://r/token"),
        (vec![("host", "r"), ("x-forwarded-proto", "https, http")], "https://r/token"),
        (vec![("host", "inner"), ("x-forwarded-host", "a.example.com, b")], "http://a.example.com/token"),
        (vec![("host", "r"), ("x-forwarded-proto", "gopher")], "http://r/token"),
    ] {
        assert_eq!(challenge(&bed, "10.0.0.1:1", &headers).await, realm(expected), "{headers:?}");
    }
}

#[tokio::test]
async fn a_host_that_would_break_the_header_gets_no_challenge() {
    let bed = Bed::new().await;
    for headers in [vec![], vec![("host", "")], vec![("host", "a\",service=\"evil")], vec![("host", "a b")]] {
        let mut builder = Request::get("/v2/");
        for (name, value) in &headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        let answer = Answer::of(bed.access.authorize_ping(&parts).await.unwrap_err()).await;
        assert_eq!((answer.status, answer.challenge), (StatusCode::BAD_REQUEST, None), "{headers:?}");
    }
}

#[tokio::test]
async fn a_challenge_names_realm_service_scope_and_error_in_this_order() {
    let bed = Bed::new().await;
    let image: ImageName = "team-a/private/api".parse().unwrap();
    let start = "Bearer realm=\"http://registry.example.com/token\",service=\"registry.berth.dev\"";

    for (action, scope) in [
        (Action::Pull, "repository:team-a/private/api:pull"),
        (Action::Push, "repository:team-a/private/api:pull,push"),
        (delete_one(), "repository:team-a/private/api:delete"),
    ] {
        for (credential, error) in [
            (Credential::Nothing, ""),
            (Credential::bearer("nonsense"), ",error=\"invalid_token\""),
            (Credential::user("outsider"), ",error=\"insufficient_scope\""),
        ] {
            let refusal = bed.access.authorize(&request(&credential), &image, &action).await.unwrap_err();
            let seen = Answer::of(refusal).await.challenge.unwrap();
            assert_eq!(seen, format!("{start},scope=\"{scope}\"{error}"));
        }
    }

    let from = "team-b/base".parse().unwrap();
    let refusal = bed.access.authorize_mount(&request(&Credential::Nothing), &image, Some(&from)).await.unwrap_err();
    assert_eq!(
        Answer::of(refusal).await.challenge.unwrap(),
        format!("{start},scope=\"repository:team-a/private/api:pull,push repository:team-b/base:pull\"")
    );
    let refusal = bed.access.authorize_listing(&request(&Credential::Nothing)).await.unwrap_err();
    assert_eq!(Answer::of(refusal).await.challenge.unwrap(), format!("{start},scope=\"registry:catalog:*\""));
}

#[tokio::test]
async fn the_ping_challenges_even_where_anonymous_pull_is_allowed() {
    let bed = Bed::new().await;
    assert_eq!(bed.pull(&Credential::Nothing, "team-a/public").await, "ok");
    let answer = Answer::of(bed.access.authorize_ping(&request(&Credential::Nothing)).await.unwrap_err()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body["errors"][0]["code"], "UNAUTHORIZED");

    let anonymous = bed.token(&Credential::Nothing, &[]).await;
    let valid = [
        Credential::bearer(anonymous),
        Credential::user("outsider"),
        Credential::deploy(READ_TOKEN),
        Credential::bearer(READ_TOKEN),
        Credential::bearer(bed.token(&Credential::user("outsider"), &[]).await),
    ];
    for credential in valid {
        assert!(bed.access.authorize_ping(&request(&credential)).await.is_ok(), "{credential:?}");
    }
}

#[tokio::test]
async fn a_client_is_who_the_last_untrusted_hop_says() {
    let bed = Bed::with_proxies("10.0.0.0/8").await;
    for (peer, forwarded, expected) in [
        ("192.0.2.9:1", "203.0.113.5", "192.0.2.9"),
        ("10.0.0.1:1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1:1", "198.51.100.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1:1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1:1", "203.0.113.5:4711", "203.0.113.5"),
        ("10.0.0.1:1", "nonsense", "10.0.0.1"),
        ("10.0.0.1:1", "", "10.0.0.1"),
    ] {
        let mut parts = Request::get("/v2/")
            .header("host", "r")
            .header("x-forwarded-for", forwarded)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        let caller = bed.access.authorize(&parts, &image("team-a/public"), &Action::Pull).await.unwrap();
        assert_eq!(caller.address().unwrap().to_string(), expected, "{peer} {forwarded}");
    }
}
