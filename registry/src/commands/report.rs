//! The report that a Job leaves for the operator: JSON of at most 4 KiB in the container's termination message.

use std::path::Path;

use berth_crds::cleanup::bounded;
use berth_crds::kinds::RunSummary;

use super::exit::{Exit, Failure};

/// Where Kubernetes reads a container's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// Most characters of an error in a report; even if JSON has to escape every one it fits.
const MAX_ERROR: usize = 600;

/// Writes the report of a run to `path`, if that file exists: kubelet makes it before the container starts, and
/// elsewhere nobody wants it. Without a report the reason is left, as `{"error": "…"}`. A report that cannot be written
/// is only told: it must not change how the run ended.
pub fn leave(path: &Path, result: &Result<(Exit, RunSummary), Failure>) {
    if !path.exists() {
        return;
    }
    let text = match result {
        Ok((_, report)) => serde_json::to_string(&bounded(report.clone())),
        Err(failure) => {
            let error: String = failure.message.chars().take(MAX_ERROR).collect();
            serde_json::to_string(&serde_json::json!({ "error": error }))
        }
    };
    let written = text.map_err(std::io::Error::from).and_then(|text| std::fs::write(path, text));
    if let Err(error) = written {
        eprintln!("warning: the report could not be written to {}: {error}", path.display());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use berth_crds::cleanup::MAX_REPORT;

    use super::*;

    #[test]
    fn nothing_is_made_where_there_is_no_kubernetes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        let failure = Err(Failure::temporary("\u{1}".repeat(9000)));
        leave(&path, &failure);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        leave(&path, &failure);
        let text = std::fs::read(&path).unwrap();
        assert!(text.len() <= MAX_REPORT, "{}", text.len());
        let left: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(left["error"].as_str().unwrap().len(), MAX_ERROR);
    }
}
