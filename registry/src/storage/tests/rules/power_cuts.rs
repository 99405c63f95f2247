//! Amendment R15 on a directory: a process sees what another one is about to make durable, and no answer may rest on it
//! before. What is durable when, in the directory itself, is tested there.

use super::*;
use crate::storage::layout::Holding;

#[tokio::test]
async fn a_push_rests_on_durable_holdings() {
    for bytes in [b"layer".to_vec(), large()] {
        let bed = Bed::new();
        bed.blob("a/b", CONFIG).await;
        let digest = bed.blob("a/b", &bytes).await;
        let (stage, storage) = bed.staged();
        push(&storage, &name("a/b"), &["v1"], OCI_MANIFEST, manifest_of(&[&bytes], None)).await.unwrap();
        let holding = bed.keys("b/").into_iter().find(|key| Holding::parse(key).is_some_and(|it| it.digest == digest));
        assert!(stage.is_durable(&holding.unwrap()), "a power cut may take it");
    }
}
