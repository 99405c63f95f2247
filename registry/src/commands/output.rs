//! How results look: tables for people, JSON for programs.
//!
//! A table on a terminal is as wide as the terminal and wraps its last column; written to a file or a pipe it never
//! wraps and has no colours, so that `grep` sees one tag a line.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::exit::Failure;

/// Widest table on a terminal, in characters: longer lines are hard to read.
const MAX_WIDTH: u16 = 120;
/// Narrowest table; below this a terminal wraps by itself.
const MIN_WIDTH: u16 = 60;

/// The form of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What the place that output goes to can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Width to wrap at, in characters; `None` never wraps.
    pub width: Option<u16>,
    /// Whether colours are understood and wanted.
    pub colour: bool,
}

impl Look {
    /// Plain text of any width.
    pub const PLAIN: Self = Self { width: None, colour: false };

    /// The look of this process's stdout. `NO_COLOR` (no-color.org) switches colours off.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        let width = Table::new().width().unwrap_or(80).clamp(MIN_WIDTH, MAX_WIDTH);
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { width: Some(width), colour }
    }

    /// A cell in a colour, where colours are shown.
    pub fn coloured(self, text: impl ToString, colour: Color) -> Cell {
        let cell = Cell::new(text);
        if self.colour { cell.fg(colour) } else { cell }
    }

    /// Text that recedes (explanations, units).
    pub fn dim(self, text: &str) -> String {
        if self.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Text that stands out (titles).
    pub fn bold(self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Text broken into lines at blanks, those after the first indented to stand below it.
    pub fn paragraph(self, lead: &str, text: &str) -> String {
        let width = usize::from(self.width.unwrap_or(u16::MAX));
        let indent = " ".repeat(lead.len());
        let (mut paragraph, mut line) = (String::new(), lead.to_owned());
        let mut empty = true;
        for word in text.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > width {
                paragraph.push_str(&line);
                paragraph.push('\n');
                line.clone_from(&indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        paragraph.push_str(&line);
        paragraph.push('\n');
        paragraph
    }

    /// A table without lines, its header in capitals, as `kubectl` prints them. `right` names the columns of numbers.
    pub fn table(self, header: &[&str], right: &[usize]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        match self.width {
            Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        let cells = header.iter().map(|title| {
            let cell = Cell::new(title);
            if self.colour { cell.add_attribute(Attribute::Dim) } else { cell }
        });
        table.set_header(cells.collect::<Vec<_>>());
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

/// The lines of a table without trailing blanks.
pub fn lines(table: &Table) -> String {
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// Writes a result to stdout. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// [`Failure`] when stdout cannot be written for another reason (a full disk).
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::temporary(format!("the result could not be written to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a result to stdout as JSON, one line at the end.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::temporary(format!("the result could not be written as JSON: {error}")))?;
    text.push('\n');
    print(&text)
}

/// A number of bytes in the largest binary unit below it, with three significant digits: `12.3 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A length of time in its largest whole unit, as `kubectl` shows ages: `45s`, `12m`, `3h`, `90d`.
pub fn age(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago something was, `-` when it is not known.
pub fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "-".to_owned(), |then| age(now.duration_since(then)))
}

/// A point in time to the minute: `2026-11-24 03:00 UTC`.
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The first twelve characters of a digest's hash, as container tools abbreviate it.
pub fn short_digest(digest: &str) -> &str {
    let hash = digest.split_once(':').map_or(digest, |(_, hash)| hash);
    hash.get(..12).unwrap_or(hash)
}

/// `1 tag`, `2 tags`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_the_largest_unit_below() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 * 1024, "10.0 KiB"),
            (123 * 1024 * 1024, "123 MiB"),
            (1023 * 1024 * 1024, "1.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn ages_are_cut_to_one_unit() {
        for (seconds, text) in
            [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")]
        {
            assert_eq!(age(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn plain_tables_have_one_row_a_line_and_no_escape() {
        let mut table = Look::PLAIN.table(&["TAG", "SIZE"], &[1]);
        table.add_row(["v1", "12"]);
        table.add_row([&"x".repeat(300), "1"]);
        let text = lines(&table);
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text:?}");
    }

    #[test]
    fn paragraphs_break_at_blanks_and_stand_below_their_beginning() {
        let look = Look { width: Some(20), colour: false };
        assert_eq!(look.paragraph("Note: ", "one two three four five"), "Note: one two three\n      four five\n");
        assert_eq!(look.paragraph("Note: ", &"x".repeat(30)), format!("Note: {}\n", "x".repeat(30)));
        assert_eq!(Look::PLAIN.paragraph("", "one two"), "one two\n");
    }

    #[test]
    fn tables_on_a_terminal_stay_within_its_width() {
        let look = Look { width: Some(80), colour: true };
        let mut table = look.table(&["TAG", "WHY"], &[]);
        table.add_row(["v1", &"because ".repeat(40)]);
        let text = without_escapes(&lines(&table));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    fn without_escapes(text: &str) -> String {
        let mut plain = String::new();
        let mut escape = false;
        for c in text.chars() {
            match (escape, c) {
                (false, '\u{1b}') => escape = true,
                (false, c) => plain.push(c),
                (true, 'm') => escape = false,
                (true, _) => {}
            }
        }
        plain
    }
}
