//! Deleting tags: deleters list until quiet, and a tag never falls back (amendment R8).

use super::*;

/// Three images, and a tag `v1` whose first version names the first.
async fn three_images(settings: Settings) -> (Bed, [Digest; 3]) {
    let bed = Bed::with(settings);
    let first = bed.image("a/b", Some("v1"), &[b"one"]).await;
    let second = bed.image("a/b", None, &[b"two"]).await;
    let third = bed.image("a/b", None, &[b"three"]).await;
    bed.storage.settle().await;
    (bed, [first, second, third])
}

/// Plants versions 2 and 3 of `v1` while a deleter's first LIST of `v1` (or of all tags) runs, which sees 3 and not 2.
fn two_pushes_during_the_first_list(bed: &Bed, stage: &Stage, prefix: &str, second: &Digest, third: &Digest) {
    let (store, versions) = (bed.store.clone(), [(2, second.clone()), (3, third.clone())]);
    let instances = [bed.instance(second), bed.instance(third)];
    stage.missing(prefix, &[version_key("v1", 2)], async move {
        for ((seq, digest), instance) in versions.into_iter().zip(instances) {
            plant_version(&store, "v1", seq, &digest, instance).await;
        }
    });
}

/// Deleters list until quiet: a LIST may catch the newest version and miss an older one, to which the tag would fall
/// back.
#[tokio::test]
async fn a_tag_delete_lists_until_nothing_older_turns_up() {
    let (bed, [_, second, third]) = three_images(Settings::default()).await;
    let (stage, storage) = bed.staged();
    two_pushes_during_the_first_list(&bed, &stage, VERSIONS, &second, &third);
    storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    stage.assert_played();
    assert_eq!(bed_resolve(&bed, "v1").await, None);
}

/// The same where many tags are deleted with one walk over all of them.
#[tokio::test]
async fn a_delete_of_many_tags_lists_until_nothing_older_turns_up() {
    let (bed, [first, second, third]) = three_images(Settings::default()).await;
    for other in ["a", "b", "c", "d", "e"] {
        bed.plant_version(other, 1, &first).await;
    }
    let (stage, storage) = bed.staged();
    two_pushes_during_the_first_list(&bed, &stage, VERSIONS, &second, &third);
    let planned = ["a", "b", "c", "d", "e", "v1"].map(|name| PlannedDeletion { tag: tag(name), digest: None });
    let outcomes = storage.delete_tags(&name("a/b"), &planned).await.unwrap();
    stage.assert_played();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, DeletionOutcome::Deleted)), "{outcomes:?}");
    assert_eq!(bed.keys(VERSIONS), Vec::<String>::new());
}

/// The same for the tags that go with a manifest: those on it, and every older version of them.
#[tokio::test]
async fn a_manifest_delete_lists_tags_until_nothing_older_turns_up() {
    let (bed, [_, second, third]) = three_images(Settings::default()).await;
    let (stage, storage) = bed.staged();
    two_pushes_during_the_first_list(&bed, &stage, VERSIONS, &second, &third);
    storage.delete_manifest(&name("a/b"), &third).await.unwrap();
    stage.assert_played();
    assert_eq!(bed_resolve(&bed, "v1").await, None);
}

/// A version that arrives after a delete without condition has begun survives it, but saves nothing older: its push
/// may fail, and the tag would fall back to what was deleted.
#[tokio::test]
async fn a_newer_version_saves_itself_only() {
    let (bed, [_, second, _]) = three_images(Settings::default()).await;
    for push_fails in [false, true] {
        bed.image("a/b", Some("v1"), &[b"one"]).await;
        bed.storage.settle().await;
        let (stage, storage) = bed.staged();
        stage.pass(Operation::List, VERSIONS);
        let (store, newer) = (bed.store.clone(), second.clone());
        // A push that fails leaves a version of an instance that never becomes visible.
        let instance = if push_fails { Ids::random().next() } else { bed.instance(&second) };
        stage.before(Operation::List, VERSIONS, async move {
            plant_version(&store, "v1", 9, &newer, instance).await;
        });
        storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
        stage.assert_played();
        assert_eq!(bed_resolve(&bed, "v1").await, (!push_fails).then(|| second.clone()));
        bed.storage.delete_tag(&name("a/b"), &tag("v1")).await.unwrap();
    }
}

/// A delete that hangs on a digest (those of a cleanup do) spares a tag that moves while it lists, and says to what.
#[tokio::test]
async fn a_conditional_delete_that_is_overtaken_reports_the_change() {
    let (bed, [first, second, _]) = three_images(Settings::default()).await;
    let (stage, storage) = bed.staged();
    stage.pass(Operation::List, VERSIONS);
    let (store, newer, instance) = (bed.store.clone(), second.clone(), bed.instance(&second));
    stage.before(Operation::List, VERSIONS, async move {
        plant_version(&store, "v1", 2, &newer, instance).await;
    });
    let planned = [PlannedDeletion { tag: tag("v1"), digest: Some(first) }];
    let outcomes = storage.delete_tags(&name("a/b"), &planned).await.unwrap();
    stage.assert_played();
    assert!(matches!(&outcomes[..], [DeletionOutcome::Changed(now)] if *now == second), "{outcomes:?}");
    assert_eq!(bed.keys(VERSIONS).len(), 2, "nothing of the tag is deleted");
    assert_eq!(bed_resolve(&bed, "v1").await, Some(second));
}

/// Two tags of three versions each.
async fn layered_tags() -> (Bed, [Digest; 3]) {
    let (bed, digests) = three_images(Settings::default()).await;
    for (tag, from) in [("v1", 2), ("v2", 1)] {
        for seq in from..=3u64 {
            bed.plant_version(tag, seq, &digests[usize::try_from(seq).unwrap() - 1]).await;
        }
    }
    (bed, digests)
}

fn both_tags() -> [PlannedDeletion; 2] {
    ["v1", "v2"].map(|name| PlannedDeletion { tag: tag(name), digest: None })
}

/// Amendment R8: lower versions go in rounds, oldest first, two versions of one tag never in one batch (the store may
/// take a batch apart in any order), and the highest last.
#[tokio::test]
async fn versions_of_a_tag_go_one_by_one_from_the_oldest() {
    let (bed, _) = layered_tags().await;
    let before = bed.store.log().len();
    let (_, storage) = bed.staged();
    storage.delete_tags(&name("a/b"), &both_tags()).await.unwrap();
    let deletions: Vec<Vec<(String, u64)>> = bed.store.log()[before..]
        .iter()
        .filter(|record| matches!(record.operation, Operation::Delete | Operation::DeleteMany))
        .map(|record| {
            let versions = record.key.split(' ').filter_map(TagVersion::parse);
            versions.map(|version| (version.tag.to_string(), version.seq)).collect()
        })
        .collect();
    let round = |seq| vec![("v1".to_owned(), seq), ("v2".to_owned(), seq)];
    assert_eq!(deletions, [round(1), round(2), round(3)]);
}

/// Amendment R8: the highest version goes only if every lower one is known to be gone, and the error of one key is the
/// error of that tag and of no other.
#[tokio::test]
async fn a_tag_with_a_version_that_stays_keeps_its_value() {
    for stays in [1, 2] {
        let (bed, [_, _, third]) = layered_tags().await;
        let (stage, storage) = bed.staged();
        stage.refuse(Operation::DeleteMany, &version_key("v1", stays));
        let outcomes = storage.delete_tags(&name("a/b"), &both_tags()).await.unwrap();
        stage.assert_played();
        let [DeletionOutcome::Failed(_), DeletionOutcome::Deleted] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert_eq!(bed_resolve(&bed, "v1").await, Some(third), "version {stays} stays");
        assert_eq!(bed_resolve(&bed, "v2").await, None);
    }
}

/// Amendment R8, where a manifest takes its tags along: nothing of the manifest goes while a version of its tag stays.
#[tokio::test]
async fn a_manifest_whose_tags_stay_stays_visible() {
    let (bed, [_, _, third]) = layered_tags().await;
    let (stage, storage) = bed.staged();
    stage.refuse(Operation::DeleteMany, &version_key("v2", 2));
    let refused = storage.delete_manifest(&name("a/b"), &third).await;
    stage.assert_played();
    assert!(matches!(refused, Err(DeleteError::Store(_))), "{refused:?}");
    assert_eq!(bed_resolve(&bed, "v2").await, Some(third));
}
