//! kubectl, as a person types it.

use super::clients::Person;
use crate::process::PATIENCE;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

/// Runs kubectl, as the administrator or as somebody else.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) person: Option<Person>,
}

/// What kubectl printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Printed {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Kubectl {
    /// The same in somebody else's name.
    pub fn acting_as(&self, person: &Person) -> Self {
        Self { person: Some(person.clone()), ..self.clone() }
    }

    /// Runs one command to its end, whatever that is.
    ///
    /// # Errors
    /// It cannot be started, or hangs.
    pub async fn try_run(&self, arguments: &[&str], input: &str) -> anyhow::Result<Printed> {
        let line = format!("kubectl {}", arguments.join(" "));
        let mut command = tokio::process::Command::new(&self.program);
        command
            .arg("kubectl")
            .args(arguments)
            .args(self.person.iter().flat_map(Person::flags))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start: {line}"))?;
        let mut stdin = child.stdin.take().context("standard input is piped above")?;
        let run = async {
            // A command that reads no input closes the pipe: no reason to fail.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(PATIENCE, run).await.with_context(|| format!("hangs: {line}"))??;
        Ok(Printed {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It fails; the message holds everything it printed.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_with(arguments, "").await
    }

    /// [`Kubectl::run`] with standard input, for `-f -`.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let printed = self.try_run(arguments, input).await?;
        anyhow::ensure!(
            printed.success,
            "kubectl {} failed:\n{}{}",
            arguments.join(" "),
            printed.stdout,
            printed.stderr
        );
        Ok(printed.stdout)
    }

    /// The file to set KUBECONFIG to.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}
