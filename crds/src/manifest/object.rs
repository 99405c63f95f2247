//! The objects that a file can hold, and what identifies them.

use std::collections::BTreeMap;
use std::fmt;

use crate::kinds::{CleanupPolicy, ContainerRepository, RegistryVisibility};

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A namespace, for its labels: `spec.namespaceSelector` selects by them.
    Namespace(Namespace),
    Repository(Box<ContainerRepository>),
    Visibility(Box<RegistryVisibility>),
    Policy(Box<CleanupPolicy>),
}

/// What matters of a Kubernetes Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Absent in files: only a cluster gives one.
    pub uid: Option<String>,
}

impl Namespace {
    /// A namespace of which nothing is known but its name, and the label that every cluster gives it.
    pub fn named(name: &str) -> Self {
        let labels = BTreeMap::from([(Self::NAME_LABEL.to_owned(), name.to_owned())]);
        Self { name: name.to_owned(), labels, uid: None }
    }

    /// The label that carries the name, so that `namespaceSelector` can select one namespace.
    pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
}

/// Which object, across files and in every message: `<kind> <namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    pub kind: &'static str,
    /// Absent for a Namespace.
    pub namespace: Option<String>,
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl Object {
    pub fn id(&self) -> ObjectId {
        let (kind, meta) = match self {
            Self::Namespace(namespace) => {
                return ObjectId { kind: "Namespace", namespace: None, name: namespace.name.clone() };
            }
            Self::Repository(object) => ("ContainerRepository", &object.metadata),
            Self::Visibility(object) => ("RegistryVisibility", &object.metadata),
            Self::Policy(object) => ("CleanupPolicy", &object.metadata),
        };
        // Both are always present: files without them are refused and an API server never sends such objects.
        ObjectId {
            kind,
            namespace: Some(meta.namespace.clone().unwrap_or_default()),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}
