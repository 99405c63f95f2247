//! `/v2/_catalog`.

use super::*;

/// Who may use the catalog shows a token or a password: `developer` sees all of `team-a`, `guest` what is public.
#[tokio::test]
async fn the_catalog_shows_what_the_caller_may_list_in_pages() {
    let bed = Bed::new().await;
    for image in ["team-a/shop", "team-a/shop/api", "team-a/open", "team-a/strict"] {
        bed.push_image(image, "x", "a").await;
    }
    let next = |last: &str| format!("</v2/_catalog?last={last}&n=2>; rel=\"next\"");
    for (who, query, images, link) in [
        ("developer", "", &["team-a/open", "team-a/shop", "team-a/shop/api", "team-a/strict"][..], String::new()),
        ("developer", "?n=2", &["team-a/open", "team-a/shop"], next("team-a%2Fshop")),
        ("developer", "?n=2&last=team-a/shop", &["team-a/shop/api", "team-a/strict"], String::new()),
        ("developer", "?n=2&last=team-a/p", &["team-a/shop", "team-a/shop/api"], next("team-a%2Fshop%2Fapi")),
        ("developer", "?n=0", &[], String::new()),
        ("developer", "?last=zzz", &[], String::new()),
        ("guest", "", &["team-a/open"], String::new()),
    ] {
        let answer = bed.send(get(&format!("/v2/_catalog{query}")).by(who)).await;
        assert_eq!(answer.json(), json!({ "repositories": images }), "{who} {query}");
        assert_eq!(answer.header("link"), link, "{who} {query}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    // More images than are decided at once, of one repository and of one that a guest does not see.
    let mut all: Vec<String> = (0..40).map(|number| format!("team-a/open/i{number:02}")).collect();
    for image in &all {
        bed.push_image(image, "x", "a").await;
        bed.push_image(&image.replace("open", "shop"), "x", "a").await;
    }
    all.insert(0, "team-a/open".to_owned());
    let mut seen: Vec<String> = Vec::new();
    let mut path = "/v2/_catalog?n=7".to_owned();
    loop {
        let answer = bed.send(get(&path).by("guest")).await;
        let page: Vec<String> = serde_json::from_value(answer.json()["repositories"].clone()).unwrap();
        seen.extend(page);
        let link = answer.header("link");
        if link.is_empty() {
            break;
        }
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(seen, all);
    bed.send(get("/v2/_catalog?n=x")).await.assert_error(400, "UNSUPPORTED", "is not a page size");
    let challenge = bed.send(get("/v2/_catalog").by_nobody()).await;
    challenge.assert_error(401, "UNAUTHORIZED", "");
    assert!(challenge.header("www-authenticate").ends_with("scope=\"registry:catalog:*\""), "{challenge:?}");
}
