//! Which images a policy is about.
//!
//! In a registry the configuration document says which policy governs an image. Offline, with a policy and an inventory
//! from files, only the policy itself can say which images it selects: that is [`Selection`].

use std::collections::BTreeSet;

use super::inventory::Inventory;
use super::rules::patterns;
use crate::kinds::{CleanupPolicySpec, ImageSelection, LabelSelector};
use crate::name::ImageName;
use crate::pattern::WholeName;
use crate::problem::Problem;

/// The images of the selected repositories that a policy is about: `spec.images`.
#[derive(Clone, Debug, Default)]
pub struct ImageSelector(Option<Vec<WholeName>>);

impl ImageSelector {
    /// # Errors
    /// One [`Problem`] per pattern that cannot be used.
    pub fn new(images: Option<&ImageSelection>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let matching =
            images.map(|images| patterns("spec.images.matching", &images.matching, WholeName::new, &mut problems));
        if problems.is_empty() { Ok(Self(matching)) } else { Err(problems) }
    }

    /// Whether the policy names images by path at all, which makes it the most specific kind of policy.
    pub const fn by_path(&self) -> bool {
        self.0.is_some()
    }

    pub fn selects(&self, image: &ImageName) -> bool {
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(image.as_str())))
    }
}

/// What a policy selects, as far as an inventory can answer.
#[derive(Clone, Debug)]
pub struct Selection {
    namespace: String,
    names: Option<BTreeSet<String>>,
    selector: Option<LabelSelector>,
    images: ImageSelector,
    of_namespaces: bool,
}

/// Why an inventory cannot be asked (exit code 78).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    #[error(
        "the policy selects repositories by their labels, and the inventory gives none for {image}: add the labels of \
         its ContainerRepository as \"labels\", or name the repositories in spec.repositories.names"
    )]
    NoLabels { image: ImageName },
    #[error(
        "the policy is a default for namespaces selected by label (spec.namespaceSelector), and an inventory knows no \
         namespaces: plan without that field to see what the rules do"
    )]
    NamespaceSelector,
}

impl Selection {
    /// The selection of a policy in this namespace.
    ///
    /// # Errors
    /// One [`Problem`] per pattern that cannot be used.
    pub fn new(namespace: &str, spec: &CleanupPolicySpec) -> Result<Self, Vec<Problem>> {
        let repositories = spec.repositories.as_ref();
        Ok(Self {
            namespace: namespace.to_owned(),
            names: repositories.and_then(|by| by.names.as_ref()).map(|names| names.iter().cloned().collect()),
            selector: repositories.and_then(|by| by.selector.clone()),
            images: ImageSelector::new(spec.images.as_ref())?,
            of_namespaces: spec.namespace_selector.is_some(),
        })
    }

    /// The part of an inventory that the policy selects.
    ///
    /// # Errors
    /// [`SelectionError::NoLabels`] when labels would decide about an image that has none; a selector that holds for an
    /// object without labels, such as `DoesNotExist`, is answered. [`SelectionError::NamespaceSelector`] when it would
    /// take the labels of namespaces.
    pub fn select(&self, inventory: &Inventory) -> Result<Inventory, SelectionError> {
        if self.of_namespaces {
            return Err(SelectionError::NamespaceSelector);
        }
        let mut selected = Inventory { images: Vec::new(), in_use: inventory.in_use };
        for image in &inventory.images {
            let repository = &image.repository;
            let named = self.names.as_ref().is_none_or(|names| names.contains(repository.object_name()));
            if repository.namespace() != self.namespace || !named || !self.images.selects(&image.image) {
                continue;
            }
            if let Some(selector) = &self.selector
                && !selector.matches(&image.labels)
            {
                if image.labels.is_empty() {
                    return Err(SelectionError::NoLabels { image: image.image.clone() });
                }
                continue;
            }
            selected.images.push(image.clone());
        }
        Ok(selected)
    }
}
