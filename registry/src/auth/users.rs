//! The users file (DESIGN §4): who may log in with a password, and with which roles.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use berth_crds::access::Memberships;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::deploy_token;

/// Most memory one check of a password may take, in KiB; bounds what a hash in the file can cost.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Most passes one check may take.
const MAX_PASSES: u32 = 16;
/// Longest user name and longest password, in bytes.
const MAX_NAME: usize = 128;
const MAX_PASSWORD: usize = 1024;

/// A hash of the default cost that no password matches: 32 random bytes nobody knows.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let password: [u8; 32] = rand::random();
    hash(&password)
});

/// The content of a users file. Invariant: names are unique and every hash is one we can check.
#[derive(Clone, Debug, Default)]
pub struct Users(BTreeMap<String, Entry>);

/// One user.
#[derive(Clone)]
pub(super) struct Entry {
    /// PHC string.
    password: String,
    pub(super) roles: Memberships,
    /// Changes whenever the password does, and says nothing about it: 16 characters of the SHA-256 of the salted hash.
    pub(super) mark: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("roles", &self.roles).field("mark", &self.mark).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    users: Vec<UserLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserLine {
    name: String,
    password: String,
    #[serde(default)]
    roles: Memberships,
}

/// Why a users file is refused as a whole; the one read before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("{0}")]
    Syntax(#[from] serde_yaml::Error),
    #[error("user name \"{0}\": write 1 to {MAX_NAME} characters without blanks, colons and control characters")]
    Name(String),
    #[error("user name \"{0}\": names that begin with \"system:\" belong to the cluster")]
    Reserved(String),
    #[error("user \"{0}\" is listed twice: merge the entries")]
    Twice(String),
    #[error("user \"{name}\": the password must be a hash, {reason}: make one with `registry hash-password`")]
    Password { name: String, reason: &'static str },
}

impl Users {
    /// Reads the text of a users file.
    ///
    /// # Errors
    /// [`UsersError`] names the entry and what to do; unknown fields and roles are refused.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        // Slow to make: here, and not in the first login.
        LazyLock::force(&NOBODY);
        let file: UsersFile = serde_yaml::from_str(text)?;
        let mut users = BTreeMap::new();
        for UserLine { name, password, roles } in file.users {
            check_name(&name)?;
            check_hash(&password).map_err(|reason| UsersError::Password { name: name.clone(), reason })?;
            let mark = HEXLOWER.encode(&Sha256::digest(&password)[..8]);
            if users.insert(name.clone(), Entry { password, roles, mark }).is_some() {
                return Err(UsersError::Twice(name));
            }
        }
        Ok(Self(users))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hash to check a password of `name` against. For unknown names it is one that nothing matches, so that the
    /// answer takes as long and does not tell who exists.
    pub(super) fn hash_of(&self, name: &str) -> &str {
        self.get(name).map_or_else(|| NOBODY.as_str(), |entry| entry.password.as_str())
    }
}

/// The memory of checks that are over, for the next ones. A check takes 19 MiB; given back to the allocator, every thread
/// that ever checked a password would keep as much for itself.
#[derive(Default)]
pub(super) struct CheckMemory(Mutex<Vec<Vec<Block>>>);

impl std::fmt::Debug for CheckMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckMemory").finish_non_exhaustive()
    }
}

impl CheckMemory {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a password matches a hash. Takes tens of milliseconds of a core and tens of MiB: run it on a blocking thread.
pub(super) fn check_password(password: &str, hash: &str, memory: &CheckMemory) -> bool {
    if password.len() > MAX_PASSWORD {
        return false;
    }
    let mut blocks = memory.lock().pop().unwrap_or_default();
    let right = matches(password.as_bytes(), hash, &mut blocks).unwrap_or(false);
    memory.lock().push(blocks);
    right
}

/// What argon2's own verification does, in memory of ours; `None` for a hash that is none.
fn matches(password: &[u8], hash: &str, blocks: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let needed = params.block_count();
    if blocks.len() < needed {
        blocks.resize(needed, Block::new());
    }
    let mut actual = vec![0; expected.len()];
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password, salt.as_ref(), &mut actual, &mut blocks[..needed]).ok()?;
    Some(actual.ct_eq(expected.as_bytes()).into())
}

/// `registry hash-password`: the PHC string for a users file, argon2id with OWASP's parameters and a random salt.
///
/// # Errors
/// [`PasswordError`] for passwords that could never be used.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    match password {
        "" => Err(PasswordError::Empty),
        _ if password.len() > MAX_PASSWORD => Err(PasswordError::TooLong),
        _ if deploy_token::claimed_by(password) => Err(PasswordError::LooksLikeDeployToken),
        _ => Ok(hash(password.as_bytes())),
    }
}

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password is empty: type one, or pipe it in")]
    Empty,
    #[error("the password is longer than {MAX_PASSWORD} bytes")]
    TooLong,
    #[error("the password begins like a deploy token (berth_…) and would be taken for one: choose another")]
    LooksLikeDeployToken,
}

fn hash(password: &[u8]) -> String {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
        .hash_password(password)
        .expect("the default parameters are valid and the system has random numbers")
        .to_string()
}

fn check_name(name: &str) -> Result<(), UsersError> {
    if name.starts_with("system:") {
        return Err(UsersError::Reserved(name.to_owned()));
    }
    // A colon ends the name in a Basic header.
    let well_formed = |c: char| !c.is_whitespace() && !c.is_control() && c != ':';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(well_formed) {
        return Err(UsersError::Name(name.to_owned()));
    }
    Ok(())
}

fn check_hash(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "and this is not one")?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("made with argon2id");
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("with its salt and result");
    }
    let params = Params::try_from(&hash).map_err(|_| "with valid parameters")?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
        return Err("of at most 256 MiB and 16 passes");
    }
    Ok(())
}
