//! YAML text as plain values, stricter than a map of anything: a key written twice is a mistake, never "the last one
//! wins".

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Any YAML value that JSON can hold.
pub(super) struct Tree(pub(super) Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Tree)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML without tags")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(format!("{value} is not a number of JSON")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the field \"{key}\" is written twice")));
            }
            let Tree(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// One document of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// The line of the file on which the document begins, counted from 1: its first line with content.
    pub(super) line: usize,
    /// The line on which `text` begins.
    first: usize,
    text: &'a str,
}

impl Document<'_> {
    /// The document's value; `null` for one without content.
    ///
    /// # Errors
    /// A sentence that names line and column in the file, and the line.
    pub(super) fn read(&self) -> Result<Value, (String, usize)> {
        if let Ok(Tree(value)) = serde_yaml::from_str(self.text) {
            return Ok(value);
        }
        // Once more with as many empty lines in front as the file has there, so that the parser counts as the user does.
        let padded = "\n".repeat(self.first - 1) + self.text;
        match serde_yaml::from_str(&padded) {
            Ok(Tree(value)) => Ok(value),
            Err(error) => Err((error.to_string(), error.location().map_or(self.line, |location| location.line()))),
        }
    }
}

/// The documents of a text, each to be read for itself, so that a mistake in one does not hide the others.
///
/// A line that begins with `---` or `...` separates documents wherever it stands, also within a block of text (YAML
/// 1.2.2 §9.1.2); `kubectl` splits files in the same way. What precedes the first marker counts if it has content.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let mut open = Open { start: 0, first: 1, line: None, marked: false };
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate().map(|(index, line)| (index + 1, line)) {
        let marker = |marker: &str| {
            line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        if marker("---") {
            documents.extend(open.close(text, offset));
            open = Open { start: offset, first: number, line: has_content(&line[3..]).then_some(number), marked: true };
        } else if marker("...") {
            documents.extend(open.close(text, offset));
            open = Open { start: offset + line.len(), first: number + 1, line: None, marked: false };
        } else if open.line.is_none() && has_content(line) {
            open.line = Some(number);
        }
        offset += line.len();
    }
    documents.extend(open.close(text, offset));
    documents
}

/// A document whose end is not reached.
struct Open {
    start: usize,
    first: usize,
    /// The first line with content.
    line: Option<usize>,
    /// Whether it begins with a marker, which makes it a document whatever follows.
    marked: bool,
}

impl Open {
    fn close<'a>(&self, text: &'a str, end: usize) -> Option<Document<'a>> {
        let document =
            Document { line: self.line.unwrap_or(self.first), first: self.first, text: &text[self.start..end] };
        (self.marked || self.line.is_some()).then_some(document)
    }
}

/// Whether a line holds more than space, a comment or a directive.
fn has_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with('#') && !line.starts_with('%')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Value, String> {
        serde_yaml::from_str::<Tree>(text).map(|Tree(value)| value).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_json_can_hold() {
        let value = tree("a: [1, -1, 1.5, true, null, x, 'on', \"2\"]\nb: {}\nc:").unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, -1, 1.5, true, null, "x", "on", "2"], "b": {}, "c": null}));
    }

    #[test]
    fn refuses_what_two_readers_would_take_differently() {
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "\"a\" is written twice"),
            ("a: {b: 1, b: 2}", "\"b\" is written twice"),
            ("a: .inf", "not a number of JSON"),
            ("a: !x 1", "plain YAML without tags"),
            ("a: [1", "line 1"),
        ] {
            let error = tree(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        }
        assert!(tree(&text).unwrap_err().contains("repetition limit"));
    }

    #[test]
    fn documents_are_read_one_by_one_and_know_their_lines() {
        let lines = |text| documents(text).iter().map(|document| document.line).collect::<Vec<_>>();
        assert_eq!(lines("a: 1\n---\nb: 2\n"), [1, 3]);
        assert_eq!(lines("# text\n---\na: 1\n--- # second\n\nb: |\n  ---\n"), [3, 6]);
        assert_eq!(lines("\n\na: 1\n...\n# x\nb: 1"), [3, 6]);
        assert_eq!(lines("--- {a: 1}\n---\n---"), [1, 2, 3]);
        assert_eq!(lines("%YAML 1.2\n---\na: 1\n"), [3]);
        assert_eq!(lines("# nothing\n"), [] as [usize; 0]);
        let values: Vec<_> = documents("a: [1\n---\nb: 2\nb: 3\n---\nc: 4\n").iter().map(Document::read).collect();
        assert!(values[0].as_ref().is_err_and(|(error, line)| error.contains("line 2") && *line == 2), "{values:?}");
        assert!(
            values[1].as_ref().is_err_and(|(error, line)| error.contains("\"b\" is written twice") && *line == 3),
            "{values:?}"
        );
        assert_eq!(values[2], Ok(serde_json::json!({"c": 4})));
    }
}
