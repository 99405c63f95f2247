//! `identity.sock`: the registry asks, the operator answers with the cluster's TokenReview and SubjectAccessReview.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Path of the question [`AuthenticateRequest`], by POST.
pub const AUTHENTICATE: &str = "/v1/authenticate";
/// Path of the question [`AuthorizeRequest`], by POST.
pub const AUTHORIZE: &str = "/v1/authorize";

/// An identity as its authority states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// `alice`, or `system:serviceaccount:team-a:ci`.
    pub name: String,
    /// What tells this user from a later one of the same name: the cluster's uid, or a mark of the users file's
    /// entry that changes with the password.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Who is it that shows this token?
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthenticateRequest {
    /// A token as the client sent it.
    pub token: String,
}

/// The answer to [`AuthenticateRequest`]; no user means that the token proves nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticateResponse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The token's own end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// May this user do that? A SubjectAccessReview in the words of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizeRequest {
    /// [`User::name`]; the next three are the rest of that user, as the answer to [`AuthenticateRequest`] gave them.
    pub user: String,
    #[serde(default)]
    pub uid: String,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
    pub namespace: String,
    /// The object; empty for a question about the whole namespace.
    #[serde(default)]
    pub name: String,
    /// Plural of the kind, in the group `berth.dev`.
    pub resource: String,
    #[serde(default)]
    pub subresource: String,
    pub verb: String,
}

/// The answer to [`AuthorizeRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizeResponse {
    pub allowed: bool,
}

/// Without the token: it is a password.
impl std::fmt::Debug for AuthenticateRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AuthenticateRequest").finish_non_exhaustive()
    }
}
