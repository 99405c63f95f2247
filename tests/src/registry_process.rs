//! The `registry` program: started, watched, stopped or killed.

use crate::process::Process;
use crate::site::Site;
use crate::{s3_server, tools};
use std::path::Path;
use std::process::ExitStatus;
use tokio::process::Command;

/// How a registry shall be started.
#[derive(Clone, Debug)]
pub struct Settings {
    storage: String,
    /// Where the configuration and the users come from.
    sources: Vec<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Settings {
    /// A registry on a folder.
    pub fn on_directory(data: &Path, site: &Site) -> Self {
        Self::new(format!("dir:{}", data.display()), site)
    }

    /// A registry on a bucket, `BUCKET` or `BUCKET/PREFIX`, of the S3 server at `endpoint`, which may be a
    /// [`crate::proxy::Proxy`]'s.
    pub fn on_bucket(endpoint: &str, bucket: &str, site: &Site) -> Self {
        let mut settings = Self::new(format!("s3://{bucket}"), site);
        for (name, value) in s3_server::environment(endpoint) {
            settings = settings.variable(name, &value);
        }
        settings
    }

    /// A registry on a folder, beside an operator: configured, asked and answered through the folder `shared`.
    pub fn beside_operator(data: &Path, shared: &Path) -> Self {
        let sources = vec![
            "--config".to_owned(),
            shared.join("config/current.json").display().to_string(),
            "--identity".to_owned(),
            format!("unix:{}", shared.join("identity.sock").display()),
            "--control".to_owned(),
            format!("unix:{}", shared.join("control.sock").display()),
        ];
        Self { storage: format!("dir:{}", data.display()), sources, environment: Vec::new(), arguments: Vec::new() }
    }

    fn new(storage: String, site: &Site) -> Self {
        let sources = vec![
            "--manifests".to_owned(),
            site.manifests().display().to_string(),
            "--users".to_owned(),
            site.users().display().to_string(),
        ];
        Self { storage, sources, environment: Vec::new(), arguments: Vec::new() }
    }

    /// Adds command line arguments of `registry serve`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same registry's other commands (`gc`, `fsck`, …), with the same storage and environment.
    ///
    /// # Errors
    /// The program is missing.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(tools::registry()?);
        command.args(arguments).args(["--storage", &self.storage]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts the registry and waits until it listens.
    ///
    /// # Errors
    /// The program is missing, refuses to start, or says nothing; the message holds its log.
    pub async fn start(&self) -> anyhow::Result<Registry> {
        let mut command = Command::new(tools::registry()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--storage", &self.storage])
            .args(&self.sources)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("the registry", command)?;
        let address = process.wait_for_line("listening", |line| address_in(line, "listening")).await?;
        let admin = process.wait_for_line("admin listening", |line| address_in(line, "admin listening")).await?;
        Ok(Registry { process, address, admin })
    }
}

/// The address in a line of the JSON log with this message, wherever the formatter puts the fields.
fn address_in(line: &str, message: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str();
    (field("message")? == message).then(|| field("address").map(ToOwned::to_owned))?
}

/// A running registry. Dropping it kills it.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    address: String,
    admin: String,
}

impl Registry {
    /// Host and port of the API, as in an image's name.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://` and [`Self::address`].
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where health and metrics are.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What it has logged so far, one JSON object a line.
    pub fn log(&self) -> String {
        self.process.printed()
    }

    /// The most memory it has held at once, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.process.peak_memory()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Asks it to drain and end, and waits for that.
    ///
    /// # Errors
    /// It has ended before, or does not end.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.process.terminate()?;
        self.process.wait().await
    }

    /// Asks it to drain and end, without waiting.
    ///
    /// # Errors
    /// It has ended before.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.process.terminate()
    }

    /// Waits for the end of a registry that was told to end; its log stays readable.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait().await
    }
}
