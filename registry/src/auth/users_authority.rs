//! The users file as an authority: read again whenever it changes, asked without slow hashes where possible.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use berth_crds::access::Permission;
use berth_crds::name::RepositoryName;
use berth_crds::wire::identity::User;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::authority::{Authenticated, AuthenticationError, Authority, AuthorityError, Credential};
use super::clock::Clock;
use super::lockout::Lockouts;
use super::users::{self, CheckMemory, Users, UsersError};

/// How long a password that was right need not be checked again.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Checks that run at once: each takes a core and some 20 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// How long a login may wait for its check.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often the file is looked at. Reading it is cheap, works with the symlinks of mounted Secrets, and bounds how
/// long a removed role lives.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A users file in force.
#[derive(Debug)]
pub struct UsersAuthority {
    users: ArcSwap<Users>,
    lockouts: Lockouts,
    checks: Arc<Semaphore>,
    memory: Arc<CheckMemory>,
    /// Passwords found right a moment ago, as keyed hashes that mean nothing outside this process.
    right: moka::future::Cache<[u8; 32], ()>,
    key: [u8; 32],
    /// Slow checks so far.
    checked: AtomicU64,
}

/// Why a users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    #[error("the users file {} cannot be read: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the users file {}: {source}", .path.display())]
    Content { path: PathBuf, source: UsersError },
}

impl UsersAuthority {
    pub fn new(users: Users, clock: Clock) -> Self {
        Self {
            users: ArcSwap::from_pointee(users),
            lockouts: Lockouts::new(clock),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            memory: Arc::default(),
            right: moka::future::Cache::builder().max_capacity(1024).time_to_live(REMEMBERED).build(),
            key: rand::random(),
            checked: AtomicU64::new(0),
        }
    }

    /// Puts other users in force, from this moment on and for tokens issued before it too.
    pub fn replace(&self, users: Users) {
        self.users.store(Arc::new(users));
    }

    #[cfg(test)]
    pub(super) fn slow_checks(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn password_hash_of(&self, name: &str) -> String {
        self.users.load().hash_of(name).to_owned()
    }

    /// Follows the file that the users in force were read from, until dropped; to be spawned once.
    pub async fn follow(self: Arc<Self>, mut file: UsersFile) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(&mut file).await;
        }
    }

    /// Puts the file's users in force if it changed. A file that cannot be read or is refused is reported, once, and
    /// the last good one stays in force.
    pub(super) async fn look(&self, file: &mut UsersFile) {
        match file.read_again().await {
            Ok(None) => {}
            Ok(Some(users)) => {
                let (path, count) = (file.path.display(), users.len());
                tracing::info!(%path, users = count, "the users file was read again");
                file.problem = None;
                self.replace(users);
            }
            Err(error) => {
                let text = error.to_string();
                if file.problem.as_ref() != Some(&text) {
                    tracing::error!(error = text, "the users file is not used; the last good one stays in force");
                    file.problem = Some(text);
                }
            }
        }
    }

    /// A slow check, on a blocking thread, a few at once, with its consequences for the lock.
    async fn check(
        &self,
        credential: Credential<'_>,
        name: &str,
        hash: &str,
        key: [u8; 32],
    ) -> Result<(), AuthenticationError> {
        let busy = || AuthorityError("too many logins at once".to_owned());
        let permit = tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.checks).acquire_owned()).await;
        // Held until the outcome is noted, so that guesses sent all at once do not overtake the lock; and by the
        // thread, so that clients who leave do not free a place that is still being worked in.
        let permit = Arc::new(permit.map_err(|_| busy())?.map_err(|_| busy())?);
        if let Some(retry_after) = self.lockouts.locked_for(name, credential.client).await {
            return Err(AuthenticationError::Locked { retry_after });
        }
        // Many requests that begin with one login wait here together; the first has checked it for all.
        if self.right.contains_key(&key) {
            return Ok(());
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
        let (password, hash, working) = (credential.secret.to_owned(), hash.to_owned(), Arc::clone(&permit));
        let memory = Arc::clone(&self.memory);
        let check = tokio::task::spawn_blocking(move || {
            let right = users::check_password(&password, &hash, &memory);
            drop(working);
            right
        });
        if check.await.map_err(|error| AuthorityError(error.to_string()))? {
            self.lockouts.succeeded(name, credential.client).await;
            self.right.insert(key, ()).await;
            Ok(())
        } else {
            self.lockouts.failed(name, credential.client).await;
            Err(AuthenticationError::Refused)
        }
    }

    /// Distinct for every name, password and hash; a changed password is never answered from memory.
    fn memory_key(&self, name: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(self.key);
        for part in [name, password, hash] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// A users file being followed.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    /// SHA-256 of the text last read, good or not; the hashes in it are not kept twice.
    read: [u8; 32],
    /// What was last reported about it.
    problem: Option<String>,
}

impl UsersFile {
    /// Reads a users file for the first time.
    ///
    /// # Errors
    /// [`UsersFileError`] with the path and what is wrong in it.
    pub async fn open(path: PathBuf) -> Result<(Self, Users), UsersFileError> {
        let text = read(&path).await?;
        let users = parse(&path, &text)?;
        Ok((Self { path, read: Sha256::digest(&text).into(), problem: None }, users))
    }

    async fn read_again(&mut self) -> Result<Option<Users>, UsersFileError> {
        let text = read(&self.path).await?;
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if digest == self.read {
            return Ok(None);
        }
        self.read = digest;
        parse(&self.path, &text).map(Some)
    }
}

async fn read(path: &Path) -> Result<String, UsersFileError> {
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|source| UsersFileError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<Users, UsersFileError> {
    Users::parse(text).map_err(|source| UsersFileError::Content { path: path.to_owned(), source })
}

#[async_trait]
impl Authority for UsersAuthority {
    async fn authenticate(&self, credential: Credential<'_>) -> Result<Authenticated, AuthenticationError> {
        let Some(name) = credential.name else { return Err(AuthenticationError::Refused) };
        let users = self.users.load_full();
        let hash = users.hash_of(name);
        let key = self.memory_key(name, credential.secret, hash);
        if !self.right.contains_key(&key) {
            self.check(credential, name, hash, key).await?;
        }
        let entry = users.get(name).ok_or(AuthenticationError::Refused)?;
        let user = User { name: name.to_owned(), uid: entry.mark.clone(), ..User::default() };
        Ok(Authenticated { user, expires: None })
    }

    async fn stands(&self, user: &User) -> Result<bool, AuthorityError> {
        Ok(self.users.load().get(&user.name).is_some_and(|entry| entry.mark == user.uid))
    }

    async fn may(
        &self,
        user: &User,
        repository: &RepositoryName,
        permission: Permission,
    ) -> Result<bool, AuthorityError> {
        Ok(self.users.load().get(&user.name).is_some_and(|entry| entry.roles.may(repository, permission)))
    }

    async fn may_in_namespace(
        &self,
        user: &User,
        namespace: &str,
        permission: Permission,
    ) -> Result<bool, AuthorityError> {
        Ok(self.users.load().get(&user.name).is_some_and(|entry| entry.roles.may_in_namespace(namespace, permission)))
    }
}
