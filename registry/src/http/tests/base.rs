//! `/v2/`, and what is no endpoint.

use super::*;

#[tokio::test]
async fn the_ping_always_challenges_and_lets_any_user_in() {
    let bed = Bed::new().await;
    for path in ["/v2", "/v2/"] {
        let challenge = bed.send(get(path).by_nobody()).await;
        challenge.assert_error(401, "UNAUTHORIZED", "");
        assert_eq!(
            challenge.header("www-authenticate"),
            "Bearer realm=\"http://registry.test/token\",service=\"registry.berth.dev\""
        );
        let welcome = bed.send(get(path).by("guest")).await;
        assert_eq!((welcome.status, &welcome.bytes[..]), (StatusCode::OK, &b"{}"[..]));
        assert_eq!(welcome.header("content-type"), "application/json");
        let head = bed.send(head(path).by("guest")).await;
        assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (StatusCode::OK, "2", 0));
    }
    bed.send(get("/v2/").header("authorization", "Basic bm9ib2R5Om5vYm9keQ==")).await.assert_error(
        401,
        "UNAUTHORIZED",
        "",
    );
}

#[tokio::test]
async fn every_answer_names_the_api_and_its_request() {
    let bed = Bed::new().await;
    for request in [get("/v2/"), get("/v2/").by_nobody(), get("/nowhere"), put("/v2/_catalog"), get("/token")] {
        let answer = bed.send(request.header("x-request-id", "id-7")).await;
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0", "{answer:?}");
        assert_eq!(answer.header("x-request-id"), "id-7", "{answer:?}");
    }
    assert_eq!(bed.send(get("/v2/")).await.header("x-request-id").len(), 26);
}

#[tokio::test]
async fn what_is_no_endpoint_is_404_and_a_wrong_method_405() {
    let bed = Bed::new().await;
    for path in
        ["/", "/v1/search?q=x", "/v2/_oci/ext/discover", "/v2/team-a/shop/_oci/x", "/v2/team-a/shop", "/favicon.ico"]
    {
        bed.send(get(path)).await.assert_error(404, "UNSUPPORTED", "there is no such endpoint");
    }
    let digest = sha256(b"");
    for (request, allowed) in [
        (post("/v2/"), "GET, HEAD"),
        (put("/v2/_catalog"), "GET, HEAD"),
        (delete("/v2/team-a/shop/tags/list"), "GET, HEAD"),
        (put(&format!("/v2/team-a/shop/referrers/{digest}")), "GET, HEAD"),
        (post("/v2/team-a/shop/manifests/v1"), "GET, HEAD, PUT, DELETE"),
        (patch("/v2/team-a/shop/manifests/v1"), "GET, HEAD, PUT, DELETE"),
        (put(&format!("/v2/team-a/shop/blobs/{digest}")), "GET, HEAD, DELETE"),
        (get("/v2/team-a/shop/blobs/uploads/"), "POST"),
        (post("/v2/team-a/shop/blobs/uploads/x"), "PATCH, PUT, GET, HEAD, DELETE"),
    ] {
        let answer = bed.send(request).await;
        answer.assert_error(405, "UNSUPPORTED", &format!("only {allowed}"));
        assert_eq!(answer.header("allow"), allowed);
    }
}

#[tokio::test]
async fn names_are_judged_before_anything_else_and_suggest_a_valid_one() {
    let bed = Bed::new().await;
    let digest = sha256(b"");
    for (name, advice) in [
        ("Team-A/shop", "such as \"team-a\""),
        ("team-a/my%20shop", "such as \"my-shop\""),
        ("shop", "\"default/shop\""),
        ("team-a//shop", "empty part"),
        ("team-a/shop/a/b/c", "at most 2 levels"),
        ("team-a/shop:v1", "write \"team-a/shop\""),
        (&format!("team-a/{}", "x".repeat(64)), "at most 63"),
    ] {
        for path in [
            format!("/v2/{name}/tags/list"),
            format!("/v2/{name}/manifests/v1"),
            format!("/v2/{name}/blobs/{digest}"),
            format!("/v2/{name}/referrers/{digest}"),
        ] {
            bed.send(get(&path).by_nobody()).await.assert_error(400, "NAME_INVALID", advice);
        }
        bed.send(post(&format!("/v2/{name}/blobs/uploads/"))).await.assert_error(400, "NAME_INVALID", advice);
    }
    assert_eq!(bed.objects(), 0);
}

#[tokio::test]
async fn a_path_without_a_repository_tells_only_who_could_push_there_how_to_create_it() {
    let bed = Bed::new().await;
    let paths = ["tags/list", "manifests/v1", &format!("blobs/{}", sha256(b""))];
    for path in paths.map(|path| format!("/v2/team-a/new/{path}")) {
        let answer = bed.send(get(&path)).await;
        answer.assert_error(404, "NAME_UNKNOWN", "kubectl apply");
        for request in [get(&path).by("guest"), get(&path).by_nobody()] {
            let absent = bed.send(request).await;
            absent.assert_error(401, "UNAUTHORIZED", "");
            let hidden = path.replace("/new/", "/shop/");
            let request = if absent.header("www-authenticate").contains("error=") {
                get(&hidden).by("guest")
            } else {
                get(&hidden).by_nobody()
            };
            let hidden = bed.send(request).await;
            assert_eq!(
                hidden.json().to_string().replace("team-a/shop", "team-a/new"),
                absent.json().to_string(),
                "a hidden repository looks like an absent one"
            );
        }
    }
    bed.send(post("/v2/team-a/new/blobs/uploads/")).await.assert_error(404, "NAME_UNKNOWN", "kubectl apply");
}

#[tokio::test]
async fn a_mistake_of_ours_is_a_500_that_tells_nothing() {
    let bed = Bed::new().await;
    let answer = bed.send(get("/panic")).await;
    answer.assert_error(500, "UNKNOWN", "X-Request-Id of this answer");
    assert!(!answer.json().to_string().contains("mistake"), "{answer:?}");
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    assert_eq!(answer.header("x-request-id").len(), 26);
}
