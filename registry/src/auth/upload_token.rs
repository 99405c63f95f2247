//! The state of an upload as its Location carries it: signed, and of use for nothing else (amendment R10).
//!
//! It has a type and an audience of its own and is never a credential. It names image, session, subject and an absolute
//! end, all compared with the request it comes with.

use berth_crds::name::ImageName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{Keys, SigningError, TokenType, VerifyError};
use super::subject::Subject;
use crate::storage::UploadState;

/// An upload session: where it stands, and when it ends whatever happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub state: UploadState,
    /// Fixed when the upload began; going on with it never moves it.
    pub(super) ends: Timestamp,
}

impl Upload {
    /// The same session, further on.
    #[must_use]
    pub const fn advanced_to(&self, state: UploadState) -> Self {
        Self { state, ends: self.ends }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// Whose upload it is, see [`Subject::key`].
    sub: String,
    exp: i64,
    image: ImageName,
    state: UploadState,
    /// `jti` of the registry token this was sealed under, the only one that may go on after its own end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    under: Option<String>,
}

/// Whom and what a sealed upload belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    pub(super) service: &'a str,
    pub(super) image: &'a ImageName,
    pub(super) subject: &'a Subject,
}

/// A sealed upload, opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) upload: Upload,
    pub(super) under: Option<String>,
}

pub(super) fn seal(
    keys: &Keys,
    binding: Binding<'_>,
    upload: &Upload,
    under: Option<&str>,
) -> Result<String, SigningError> {
    let claims = Claims {
        iss: binding.service.to_owned(),
        aud: audience(binding.service),
        sub: binding.subject.key(),
        exp: upload.ends.as_second(),
        image: binding.image.clone(),
        state: upload.state.clone(),
        under: under.map(str::to_owned),
    };
    keys.sign(TokenType::Upload, &claims)
}

/// Opens a sealed upload for the session, image and subject of a request.
///
/// # Errors
/// [`VerifyError::Invalid`] for one that is altered, somebody else's, of another image or session, or past its end.
pub(super) async fn open(
    keys: &Keys,
    binding: Binding<'_>,
    session: &str,
    sealed: &str,
    now: Timestamp,
) -> Result<Opened, VerifyError> {
    let claims: Claims = keys.verify(TokenType::Upload, &audience(binding.service), sealed).await?;
    let ends = Timestamp::from_second(claims.exp).map_err(|_| VerifyError::Invalid)?;
    let ours = claims.iss == binding.service
        && claims.sub == binding.subject.key()
        && claims.image == *binding.image
        && claims.state.session == session
        && now < ends;
    if ours {
        Ok(Opened { upload: Upload { state: claims.state, ends }, under: claims.under })
    } else {
        Err(VerifyError::Invalid)
    }
}

/// Not a name any registry token is for.
fn audience(service: &str) -> String {
    format!("{service}/uploads")
}
