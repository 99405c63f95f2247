//! The API server's audit log: who asked for what, and how it was answered.

use anyhow::Context as _;
use serde::Deserialize;
use std::path::Path;

pub(super) const FILE: &str = "audit.jsonl";

/// One answered request, at level Metadata. Watches appear twice: at their start, and at their end.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(rename = "auditID")]
    pub audit_id: String,
    pub stage: Stage,
    pub verb: String,
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    pub user: User,
    pub impersonated_user: Option<User>,
    #[serde(default)]
    pub user_agent: String,
    /// What it was about; absent for paths that name no resource, such as `/readyz`.
    pub object_ref: Option<ObjectRef>,
    pub response_status: Option<Response>,
}

/// When in the life of a request an event was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// The first byte of a watch's answer is on its way.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// Who asked.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub username: String,
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What a request was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

/// How it was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Response {
    /// The HTTP status.
    pub code: u16,
    #[serde(default)]
    pub message: String,
}

impl Event {
    /// In whose name it was asked.
    pub fn username(&self) -> &str {
        &self.impersonated_user.as_ref().unwrap_or(&self.user).username
    }

    /// Whether the request was refused for want of a right.
    pub fn denied(&self) -> bool {
        self.response_status.as_ref().is_some_and(|response| response.code == 403)
    }
}

/// Everything in the log of the control plane in `folder`. A line that is still being written is left out.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<Event>> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("audit log: {line}"))).collect()
}
