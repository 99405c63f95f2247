//! The command line of the `registry` binary (DESIGN §7): subcommands, and the values several of them share.
//!
//! Texts become valid values here, once; a bad one ends the process before anything happens. Exit codes are those
//! of [`Exit`](crate::commands::exit::Exit).

use std::time::Duration;

use berth_crds::duration::Span;
use clap::{Args, Parser, Subcommand};

use crate::commands::exit::{Exit, Failure};
use crate::commands::{cleanup, deploy_token, fsck, gc, hash_password, plan, repositories, serve, status, tags};
pub use crate::store::location::StorageUrl;

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
    /// Remove old tags: run a policy, try one offline, or execute a saved plan.
    ///
    /// Ends with exit code 0 when it is done, also when a limit of the policy stopped it; 75 for a temporary failure
    /// that is worth a retry; 69 when the registry cannot be reached; 77 when you may not; 78 when the policy or the
    /// configuration is invalid.
    Cleanup(Box<cleanup::Arguments>),
    /// Show the plan of a run.
    Plan(plan::Arguments),
    /// List the tags of an image.
    ///
    /// As JSON it is the inventory that `registry cleanup --policy-file` plans from.
    Tags(tags::Arguments),
    /// List repositories, who sees them, and which policy cleans them up.
    Repositories(repositories::Arguments),
    /// Show what became of each object, of a registry that was started with --manifests.
    Status(status::Arguments),
    /// Reclaim space that nothing refers to any more.
    ///
    /// Works beside running registries, which do the same in the background.
    Gc(gc::Arguments),
    /// Check a store, and repair it if asked.
    Fsck(fsck::Arguments),
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
            Self::Cleanup(arguments) => cleanup::run(*arguments).await,
            Self::Plan(arguments) => plan::run(arguments).await,
            Self::Tags(arguments) => tags::run(arguments).await,
            Self::Repositories(arguments) => repositories::run(arguments).await,
            Self::Status(arguments) => status::run(arguments).await,
            Self::Gc(arguments) => gc::run(arguments).await,
            Self::Fsck(arguments) => fsck::run(arguments).await,
            Self::HashPassword => hash_password::run(),
            Self::DeployToken(arguments) => deploy_token::run(&arguments),
        }
    }
}

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
        Ok([
            self.check("--grace", self.grace)?,
            self.check("--quarantine", self.quarantine)?,
            self.check("--undo", self.undo)?,
        ])
    }

    /// A time after which something goes, if it is long enough or short ones are allowed.
    ///
    /// # Errors
    /// [`Exit::Invalid`](crate::commands::exit::Exit::Invalid) naming the flag.
    pub fn check(self, flag: &str, clock: Span) -> Result<Duration, Failure> {
        if clock < Self::SHORT && !self.allow_short_grace {
            return Err(Failure::invalid(format!(
                "{flag} {clock} is below {}: a push may take longer than that. Give a longer one, or add \
                 --allow-short-grace where nobody pushes meanwhile",
                Self::SHORT
            )));
        }
        Ok(clock.into())
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
