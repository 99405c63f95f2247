//! Other people's clients, run and judged by their exit code.

use crate::process::PATIENCE;
use anyhow::{Context as _, bail};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs a program to its end and returns what it wrote to standard output.
///
/// # Errors
/// It cannot be started, fails, or hangs; the message holds the command line and everything it printed.
pub async fn run(program: &Path, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<String> {
    run_with(program, arguments, &[]).await
}

/// [`run`] with additional environment variables.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    environment: &[(&str, &OsStr)],
) -> anyhow::Result<String> {
    let (success, stdout, all) = finish(program, arguments, environment).await?;
    if !success {
        bail!("failed: {all}");
    }
    Ok(stdout)
}

/// Runs a program that must fail and returns everything it printed.
///
/// # Errors
/// It succeeds, cannot be started, or hangs.
pub async fn run_expecting_failure(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    environment: &[(&str, &OsStr)],
) -> anyhow::Result<String> {
    let (success, _, all) = finish(program, arguments, environment).await?;
    if success {
        bail!("should have failed: {all}");
    }
    Ok(all)
}

async fn finish(
    program: &Path,
    arguments: &[impl AsRef<OsStr>],
    environment: &[(&str, &OsStr)],
) -> anyhow::Result<(bool, String, String)> {
    let mut line = program.display().to_string();
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument.as_ref().to_string_lossy());
    }
    let output = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(5 * PATIENCE, output)
        .await
        .with_context(|| format!("hangs: {line}"))?
        .with_context(|| format!("cannot start: {line}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{line}\n{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), stdout, all))
}
