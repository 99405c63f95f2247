//! The CustomResourceDefinitions, generated from the Rust types and polished for users and API servers.
//!
//! What the derive writes is right but not pleasant: optional fields invite `null`, unsigned integers carry formats that
//! API servers warn about, bounds are floating-point numbers, descriptions keep the line breaks of the source.
//! [`crds`] tidies that up; its result is committed under `crds/manifests/` and is the only source of the chart's
//! definitions and of `operator crds`.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use crate::kinds::{CleanupPolicy, ContainerRepository, RegistryVisibility};
use crate::problem::Problem;
use crate::structural::Schema;

/// The three definitions, in the order in which a user meets the kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    documents()
        .into_iter()
        .map(|document| serde_json::from_value(document).expect("polishing removes and rounds, a definition remains"))
        .collect()
}

/// The three definitions as JSON, as they are written into files and sent to an API server.
///
/// The typed form of [`crds`] turns every bound into a floating-point number; this one keeps them whole.
pub fn documents() -> Vec<Value> {
    [ContainerRepository::crd(), RegistryVisibility::crd(), CleanupPolicy::crd()]
        .into_iter()
        .map(|definition| {
            let mut document = serde_json::to_value(definition).expect("a definition is plain JSON");
            for version in document["spec"]["versions"].as_array_mut().into_iter().flatten() {
                let root = &mut version["schema"]["openAPIV3Schema"];
                polish(root);
                finish(root);
            }
            document
        })
        .collect()
}

/// One generated object as YAML text.
pub fn to_yaml(document: &Value) -> String {
    serde_yaml::to_string(document).expect("an object is made of strings, numbers, lists and maps")
}

/// Positions in [`documents`].
pub(crate) const REPOSITORY: usize = 0;
pub(crate) const VISIBILITY: usize = 1;
pub(crate) const POLICY: usize = 2;

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let root = |document: &Value| Schema::read(&document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    documents()
        .iter()
        .map(|document| root(document).expect("the kinds use known keywords only, as a test shows"))
        .collect()
});

/// Fills the defaults of a kind into an object, as an API server does.
pub(crate) fn complete(definition: usize, object: &mut Value) {
    SCHEMAS[definition].complete(object);
}

/// Judges an object by the schema of its kind: everything an API server refuses before it looks at CEL rules.
pub(crate) fn judge(definition: usize, object: &Value, problems: &mut Vec<Problem>) {
    SCHEMAS[definition].judge("", object, problems);
}

/// Adds to the root what the derive cannot know.
fn finish(root: &mut Value) {
    for (field, description) in
        [("apiVersion", "Version of the kind, berth.dev/v1alpha1."), ("kind", "Name of the kind."), ("metadata", "")]
    {
        root["properties"][field] = json!({"type": if field == "metadata" { "object" } else { "string" }});
        if !description.is_empty() {
            root["properties"][field]["description"] = json!(description);
        }
    }
    if let Value::Object(root) = root {
        root.remove("title");
    }
    // A kind without a required field may be written without `spec` altogether.
    if root["properties"]["spec"].get("required").is_none() {
        root["properties"]["spec"]["default"] = json!({});
        if let Value::Object(root) = root {
            root.remove("required");
        }
    }
}

/// Tidies one schema and all schemas within it.
fn polish(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    // Users leave a field out; `null` would be a second way of saying so.
    schema.remove("nullable");
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = unwrapped(description);
    }
    for bound in ["minimum", "maximum"] {
        round(schema, bound);
    }
    // API servers know int32 and int64 only, and warn about anything else; the bounds stay.
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => schema.insert("format".to_owned(), json!("int32")),
        Some("uint64") => schema.insert("format".to_owned(), json!("int64")),
        _ => None,
    };
    for nested in ["items", "additionalProperties"] {
        if let Some(nested) = schema.get_mut(nested) {
            polish(nested);
        }
    }
    for property in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        polish(property);
    }
}

/// A description whose paragraphs are one line each: `kubectl explain` wraps them to the reader's terminal.
fn unwrapped(description: &str) -> String {
    let paragraphs: Vec<String> =
        description.split("\n\n").map(|paragraph| paragraph.lines().collect::<Vec<_>>().join(" ")).collect();
    paragraphs.join("\n\n")
}

/// Writes a whole-numbered bound as the integer it is.
fn round(schema: &mut Map<String, Value>, bound: &str) {
    if let Some(number) = schema.get(bound).and_then(Value::as_f64)
        && number.fract() == 0.0
        && number.abs() < 1e15
    {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 10^15 is exact in both")]
        schema.insert(bound.to_owned(), json!(number as i64));
    }
}
