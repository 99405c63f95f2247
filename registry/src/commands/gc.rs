//! `registry gc`: reclaims space, beside running registries or without any (DESIGN §5).

use berth_crds::duration::Span;
use clap::Args;

use super::exit::{Exit, Failure};
use super::output::{self, Format, bytes, count};
use super::site;
use crate::args::{Clocks, StorageUrl};
use crate::storage::{Collected, Settings};

/// Flags of `registry gc`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where the data is: dir:PATH or s3://BUCKET[/PREFIX].
    #[arg(long, value_name = "URL")]
    pub storage: StorageUrl,
    /// Free what can be freed now and end. Without it, go on until SIGTERM, as every running registry does.
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub clocks: Clocks,
    /// How long an upload that nobody finished can still be continued. A shorter time than the registries' 24 hours ends
    /// uploads that they would go on with.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub unfinished: Span,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// Collects.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let session_ttl = arguments.clocks.check("--unfinished", arguments.unfinished)?;
    let settings = Settings { session_ttl, ..site::settings(arguments.clocks)? };
    let storage = site::open(&arguments.storage, settings).await?;
    if !arguments.once {
        let end = site::told_to_end()?;
        eprintln!("Collecting until told to end (SIGTERM).");
        storage.run_collector(end).await;
        return Ok(Exit::Done);
    }
    let freed = storage.collect_all().await.map_err(site::failed)?;
    match arguments.output {
        Format::Json => output::print_json(&freed)?,
        Format::Table => output::print(&sentence(&freed))?,
    }
    Ok(Exit::Done)
}

/// What was freed, in a sentence.
pub(super) fn sentence(freed: &Collected) -> String {
    if *freed == Collected::default() {
        return "Nothing to free.\n".to_owned();
    }
    format!(
        "Freed {}: {}, {}, {}.\n",
        bytes(freed.bytes),
        count(freed.manifests, "manifest"),
        count(freed.blobs, "blob"),
        count(freed.uploads, "unfinished upload"),
    )
}
