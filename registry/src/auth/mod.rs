//! Who is asking, and may they? Asked by every request before its body is read.
//!
//! [`Access`] is the one door. A credential (password, deploy token, cluster token, or a registry token issued here)
//! proves a [`Subject`] and bounds it; what the subject may is then decided live against the current configuration
//! and the authority, on every request (DESIGN §4). A [`Refusal`] is the finished answer.

// The callers of some of these parts land with the credentials.
#![allow(dead_code)]

mod access;
mod origin;
mod refusal;
pub mod scope;
mod subject;

pub use access::{Access, Action, Settings, Upload};
pub use origin::{NetworkError, TrustedProxies};
pub use refusal::Refusal;
pub use subject::{Caller, DeployTokenId, Subject, User};
