//! A run's report, small enough for where it has to fit.

use crate::kinds::RunSummary;

/// Most bytes of a report as JSON: what Kubernetes keeps of a container's termination message.
pub const MAX_REPORT: usize = 4096;
/// Most repositories that a report names (DESIGN §3).
pub const MAX_REPOSITORIES: usize = 20;

/// The report with as many repositories as fit, those first in the list; the others are counted in `more`.
pub fn bounded(mut report: RunSummary) -> RunSummary {
    let drop_last = |report: &mut RunSummary| report.repositories.pop().map(|_| report.more += 1).is_some();
    while report.repositories.len() > MAX_REPOSITORIES {
        drop_last(&mut report);
    }
    while serde_json::to_vec(&report).is_ok_and(|json| json.len() > MAX_REPORT) && drop_last(&mut report) {}
    report
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::cleanup::Reason;
    use crate::kinds::{RepositoryRun, RunResult};

    fn report(repositories: usize, name_length: usize) -> RunSummary {
        let moment = Time("2026-01-01T00:00:00Z".parse().unwrap());
        RunSummary {
            id: "i".repeat(253),
            start_time: moment.clone(),
            completion_time: Some(moment),
            result: RunResult::Completed,
            dry_run: false,
            deleted: u64::MAX,
            would_delete: Some(u64::MAX),
            kept: u64::MAX,
            by_reason: Reason::ALL.map(|reason| (reason.to_string(), u64::MAX)).into(),
            bytes: None,
            repositories: (0..repositories)
                .map(|number| RepositoryRun {
                    repository: format!("{number:0name_length$}"),
                    deleted: u64::MAX,
                    would_delete: Some(u64::MAX),
                    kept: u64::MAX,
                })
                .collect(),
            more: 0,
            plan: Some("p".repeat(253)),
        }
    }

    #[test]
    fn the_largest_report_fits_and_counts_what_it_leaves_out() {
        for (repositories, name_length) in [(0, 10), (3, 10), (20, 20), (21, 10), (500, 10), (20, 127), (500, 127)] {
            let bounded = bounded(report(repositories, name_length));
            let json = serde_json::to_vec(&bounded).unwrap();
            assert!(json.len() <= MAX_REPORT, "{} bytes", json.len());
            assert!(bounded.repositories.len() <= MAX_REPOSITORIES);
            assert_eq!(bounded.repositories.len() + usize::try_from(bounded.more).unwrap(), repositories);
        }
        let small = report(3, 10);
        assert_eq!(bounded(small.clone()), small);
        let _: BTreeMap<String, u64> = small.by_reason;
    }
}
