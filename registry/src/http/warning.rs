//! `Warning` headers that clients show to people (distribution-spec, "Warnings").

use http::header::WARNING;
use http::{HeaderMap, HeaderValue};

/// What all Warning headers of an answer may have together, in bytes.
pub(super) const LIMIT: usize = 4096;

/// A text cut shorter than this helps nobody.
const SHORTEST: usize = 16;

/// Adds one header per text, in exactly the form clients read, as far as the limit allows; a longer text is cut.
pub(super) fn add(headers: &mut HeaderMap, texts: impl IntoIterator<Item = String>) {
    let mut left = LIMIT;
    for text in texts {
        let frame = "299 - \"\"".len();
        let Some(room) = left.checked_sub(frame).filter(|room| *room >= SHORTEST) else { return };
        let text = quotable(&text, room);
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{text}\"")) {
            left -= value.len();
            headers.append(WARNING, value);
        }
    }
}

/// Printable ASCII without what would end the quotes, at most `room` bytes.
fn quotable(text: &str, room: usize) -> String {
    let safe: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    if safe.len() <= room { safe } else { format!("{}...", &safe[..room.saturating_sub(3)]) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn warnings(texts: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        add(&mut headers, texts.iter().map(|text| (*text).to_owned()));
        headers.get_all(WARNING).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn one_header_per_text_in_the_form_clients_read() {
        assert_eq!(warnings(&["a", "say \"b\"\n"]), ["299 - \"a\"", "299 - \"say 'b'?\""]);
    }

    #[test]
    fn all_headers_together_stay_below_the_limit() {
        let long = "x".repeat(3000);
        let written = warnings(&[&long, &long, "c"]);
        assert_eq!(written.len(), 2);
        assert_eq!(written.iter().map(String::len).sum::<usize>(), LIMIT);
        assert!(written[1].ends_with("...\""));
    }
}
