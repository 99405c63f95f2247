//! What is compiled: every object there is, as a watch or a folder of files gives them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::kinds::{
    CleanupPolicy, ContainerRepository, LabelSelector, MadeToken, RegistryVisibility, RepositorySelection,
};
use crate::manifest::{Namespace, Object};
use crate::name::RepositoryName;

/// Every object of a cluster or of a folder.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Namespaces by name. One that is missing has the label every namespace has, and no UID.
    pub namespaces: BTreeMap<String, Namespace>,
    pub repositories: Vec<ContainerRepository>,
    pub visibilities: Vec<RegistryVisibility>,
    pub policies: Vec<CleanupPolicy>,
    /// Where `spec.namespaceSelector` works; without it nowhere.
    pub system_namespace: Option<String>,
    /// Tokens that an operator made for a repository, as its status records them. Not read from the objects themselves:
    /// in a file anybody can write a status.
    pub made_tokens: BTreeMap<RepositoryName, Vec<MadeToken>>,
}

impl FromIterator<Object> for Objects {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut all = Self::default();
        for object in objects {
            match object {
                Object::Namespace(namespace) => drop(all.namespaces.insert(namespace.name.clone(), namespace)),
                Object::Repository(object) => all.repositories.push(*object),
                Object::Visibility(object) => all.visibilities.push(*object),
                Object::Policy(object) => all.policies.push(*object),
            }
        }
        all
    }
}

impl Objects {
    pub(super) fn namespace(&self, name: &str) -> Cow<'_, Namespace> {
        self.namespaces.get(name).map_or_else(|| Cow::Owned(Namespace::named(name)), Cow::Borrowed)
    }
}

/// Which repositories an object selects: shared by visibility and cleanup.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    pub(super) namespace: &'a str,
    pub(super) repositories: Option<&'a RepositorySelection>,
    pub(super) namespaces: Option<&'a LabelSelector>,
}

impl Reach<'_> {
    /// Whether a repository with these labels is selected, in a namespace with those.
    pub(super) fn selects(
        &self,
        repository: &RepositoryName,
        labels: &BTreeMap<String, String>,
        namespace_labels: &BTreeMap<String, String>,
    ) -> bool {
        let in_reach = match self.namespaces {
            Some(namespaces) => namespaces.matches(namespace_labels),
            None => repository.namespace() == self.namespace,
        };
        in_reach
            && self.repositories.is_none_or(|by| {
                by.names.as_ref().is_none_or(|names| names.iter().any(|name| name == repository.object_name()))
                    && by.selector.as_ref().is_none_or(|selector| selector.matches(labels))
            })
    }

    /// Names that no repository has.
    pub(super) fn missing<'a>(&'a self, repositories: &'a [RepositoryName]) -> Vec<&'a str> {
        let names = self.repositories.and_then(|by| by.names.as_ref()).map(Vec::as_slice).unwrap_or_default();
        names
            .iter()
            .map(String::as_str)
            .filter(|name| !repositories.iter().any(|one| one.object_name() == *name))
            .collect()
    }
}
