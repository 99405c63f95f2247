//! How a plan looks: what goes, tag by tag with the reason; what stays, counted by reason unless asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use berth_crds::cleanup::{Action, ImagePlan, Plan, Verdict};
use comfy_table::Color;

use super::output::{Look, count, lines, moment};

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Every tag, also those that stay.
    pub all: bool,
    /// At most this many rows; the rest is counted.
    pub rows: usize,
}

impl Extent {
    /// Everything that goes.
    pub const DELETIONS: Self = Self { all: false, rows: usize::MAX };
    /// Every tag.
    pub const ALL: Self = Self { all: true, rows: usize::MAX };
}

/// The text of a plan.
pub fn render(plan: &Plan, extent: Extent, look: Look) -> String {
    let mut text = format!("{} {}\n", look.bold(&format!("Plan of {},", plan.policy)), look.dim(&moment(plan.now)));
    for note in &plan.notes {
        text.push_str(&look.paragraph("Note: ", note));
    }
    let mut rows = extent.rows;
    let mut hidden = 0;
    for image in &plan.images {
        let shown: Vec<&Verdict> =
            image.verdicts.iter().filter(|verdict| extent.all || verdict.action != Action::Keep).collect();
        let room = shown.len().min(rows);
        rows -= room;
        hidden += shown.len() - room;
        text.push('\n');
        text.push_str(&title(image, look));
        if room > 0 {
            text.push_str(&verdicts(&shown[..room], look));
        }
        if !extent.all {
            text.push_str(&kept(image, look));
        }
    }
    if hidden > 0 {
        let _ = writeln!(text, "\n{}", look.dim(&format!("… and {} not shown", count(hidden as u64, "more tag"))));
    }
    text.push('\n');
    text.push_str(&summary(plan));
    text
}

fn title(image: &ImagePlan, look: Look) -> String {
    let tags = count(image.verdicts.len() as u64, "tag");
    format!("{}  {}\n", look.bold(image.image.as_str()), look.dim(&tags))
}

fn verdicts(verdicts: &[&Verdict], look: Look) -> String {
    let mut table = look.table(&["ACTION", "TAG", "REASON", "WHY"], &[]);
    for verdict in verdicts {
        let (action, colour) = match verdict.action {
            Action::Delete => ("delete", Color::Red),
            Action::Keep => ("keep", Color::Green),
            Action::Later => ("later", Color::Yellow),
        };
        table.add_row(vec![
            look.coloured(action, colour),
            verdict.tag.as_str().into(),
            verdict.reason.as_str().into(),
            verdict.message.as_str().into(),
        ]);
    }
    lines(&table)
}

/// `keep  4 Recent, 2 NameKept`, the most frequent reason first.
fn kept(image: &ImagePlan, look: Look) -> String {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in image.verdicts.iter().filter(|verdict| verdict.action == Action::Keep) {
        *reasons.entry(verdict.reason.as_str()).or_default() += 1;
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut reasons: Vec<(&str, u64)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!("{}\n", look.dim(&format!("keep    {}", reasons.join(", "))))
}

/// One sentence with the numbers.
pub fn summary(plan: &Plan) -> String {
    let sum = &plan.summary;
    let mut text = format!("{} of {} to delete, {} to keep", sum.delete, count(sum.tags, "tag"), sum.keep);
    if sum.later > 0 {
        let _ = write!(text, ", {} left for a later run by the limit", sum.later);
    }
    text.push_str(".\n");
    text
}
