//! What of an object decides anything: a change elsewhere, such as in its status, is no change.

use berth_crds::kinds::{
    Access, CleanupPolicy, ContainerRepository, RegistryVisibility, RegistryVisibilitySpec, Visibility,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt as _};

/// Whether two states of one object mean the same, and what an unreadable one means.
pub(crate) trait Meaning: Resource<DynamicType = ()> + Clone {
    /// Whether everything else would be decided alike for both.
    fn means_the_same(&self, other: &Self) -> bool;

    /// What is assumed of an object that cannot be read and of which no readable state is known. `None`: as if it did
    /// not exist, where that shows, serves and deletes nothing more than it would.
    fn unreadable(_: &ObjectMeta) -> Option<Self> {
        None
    }
}

/// Labels, identity, and whether it is being deleted.
fn same_metadata<K: Resource>(one: &K, other: &K) -> bool {
    let (one, other) = (one.meta(), other.meta());
    let labels = |meta: &ObjectMeta| meta.labels.clone().unwrap_or_default();
    one.uid == other.uid
        && one.generation == other.generation
        && one.deletion_timestamp.is_some() == other.deletion_timestamp.is_some()
        && labels(one) == labels(other)
}

impl Meaning for PartialObjectMeta<Namespace> {
    fn means_the_same(&self, other: &Self) -> bool {
        same_metadata(self, other)
    }
}

impl Meaning for ContainerRepository {
    fn means_the_same(&self, other: &Self) -> bool {
        let made = |object: &Self| object.status.as_ref().map(|status| status.made_tokens.clone()).unwrap_or_default();
        same_metadata(self, other) && self.spec == other.spec && made(self) == made(other)
    }
}

impl Meaning for RegistryVisibility {
    fn means_the_same(&self, other: &Self) -> bool {
        same_metadata(self, other) && self.spec == other.spec
    }

    /// It may be the one object that narrows what others show, so it narrows its whole namespace to members.
    fn unreadable(metadata: &ObjectMeta) -> Option<Self> {
        let spec = RegistryVisibilitySpec {
            repositories: None,
            namespace_selector: None,
            visibility: Visibility::Private,
            access: Access::MembersOnly,
        };
        let mut object = Self::new(metadata.name.as_deref()?, spec);
        object.metadata = metadata.clone();
        Some(object)
    }
}

impl Meaning for CleanupPolicy {
    fn means_the_same(&self, other: &Self) -> bool {
        // Requests for runs are annotations.
        same_metadata(self, other) && self.spec == other.spec && self.annotations() == other.annotations()
    }
}
