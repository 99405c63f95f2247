//! `registry plan show ID`: the plan of a run, with what became of it.

use berth_crds::cleanup::Plan;
use clap::{Args, Subcommand};

use super::client::{Client, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Look};
use super::plan_view::{self, Extent};
use crate::cleanup::RunId;

/// `registry plan`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with plans.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the plan of a run: every tag, what happens to it, and why.
    Show(ShowArguments),
}

/// Flags of `registry plan show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// The run, as status.lastRun.plan and `registry cleanup` name it.
    #[arg(value_name = "ID")]
    pub run: RunId,
    /// Show every tag, also those that stay.
    #[arg(long)]
    pub all: bool,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Shows a plan.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Command::Show(arguments) = arguments.command;
    let client = Client::new(&arguments.connection)?;
    let plan: Plan = client.get(&format!("/api/v1/runs/{}/plan", arguments.run), &[]).await?;
    match arguments.output {
        // As it stands, to be shortened and given to `registry cleanup --plan`.
        Format::Json => output::print_json(&plan)?,
        Format::Table => {
            let extent = if arguments.all { Extent::ALL } else { Extent::DELETIONS };
            output::print(&plan_view::render(&plan, extent, Look::of_stdout()))?;
        }
    }
    Ok(Exit::Done)
}
