//! Everything that the watches have shown, in memory: what the configuration is compiled from and statuses are made of.
//!
//! ```text
//! watches ─▶ Shelf per kind ─▶ Index ─▶ Objects ─▶ compile
//! ```

mod meaning;
mod shelf;
mod watermark;

use berth_crds::configuration::Objects;
use berth_crds::kinds::{CleanupPolicy, ContainerRepository, MadeToken, RegistryVisibility};
use berth_crds::manifest;
use berth_crds::name::RepositoryName;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt as _};

pub(crate) use meaning::Meaning;
pub(crate) use shelf::{Kept, Key, Shelf};
pub(crate) use watermark::Watermark;

/// The objects of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) namespaces: Shelf<PartialObjectMeta<Namespace>>,
    pub(crate) repositories: Shelf<ContainerRepository>,
    pub(crate) visibilities: Shelf<RegistryVisibility>,
    pub(crate) policies: Shelf<CleanupPolicy>,
}

impl Index {
    /// Whether every kind has been listed: before that nothing may be compiled, because a missing object could be the
    /// one that narrows.
    pub(crate) const fn is_complete(&self) -> bool {
        self.namespaces.is_complete()
            && self.repositories.is_complete()
            && self.visibilities.is_complete()
            && self.policies.is_complete()
    }

    pub(crate) const fn watermark(&self) -> Watermark {
        Watermark {
            namespaces: self.namespaces.seen(),
            repositories: self.repositories.seen(),
            visibilities: self.visibilities.seen(),
            policies: self.policies.seen(),
        }
    }

    /// What is compiled. An object that is being deleted counts as gone, so that nothing is served while it goes.
    pub(crate) fn objects(&self, system_namespace: &str) -> Objects {
        Objects {
            namespaces: self.namespaces.iter().map(|(key, kept)| (key.name.clone(), namespace(&kept.object))).collect(),
            repositories: standing(&self.repositories),
            visibilities: standing(&self.visibilities),
            policies: standing(&self.policies),
            system_namespace: Some(system_namespace.to_owned()),
            made_tokens: self.repositories.iter().filter_map(|(_, kept)| made_tokens(&kept.object)).collect(),
        }
    }
}

fn namespace(object: &PartialObjectMeta<Namespace>) -> manifest::Namespace {
    manifest::Namespace { name: object.name_any(), labels: object.labels().clone(), uid: object.uid() }
}

fn standing<K: Resource + Clone>(shelf: &Shelf<K>) -> Vec<K> {
    let standing = shelf.iter().filter(|(_, kept)| kept.object.meta().deletion_timestamp.is_none());
    standing.map(|(_, kept)| K::clone(&kept.object)).collect()
}

/// Hashes of the tokens that a leader made for a repository and put into Secrets.
fn made_tokens(object: &ContainerRepository) -> Option<(RepositoryName, Vec<MadeToken>)> {
    let made = object.status.as_ref()?.made_tokens.clone();
    let name = RepositoryName::new(&object.namespace()?, &object.name_any()).ok()?;
    Some((name, made))
}
