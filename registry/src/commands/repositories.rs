//! `registry repositories`: what there is, who sees it, which policy cleans it up.

use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Look, ago, lines};
use crate::http::rest::wire::{Repositories, Repository};

/// Flags of `registry repositories`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Also show what deleted ContainerRepositories left behind, in namespaces whose policies you may run.
    #[arg(long)]
    pub retained: bool,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Lists repositories.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let client = Client::new(&arguments.connection)?;
    let query: &[(&str, &str)] = if arguments.retained { &[("retained", "true")] } else { &[] };
    let found: Repositories = client.get("/api/v1/repositories", query).await?;
    match arguments.output {
        Format::Json => output::print_json(&found)?,
        Format::Table => output::print(&render(&found.repositories, Timestamp::now(), Look::of_stdout()))?,
    }
    Ok(Exit::Done)
}

fn render(repositories: &[Repository], now: Timestamp, look: Look) -> String {
    if repositories.is_empty() {
        return "No repository that you may list.\n".to_owned();
    }
    let mut table =
        look.table(&["REPOSITORY", "VISIBILITY", "ACCESS", "IMAGES", "TAGS", "PUSHED", "CLEANED BY"], &[3, 4]);
    for one in repositories {
        let pushed = one.last_push_time.map_or_else(|| "-".to_owned(), |time| format!("{} ago", ago(Some(time), now)));
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            one.repository.to_string(),
            if one.retained { "retained".to_owned() } else { text(one.visibility.map(|v| format!("{v:?}"))) },
            text(one.access.map(|access| format!("{access:?}"))),
            one.images.to_string(),
            one.tags.to_string(),
            pushed,
            text(one.governed_by.clone()),
        ]);
    }
    lines(&table)
}
