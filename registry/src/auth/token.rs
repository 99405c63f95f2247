//! The registry token: says who its holder is and what it may be used for at most. It never says that anything is
//! allowed: that is decided live, on every request.

use berth_crds::name::ImageName;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{Keys, SigningError, TokenType, VerifyError};
use super::scope::{Scope, ScopeActions};
use super::subject::Subject;

/// How far clocks of replicas may disagree about a token's beginning. Its end is taken exactly.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The claims, in the form of distribution's docs/content/spec/auth/jwt.md so that other tools can read them, plus the
/// subject.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: Vec<AccessClaim>,
    #[serde(rename = "berth.dev/subject")]
    subject: Subject,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum AccessClaim {
    Repository { name: ImageName, actions: ScopeActions },
    Registry { name: String, actions: Vec<String> },
}

impl From<&Scope> for AccessClaim {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Image { image, actions } => Self::Repository { name: image.clone(), actions: actions.clone() },
            Scope::Catalog => Self::Registry { name: "catalog".to_owned(), actions: vec!["*".to_owned()] },
        }
    }
}

impl From<AccessClaim> for Scope {
    fn from(claim: AccessClaim) -> Self {
        match claim {
            AccessClaim::Repository { name, actions } => Self::Image { image: name, actions },
            AccessClaim::Registry { .. } => Self::Catalog,
        }
    }
}

/// A token about to be given out.
#[derive(Debug)]
pub(super) struct NewToken<'a> {
    pub(super) service: &'a str,
    pub(super) subject: &'a Subject,
    pub(super) scopes: &'a [Scope],
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

/// What a token says, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) subject: Subject,
    pub(super) scopes: Vec<Scope>,
    /// `jti`.
    pub(super) id: String,
    pub(super) expires: Timestamp,
}

pub(super) fn issue(keys: &Keys, new: &NewToken<'_>) -> Result<String, SigningError> {
    let claims = Claims {
        iss: new.service.to_owned(),
        sub: new.subject.name(),
        aud: new.service.to_owned(),
        exp: new.expires.as_second(),
        nbf: new.issued.as_second(),
        iat: new.issued.as_second(),
        jti: HEXLOWER.encode(&rand::random::<[u8; 16]>()),
        access: new.scopes.iter().map(AccessClaim::from).collect(),
        subject: new.subject.clone(),
    };
    keys.sign(TokenType::Access, &claims)
}

/// Verifies everything but the end, which is the caller's to judge: an expired token may still go on with its upload.
pub(super) async fn verify(keys: &Keys, service: &str, token: &str, now: Timestamp) -> Result<Token, VerifyError> {
    let claims: Claims = keys.verify(TokenType::Access, service, token).await?;
    let begins = Timestamp::from_second(claims.nbf).map_err(|_| VerifyError::Invalid)?;
    if claims.iss != service || now + LEEWAY < begins {
        return Err(VerifyError::Invalid);
    }
    Ok(Token {
        subject: claims.subject,
        scopes: claims.access.into_iter().map(Scope::from).collect(),
        id: claims.jti,
        expires: Timestamp::from_second(claims.exp).map_err(|_| VerifyError::Invalid)?,
    })
}
