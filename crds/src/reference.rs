//! The reference of every field, `docs/fields.md`, written from the definitions so that it says what they say.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::{duration, quantity, schema};

const HEAD: &str = "\
<!-- Written by `make crds` from the definitions. Edit the doc comments in crds/src/kinds/ instead. -->

# Every field

The fields of the three kinds, as `kubectl explain` shows them. [objects.md](objects.md) says what the kinds are for, how
durations, quantities and patterns are written, and what the reasons of conditions mean.
";

/// The page as Markdown.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for definition in schema::documents() {
        kind(&definition["spec"], &mut page);
    }
    page
}

fn kind(definition: &Value, page: &mut String) {
    let names = &definition["names"];
    let version = &definition["versions"][0];
    let root = &version["schema"]["openAPIV3Schema"];
    let (kind, short) = (text(&names["kind"]), text(&names["shortNames"][0]));
    let file = kind.to_ascii_lowercase();
    let _ = write!(
        page,
        "\n## {kind}\n\n{}\n\nShort name `{short}`. Example: [`examples/{file}.yaml`](../examples/{file}.yaml).\n",
        escaped(text(&root["description"]))
    );
    let mut rows = Vec::new();
    fields("spec", &root["properties"]["spec"], &mut rows);
    page.push_str("\n| Field | Values | Default | Meaning |\n|---|---|---|---|\n");
    for Field { path, values, default, meaning } in rows {
        let _ = writeln!(page, "| `{path}` | {values} | {default} | {meaning} |");
    }
    let mut rows = Vec::new();
    fields("status", &root["properties"]["status"], &mut rows);
    page.push_str("\n| Field | Meaning |\n|---|---|\n");
    for Field { path, meaning, .. } in rows {
        let _ = writeln!(page, "| `{path}` | {meaning} |");
    }
    let mut found = Vec::new();
    rules("", root, &mut found);
    page.push_str("\nRules beyond single values:\n\n");
    for (path, message) in found {
        let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let _ = writeln!(page, "- {place}{}", escaped(&message));
    }
    let columns = |wide: bool| {
        let all = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let chosen = all.filter(|column| (column["priority"].as_u64().unwrap_or_default() > 0) == wide);
        chosen.map(|column| text(&column["name"])).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(page, "\n`kubectl get` prints {}; with `-o wide` also {}.", columns(false), columns(true));
}

/// One row of a table.
struct Field {
    path: String,
    values: String,
    default: String,
    meaning: String,
}

/// Every field within an object, in alphabetical order, each before its own fields.
fn fields(path: &str, object: &Value, rows: &mut Vec<Field>) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().map(text).collect();
    for (name, schema) in properties(object) {
        let is_list = schema["type"] == "array";
        let path = format!("{path}.{name}{}", if is_list { "[]" } else { "" });
        let default = match &schema["default"] {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            // The defaults of its fields say it.
            Value::Null | Value::Object(_) => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        rows.push(Field {
            path: path.clone(),
            values: values(schema),
            default,
            meaning: escaped(text(&schema["description"])),
        });
        // Conditions are Kubernetes' own type.
        if name != "conditions" {
            fields(&path, if is_list { &schema["items"] } else { schema }, rows);
        }
    }
}

/// What a field can hold.
fn values(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", text(value))).collect();
        return values.join(", ");
    }
    let span = |low: &str, high: &str| {
        let low = schema[low].as_u64().unwrap_or_default();
        schema[high].as_u64().map(|high| if low == high { high.to_string() } else { format!("{low} to {high}") })
    };
    let bounded = |noun: &str, bounds: Option<String>| bounds.map_or(noun.to_owned(), |it| format!("{noun}, {it}"));
    match (text(&schema["type"]), text(&schema["format"]), text(&schema["pattern"])) {
        ("boolean", ..) => "true, false".to_owned(),
        ("string", "date-time", _) => "time, RFC 3339".to_owned(),
        ("string", _, duration::PATTERN) => "duration".to_owned(),
        ("string", _, quantity::PATTERN) => "quantity".to_owned(),
        ("string", ..) => bounded("text", span("minLength", "maxLength")),
        ("integer", ..) => span("minimum", "maximum").unwrap_or_else(|| "number".to_owned()),
        ("array", ..) => {
            let of = schema["items"].get("enum").map(|_| format!("list of {}", values(&schema["items"])));
            bounded(&of.unwrap_or_else(|| "list".to_owned()), span("minItems", "maxItems"))
        }
        ("object", ..) if schema.get("additionalProperties").is_some() => {
            bounded("texts by name", span("minProperties", "maxProperties"))
        }
        _ => String::new(),
    }
}

/// The messages of all CEL rules of a schema, with the field they belong to.
fn rules(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.push((path.to_owned(), text(&rule["message"]).to_owned()));
    }
    for (name, property) in properties(schema) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rules(&path, property, found);
    }
    if let Some(items) = schema.get("items") {
        rules(&format!("{path}[]"), items, found);
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text as Markdown shows it in a table: no cell ends early, and nothing is taken for HTML.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_meaning_and_every_leaf_says_what_it_holds() {
        for definition in schema::documents() {
            let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let mut rows = Vec::new();
            fields("spec", &root["properties"]["spec"], &mut rows);
            fields("status", &root["properties"]["status"], &mut rows);
            for (position, row) in rows.iter().enumerate() {
                assert!(!row.meaning.is_empty(), "{} has no description", row.path);
                let below = format!("{}.", row.path);
                let is_leaf = rows.get(position + 1).is_none_or(|next| !next.path.starts_with(&below));
                assert!(!is_leaf || !row.values.is_empty(), "{} may hold anything", row.path);
            }
        }
    }

    #[test]
    fn a_cell_keeps_to_its_row() {
        assert_eq!(escaped("<a>|b\nc"), "&lt;a>\\|b c");
    }
}
