//! Writes a parsed pattern for the `regex` crate, in the small part of its dialect that cannot be misread.

use std::fmt::Write as _;

use super::ascii::Ascii;
use super::parse::{Look, Node};

/// The pattern as text for a `regex::bytes::Regex` without Unicode.
pub(super) fn emit(node: &Node) -> String {
    let mut text = String::new();
    write_node(node, &mut text);
    text
}

fn write_node(node: &Node, text: &mut String) {
    match node {
        Node::Class(set) => write_class(*set, text),
        Node::Look(look) => text.push_str(match look {
            Look::TextStart => r"\A",
            Look::TextEnd => r"\z",
            Look::LineStart => "(?m:^)",
            Look::LineEnd => "(?m:$)",
            Look::WordEdge => r"\b",
            Look::NoWordEdge => r"\B",
        }),
        Node::Sequence(items) => {
            text.push_str("(?:");
            items.iter().for_each(|item| write_node(item, text));
            text.push(')');
        }
        Node::Either(branches) => {
            text.push_str("(?:");
            for (position, branch) in branches.iter().enumerate() {
                if position > 0 {
                    text.push('|');
                }
                write_node(branch, text);
            }
            text.push(')');
        }
        Node::Repeat { item, least, most, .. } => {
            text.push_str("(?:");
            write_node(item, text);
            // Writing into a String cannot fail.
            let _ = match most {
                Some(most) => write!(text, "){{{least},{most}}}"),
                None => write!(text, "){{{least},}}"),
            };
        }
    }
}

fn write_class(set: Ascii, text: &mut String) {
    if set == Ascii::default() {
        // A class that nothing is in: the crate's own idiom.
        text.push_str("[a&&b]");
        return;
    }
    text.push('[');
    for (low, high) in set.ranges() {
        let _ = write!(text, r"\x{low:02x}-\x{high:02x}");
    }
    text.push(']');
}
