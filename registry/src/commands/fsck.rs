//! `registry fsck`: looks at every key of a store, beside running registries or without any.

use std::fmt::Write as _;

use clap::Args;
use comfy_table::Color;

use super::exit::{Exit, Failure};
use super::output::{self, Format, Look, bytes, count, lines};
use super::{gc, site};
use crate::args::{Clocks, StorageUrl};
use crate::storage::{Collected, FsckReport};

/// Findings that are shown one by one; the rest is counted.
const SHOWN: usize = 50;

/// Flags of `registry fsck`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where the data is: dir:PATH or s3://BUCKET[/PREFIX].
    #[arg(long, value_name = "URL")]
    pub storage: StorageUrl,
    /// Put right what can be put right; what is only young or in use is left alone.
    #[arg(long)]
    pub repair: bool,
    #[command(flatten)]
    pub clocks: Clocks,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// Checks a store, and repairs it if asked.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7; 78 when content is damaged, which only another push can mend.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let storage = site::open(&arguments.storage, site::settings(arguments.clocks)?).await?;
    let report = storage.fsck(arguments.repair).await.map_err(site::failed)?;
    match arguments.output {
        Format::Json => output::print_json(&report)?,
        Format::Table => output::print(&render(&report, arguments.repair, Look::of_stdout()))?,
    }
    let damaged = report.findings.iter().filter(|finding| finding.class.is_damage()).count();
    if damaged > 0 {
        return Err(Failure::invalid(format!(
            "{} of content {} damaged: push the images again, or restore the bucket from a backup",
            count(damaged as u64, "piece"),
            if damaged == 1 { "is" } else { "are" }
        )));
    }
    Ok(Exit::Done)
}

fn render(report: &FsckReport, repaired: bool, look: Look) -> String {
    let mut text = String::new();
    if !report.findings.is_empty() {
        let mut table = look.table(&["FINDING", "KEY", "DETAIL"], &[]);
        for finding in report.findings.iter().take(SHOWN) {
            let colour = if finding.class.is_damage() { Color::Red } else { Color::Yellow };
            table.add_row(vec![
                look.coloured(format!("{:?}", finding.class), colour),
                finding.key.as_str().into(),
                if finding.detail.is_empty() { "-" } else { &finding.detail }.into(),
            ]);
        }
        text.push_str(&lines(&table));
        if let Some(more) = report.findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "{}", look.dim(&format!("… and {more} more; --output json has all of them")));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{} in {}, of which {} in {} can be reached from tags.",
        bytes(report.bytes),
        count(report.objects, "object"),
        bytes(report.reachable_bytes),
        count(report.reachable_objects, "object"),
    );
    let repairable = report.findings.iter().filter(|finding| finding.class.is_repairable()).count();
    match (report.findings.len(), repairable, repaired) {
        (0, ..) => text.push_str("Nothing is wrong.\n"),
        (_, 0, _) => {}
        (.., true) if report.freed == Collected::default() => text.push_str("Repaired.\n"),
        (.., true) => {
            let _ = write!(text, "Repaired. {}", gc::sentence(&report.freed));
        }
        (_, repairable, false) => {
            let _ = writeln!(text, "{} can be repaired: add --repair.", count(repairable as u64, "finding"));
        }
    }
    text
}
