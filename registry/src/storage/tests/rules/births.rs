//! Certificate first (rule 1), and births are never retried (rule 10).

use super::*;

/// An image of one small and one large blob, pushed through a stage.
async fn push_all(storage: &Storage) -> Result<Digest, ManifestError> {
    push_image(storage, &name("a/b"), Some("v1"), &[&large()]).await
}

fn certificates(store: &MemoryStore) -> Vec<String> {
    store.snapshot().into_keys().filter(|key| key.starts_with(CERTIFICATES)).collect()
}

/// Rule 1: a body and a completed upload find their certificate there.
#[tokio::test]
async fn a_certificate_is_there_before_what_it_certifies() {
    // Without a stock of certificates every one of them is somebody's.
    let bed = Bed::with(impatient());
    let (stage, storage) = bed.staged();
    for (operation, prefix, expected) in
        [(Operation::CompleteMultipart, layout::DATA, 1), (Operation::Birth, MANIFESTS, 2)]
    {
        let store = bed.store.clone();
        stage.before(operation, prefix, async move { assert_eq!(certificates(&store).len(), expected, "{prefix}") });
    }
    let digest = push_all(&storage).await.unwrap();
    stage.assert_played();
    let certificates = certificates(&bed.store);
    assert!(certificates.contains(&layout::certificate(bed.instance(&digest))));
    assert!(certificates.contains(&bed.keys(layout::DATA)[0].replacen('k', "a", 1)));
}

/// Rule 10: a birth whose outcome is unknown is never sent again; the same bytes go under another id.
#[tokio::test]
async fn a_birth_without_an_answer_is_given_up_for_another() {
    for prefix in [CERTIFICATES, "b/", MANIFESTS, VERSIONS] {
        let bed = Bed::with(impatient());
        let (stage, storage) = bed.staged();
        stage.unanswered(Operation::Birth, prefix);
        let digest = push_all(&storage).await.unwrap();
        stage.assert_played();
        let born: Vec<String> = bed
            .store
            .log()
            .into_iter()
            .filter(|record| record.operation == Operation::Birth)
            .map(|record| record.key)
            .collect();
        for key in &born {
            assert_eq!(born.iter().filter(|other| *other == key).count(), 1, "{key} was born twice");
        }
        assert_whole(&bed, "v1", &digest).await;
        assert!(bed.keys(CERTIFICATES).contains(&layout::certificate(bed.instance(&digest))));
    }
}
