//! Judging values by the generated schemas, as an API server does.
//!
//! The bounds of every field stand once, in the attributes of the Rust types. They reach API servers through the
//! generated definitions and this module through the very same schemas, so both refuse the same values: unknown fields,
//! wrong types, lengths, patterns, enums, required fields, duplicates in sets. CEL rules are not evaluated here; each has
//! a Rust twin beside its kind.
//!
//! Covered is the part of structural schemas that the three kinds use; [`Schema::read`] refuses everything else, so a new
//! keyword cannot be overlooked.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value};

use crate::kinds::grammar;
use crate::problem::Problem;
use crate::{duration, quantity};

/// One schema, ready to judge values.
#[derive(Debug)]
pub(crate) struct Schema {
    shape: Shape,
    default: Option<Value>,
}

#[derive(Debug)]
enum Shape {
    Boolean,
    Integer {
        minimum: Option<i64>,
        maximum: Option<i64>,
    },
    Text(Text),
    List {
        items: Box<Schema>,
        min: u64,
        max: Option<u64>,
        unique: Unique,
    },
    Map {
        values: Box<Schema>,
        max: Option<u64>,
    },
    Object {
        properties: BTreeMap<String, Schema>,
        required: Vec<String>,
    },
    /// An object without known fields: `metadata`, which has its own rules.
    Anything,
}

#[derive(Debug)]
struct Text {
    min: u64,
    max: Option<u64>,
    pattern: Option<(String, Regex)>,
    time: bool,
    values: Vec<String>,
}

/// What may not occur twice in a list.
#[derive(Debug)]
enum Unique {
    Nothing,
    Item,
    /// The entry's field of this name.
    Field(String),
}

impl Schema {
    /// Reads a schema of a generated definition.
    ///
    /// # Errors
    /// Names the path and the keyword that this module does not know, a mistake in this crate that its tests catch.
    pub(crate) fn read(schema: &Value) -> Result<Self, String> {
        Self::at("", schema)
    }

    fn at(path: &str, schema: &Value) -> Result<Self, String> {
        let Value::Object(schema) = schema else { return Err(format!("{path}: not an object")) };
        let number = |keyword: &str| schema.get(keyword).and_then(Value::as_i64);
        let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        let mut known = vec!["type", "description", "default", "x-kubernetes-validations"];
        let shape = match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => Shape::Boolean,
            Some("integer") => {
                known.extend(["minimum", "maximum", "format"]);
                Shape::Integer { minimum: number("minimum"), maximum: number("maximum") }
            }
            Some("string") => {
                known.extend(["minLength", "maxLength", "pattern", "format", "enum"]);
                let pattern = match schema.get("pattern").and_then(Value::as_str) {
                    Some(pattern) => {
                        Some((pattern.to_owned(), Regex::new(pattern).map_err(|e| format!("{path}: {e}"))?))
                    }
                    None => None,
                };
                let time = match schema.get("format").and_then(Value::as_str) {
                    None => false,
                    Some("date-time") => true,
                    Some(other) => return Err(format!("{path}: unknown format {other}")),
                };
                let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
                Shape::Text(Text {
                    min: count("minLength").unwrap_or(0),
                    max: count("maxLength"),
                    pattern,
                    time,
                    values,
                })
            }
            Some("array") => {
                known.extend(["items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"]);
                let unique = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("set") => Unique::Item,
                    Some("map") => match schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
                        Some(keys) if keys.len() == 1 => Unique::Field(keys[0].as_str().unwrap_or_default().to_owned()),
                        _ => return Err(format!("{path}: a map list needs one key")),
                    },
                    Some("atomic") => Unique::Nothing,
                    _ => return Err(format!("{path}: a list needs x-kubernetes-list-type")),
                };
                let items = schema.get("items").ok_or_else(|| format!("{path}: a list needs items"))?;
                let items = Box::new(Self::at(&format!("{path}[]"), items)?);
                Shape::List { items, min: count("minItems").unwrap_or(0), max: count("maxItems"), unique }
            }
            Some("object") => {
                known.extend([
                    "properties",
                    "required",
                    "additionalProperties",
                    "maxProperties",
                    "x-kubernetes-map-type",
                ]);
                if let Some(values) = schema.get("additionalProperties") {
                    Shape::Map {
                        values: Box::new(Self::at(&format!("{path}.*"), values)?),
                        max: count("maxProperties"),
                    }
                } else if let Some(Value::Object(properties)) = schema.get("properties") {
                    let properties = properties
                        .iter()
                        .map(|(name, schema)| Ok((name.clone(), Self::at(&format!("{path}.{name}"), schema)?)))
                        .collect::<Result<_, String>>()?;
                    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                    let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
                    Shape::Object { properties, required }
                } else {
                    Shape::Anything
                }
            }
            other => return Err(format!("{path}: unknown type {other:?}")),
        };
        match schema.keys().find(|keyword| !known.contains(&keyword.as_str())) {
            Some(keyword) => Err(format!("{path}: unknown keyword {keyword}")),
            None => Ok(Self { shape, default: schema.get("default").cloned() }),
        }
    }

    /// Fills in defaults, as an API server does before it judges. `null` stands for a field left out.
    pub(crate) fn complete(&self, value: &mut Value) {
        match (&self.shape, value) {
            (Shape::Object { properties, .. }, Value::Object(fields)) => {
                for (name, schema) in properties {
                    if fields.get(name).is_some_and(Value::is_null) {
                        fields.remove(name);
                    }
                    if let (None, Some(default)) = (fields.get(name), &schema.default) {
                        fields.insert(name.clone(), default.clone());
                    }
                    if let Some(field) = fields.get_mut(name) {
                        schema.complete(field);
                    }
                }
            }
            (Shape::Map { values, .. }, Value::Object(entries)) => {
                entries.values_mut().for_each(|value| values.complete(value));
            }
            (Shape::List { items, .. }, Value::Array(list)) => list.iter_mut().for_each(|item| items.complete(item)),
            _ => {}
        }
    }

    /// Appends every way in which the value differs from the schema.
    pub(crate) fn judge(&self, path: &str, value: &Value, problems: &mut Vec<Problem>) {
        let mut problem = |message: String| problems.push(Problem::new(path, message));
        match (&self.shape, value) {
            (Shape::Anything, _) | (Shape::Boolean, Value::Bool(_)) => {}
            (Shape::Integer { minimum, maximum }, Value::Number(number)) => match (number.as_i64(), minimum, maximum) {
                (None, ..) => problem(format!("{number} is not a whole number")),
                (Some(n), Some(least), _) if n < *least => {
                    problem(format!("{n} is too small, must be at least {least}"))
                }
                (Some(n), _, Some(most)) if n > *most => problem(format!("{n} is too large, must be at most {most}")),
                _ => {}
            },
            (Shape::Text(text), Value::String(value)) => {
                if let Some(message) = text.judge(value) {
                    problem(message);
                }
            }
            (Shape::List { items, min, max, unique }, Value::Array(list)) => {
                let length = list.len() as u64;
                if length < *min {
                    problem(format!("must have at least {min} {}", if *min == 1 { "entry" } else { "entries" }));
                }
                if let Some(max) = max.filter(|max| length > *max) {
                    problem(format!("has {length} entries, at most {max} are allowed"));
                }
                for (position, item) in list.iter().enumerate() {
                    let path = format!("{path}[{position}]");
                    if unique
                        .key(item)
                        .is_some_and(|key| list[..position].iter().any(|other| unique.key(other) == Some(key)))
                    {
                        problems.push(Problem::new(&path, unique.repeated(item)));
                    }
                    items.judge(&path, item, problems);
                }
            }
            (Shape::Map { values, max }, Value::Object(entries)) => {
                if let Some(max) = max.filter(|max| entries.len() as u64 > *max) {
                    problem(format!("has {} entries, at most {max} are allowed", entries.len()));
                }
                for (key, value) in entries {
                    values.judge(&format!("{path}[{key}]"), value, problems);
                }
            }
            (Shape::Object { properties, required }, Value::Object(fields)) => {
                judge_fields(path, properties, required, fields, problems);
            }
            (expected, value) => problem(format!("must be {}, not {}", expected.title(), title(value))),
        }
    }
}

fn judge_fields(
    path: &str,
    properties: &BTreeMap<String, Schema>,
    required: &[String],
    fields: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for name in required.iter().filter(|name| !fields.contains_key(*name)) {
        problems.push(Problem::new(at(name), "is required"));
    }
    for (name, value) in fields {
        match properties.get(name) {
            Some(schema) => schema.judge(&at(name), value, problems),
            None => problems.push(Problem::new(at(name), unknown_field(name, properties.keys().map(String::as_str)))),
        }
    }
}

/// What to say of a field that does not exist: the nearest one that does, or all of them.
pub(crate) fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + name.len() / 3 || nearest.starts_with(name) => {
            format!("unknown field, did you mean \"{nearest}\"?")
        }
        _ => format!("unknown field, known here are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Edits that turn one word into the other, capitals aside (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

impl Text {
    fn judge(&self, value: &str) -> Option<String> {
        let length = value.chars().count() as u64;
        if !self.values.is_empty() {
            let expected = self.values.join(", ");
            return (!self.values.iter().any(|known| known == value))
                .then(|| format!("\"{value}\" is not one of {expected}"));
        }
        if length == 0 && self.min > 0 {
            return Some("must not be empty".to_owned());
        }
        if let Some(max) = self.max.filter(|max| length > *max) {
            return Some(format!("has {length} characters, at most {max} are allowed"));
        }
        if let Some((pattern, compiled)) = &self.pattern
            && !compiled.is_match(value)
        {
            return Some(mismatch(pattern, value));
        }
        if length < self.min {
            return Some(format!("has {length} characters, at least {} are needed", self.min));
        }
        if self.time && value.parse::<Timestamp>().is_err() {
            return Some(format!("\"{value}\" is not a point in time of the calendar"));
        }
        None
    }
}

/// What to write instead of a text that breaks one of our patterns.
fn mismatch(pattern: &str, value: &str) -> String {
    let help = match pattern {
        duration::PATTERN => value.parse::<duration::Span>().err().map(|error| error.to_string()),
        quantity::PATTERN => value.parse::<quantity::Quantity>().err().map(|error| error.to_string()),
        grammar::OBJECT_NAME | grammar::LABEL_NAME => Some(format!(
            "\"{value}\" is not a name: use lower-case letters, digits and hyphens, with a letter or digit at both ends"
        )),
        grammar::LABEL_KEY => Some(format!("\"{value}\" is not a label key such as \"tier\" or \"example.com/tier\"")),
        grammar::LABEL_VALUE => Some(format!(
            "\"{value}\" is not a label value: use letters, digits, hyphens, underscores and periods, with a letter or \
             digit at both ends"
        )),
        grammar::SHA256 => Some("must be the 64 hexadecimal digits that `registry deploy-token` prints".to_owned()),
        grammar::TIME => Some(format!("\"{value}\" is not a point in time such as \"2027-01-01T00:00:00Z\"")),
        grammar::TIME_ZONE => Some(format!("\"{value}\" is not an IANA time zone such as \"Europe/Berlin\"")),
        _ => None,
    };
    help.unwrap_or_else(|| format!("\"{value}\" does not match {pattern}"))
}

impl Unique {
    /// What distinguishes an entry; `None` where nothing has to.
    fn key<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Nothing => None,
            Self::Item => Some(item),
            Self::Field(name) => item.get(name),
        }
    }

    fn repeated(&self, item: &Value) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| format!("\"{text}\""));
        match self {
            Self::Field(name) => format!("another entry has the {name} {} too", text(&item[name])),
            Self::Nothing | Self::Item => format!("{} is listed twice", text(item)),
        }
    }
}

impl Shape {
    const fn title(&self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer { .. } => "a whole number",
            Self::Text(_) => "a text",
            Self::List { .. } => "a list",
            Self::Map { .. } | Self::Object { .. } | Self::Anything => "an object with fields",
        }
    }
}

fn title(value: &Value) -> String {
    match value {
        Value::Null => "null: leave it out instead".to_owned(),
        Value::Bool(value) => format!("the boolean {value} (quote it to make it a text)"),
        Value::Number(number) => format!("the number {number} (quote it to make it a text)"),
        Value::String(text) => format!("the text \"{text}\""),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
