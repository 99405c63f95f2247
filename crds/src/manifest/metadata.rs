//! The metadata of objects in files, judged as an API server judges it.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::kinds::grammar::{LABEL_KEY, LABEL_NAME, LABEL_VALUE, MAX_LABEL_KEY, MAX_OBJECT_NAME};
use crate::problem::Problem;
use crate::structural::unknown_field;

/// Every field of `metav1.ObjectMeta`: what a cluster adds may stay, so that `kubectl get -o yaml` writes files that read.
const KNOWN: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Most bytes of all annotations of an object.
const MAX_ANNOTATIONS: usize = 256 << 10;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant that the tests compile")
}
static NAME: LazyLock<Regex> = LazyLock::new(|| regex(LABEL_NAME));
static KEY: LazyLock<Regex> = LazyLock::new(|| regex(LABEL_KEY));
static VALUE: LazyLock<Regex> = LazyLock::new(|| regex(LABEL_VALUE));

/// Appends what is wrong with `metadata`. The name's own rules belong to the kind.
pub(super) fn judge(metadata: &Value, namespaced: bool, problems: &mut Vec<Problem>) {
    let Value::Object(metadata) = metadata else {
        let message = "is required: it gives the object's name and namespace";
        return problems.push(Problem::new("metadata", message));
    };
    for field in metadata.keys().filter(|field| !KNOWN.contains(&field.as_str())) {
        problems.push(Problem::new(format!("metadata.{field}"), unknown_field(field, KNOWN.iter().copied())));
    }
    match metadata.get("name") {
        Some(Value::String(name)) if !name.is_empty() => {}
        Some(Value::String(_)) | None if metadata.contains_key("generateName") => {
            problems.push(Problem::new("metadata.name", "is required: only a cluster can make up a name"));
        }
        Some(Value::String(_)) | None => problems.push(Problem::new("metadata.name", "is required")),
        Some(other) => problems.push(Problem::new("metadata.name", format!("must be a text, not {other}: quote it"))),
    }
    match metadata.get("namespace") {
        Some(Value::String(namespace)) if namespaced => {
            if namespace.len() > MAX_OBJECT_NAME || !NAME.is_match(namespace) {
                let message = format!(
                    "\"{namespace}\" is not a namespace: use at most {MAX_OBJECT_NAME} lower-case letters, digits and hyphens"
                );
                problems.push(Problem::new("metadata.namespace", message));
            }
        }
        Some(Value::String(namespace)) if !namespace.is_empty() => {
            problems.push(Problem::new("metadata.namespace", "must be left out: a Namespace lies in no namespace"));
        }
        None | Some(Value::Null) if namespaced => {
            let message =
                "is required: an object in a file says which namespace it belongs to, there is no current one";
            problems.push(Problem::new("metadata.namespace", message));
        }
        None | Some(Value::Null | Value::String(_)) => {}
        Some(other) => {
            problems.push(Problem::new("metadata.namespace", format!("must be a text, not {other}: quote it")))
        }
    }
    judge_texts("labels", metadata, problems);
    judge_texts("annotations", metadata, problems);
}

/// Labels and annotations: texts by key, labels with short ones.
fn judge_texts(field: &str, metadata: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let texts = match metadata.get(field) {
        None | Some(Value::Null) => return,
        Some(Value::Object(texts)) => texts,
        Some(other) => {
            return problems
                .push(Problem::new(format!("metadata.{field}"), format!("must be texts by key, not {other}")));
        }
    };
    let mut bytes = 0;
    for (key, value) in texts {
        let mut problem = |message: String| problems.push(Problem::new(format!("metadata.{field}[{key}]"), message));
        // The prefix of a key is a DNS name in any case here: annotations may be written with capitals.
        let written = if field == "labels" { key.clone() } else { key.to_ascii_lowercase() };
        if key.len() > MAX_LABEL_KEY || !KEY.is_match(&written) {
            problem(format!("\"{key}\" is not a key such as \"tier\" or \"example.com/tier\""));
        }
        match value {
            Value::String(value) if field == "labels" && (value.len() > MAX_OBJECT_NAME || !VALUE.is_match(value)) => {
                problem(format!(
                    "\"{value}\" is not a label value: use at most {MAX_OBJECT_NAME} letters, digits, hyphens, underscores \
                     and periods, with a letter or digit at both ends"
                ));
            }
            Value::String(value) => bytes += key.len() + value.len(),
            other => problem(format!("must be a text, not {other}: quote it")),
        }
    }
    if field == "annotations" && bytes > MAX_ANNOTATIONS {
        let message = format!("have {bytes} bytes together, at most {MAX_ANNOTATIONS} are allowed");
        problems.push(Problem::new("metadata.annotations", message));
    }
}
