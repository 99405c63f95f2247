//! The objects and users of a registry: what an administrator would have written.

use crate::client::Client;
use anyhow::Context as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// The password of every user of a [`Site`].
pub const PASSWORD: &str = "tests";
/// Its hash, as cheap as argon2 allows: tests are not about the cost of passwords.
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=64,t=1,p=1$nv2AQFYdN9wwtH2A/O/wUQ$voxKZLRL1KOK8Z7geXB8SEgzWDyK+9uz/onPsQocfqQ";
/// The users of a [`Site`]: each has the role of its name, everywhere.
pub const USERS: [&str; 4] = ["reporter", "developer", "maintainer", "owner"];

/// A folder with manifests and a users file. Dropping it deletes it.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A site with these repositories, `namespace/name` each, all public.
    ///
    /// # Errors
    /// A path has no namespace, or the folder cannot be written.
    pub fn of_public_repositories(paths: &[&str]) -> anyhow::Result<Self> {
        let site = Self { folder: TempDir::with_prefix("berth-site-")? };
        std::fs::create_dir(site.manifests())?;
        for path in paths {
            let (namespace, name) = path.split_once('/').with_context(|| format!("{path} is not namespace/name"))?;
            site.write_manifest(
                &format!("{namespace}-{name}"),
                &format!(
                    "apiVersion: berth.dev/v1alpha1\n\
                     kind: ContainerRepository\n\
                     metadata: {{namespace: {namespace}, name: {name}}}\n\
                     spec: {{}}\n\
                     ---\n\
                     apiVersion: berth.dev/v1alpha1\n\
                     kind: RegistryVisibility\n\
                     metadata: {{namespace: {namespace}, name: {name}}}\n\
                     spec: {{repositories: {{names: [{name}]}}, visibility: Public, access: Enabled}}\n"
                ),
            )?;
        }
        let users: String = USERS
            .iter()
            .map(|role| format!("- {{name: {role}, password: \"{PASSWORD_HASH}\", roles: {{\"*\": {role}}}}}\n"))
            .collect();
        std::fs::write(site.users(), format!("users:\n{users}"))?;
        Ok(site)
    }

    /// Writes (or replaces) a file of objects.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_manifest(&self, name: &str, text: &str) -> anyhow::Result<()> {
        // Moved into place: a registry that watches never reads half a file.
        let aside = self.folder.path().join("aside");
        std::fs::write(&aside, text)?;
        Ok(std::fs::rename(aside, self.manifests().join(format!("{name}.yaml")))?)
    }

    /// For `registry serve --manifests`.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// For `registry serve --users`.
    pub fn users(&self) -> PathBuf {
        self.folder.path().join("users.yaml")
    }
}

/// A client of the registry at `url` that may push.
///
/// # Errors
/// `url` is none.
pub fn developer(url: &str) -> anyhow::Result<Client> {
    Client::with_login(url, "developer", PASSWORD)
}
