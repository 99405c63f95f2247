//! Every rule of the protocol, removed or reordered one at a time: the search must find what the rule is for. A rule
//! whose removal nothing notices is either not needed or not modelled, and this table would not say which.

use crate::scenario::{Flaw, Scenario, Task};
use crate::scenarios;

/// One rule removed.
#[derive(Clone, Debug)]
pub struct Ablation {
    /// What is done wrong.
    pub wrong: &'static str,
    /// The rule that forbids it.
    pub rule: &'static str,
    /// The scenario with the flaw in it.
    pub plan: Scenario,
    /// The invariant that breaks first.
    pub breaks: &'static str,
}

/// The table.
pub fn all() -> Vec<Ablation> {
    use Flaw::*;
    #[rustfmt::skip]
    let table = [
        (HoldingUnread,           "S1",  "rule 2",      "I5",       "a push does not read the holding after its body"),
        (HoldingReadBeforeBody,   "S1",  "rule 2",      "I5",       "a push reads the holding before its body"),
        (HoldingReadBeforeBody,   "B1",  "rule 2",      "I5",       "the same with two blobs"),
        (SealBeforeConfirmation,  "S1",  "rule 8",      "I1",       "sealed before the holdings are confirmed"),
        (UncheckedDataTrusted,    "L6",  "rule 5",      "I5",       "a push trusts a holding of large data that nobody has checked"),
        (FailureDeletesHolding,   "L6",  "rule 6",      "I5",       "a failing mount deletes its own holding"),
        (HealUnread,              "L5",  "rule 2",      "I5",       "a large holding is healed without reading a/K"),
        (DataCertificateLate,     "L1b", "rule 1",      "I5",       "the certificate of large data is written after the data"),
        (HoldingBeforeData,       "L1",  "upload",      "I5",       "the holding of large data is written before the data is complete"),
        (ReaperDeletesData,       "L1",  "reaper",      "I5",       "the reaper deletes data"),
        (SweeperListsFirst,       "S1",  "rule 3",      "I5",       "a sweeper lists the bodies, then flags the holding"),
        (SweeperDoesNotRetire,    "S1",  "rule 3",      "I5",       "a sweeper deletes a holding that it has not flagged"),
        (DataCollectorListsFirst, "L3",  "rule 3",      "I5",       "a data collector lists the holdings, then retires"),
        (HoldingMoved,            "V2",  "rule 4",      "I5",       "a holding is retired by moving it to another key"),
        (ManifestVouches,         "V1",  "rule 4",      "I5",       "a live manifest of the same blob vouches for it"),
        (CertificateLate,         "S1",  "rule 1",      "I2",       "the certificate of a manifest is written after its body"),
        (ManifestRetiredInPlace,  "S4",  "rule 4",      "I1t",      "manifests are retired by rewriting the body"),
        (CollectorDoesNotList,    "S3",  "rule 3",      "I2",       "a manifest collector does not list references after retiring"),
        (AnswerWithoutRead,       "S3",  "rule 2",      "I2",       "a push answers without reading a/n after its tag version"),
        (VersionBeforeSeal,       "Q1",  "rule 8",      "L2",       "the tag version is written before the seal"),
        (ReferrersNotRevived,     "F3",  "step 3b",     "I7",       "a push of a subject does not revive its referrers"),
        (ChildUnread,             "X1",  "rule 2",      "I3",       "an index push does not read a/child"),
        (LinkAfterCheck,          "X1",  "rule 2",      "I3",       "the child link is written after the check"),
        (LinkBeforeBody,          "X1",  "rule 7",      "I3",       "the child link is written before the body of the index"),
        (DeleteDoesNotRetire,     "T5",  "rule 3",      "I2",       "a delete by digest hides the manifest without retiring it"),
        (NewestVersionFirst,      "T4",  "deletes",     "I8",       "older tag versions are removed newest first"),
        (VersionsListedOnce,      "T7",  "deletes",     "I8",       "a tag delete lists the versions once"),
        (VersionsListedOnce,      "T1",  "deletes",     "I8",       "a manifest delete lists the versions once"),
        (VersionsListedTwice,     "T10", "deletes",     "I8",       "tag deleters list exactly twice"),
        (FailureDeletesVersion,   "T6",  "push step 8", "I6",       "a failing push deletes its own tag version"),
        (FsckTrustsUnconfirmed,   "T6",  "fsck",        "I6",       "fsck drops versions below one that is not confirmed"),
        (WatchKeyLate,            "W1",  "watch keys",  "I5",       "the watch key is written after the holdings were read"),
        (WatchKeysLeft,           "W1",  "sweep",       "I5",       "a sweeper leaves the watch keys"),
        (WatchKeysDeletedFirst,   "W1",  "sweep",       "I5",       "a sweeper deletes the watch keys before it retires"),
        (BirthRetried,            "D1",  "rule 10",     "I5",       "a birth is delivered twice"),
        (OrphanNotHealed,         "Z5",  "R3",          "progress", "data without certificate is not healed, after a reaper"),
        (OrphanNotHealed,         "Z6",  "R3",          "progress", "data without certificate is not healed, after a mount"),
        (ChildNotPushedAgain,     "Z8",  "R4",          "progress", "a retired child is not pushed again"),
        (WatchKeyRetried,         "D4",  "R5",          "I5",       "a watch key is delivered twice"),
        (RevivedUnconfirmed,      "F4",  "R6",          "I1",       "a referrer is revived without confirming its blobs"),
        (UnsealedResolves,        "A2",  "R7",          "I9",       "a tag resolves to an instance without seal"),
        (HighestSharesBatch,      "T4",  "R8",          "I8",       "the highest version of a tag is deleted in a batch with lower ones"),
        (LowerShareBatch,         "A4",  "R8",          "I8",       "two lower versions of one tag are deleted in one batch"),
        (HiddenNotListed,         "A5",  "R9",          "I10",      "a blob delete does not look for a seal after retiring"),
        (EmptyListTrusted,        "T11", "R14",         "I11",      "a reader answers 404 because one LIST was empty"),
        (MissingTrusted,          "T11", "R14",         "I11",      "a reader goes on to a lower version without listing again"),
        (SweeperDeletesAnew,      "A6",  "R17",         "I5",       "a sweeper deletes what a fresh LIST finds, flagged or not"),
        (EntryNotRewritten,       "F6",  "R18",         "I7",       "a push that reuses a referrer does not write its entry"),
    ];
    let ablation = |(flaw, scenario, rule, breaks, wrong)| {
        let mut plan = scenarios::named(scenario).expect("the table names scenarios that exist");
        plan.flaw = Some(flaw);
        if flaw == HoldingMoved {
            // e3 is the other name.
            for task in &mut plan.tasks {
                if let Task::Sweep { holding: 0, moved_to } = task {
                    *moved_to = Some(3);
                }
            }
        }
        Ablation { wrong, rule, plan, breaks }
    };
    table.into_iter().map(ablation).collect()
}
