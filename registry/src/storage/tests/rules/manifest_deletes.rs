//! Deleting a manifest by digest beside pushes: retire, then list (rule 3).

use super::*;

/// A child that an index push could list.
async fn child() -> (Bed, Digest) {
    let bed = Bed::with(quarantined());
    let child = bed.image("a/b", Some("amd64"), &[b"amd64"]).await;
    bed.storage.settle().await;
    (bed, child)
}

/// Rule 3: parents are listed again after the certificate went. An index push that read it before keeps the child.
#[tokio::test]
async fn an_index_push_before_the_retirement_keeps_its_child() {
    let (bed, child) = child().await;
    let (stage, deleter) = bed.staged();
    let (other, index) = (bed.replica(), index_of(&[&child]));
    let pushed = index.clone();
    stage.before(Operation::Delete, CERTIFICATES, async move {
        push(&other, &name("a/b"), &["v1"], OCI_INDEX, pushed).await.expect("nothing is in the way of this push");
    });
    let refused = deleter.delete_manifest(&name("a/b"), &child).await;
    stage.assert_played();
    assert!(matches!(refused, Err(DeleteError::PartOf { by }) if by == [sha256(&index)]));
    assert_manifest_whole(&bed.replica(), &name("a/b"), &child).await;
}

/// Rule 2: an index push that comes after the retirement reads that the child is retired, and makes another of it.
#[tokio::test]
async fn an_index_push_after_the_retirement_makes_its_child_anew() {
    let (bed, child) = child().await;
    let (stage, deleter) = bed.staged();
    let (other, index) = (bed.replica(), index_of(&[&child]));
    // Between the last look for parents and the removal of the seal.
    stage.before(Operation::List, VERSIONS, async move {
        push(&other, &name("a/b"), &["v1"], OCI_INDEX, index).await.expect("the child is made anew");
    });
    deleter.delete_manifest(&name("a/b"), &child).await.unwrap();
    stage.assert_played();
    bed.collect().await;
    assert_manifest_whole(&bed.replica(), &name("a/b"), &child).await;
}

/// Rule 3: a delete retires what it hides. A tag push that would reuse the instance finds it retired and makes another.
#[tokio::test]
async fn a_tag_push_after_the_retirement_makes_a_manifest_of_its_own() {
    let (bed, manifest) = child().await;
    let (stage, deleter) = bed.staged();
    let (other, again) = (bed.replica(), manifest_of(&[b"amd64"], None));
    // The tags have been listed and deleted; the seal is still there to be reused.
    let seal = format!("{}{}.", layout::manifest(&name("a/b"), &manifest), bed.instance(&manifest));
    stage.before(Operation::Delete, &seal, async move {
        push(&other, &name("a/b"), &["later"], OCI_MANIFEST, again).await.expect("nothing is in the way of this push");
    });
    deleter.delete_manifest(&name("a/b"), &manifest).await.unwrap();
    stage.assert_played();
    assert_whole(&bed, "later", &manifest).await;
}
