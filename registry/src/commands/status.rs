//! `registry status`: what became of each object, of a registry that was started with `--manifests`.

use clap::Args;
use comfy_table::Color;
use jiff::Timestamp;

use super::client::{Client, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Look, age, ago, count, lines};
use crate::cleanup::{KindStatus, ObjectStatus, StatusDocument};

/// Flags of `registry status`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Shows the status of every object that the caller may see.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let client = Client::new(&arguments.connection)?;
    let status: StatusDocument = client.get("/api/v1/status", &[]).await?;
    match arguments.output {
        Format::Json => output::print_json(&status)?,
        Format::Table => output::print(&render(&status, Timestamp::now(), Look::of_stdout()))?,
    }
    Ok(Exit::Done)
}

fn render(status: &StatusDocument, now: Timestamp, look: Look) -> String {
    let mut text = String::new();
    if status.objects.is_empty() {
        text.push_str("No object that you may see.\n");
    } else {
        let mut table = look.table(&["OBJECT", "READY", "SAYS"], &[]);
        for object in &status.objects {
            let (ready, colour) = ready(object);
            let kind = match object.status {
                KindStatus::ContainerRepository(_) => "ContainerRepository",
                KindStatus::RegistryVisibility(_) => "RegistryVisibility",
                KindStatus::CleanupPolicy(_) => "CleanupPolicy",
            };
            table.add_row(vec![
                format!("{kind} {}/{}", object.namespace, object.name).into(),
                look.coloured(ready, colour),
                says(object, now).into(),
            ]);
        }
        text.push_str(&lines(&table));
    }
    for problem in &status.problems {
        text.push_str(&look.paragraph("Not in force: ", problem));
    }
    text
}

/// The condition Ready in a word.
fn ready(object: &ObjectStatus) -> (String, Color) {
    let condition = object.conditions().iter().find(|condition| condition.type_ == "Ready");
    match condition.map(|condition| (condition.status.as_str(), condition.reason.as_str())) {
        Some(("True", "Suspended")) => ("Suspended".to_owned(), Color::Yellow),
        Some(("True", _)) => ("True".to_owned(), Color::Green),
        Some(("False", reason)) => (format!("False ({reason})"), Color::Red),
        Some((other, reason)) => (format!("{other} ({reason})"), Color::Yellow),
        None => ("-".to_owned(), Color::Yellow),
    }
}

/// What matters of an object in a line: why it is not accepted, or what it does.
fn says(object: &ObjectStatus, now: Timestamp) -> String {
    let refused =
        object.conditions().iter().find(|condition| condition.type_ == "Accepted" && condition.status != "True");
    if let Some(refused) = refused {
        return refused.message.clone();
    }
    match &object.status {
        KindStatus::ContainerRepository(status) => {
            let mut parts = Vec::new();
            if let (Some(visibility), Some(access)) = (status.visibility, status.access) {
                let by =
                    if status.decided_by.is_empty() { "by default".to_owned() } else { status.decided_by.join(", ") };
                parts.push(format!("{visibility:?}, {access:?} ({by})"));
            }
            parts.push(match &status.governed_by {
                Some(policy) => format!("cleaned by {policy}"),
                None => "never cleaned".to_owned(),
            });
            parts.join("; ")
        }
        KindStatus::RegistryVisibility(status) => match status.repositories {
            Some(1) => "selects 1 repository".to_owned(),
            Some(number) => format!("selects {number} repositories"),
            None => String::new(),
        },
        KindStatus::CleanupPolicy(status) => {
            let mut parts = Vec::new();
            if let Some(last) = &status.last_run {
                let when = ago(last.completion_time.as_ref().map(|time| time.0), now);
                let what = match last.would_delete {
                    Some(number) => format!("{} would go (dry run)", count(number, "tag")),
                    None => format!("{} deleted", count(last.deleted, "tag")),
                };
                parts.push(format!("last run {when} ago: {:?}, {what}", last.result));
            }
            if let Some(next) = &status.next_run_time {
                parts.push(format!("next run in {}", age(next.0.duration_since(now))));
            }
            parts.join("; ")
        }
    }
}
