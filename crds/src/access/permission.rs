//! The rights that an authority is asked about, in the words of Kubernetes RBAC (DESIGN §4).

use std::fmt;

/// A right: a verb on a virtual resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission {
    pub resource: Resource,
    pub verb: Verb,
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `containerrepositories/images`
    Images,
    /// `containerrepositories/protectedtags`
    ProtectedTags,
    /// `cleanuppolicies/runs`
    Runs,
    /// `containerrepositories` itself.
    Repository,
}

/// What a right allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Create,
    Update,
    Delete,
    DeleteCollection,
    Administer,
}

impl Permission {
    /// View and pull; who has it is a member.
    pub const PULL: Self = Self::new(Resource::Images, Verb::Get);
    /// See in listings.
    pub const LIST: Self = Self::new(Resource::Images, Verb::List);
    pub const PUSH: Self = Self::new(Resource::Images, Verb::Update);
    /// Delete one tag, or a manifest with at most one.
    pub const DELETE_ONE: Self = Self::new(Resource::Images, Verb::Delete);
    /// Delete several tags, a manifest with several tags, an image, a repository.
    pub const DELETE_MANY: Self = Self::new(Resource::Images, Verb::DeleteCollection);
    pub const PUSH_PROTECTED: Self = Self::new(Resource::ProtectedTags, Verb::Update);
    pub const DELETE_ONE_PROTECTED: Self = Self::new(Resource::ProtectedTags, Verb::Delete);
    pub const DELETE_MANY_PROTECTED: Self = Self::new(Resource::ProtectedTags, Verb::DeleteCollection);
    /// Start a run of a policy that somebody with rights over images has applied.
    pub const RUN_POLICY: Self = Self::new(Resource::Runs, Verb::Create);
    /// Quota, adoption, aliases.
    pub const ADMINISTER: Self = Self::new(Resource::Repository, Verb::Administer);

    /// Every permission that [`super::decide`] and [`super::decide_run`] ask about.
    pub const ALL: [Self; 10] = [
        Self::PULL,
        Self::LIST,
        Self::PUSH,
        Self::DELETE_ONE,
        Self::DELETE_MANY,
        Self::PUSH_PROTECTED,
        Self::DELETE_ONE_PROTECTED,
        Self::DELETE_MANY_PROTECTED,
        Self::RUN_POLICY,
        Self::ADMINISTER,
    ];

    pub const fn new(resource: Resource, verb: Verb) -> Self {
        Self { resource, verb }
    }
}

impl Resource {
    /// Plural of the kind, as a SubjectAccessReview names it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Images | Self::ProtectedTags | Self::Repository => "containerrepositories",
            Self::Runs => "cleanuppolicies",
        }
    }

    /// Virtual subresource, as a SubjectAccessReview names it; empty for the object itself.
    pub const fn subresource(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::ProtectedTags => "protectedtags",
            Self::Runs => "runs",
            Self::Repository => "",
        }
    }
}

impl Verb {
    /// The verb as RBAC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Administer => "administer",
        }
    }
}

/// As an administrator would write it in a Role: `update on containerrepositories/images`.
impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.verb.as_str(), self.resource.plural())?;
        match self.resource.subresource() {
            "" => Ok(()),
            subresource => write!(f, "/{subresource}"),
        }
    }
}
