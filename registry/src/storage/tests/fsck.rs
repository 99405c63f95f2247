use super::*;
use crate::store::{NewObject, Store as _};

#[tokio::test]
async fn a_healthy_store_has_no_findings() {
    let bed = Bed::with(impatient());
    let large = vec![1u8; 9 << 20];
    let child = bed.image("a/b", None, &[b"amd64", &large]).await;
    push(&bed.storage, &name("a/b"), &["v1"], OCI_INDEX, index_of(&[&child])).await.unwrap();
    bed.image("c/d", Some("v1"), &[b"one"]).await;
    bed.image("c/d", Some("v1"), &[b"two"]).await;
    bed.collect().await;
    let report = bed.storage.fsck(false).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.objects, report.bytes), (report.reachable_objects, report.reachable_bytes));
}

/// One planted example of every class: each is found, and nothing else.
#[tokio::test]
async fn every_class_is_found_and_nothing_else() {
    let bed = Bed::with(Settings { quarantine: Duration::ZERO, ..Settings::default() });
    let image = name("a/b");
    let large = vec![1u8; 9 << 20];
    let good = bed.image("a/b", Some("v1"), &[b"layer", &large]).await;
    bed.storage.settle().await;
    let instance = layout::ManifestKey::parse(&bed.keys("r/a!b!/m/")[0]).unwrap().instance;
    let ids = Ids::random();
    let plant = async |key: String, bytes: &[u8]| {
        let content_type = key.contains("/m/").then(|| OCI_MANIFEST.to_owned());
        bed.store.put(&key, NewObject { bytes: bytes.to_vec().into(), content_type }).await.unwrap();
        key
    };
    let mut expected: Vec<(Class, String)> = Vec::new();
    let mut expect = |class, key: &str| expected.push((class, key.to_owned()));
    let other = sha256(b"other");

    let lost = manifest_of(&[b"layer"], None);
    let lost_digest = sha256(&lost);
    expect(Class::UnreferencedManifest, &plant(layout::body(&image, &lost_digest, ids.next()), &lost).await);
    let holding = |digest: &Digest, size, data| layout::Holding {
        image: image.clone(),
        digest: digest.clone(),
        id: ids.next(),
        size,
        data,
    };
    expect(Class::UnreferencedBlob, &plant(holding(&sha256(b"unused"), 6, None).key(), b"unused").await);
    let unheld = ids.next();
    expect(Class::UnheldData, &plant(layout::data(unheld), b"bytes").await);
    plant(layout::certificate(unheld), b"").await;
    expect(Class::StrayCertificate, &plant(layout::certificate(ids.next()), b"").await);
    expect(Class::DeadHolding, &plant(holding(&sha256(b"layer"), 5, Some(ids.next())).key(), b"").await);
    let version = |seq, instance, digest: &Digest| layout::TagVersion {
        image: image.clone(),
        tag: tag("v1"),
        seq,
        id: ids.next(),
        instance,
        digest: digest.clone(),
        kind: ManifestKind::Image,
        size: 1,
    };
    expect(Class::StrayTagVersion, &plant(version(7, ids.next(), &other).key(), b"").await);
    expect(Class::OutrankedTagVersion, &plant(version(0, instance, &good).key(), b"").await);
    let seal = layout::seal(&image, &other, ids.next(), &layout::Mentions::of([]));
    expect(Class::StraySeal, &plant(seal, b"").await);
    let link = layout::ChildLink {
        image: image.clone(),
        child: good.clone(),
        parent: other.clone(),
        parent_instance: ids.next(),
    };
    expect(Class::StrayChildLink, &plant(link.key(), b"").await);
    let descriptor = json!({"digest": other}).to_string();
    let entry = layout::referrer(&image, &good, ids.next());
    expect(Class::StrayReferrer, &plant(entry, descriptor.as_bytes()).await);
    expect(Class::StaleWatchKey, &plant("r/a!b!/w/some-replica".to_owned(), b"").await);
    let state = bed.storage.begin_upload(None);
    bed.storage.append(&image, state.clone(), None, None, body(&large)).await.unwrap();
    expect(Class::AbandonedUpload, &format!("u/{}", state.session));
    let damaged = holding(&sha256(b"layer"), 99, None).key();
    expected.push((Class::DamagedBlob, plant(damaged, b"layer").await));
    expected.push((Class::ForeignKey, plant("somebody/elses".to_owned(), b"").await));
    let incomplete = manifest_of(&[b"nowhere"], None);
    let incomplete_digest = sha256(&incomplete);
    let broken = ids.next();
    let body_key = plant(layout::body(&image, &incomplete_digest, broken), &incomplete).await;
    let mentions = layout::Mentions::of([&sha256(CONFIG), &sha256(b"nowhere")]);
    plant(layout::seal(&image, &incomplete_digest, broken, &mentions), b"").await;
    plant(layout::certificate(broken), b"").await;
    let mut kept = version(1, broken, &incomplete_digest);
    kept.tag = tag("broken");
    plant(kept.key(), b"").await;
    expected.push((Class::MissingBlob, body_key));

    bed.store.advance(Duration::from_secs(25 * 3600));
    let report = bed.storage.fsck(false).await.unwrap();
    let mut found: Vec<(Class, String)> =
        report.findings.iter().map(|finding| (finding.class, finding.key.clone())).collect();
    // The one certificate in stock is a day old by now; it would not be used any more.
    for (class, key) in &found {
        if *class == Class::StrayCertificate && !expected.iter().any(|(_, planted)| planted == key) {
            expected.push((*class, key.clone()));
        }
    }
    let certificates = expected.iter().filter(|(class, _)| *class == Class::StrayCertificate).count();
    assert!(certificates <= 2, "one planted, one in stock");
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    // Repair puts right what can be, loses nothing that is good, and leaves the rest to be told again.
    bed.storage.collect_all().await.unwrap();
    assert_eq!(bed.resolve("a/b", "v1").await, Some(good));
    let left: std::collections::BTreeSet<Class> =
        bed.storage.fsck(false).await.unwrap().findings.into_iter().map(|finding| finding.class).collect();
    assert!(left.iter().all(|class| !class.is_repairable()), "{left:?}");
}

/// With every time at zero nothing is kept for later: no note of another replica, and no upload to be continued.
#[tokio::test]
async fn a_collection_with_all_times_at_zero_leaves_nothing_for_later() {
    let bed = Bed::new();
    let image = name("a/b");
    bed.blob("a/b", b"unused").await;
    let state = bed.storage.begin_upload(None);
    bed.storage.append(&image, state, None, None, body(&vec![1u8; 9 << 20])).await.unwrap();
    bed.storage.close().await.unwrap();
    assert!(!bed.keys("g/").is_empty() && bed.keys("u/").len() == 1);
    let collector = |settings| Storage::new(Arc::new(bed.store.clone()), settings);
    collector(impatient()).collect_all().await.unwrap();
    assert_eq!((bed.keys("a/").len(), bed.keys("u/").len()), (1, 1), "the upload may be continued for a day");
    let freed = collector(Settings { session_ttl: Duration::ZERO, ..impatient() }).collect_all().await.unwrap();
    assert_eq!(freed.uploads, 1);
    assert_eq!(bed.keys(""), [""; 0]);
}
