//! Objects from files: what `kubectl apply` would send, read without an API server.
//!
//! Reading does what an API server does with an object: it fills in the defaults of the schema, refuses unknown fields
//! and everything else the schema refuses, and applies every CEL rule (as Rust, see [`crate::kinds`]). What reads here is
//! accepted by a cluster, and the other way round.

mod metadata;
mod object;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

pub use object::{Namespace, Object, ObjectId};

use crate::kinds::{API_VERSION, CleanupPolicy, ContainerRepository, GROUP, RegistryVisibility, VERSION};
use crate::problem::Problem;
use crate::schema;

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line on which the document begins, or on which it cannot be read.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}, line {}", self.file, self.document, self.line)
    }
}

/// A document that holds no valid object. `Display` writes one line per problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    pub place: Place,
    /// Kind, namespace and name, as far as they are known.
    pub object: Option<String>,
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            let end = if position == 0 { "" } else { "\n" };
            match &self.object {
                Some(object) => write!(f, "{end}{}: {object}: {problem}", self.place)?,
                None => write!(f, "{end}{}: {problem}", self.place)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// What a set of files holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Every valid object, in the order of the files.
    pub objects: Vec<Object>,
    /// What could not be read, in the same order. One bad document does not spoil its neighbours.
    pub problems: Vec<ManifestError>,
}

/// Whether `kubectl apply -f DIR` would read a file of this name.
pub fn is_manifest(file_name: &str) -> bool {
    let extension = file_name.rsplit_once('.').map(|(stem, extension)| (stem.is_empty(), extension));
    matches!(extension, Some((false, "yaml" | "yml" | "json")))
}

/// Reads files, given as name and text, in the order given. An object that was read before is reported, and the first
/// one stands.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Reading {
    let mut reading = Reading::default();
    let mut places: BTreeMap<ObjectId, Place> = BTreeMap::new();
    for (file, text) in files {
        for (place, outcome) in documents(file, text) {
            let object = match outcome {
                Ok(object) => object,
                Err(error) => {
                    reading.problems.push(error);
                    continue;
                }
            };
            let id = object.id();
            if let Some(first) = places.get(&id) {
                let problem = Problem::new("", format!("is the same object as in {first}: remove one of them"));
                reading.problems.push(ManifestError { place, object: Some(id.to_string()), problems: vec![problem] });
            } else {
                places.insert(id, place);
                reading.objects.push(object);
            }
        }
    }
    reading
}

/// Reads one file: YAML with any number of documents (JSON is YAML), each an object or a `List` of objects. Documents
/// with nothing but comments are skipped.
pub fn parse(file: &str, text: &str) -> Vec<Result<Object, ManifestError>> {
    documents(file, text).into_iter().map(|(_, outcome)| outcome).collect()
}

type Outcome = (Place, Result<Object, ManifestError>);

fn documents(file: &str, text: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (position, document) in tree::documents(text).iter().enumerate() {
        let mut place = Place { file: file.to_owned(), document: position + 1, line: document.line };
        match document.read() {
            Ok(Value::Null) => {}
            Ok(value) => from_document(&place, value, &mut outcomes),
            Err((message, line)) => {
                place.line = line;
                let problems = vec![Problem::new("", message)];
                outcomes.push((place.clone(), Err(ManifestError { place, object: None, problems })));
            }
        }
    }
    outcomes
}

fn from_document(place: &Place, value: Value, outcomes: &mut Vec<Outcome>) {
    let is_list = value["apiVersion"] == "v1" && value["kind"] == "List";
    match value {
        Value::Object(mut list) if is_list => match list.remove("items") {
            Some(Value::Array(items)) => {
                outcomes.extend(items.into_iter().map(|item| (place.clone(), from_value(place, item))));
            }
            _ => {
                let problems = vec![Problem::new("items", "must be a list of objects")];
                let error = ManifestError { place: place.clone(), object: Some("List".to_owned()), problems };
                outcomes.push((place.clone(), Err(error)));
            }
        },
        value => outcomes.push((place.clone(), from_value(place, value))),
    }
}

fn from_value(place: &Place, value: Value) -> Result<Object, ManifestError> {
    let object = title(&value);
    to_object(value).map_err(|problems| ManifestError { place: place.clone(), object, problems })
}

/// How to call an object that may be anything: kind, namespace and name where they are there.
fn title(value: &Value) -> Option<String> {
    let kind = value["kind"].as_str()?;
    let name = value["metadata"]["name"].as_str().unwrap_or("without a name");
    Some(match value["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    })
}

/// The object, or everything that is wrong with it.
fn to_object(value: Value) -> Result<Object, Vec<Problem>> {
    let one = |path: &str, message: String| Err(vec![Problem::new(path, message)]);
    if !value.is_object() {
        return one("", "is not an object: write apiVersion, kind, metadata and spec".to_owned());
    }
    let field = |name: &str| match value.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(vec![Problem::new(name, "is required and must be a text")]),
    };
    let (api_version, kind) = (field("apiVersion")?, field("kind")?);
    match (api_version.as_str(), kind.as_str()) {
        (API_VERSION, "ContainerRepository") => {
            let repository: ContainerRepository = typed(schema::REPOSITORY, value)?;
            accepted(repository.validate()).map(|()| Object::Repository(Box::new(repository)))
        }
        (API_VERSION, "RegistryVisibility") => {
            let visibility: RegistryVisibility = typed(schema::VISIBILITY, value)?;
            accepted(visibility.validate()).map(|()| Object::Visibility(Box::new(visibility)))
        }
        (API_VERSION, "CleanupPolicy") => {
            let policy: CleanupPolicy = typed(schema::POLICY, value)?;
            accepted(policy.validate()).map(|()| Object::Policy(Box::new(policy)))
        }
        ("v1", "Namespace") => namespace(&value).map(Object::Namespace),
        (API_VERSION, _) => one(
            "kind",
            format!(
                "\"{kind}\" is not a kind of {GROUP}: known are ContainerRepository, RegistryVisibility and CleanupPolicy"
            ),
        ),
        (_, "ContainerRepository" | "RegistryVisibility" | "CleanupPolicy") => {
            one("apiVersion", format!("\"{api_version}\" is not known: write {GROUP}/{VERSION}"))
        }
        _ => one(
            "kind",
            format!(
                "{kind} of {api_version} means nothing to the registry: keep only Namespace, ContainerRepository, \
                 RegistryVisibility and CleanupPolicy objects here"
            ),
        ),
    }
}

fn accepted(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What an API server does before it evaluates rules: drop the status, fill in defaults, judge by the schema.
fn typed<K: serde::de::DeserializeOwned>(definition: usize, mut value: Value) -> Result<K, Vec<Problem>> {
    if let Value::Object(fields) = &mut value {
        fields.remove("status");
    }
    schema::complete(definition, &mut value);
    let mut problems = Vec::new();
    metadata::judge(&value["metadata"], true, &mut problems);
    schema::judge(definition, &value, &mut problems);
    accepted(problems)?;
    // The schema has judged every field but those of the metadata that a cluster writes.
    serde_json::from_value(value).map_err(|error| vec![Problem::new("metadata", error.to_string())])
}

/// Only name and labels of a Namespace matter here; whatever else a cluster writes into one is not looked at.
fn namespace(value: &Value) -> Result<Namespace, Vec<Problem>> {
    let metadata = &value["metadata"];
    let mut problems = Vec::new();
    metadata::judge(metadata, false, &mut problems);
    accepted(problems)?;
    let name = metadata["name"].as_str().unwrap_or_default();
    let mut namespace = Namespace::named(name);
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    namespace.labels.extend(labels.filter(|(key, _)| key != Namespace::NAME_LABEL));
    namespace.uid = metadata["uid"].as_str().map(str::to_owned);
    Ok(namespace)
}

#[cfg(test)]
mod tests;
