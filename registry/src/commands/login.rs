//! Who the command line is at a registry: the logins that `docker login` and `podman login` left, a user name with
//! the password on stdin, or a token in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use url::Url;

use super::exit::Failure;

/// The user name shown with a token that is a password of its own; the registry accepts any (DESIGN §4).
const TOKEN_USER: &str = "token";
/// The user name by which credential helpers and `auth.json` mark an identity token.
const IDENTITY_USER: &str = "<token>";

/// Who the caller is. Without any of these flags the login that `docker login` or `podman login` left is used, and
/// without one the caller is anonymous.
#[derive(Args, Clone, Debug, Default)]
pub struct LoginArgs {
    /// User name; the password is read from stdin.
    #[arg(long, requires = "password_stdin", conflicts_with = "token_file", help_heading = "Login")]
    pub username: Option<String>,
    /// Read the password (or token) of --username from stdin.
    #[arg(long, requires = "username", help_heading = "Login")]
    pub password_stdin: bool,
    /// File with a ServiceAccount or deploy token, read anew for every login so that it may be rotated.
    #[arg(long, value_name = "FILE", env = "BERTH_TOKEN_FILE", help_heading = "Login")]
    pub token_file: Option<PathBuf>,
}

/// What is shown to the registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password (which may be a token).
    Basic { username: String, password: String },
    /// A token for OAuth 2's refresh grant (`identitytoken` of an auth file).
    Identity(String),
}

impl fmt::Debug for Credential {
    /// Secrets never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => f.debug_struct("Basic").field("username", username).finish_non_exhaustive(),
            Self::Identity(_) => f.write_str("Identity(..)"),
        }
    }
}

/// Where the credential comes from. A token file is read at every use: kubelet renews projected tokens in place.
#[derive(Clone, Debug)]
pub enum Login {
    Anonymous,
    Known(Credential),
    TokenFile(PathBuf),
}

impl Login {
    /// Decides who the caller is at `registry`, reading stdin if the flags say so.
    ///
    /// # Errors
    /// [`Failure`] when a file or helper that was named explicitly, or that holds the login of this registry, cannot
    /// be used. Absent files mean anonymous.
    pub fn find(args: &LoginArgs, registry: &Url) -> Result<Self, Failure> {
        if let Some(path) = &args.token_file {
            read_token(path)?;
            return Ok(Self::TokenFile(path.clone()));
        }
        if let Some(username) = &args.username {
            let password = read_password(std::io::stdin())?;
            return Ok(Self::Known(Credential::Basic { username: username.clone(), password }));
        }
        let mut candidates = Vec::new();
        for path in auth_files(|name| std::env::var_os(name).map(PathBuf::from)) {
            if path.exists() {
                candidates.push(path);
            }
        }
        for path in candidates {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::invalid(format!("the login file {} cannot be read: {error}", path.display()))
            })?;
            let file: AuthFile = serde_json::from_str(&text).map_err(|error| {
                Failure::invalid(format!("the login file {} is not valid JSON: {error}", path.display()))
            })?;
            if let Some(credential) = file.credential(&host_of(registry), &path)? {
                return Ok(Self::Known(credential));
            }
        }
        Ok(Self::Anonymous)
    }

    /// The credential as of now; `None` for an anonymous caller.
    ///
    /// # Errors
    /// [`Failure`] when the token file cannot be read any more.
    pub fn credential(&self) -> Result<Option<Credential>, Failure> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Known(credential) => Ok(Some(credential.clone())),
            Self::TokenFile(path) => {
                let password = read_token(path)?;
                Ok(Some(Credential::Basic { username: TOKEN_USER.to_owned(), password }))
            }
        }
    }
}

/// Host and, unless it is the scheme's own, port: the key of logins in auth files.
pub fn host_of(registry: &Url) -> String {
    let host = registry.host_str().unwrap_or_default();
    registry.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::invalid(format!("the token file {} cannot be read: {error}", path.display())))?;
    match text.trim() {
        "" => Err(Failure::invalid(format!("the token file {} is empty", path.display()))),
        token => Ok(token.to_owned()),
    }
}

fn read_password(mut source: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    source
        .by_ref()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::invalid(format!("the password could not be read from stdin: {error}")))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::invalid("--password-stdin was given, and stdin is empty: pipe the password in")),
        password => Ok(password.to_owned()),
    }
}

/// The places where container tools keep logins, in the order podman and docker look (containers-auth.json(5)).
fn auth_files(environment: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = environment("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = environment("HOME");
    let mut files = Vec::new();
    if let Some(runtime) = environment("XDG_RUNTIME_DIR") {
        files.push(runtime.join("containers/auth.json"));
    }
    let config = environment("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    if let Some(config) = config {
        files.push(config.join("containers/auth.json"));
    }
    let docker = environment("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
    if let Some(docker) = docker {
        files.push(docker.join("config.json"));
    }
    files
}

/// A docker `config.json` or containers `auth.json`; the parts that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: BTreeMap<String, AuthEntry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    identitytoken: String,
}

impl fmt::Debug for AuthEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthEntry").finish_non_exhaustive()
    }
}

impl AuthFile {
    /// The login of a host: its helper, its entry, the store of all hosts.
    fn credential(&self, host: &str, path: &Path) -> Result<Option<Credential>, Failure> {
        if let Some(helper) = self.cred_helpers.get(host) {
            return ask_helper(helper, host);
        }
        if let Some(entry) = self.auths.iter().find(|(key, _)| names_host(key, host)).map(|(_, entry)| entry) {
            if !entry.identitytoken.is_empty() {
                return Ok(Some(Credential::Identity(entry.identitytoken.clone())));
            }
            if !entry.auth.is_empty() {
                return decode_auth(&entry.auth).map(Some).ok_or_else(|| {
                    Failure::invalid(format!(
                        "the login of {host} in {} is damaged: log in again with podman login or docker login",
                        path.display()
                    ))
                });
            }
        }
        self.creds_store.as_deref().map_or(Ok(None), |helper| ask_helper(helper, host))
    }
}

/// Keys are hosts; old ones carry a scheme and a path.
fn names_host(key: &str, host: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next() == Some(host)
}

fn decode_auth(encoded: &str) -> Option<Credential> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credential::Basic { username: username.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// Asks `docker-credential-<helper> get`: the host on stdin, JSON on stdout. A helper that does not know the host ends
/// with a failure and one well-known sentence.
fn ask_helper(helper: &str, host: &str) -> Result<Option<Credential>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{helper}");
    let failed =
        |reason: String| Failure::invalid(format!("the login of {host} is kept by {program}, which failed: {reason}"));
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says so by its exit code.
        let _ = stdin.write_all(host.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(text.trim().to_owned()));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    Ok(Some(if answer.username == IDENTITY_USER {
        Credential::Identity(answer.secret)
    } else {
        Credential::Basic { username: answer.username, password: answer.secret }
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(json: &str) -> AuthFile {
        serde_json::from_str(json).unwrap()
    }

    fn basic(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic { username: username.into(), password: password.into() })
    }

    #[test]
    fn a_login_is_found_by_host_and_port() {
        let auth = STANDARD.encode("alice:pass:word");
        let file =
            file(&format!(r#"{{"auths":{{"https://localhost:5000/v1/":{{"auth":"{auth}"}}, "b.example":{{}}}}}}"#));
        let find = |host: &str| file.credential(host, Path::new("x")).unwrap();
        assert_eq!(find("localhost:5000"), basic("alice", "pass:word"));
        assert_eq!(find("localhost"), None);
        assert_eq!(find("b.example"), None);
    }

    #[test]
    fn an_identity_token_is_told_from_a_password() {
        let file = file(r#"{"auths":{"r.example":{"auth":"","identitytoken":"abc"}}}"#);
        assert_eq!(file.credential("r.example", Path::new("x")).unwrap(), Some(Credential::Identity("abc".into())));
    }

    #[test]
    fn a_damaged_login_is_an_error_and_not_anonymous() {
        let file = file(r#"{"auths":{"r.example":{"auth":"%%%"}}}"#);
        let failure = file.credential("r.example", Path::new("/home/a/auth.json")).unwrap_err();
        assert!(failure.message.contains("log in again"), "{failure}");
    }

    #[test]
    fn a_missing_helper_is_an_error_that_names_it() {
        let file = file(r#"{"credHelpers":{"r.example":"berth-test-that-does-not-exist"}}"#);
        let failure = file.credential("r.example", Path::new("x")).unwrap_err();
        assert!(failure.message.contains("docker-credential-berth-test-that-does-not-exist"), "{failure}");
    }

    #[test]
    fn files_are_looked_for_where_podman_and_docker_keep_them() {
        let environment = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/h")),
            "XDG_RUNTIME_DIR" => Some(PathBuf::from("/run/user/1")),
            _ => None,
        };
        let expected =
            ["/run/user/1/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(auth_files(environment), expected.map(PathBuf::from));
        let explicit = |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| PathBuf::from("/x/auth.json"));
        assert_eq!(auth_files(explicit), [PathBuf::from("/x/auth.json")]);
    }

    #[test]
    fn a_password_loses_its_line_end_and_nothing_else() {
        assert_eq!(read_password(" pass word \n".as_bytes()).unwrap(), " pass word ");
        assert!(read_password("\n".as_bytes()).unwrap_err().message.contains("stdin is empty"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", Login::Known(basic("alice", "hunter2").unwrap()));
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
