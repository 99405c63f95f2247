//! The harness itself: a fault that does not strike, or a count that misses, would make every test above it worthless.
#![allow(clippy::unwrap_used)]

use aws_sdk_s3::primitives::ByteStream;
use berth_tests::images::{self, Index};
use berth_tests::proxy::{Proxy, When};
use berth_tests::s3_server::{S3Server, client_of};
use berth_tests::{command, tools::installed};
use http::StatusCode;
use std::time::Duration;

async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<(), String> {
    let body = ByteStream::from_static(b"bytes");
    match client.put_object().bucket(bucket).key(key).body(body).send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.raw_response().map_or("no answer".into(), |answer| answer.status().to_string())),
    }
}

#[tokio::test]
async fn the_proxy_counts_by_operation_and_kind() {
    let server = S3Server::start().await.unwrap();
    let bucket = server.create_bucket("counted").await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let client = client_of(&proxy.endpoint());
    put(&client, &bucket, "a/xx/01").await.unwrap();
    put(&client, &bucket, "g/01.x").await.unwrap();
    client.list_objects_v2().bucket(&bucket).prefix("r/team!shop!/t/").send().await.unwrap();
    let counts = proxy.take();
    assert_eq!(counts.to_string(), "1 ListObjectsV2 TagVersion, 1 PutObject Certificate, 1 PutObject Note");
    assert_eq!(counts.without(|seen| seen.key.starts_with("g/")).total(), 2);
    assert_eq!(proxy.take().total(), 0, "taking forgets");
    assert_eq!(server.list(&bucket).await.unwrap(), [("a/xx/01".to_owned(), 5), ("g/01.x".to_owned(), 5)]);
}

#[tokio::test]
async fn the_proxy_strikes_before_or_after_the_server_acts() {
    let server = S3Server::start().await.unwrap();
    let bucket = server.create_bucket("struck").await.unwrap();
    for (when, expected) in [(When::Before, vec!["first"]), (When::After, vec!["first", "second"])] {
        let proxy = Proxy::start(server.address()).await.unwrap();
        let client = client_of(&proxy.endpoint());
        let mut caught = proxy.stop_at(2, when);
        put(&client, &bucket, "first").await.unwrap();
        assert!(caught.try_recv().is_err(), "the first request passes");
        let (held, bucket_name) = (client.clone(), bucket.clone());
        let second = tokio::spawn(async move { put(&held, &bucket_name, "second").await });
        assert_eq!(caught.await.unwrap().key, "second");
        let third = put(&client, &bucket, "third");
        assert!(tokio::time::timeout(Duration::from_millis(300), third).await.is_err(), "later requests are held too");
        assert!(!second.is_finished(), "nobody hears of the second");
        let keys: Vec<String> = server.list(&bucket).await.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, expected, "{when:?}");
        second.abort();
    }
}

#[tokio::test]
async fn the_proxy_answers_in_the_servers_place() {
    let server = S3Server::start().await.unwrap();
    let bucket = server.create_bucket("refused").await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let client = client_of(&proxy.endpoint());
    proxy.inject(1, StatusCode::FORBIDDEN, |seen| seen.key == "refused");
    assert_eq!(put(&client, &bucket, "refused").await, Err("403".to_owned()));
    put(&client, &bucket, "refused").await.unwrap();
}

#[tokio::test]
async fn images_are_what_clients_take_for_images() {
    let skopeo = installed("skopeo").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let index = Index::of_architectures(7, &["amd64", "arm64"]);
    let (made, copied) = (folder.path().join("made"), folder.path().join("copied"));
    images::write_layout(&made, "v1", &index.manifest, index.contents()).unwrap();
    let (from, to) = (format!("oci:{}:v1", made.display()), format!("oci:{}:v1", copied.display()));
    command::run(&skopeo, &["--insecure-policy", "copy", "--quiet", "--all", &from, &to]).await.unwrap();
    // Not assert_eq!: nobody wants to read the bytes.
    assert!(images::read_layout(&copied).unwrap() == images::read_layout(&made).unwrap(), "a copy keeps every byte");
    // A layer is an archive that unpacks to the noise it was made of.
    let layer = images::layer(5, 1000);
    let archive = folder.path().join("layer.tar.gz");
    std::fs::write(&archive, &layer.blob.bytes).unwrap();
    let target = folder.path().display().to_string();
    command::run("tar".as_ref(), &["-xzf", archive.to_str().unwrap(), "-C", &target]).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("data-5")).unwrap(), images::noise(5, 1000));
}
