//! `registry cleanup`: run a policy, try one offline, or execute a saved plan (DESIGN §7).

use std::path::{Path, PathBuf};

use berth_crds::cleanup::{Action, Plan, Reason};
use berth_crds::kinds::{RunResult, RunSummary};
use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ConnectionArgs, Events};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Look, count};
use super::plan_view::{self, Extent};
use super::progress::Progress;
use super::{offline, report};
use crate::cleanup::{Phase, PolicyName, RunId, RunState};
use crate::http::rest::wire::{ExecutePlan, StartRun};

/// Rows of a plan that are shown before a run: more scroll away, and `registry plan show` has them.
const ROWS: usize = 40;

/// Flags of `registry cleanup`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["policy", "policy_file", "plan"])))]
pub struct Arguments {
    /// Run this policy as the registry has loaded it.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub policy: Option<PolicyName>,
    /// Plan offline from the CleanupPolicy in this file and the tags of --inventory; nothing is deleted.
    #[arg(long, value_name = "FILE", requires = "inventory")]
    pub policy_file: Option<PathBuf>,
    /// Delete exactly what this saved plan says, with your own rights. Lines may have been taken out of it.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Name of the run. The same name continues the same run, on any replica.
    #[arg(long, value_name = "ID", conflicts_with = "policy_file")]
    pub run_id: Option<RunId>,
    /// Plan only.
    #[arg(long, requires = "policy")]
    pub dry_run: bool,
    /// Wait until the registry has loaded this generation of the policy, its metadata.generation.
    #[arg(long, value_name = "GENERATION", requires = "policy")]
    pub minimum_revision: Option<u64>,
    /// End with exit code 75 when a limit stopped the run.
    #[arg(long, conflicts_with = "policy_file")]
    pub fail_unfinished: bool,
    /// Tags to plan from, as `registry tags --output json` prints them; - reads stdin.
    #[arg(long, value_name = "FILE", requires = "policy_file")]
    pub inventory: Option<PathBuf>,
    /// Plan as if it were this moment.
    #[arg(long, value_name = "RFC3339", requires = "policy_file")]
    pub now: Option<Timestamp>,
    /// Show every tag of the plan, also those that stay.
    #[arg(long)]
    pub all: bool,
    /// File that gets a report of at most 4 KiB, if the file exists.
    #[arg(long, value_name = "FILE", default_value = report::TERMINATION_LOG, conflicts_with = "policy_file")]
    pub report: PathBuf,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Does what the flags say.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    if let (Some(policy), Some(inventory)) = (&arguments.policy_file, &arguments.inventory) {
        let now = arguments.now.unwrap_or_else(Timestamp::now);
        let plan = offline::plan(policy, inventory, now)?;
        show_plan(&plan, &arguments)?;
        return Ok(Exit::Done);
    }
    let result = execute(&arguments).await;
    report::leave(&arguments.report, &result);
    let (exit, report) = result?;
    match arguments.output {
        Format::Json => output::print_json(&report)?,
        Format::Table => output::print(&sentence(&report))?,
    }
    Ok(exit)
}

/// Starts or continues a run and waits for its end.
async fn execute(arguments: &Arguments) -> Result<(Exit, RunSummary), Failure> {
    let client = Client::new(&arguments.connection)?;
    let run = arguments.run_id.clone().unwrap_or_else(RunId::fresh);
    let state = match (&arguments.policy, &arguments.plan) {
        (Some(policy), _) => {
            let body = StartRun {
                run_id: run.clone(),
                dry_run: arguments.dry_run,
                minimum_revision: arguments.minimum_revision,
            };
            let events = client.post(&format!("/api/v1/policies/{policy}/runs"), &body).await?;
            watch(events, &client, arguments, true).await?
        }
        (None, Some(file)) => {
            let plan = read_plan(file)?;
            if arguments.output == Format::Table {
                show_plan(&plan, arguments)?;
            }
            let body = ExecutePlan { run_id: run.clone(), plan };
            let events = client.post("/api/v1/plans", &body).await?;
            watch(events, &client, arguments, false).await?
        }
        (None, None) => return Err(Failure::invalid("give --policy, --policy-file or --plan")),
    };
    let report = settle(state, &run)?;
    let unfinished = report.result == RunResult::Unfinished && arguments.fail_unfinished;
    Ok((if unfinished { Exit::Temporary } else { Exit::Done }, report))
}

/// Follows a run to its end; shows its plan as soon as there is one.
async fn watch(
    mut events: Events<RunState>,
    client: &Client,
    arguments: &Arguments,
    mut show: bool,
) -> Result<RunState, Failure> {
    let mut progress = Progress::new();
    let mut last = None;
    show &= arguments.output == Format::Table;
    while let Some(state) = events.next().await? {
        progress.show(&state);
        if show && !matches!(state.phase, Phase::Planning | Phase::Failed) {
            show = false;
            let plan: Plan = client.get(&format!("/api/v1/runs/{}/plan", state.run), &[]).await?;
            progress.suspend(|| show_plan(&plan, arguments))?;
        }
        let end = state.is_final();
        last = Some(state);
        if end {
            break;
        }
    }
    progress.clear();
    last.ok_or_else(|| Failure::temporary(format!("{} said nothing about the run", client.registry())))
}

/// What the last state of a run means for the caller.
fn settle(state: RunState, run: &RunId) -> Result<RunSummary, Failure> {
    let again = format!("The same command with --run-id {run} continues the run.");
    match (state.report, state.failure) {
        (Some(report), _) => Ok(report),
        (None, Some(failure)) if failure.temporary => Err(Failure::temporary(format!("{}\n{again}", failure.message))),
        (None, Some(failure)) => Err(Failure::invalid(failure.message)),
        (None, None) => Err(Failure::temporary(format!("the registry ended the run before it was finished.\n{again}"))),
    }
}

fn show_plan(plan: &Plan, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.output == Format::Json {
        return output::print_json(plan);
    }
    let rows = if arguments.all || arguments.policy.is_none() { usize::MAX } else { ROWS };
    output::print(&plan_view::render(plan, Extent { all: arguments.all, rows }, Look::of_stdout()))
}

/// Reads a saved plan.
fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = offline::read(path)?;
    let plan: Plan = serde_json::from_slice(&text)
        .map_err(|error| Failure::invalid(format!("{} is not a plan: {error}", path.display())))?;
    let without = plan.images.iter().flat_map(|image| &image.verdicts);
    for verdict in without.filter(|verdict| verdict.action == Action::Delete) {
        if verdict.digest.is_none() {
            return Err(Failure::invalid(format!(
                "{}: the tag {} has no digest, and a deletion is conditional on it: plan anew",
                path.display(),
                verdict.tag
            )));
        }
    }
    Ok(plan)
}

/// What a dry run found.
fn dry_sentence(report: &RunSummary) -> String {
    let tags = count(report.would_delete.unwrap_or_default(), "tag");
    let later = match report.by_reason.get(Reason::LimitReached.as_str()) {
        Some(later) => format!(", {later} left for a later run by the limit"),
        None => String::new(),
    };
    format!("Dry run, nothing was deleted: {tags} would go, {} would stay{later}.\n", report.kept)
}

/// How a run ended, in a sentence or two.
fn sentence(report: &RunSummary) -> String {
    let mut text = String::new();
    let took = report.completion_time.as_ref().map(|end| end.0.duration_since(report.start_time.0));
    let took = took.filter(|took| took.as_secs() > 0);
    let took = took.map(|took| format!(" in {}", output::age(took))).unwrap_or_default();
    let tags = count(report.deleted, "tag");
    match report.result {
        _ if report.dry_run => text.push_str(&dry_sentence(report)),
        RunResult::Completed => text.push_str(&format!("Completed: {tags} deleted, {} kept{took}.\n", report.kept)),
        RunResult::NothingToDo => text.push_str("Nothing to do.\n"),
        RunResult::Unfinished => text
            .push_str(&format!("Unfinished: {tags} deleted{took}, then a limit was reached. The next run goes on.\n")),
        RunResult::Failed => text.push_str(&format!("Failed: {tags} deleted{took}.\n")),
    }
    for (reason, what) in [
        ("Changed", "had been pushed again"),
        ("Gone", "had been deleted already"),
        ("Refused", "may not be deleted any more"),
    ] {
        if let Some(number) = report.by_reason.get(reason).filter(|number| **number > 0) {
            text.push_str(&format!("{} {what} ({reason}).\n", count(*number, "tag")));
        }
    }
    text.push_str(&format!("Every tag and its reason: registry plan show {}\n", report.id));
    text
}
