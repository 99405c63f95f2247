//! Who sends a request: from what it shows to a [`Caller`].

use http::request::Parts;

use super::access::Access;
use super::authority::{AuthenticationError, Credential};
use super::credentials::Shown;
use super::deploy_token;
use super::keys::{TokenType, VerifyError};
use super::refusal::{Kind, Refusal};
use super::subject::{Bounds, Caller, DeployTokenId, Subject};
use super::token::{self, Token};

/// Why a request's credentials prove nobody.
#[derive(Debug)]
pub(super) enum Unproven {
    /// 401 invalid_token; never treated as anonymous.
    Bad,
    /// A registry token of ours past its end.
    Expired(Token),
    Refused(Refusal),
}

impl Access {
    /// Who sends a request, by the credentials it shows and nothing else.
    pub(super) async fn prove(&self, parts: &Parts) -> Result<Caller, Unproven> {
        match Shown::by(&parts.headers) {
            Shown::Nothing => Ok(Caller::nobody(self.origin(parts).client)),
            Shown::Unreadable => Err(Unproven::Bad),
            Shown::Basic { name, password } => self.prove_by(parts, Some(&name), &password).await,
            Shown::Bearer(token) if TokenType::Access.claimed_by(&token) => {
                let now = self.clock.now();
                let token = match token::verify(&self.keys, self.service(), &token, now).await {
                    Ok(token) => token,
                    Err(VerifyError::Invalid) => return Err(Unproven::Bad),
                    Err(VerifyError::Unavailable(error)) => {
                        return Err(Unproven::Refused(Refusal::unavailable("the store of signing keys", &error)));
                    }
                };
                if now < token.expires { Ok(self.caller_by(token, parts)) } else { Err(Unproven::Expired(token)) }
            }
            Shown::Bearer(token) => self.prove_by(parts, None, &token).await,
        }
    }

    /// Who a password or token used as one belongs to.
    pub(super) async fn prove_by(&self, parts: &Parts, name: Option<&str>, secret: &str) -> Result<Caller, Unproven> {
        let client = self.origin(parts).client;
        if deploy_token::claimed_by(secret) {
            let configuration = self.configuration.load();
            let (repository, entry) =
                deploy_token::find(&configuration, secret, self.clock.now()).ok_or(Unproven::Bad)?;
            let id = DeployTokenId { repository: repository.clone(), id: entry.id.clone() };
            let expires = entry.expires_at;
            return Ok(Caller::direct(Subject::DeployToken(id), expires, client));
        }
        // What we signed ourselves is no password: a token must not prolong itself, a Location must not log in.
        if TokenType::Access.claimed_by(secret) || TokenType::Upload.claimed_by(secret) {
            return Err(Unproven::Bad);
        }
        match self.authority.authenticate(Credential { name, secret, client }).await {
            Ok(proven) => Ok(Caller::direct(Subject::User(proven.user), proven.expires, client)),
            Err(AuthenticationError::Refused) => Err(Unproven::Bad),
            Err(AuthenticationError::Locked { retry_after }) => {
                Err(Unproven::Refused(Kind::Locked { retry_after }.into()))
            }
            Err(AuthenticationError::Unavailable(error)) => Err(Unproven::Refused(error.into())),
        }
    }

    pub(super) fn caller_by(&self, token: Token, parts: &Parts) -> Caller {
        Caller {
            subject: token.subject,
            bounds: Bounds::Scopes(token.scopes),
            token: Some(token.id),
            expires: Some(token.expires),
            address: self.origin(parts).client,
        }
    }
}
