//! `/v2/<name>/tags/list`.

use super::*;

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let bed = Bed::new().await;
    let (bytes, digest) = bed.push_image("team-a/shop", "a", "x").await;
    let more = ["e", "c", "B", "d"].map(|tag| format!("tag={tag}")).join("&");
    bed.push_manifest("team-a/shop", &format!("{digest}?{more}"), OCI_MANIFEST, &bytes).await;
    let path = "/v2/team-a/shop/tags/list";
    for (query, tags, link) in [
        ("", &["B", "a", "c", "d", "e"][..], ""),
        ("n=5", &["B", "a", "c", "d", "e"], ""),
        ("n=100000000000000000000000", &["B", "a", "c", "d", "e"], ""),
        ("n=2", &["B", "a"], "</v2/team-a/shop/tags/list?last=a&n=2>; rel=\"next\""),
        ("n=2&last=a", &["c", "d"], "</v2/team-a/shop/tags/list?last=d&n=2>; rel=\"next\""),
        ("last=d&n=2", &["e"], ""),
        ("last=bb", &["c", "d", "e"], ""),
        ("last=zzz", &[], ""),
        ("n=0", &[], ""),
        ("n=0&last=a", &[], ""),
    ] {
        let answer = bed.send(get(&format!("{path}?{query}"))).await;
        assert_eq!(answer.json(), json!({ "name": "team-a/shop", "tags": tags }), "{query}");
        assert_eq!(answer.header("link"), link, "{query}");
        assert_eq!(answer.header("content-type"), "application/json");
        let head = bed.send(head(&format!("{path}?{query}"))).await;
        assert_eq!(head.header("content-length"), answer.bytes.len().to_string(), "{query}");
        assert_eq!(head.bytes.len(), 0);
    }
    for n in ["-1", "x", "1.5"] {
        bed.send(get(&format!("{path}?n={n}"))).await.assert_error(400, "UNSUPPORTED", "is not a page size");
    }
}

#[tokio::test]
async fn an_image_without_tags_has_an_empty_list_and_one_without_anything_is_unknown() {
    let bed = Bed::new().await;
    let path = "/v2/team-a/shop/tags/list";
    bed.send(get(path)).await.assert_error(404, "NAME_UNKNOWN", "nothing was pushed to team-a/shop");
    bed.send(get(&format!("{path}?n=0"))).await.assert_error(404, "NAME_UNKNOWN", "");
    bed.push_image("team-a/shop", "x", "a").await;
    bed.send(delete("/v2/team-a/shop/manifests/x")).await;
    assert_eq!(bed.send(get(path)).await.json(), json!({ "name": "team-a/shop", "tags": [] }));
    bed.send(get("/v2/team-a/shop/other/tags/list")).await.assert_error(404, "NAME_UNKNOWN", "team-a/shop/other");
    bed.send(get(path).by("guest")).await.assert_error(401, "UNAUTHORIZED", "");
}
