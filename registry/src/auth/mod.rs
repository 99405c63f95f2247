//! Who is asking, and may they? Asked by every request before its body is read.
//!
//! [`Access`] is the one door. A credential (password, deploy token, cluster token, or a registry token given out at
//! `/token`) proves a [`Subject`] and bounds it; what the subject may is then decided live, against the configuration
//! in force and the [`authority`], on every request (DESIGN §4). A [`Refusal`] is the finished answer.
//!
//! | File | Is about |
//! |---|---|
//! | `access` | the questions routes ask |
//! | `prove` | from what a request shows to who sends it |
//! | `live` | the decision of this moment, without regard to tokens |
//! | `endpoint` | `/token` |
//! | `credentials`, `subject`, `scope`, `origin` | what a request says of itself |
//! | `token`, `upload_token`, `keys` | what this registry signs |
//! | `authority`, `users_authority`, `identity` | who knows users and their rights |
//! | `users`, `deploy_token`, `lockout` | passwords |
//! | `refusal` | the answers |

mod access;
pub mod authority;
mod clock;
mod credentials;
pub mod deploy_token;
mod endpoint;
pub mod identity;
mod keys;
mod live;
mod lockout;
mod origin;
mod prove;
mod refusal;
pub mod scope;
mod settings;
mod subject;
#[cfg(test)]
mod tests;
mod token;
mod upload_token;
pub mod users;
mod users_authority;

pub use access::Access;
pub use berth_crds::wire::identity::User;
pub use clock::Clock;
pub use endpoint::router as token_router;
pub use keys::Keys;
pub use origin::{NetworkError, TrustedProxies};
pub use refusal::Refusal;
pub use settings::{ServiceName, ServiceNameError, Settings};
pub use subject::{Caller, DeployTokenId, Subject};
pub use upload_token::Upload;
pub use users_authority::{UsersAuthority, UsersFile, UsersFileError};
