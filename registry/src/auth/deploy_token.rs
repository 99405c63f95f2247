//! Deploy tokens: passwords for machines, `berth_<id>_<random>`, of which only the SHA-256 is ever stored.

use berth_crds::configuration::{Configuration, DeployTokenEntry};
use berth_crds::name::RepositoryName;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every deploy token begins with, for secret scanners and for us.
const PREFIX: &str = "berth_";

/// A deploy token that was just made; the only moment its text is known.
#[derive(Clone)]
pub struct NewDeployToken {
    /// The secret, to be shown once.
    pub token: String,
    /// What goes into `spec.deployTokens[].sha256`.
    pub sha256: String,
}

impl std::fmt::Debug for NewDeployToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewDeployToken").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// `registry deploy-token`: a token with 256 random bits, which is why a plain SHA-256 protects it.
pub fn generate() -> NewDeployToken {
    let id: [u8; 5] = rand::random();
    let secret: [u8; 32] = rand::random();
    let text = |bytes: &[u8]| BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
    let token = format!("{PREFIX}{}_{}", text(&id), text(&secret));
    let sha256 = hash(&token);
    NewDeployToken { token, sha256 }
}

/// Whether a password is meant to be a deploy token, valid or not.
pub(super) fn claimed_by(password: &str) -> bool {
    password.starts_with(PREFIX)
}

/// The token that a password is, if it is one that is listed and has not expired.
///
/// Looks through all of them in constant time each: there are a few per repository, and what differs is only the hash
/// of what was sent.
pub(super) fn find<'a>(
    configuration: &'a Configuration,
    password: &str,
    now: Timestamp,
) -> Option<(&'a RepositoryName, &'a DeployTokenEntry)> {
    let sent = hash(password);
    let matches = |entry: &DeployTokenEntry| bool::from(entry.sha256.as_bytes().ct_eq(sent.as_bytes()));
    let all = configuration
        .repositories
        .iter()
        .flat_map(|(repository, entry)| entry.deploy_tokens.iter().map(move |token| (repository, token)));
    all.filter(|(_, token)| is_current(token, now)).find(|(_, token)| matches(token))
}

/// The entry a registry token was signed for, if it is still listed with the same secret and has not expired.
pub(super) fn current<'a>(
    configuration: &'a Configuration,
    repository: &RepositoryName,
    id: &str,
    now: Timestamp,
) -> Option<&'a DeployTokenEntry> {
    let tokens = &configuration.repositories.get(repository)?.deploy_tokens;
    tokens.iter().find(|token| token.id == id && is_current(token, now))
}

fn is_current(token: &DeployTokenEntry, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|end| now < end)
}

fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token))
}
