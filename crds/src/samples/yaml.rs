//! YAML for readers: fields in the order of the Rust types, short lists on one line, a comment wherever one helps.

use std::fmt::Write as _;

use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};

/// Columns that a line may fill, comments included.
const WIDTH: usize = 110;

/// Writes one object. With a schema, the description of every field stands above it.
pub(super) fn write(object: &Value, schema: Option<&Json>) -> String {
    let mut text = String::new();
    if let Value::Mapping(fields) = object {
        write_fields(&mut text, 0, fields, schema);
    }
    text
}

/// Writes a comment, wrapped.
pub(super) fn comment(text: &mut String, indent: usize, sentence: &str) {
    let mut line = String::new();
    for word in sentence.split_whitespace() {
        if !line.is_empty() && indent + 2 + line.len() + 1 + word.len() > WIDTH {
            push_line(text, indent, &format!("# {line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    push_line(text, indent, &format!("# {line}"));
}

fn push_line(text: &mut String, indent: usize, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}{line}", "");
}

fn write_fields(text: &mut String, indent: usize, fields: &Mapping, schema: Option<&Json>) {
    for (key, value) in fields {
        let key = scalar(key);
        let schema = schema.map(|schema| &schema["properties"][&key]);
        if let Some(description) = schema.and_then(|schema| schema["description"].as_str())
            && !matches!(key.as_str(), "apiVersion" | "kind" | "metadata")
        {
            comment(text, indent, description);
        }
        match value {
            Value::Mapping(fields) if fields.is_empty() => push_line(text, indent, &format!("{key}: {{}}")),
            Value::Mapping(fields) => {
                push_line(text, indent, &format!("{key}:"));
                write_fields(text, indent + 2, fields, schema);
            }
            Value::Sequence(list) if list.iter().any(Value::is_mapping) => {
                push_line(text, indent, &format!("{key}:"));
                for (position, item) in list.iter().enumerate() {
                    let mut entry = String::new();
                    // The fields of an entry are explained once, at the first.
                    let explained = schema.filter(|_| position == 0).map(|schema| &schema["items"]);
                    if let Value::Mapping(fields) = item {
                        write_fields(&mut entry, indent + 4, fields, explained);
                    }
                    // The dash stands before the first field, below the comments that explain it.
                    let first = entry.lines().position(|line| !line.trim_start().starts_with('#')).unwrap_or(0);
                    for (number, line) in entry.lines().enumerate() {
                        let line = &line[indent + 4..];
                        match number.cmp(&first) {
                            std::cmp::Ordering::Less => push_line(text, indent + 2, line),
                            std::cmp::Ordering::Equal => push_line(text, indent + 2, &format!("- {line}")),
                            std::cmp::Ordering::Greater => push_line(text, indent + 4, line),
                        }
                    }
                }
            }
            Value::Sequence(list) => {
                let items: Vec<String> = list.iter().map(scalar).collect();
                push_line(text, indent, &format!("{key}: [{}]", items.join(", ")));
            }
            value => push_line(text, indent, &format!("{key}: {}", scalar(value))),
        }
    }
}

/// A value on one line. Texts stand without quotes only where every YAML reader takes them for texts.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => Json::from(text.as_str()).to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => "null".to_owned(),
    }
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    // A digit in front is fine where a letter ends the text, as in 90d; 1e3 and 0x1f are not that.
    let number_like = text.starts_with(|c: char| !c.is_ascii_alphabetic())
        && !(text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(['d', 'h', 'm', 's', 'i'])
            && !text.starts_with("0x"));
    !text.is_empty() && text.chars().all(word) && !number_like && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_some_reader_takes_for_something_else_are_quoted() {
        for text in ["team-a/shop", "90d", "50Gi", "v1", "Etc/UTC", "berth.dev/v1alpha1"] {
            assert_eq!(scalar(&text.into()), text);
        }
        for text in ["", "on", "No", "1", "1.5", "1e3", "0x1d", ".5", "-a", "^v[0-9]", "a: b", "#", "*", "12:30"] {
            assert!(scalar(&text.into()).starts_with('"'), "{text}");
        }
    }
}
