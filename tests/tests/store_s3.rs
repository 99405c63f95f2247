//! The store in a bucket of a real S3 server keeps what every store promises.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use berth_registry::store::s3::{Connection, S3Store};
use berth_registry::store::{NewObject, Store, list_all};
use berth_tests::s3_server::{ACCESS_KEY, REGION, S3Server, SECRET_KEY};

struct Opened {
    store: Arc<dyn Store>,
    server: S3Server,
}

fn store_of(server: &S3Server, prefix: &str) -> S3Store {
    let connection = Connection {
        endpoint: server.endpoint(),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned(),
        ca_certificates: None,
    };
    S3Store::connect("images", prefix, connection).unwrap()
}

async fn open() -> Opened {
    let server = S3Server::start().await.unwrap();
    server.create_bucket("images").await.unwrap();
    Opened { store: Arc::new(store_of(&server, "")), server }
}

berth_tests::store_conformance!(open);

#[tokio::test]
async fn a_prefix_is_a_store_of_its_own() {
    let Opened { store, server } = open().await;
    let below = store_of(&server, "some/where");
    store.birth("a/outside", NewObject::marker()).await.unwrap();
    below.birth("a/inside", NewObject::bytes("bytes")).await.unwrap();
    below.copy_new("a/inside", "a/copy", None).await.unwrap();
    below.retire("a/inside").await.unwrap();
    let keys: Vec<_> = list_all(&below, "").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["a/copy", "a/inside"]);
    assert!(store.head("some/where/a/inside").await.unwrap().unwrap().retired);
    assert!(below.delete_many(&keys).await.unwrap().is_empty());
    assert_eq!(server.list("images").await.unwrap(), [("a/outside".to_owned(), 0)]);
}
