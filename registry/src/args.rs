//! The command line of the `registry` binary (DESIGN §7): subcommands, and the values several of them share.
//!
//! Texts become valid values here, once; a bad one ends the process before anything happens. Exit codes are those
//! of [`Exit`](crate::commands::exit::Exit).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use berth_crds::duration::Span;
use clap::{Args, Parser, Subcommand};

use crate::commands::exit::{Exit, Failure};
use crate::commands::{deploy_token, hash_password, serve};

/// A container registry for Kubernetes: one bucket, no database.
#[derive(Debug, Parser)]
#[command(name = "registry", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the registry.
    Serve(Box<serve::Arguments>),
    /// Hash a password for a users file.
    ///
    /// On a terminal it asks; otherwise it reads the password from stdin.
    HashPassword,
    /// Make a deploy token, the password of a machine.
    ///
    /// Prints the password once, and the lines to add to spec.deployTokens of a
    /// ContainerRepository, which hold only its SHA-256.
    DeployToken(deploy_token::Arguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// A [`Failure`] with the exit code and the sentence to end with.
    pub async fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Serve(arguments) => serve::run(*arguments).await,
            Self::HashPassword => hash_password::run(),
            Self::DeployToken(arguments) => deploy_token::run(&arguments),
        }
    }
}

/// Where the data is: `dir:PATH` or `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A folder of this machine; created when it does not exist.
    Directory(PathBuf),
    /// A bucket, or the part of it below `prefix` (without leading or trailing slash; empty for all of it).
    S3 { bucket: String, prefix: String },
}

impl FromStr for StorageUrl {
    type Err = StorageUrlError;

    fn from_str(text: &str) -> Result<Self, StorageUrlError> {
        let error = || StorageUrlError(text.to_owned());
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.is_empty() { Err(error()) } else { Ok(Self::Directory(PathBuf::from(path))) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(error)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || prefix.split('/').any(|segment| matches!(segment, "." | "..")) || prefix.contains("//")
        {
            return Err(error());
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A text that names no storage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a storage: write dir:PATH for a folder or s3://BUCKET[/PREFIX] for a bucket")]
pub struct StorageUrlError(String);

/// The three clocks of reclaiming space (DESIGN §5), of `serve` and `gc` alike.
#[derive(Clone, Copy, Debug, Args)]
pub struct Clocks {
    /// How long content without a tag stays before it may be reclaimed.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub grace: Span,
    /// How long content that nothing uses any more is kept readable before its bytes are deleted.
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    pub quarantine: Span,
    /// How long content deleted by a person or a policy can be restored; replaces --grace for it.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub undo: Span,
    /// Allow clocks below 10 minutes. A push that takes longer than them can fail and has to be repeated.
    #[arg(long)]
    pub allow_short_grace: bool,
}

impl Clocks {
    /// Below this a clock needs `--allow-short-grace`.
    pub const SHORT: Span = Span::minutes(10);

    /// The clocks, grace, quarantine and undo, if they are long enough or short ones are allowed.
    ///
    /// # Errors
    /// [`Exit::Invalid`](crate::commands::exit::Exit::Invalid) naming the clock that is too short.
    pub fn checked(self) -> Result<[Duration; 3], Failure> {
        for (flag, clock) in [("--grace", self.grace), ("--quarantine", self.quarantine), ("--undo", self.undo)] {
            if clock < Self::SHORT && !self.allow_short_grace {
                return Err(Failure::invalid(format!(
                    "{flag} {clock} is below {}: a push may take longer than that. Give a longer one, or add \
                     --allow-short-grace where nobody pushes meanwhile",
                    Self::SHORT
                )));
            }
        }
        Ok([self.grace.into(), self.quarantine.into(), self.undo.into()])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn storage_urls_name_a_folder_or_a_bucket() {
        for (text, written) in [
            ("dir:data", "dir:data"),
            ("dir:/var/lib/berth", "dir:/var/lib/berth"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ] {
            assert_eq!(text.parse::<StorageUrl>().unwrap().to_string(), written, "{text}");
        }
        for text in ["", "data", "dir:", "s3://", "s3:///x", "s3:bucket", "s3://b/../x", "s3://b/a//b", "file:///x"] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(error.contains("dir:PATH"), "{text}: {error}");
        }
    }

    #[test]
    fn short_clocks_need_a_second_word() {
        let clocks = |grace: &str, allow_short_grace| Clocks {
            grace: grace.parse().unwrap(),
            quarantine: "2h".parse().unwrap(),
            undo: "24h".parse().unwrap(),
            allow_short_grace,
        };
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(clocks("10m", false).checked(), Ok([minutes(10), minutes(120), minutes(1440)]));
        assert_eq!(clocks("0s", true).checked().unwrap()[0], Duration::ZERO);
        let failure = clocks("9m", false).checked().unwrap_err();
        assert_eq!(failure.exit, Exit::Invalid);
        assert!(failure.message.starts_with("--grace 9m is below 10m"), "{failure}");
    }
}
