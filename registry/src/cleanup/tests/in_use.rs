//! Tags that workloads use.

use berth_crds::cleanup::InUseRecord;

use super::runs::configuration;
use super::*;
use crate::cleanup::Clusters;
use crate::cleanup::inventory::Source;
use crate::store::NewObject;

const NOW: &str = "2026-11-24T12:00:00Z";

async fn used(site: &Site, clusters: Clusters) -> (InUseRecord, Vec<String>) {
    let source = Source { storage: site.storage.clone(), configuration: configuration(super::runs::POLICY), clusters };
    let inventory = source.of_images(|_| true, NOW.parse().unwrap(), |_| ()).await.unwrap();
    let tags = inventory.images.iter().flat_map(|image| &image.tags).filter(|tag| tag.in_use);
    (inventory.in_use, tags.map(|tag| tag.tag.to_string()).collect())
}

async fn record(site: &Site, cluster: &str, recorded_at: &str, references: &[&str]) {
    let text = serde_json::json!({ "recordedAt": recorded_at, "references": references }).to_string();
    site.storage.store().put(&format!("meta/in-use/{cluster}"), NewObject::bytes(text)).await.unwrap();
}

#[tokio::test]
async fn references_mark_tags_by_name_and_by_digest_whatever_the_host() {
    let site = Site::new();
    let one = site.push("one", "1").await;
    for name in ["two", "three", "four"] {
        site.push(name, name).await;
    }
    let by_digest = format!("mirror.example.com:5000/team-a/shop/api@{one}");
    record(&site, "a", "2026-11-24T11:30:00Z", &[&by_digest, "team-a/shop/api:two", "docker.io/library/x:four"]).await;
    let (record_is, used) = used(&site, Clusters::Recorded).await;
    assert_eq!((record_is, used), (InUseRecord::Complete, vec!["one".to_owned(), "two".to_owned()]));
}

#[tokio::test]
async fn what_cannot_be_understood_protects_its_tag_everywhere() {
    let site = Site::new();
    site.push("v1", "1").await;
    site.push("v2", "2").await;
    record(&site, "a", NOW, &["Not A Name:v2"]).await;
    assert_eq!(used(&site, Clusters::Recorded).await.1, ["v2"]);
}

#[tokio::test]
async fn without_a_fresh_record_of_every_cluster_use_is_unknown() {
    let site = Site::new();
    site.push("v1", "1").await;
    assert_eq!(used(&site, Clusters::None).await.0, InUseRecord::NoCluster);
    assert_eq!(used(&site, Clusters::Recorded).await.0, InUseRecord::Unknown, "no cluster has recorded anything");
    record(&site, "a", "2026-11-24T11:30:00Z", &[]).await;
    assert_eq!(used(&site, Clusters::Recorded).await.0, InUseRecord::Complete);
    record(&site, "b", "2026-11-24T10:59:59Z", &[]).await;
    assert_eq!(used(&site, Clusters::Recorded).await.0, InUseRecord::Unknown, "one of two is stale");
}
