//! The examples, made from Rust values so that they cannot fall behind the types.
//!
//! `examples/quickstart/` is a small registry to start with: two teams, repositories of every visibility, one cleanup
//! policy. The files beside it show every field of one kind each, with its description.

mod every_field;
mod quickstart;
mod yaml;

use kube::core::ObjectMeta;
use serde::Serialize;
use serde_json::Value as Json;
use serde_yaml::Value;

use crate::schema;

/// The files of `examples/`: paths from the root of the repository, with their text.
pub fn files() -> Vec<(String, String)> {
    let mut files = every_field::files();
    files.extend(quickstart::files());
    files
}

/// One object of a file, with what a reader should know of it.
struct Sample {
    comment: &'static str,
    object: Value,
}

impl Sample {
    fn new(comment: &'static str, object: &impl Serialize) -> Self {
        Self { comment, object: serde_yaml::to_value(object).expect("the kinds are maps with texts as keys") }
    }

    /// Leaves out what the schema fills in anyway.
    fn trimmed(comment: &'static str, definition: usize, object: &impl Serialize) -> Self {
        let mut sample = Self::new(comment, object);
        trim(&mut sample.object, &schema::documents()[definition]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        sample
    }
}

fn meta(namespace: &str, name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        labels: Some(labels).filter(|labels: &std::collections::BTreeMap<_, _>| !labels.is_empty()),
        ..ObjectMeta::default()
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// Removes every field whose value is its default.
fn trim(value: &mut Value, schema: &Json) {
    match value {
        Value::Mapping(fields) => fields.retain(|key, value| {
            let schema = &schema["properties"][key.as_str().unwrap_or_default()];
            let default = schema.get("default").map(|default| serde_yaml::to_value(default).ok());
            let is_default = default == Some(Some(value.clone()));
            trim(value, schema);
            // A group that held nothing but defaults goes too, unless it has to be there.
            let emptied =
                schema.get("default").is_some() && value.as_mapping().is_some_and(serde_yaml::Mapping::is_empty);
            !is_default && !emptied
        }),
        Value::Sequence(list) => list.iter_mut().for_each(|item| trim(item, &schema["items"])),
        _ => {}
    }
}

/// One file: a sentence about it, then its objects.
fn file(path: &str, introduction: &str, samples: &[Sample], schema: Option<&Json>) -> (String, String) {
    let mut text = String::new();
    yaml::comment(&mut text, 0, introduction);
    text.push_str("#\n# Made by `cargo run -p berth-crds --bin crdgen`: change crds/src/samples instead.\n");
    for sample in samples {
        text.push_str("---\n");
        if !sample.comment.is_empty() {
            yaml::comment(&mut text, 0, sample.comment);
        }
        text.push_str(&yaml::write(&sample.object, schema));
    }
    (format!("examples/{path}.yaml"), text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::manifest::{self, Object};
    use std::collections::BTreeSet;

    #[test]
    fn every_example_is_valid_and_reads_back_as_it_was_meant() {
        for samples in [every_field::samples(), quickstart::samples()] {
            for (path, samples) in samples {
                for sample in samples {
                    let objects = manifest::parse(path, &yaml::write(&sample.object, None));
                    let [Ok(object)] = objects.as_slice() else { panic!("{path}: {objects:?}") };
                    let read = match object {
                        Object::Namespace(namespace) => {
                            assert_eq!(Some(namespace.name.as_str()), sample.object["metadata"]["name"].as_str());
                            continue;
                        }
                        Object::Repository(object) => Sample::trimmed("", schema::REPOSITORY, object),
                        Object::Visibility(object) => Sample::trimmed("", schema::VISIBILITY, object),
                        Object::Policy(object) => Sample::trimmed("", schema::POLICY, object),
                    };
                    let mut meant = sample.object.clone();
                    trim(&mut meant, &schema_of(object));
                    assert_eq!(read.object, meant, "{path}");
                }
            }
        }
    }

    fn schema_of(object: &Object) -> Json {
        let definition = match object {
            Object::Repository(_) => schema::REPOSITORY,
            Object::Visibility(_) => schema::VISIBILITY,
            Object::Policy(_) => schema::POLICY,
            Object::Namespace(_) => unreachable!("a namespace has no definition of ours"),
        };
        schema::documents()[definition]["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn every_field_is_shown() {
        fn fields(schema: &Json, path: &str, found: &mut BTreeSet<String>) {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                fields(schema, &path, found);
                fields(&schema["items"], &path, found);
                found.insert(path);
            }
        }
        fn shown(value: &Value, path: &str, found: &mut BTreeSet<String>) {
            match value {
                Value::Mapping(fields) => {
                    for (key, value) in fields {
                        let path = format!("{path}.{}", key.as_str().unwrap());
                        shown(value, &path, found);
                        found.insert(path);
                    }
                }
                Value::Sequence(list) => list.iter().for_each(|item| shown(item, path, found)),
                _ => {}
            }
        }
        for (definition, (path, samples)) in every_field::samples().into_iter().enumerate() {
            let (mut known, mut found) = (BTreeSet::new(), BTreeSet::new());
            let root = &schema::documents()[definition]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            fields(&root["properties"]["spec"], "", &mut known);
            samples.iter().for_each(|sample| shown(&sample.object["spec"], "", &mut found));
            let missing: Vec<_> = known.difference(&found).collect();
            assert!(missing.is_empty(), "{path} lacks {missing:?}");
        }
    }
}
