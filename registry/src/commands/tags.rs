//! `registry tags IMAGE`: the tags of an image; as JSON the inventory that `registry cleanup --policy-file` plans from.

use berth_crds::cleanup::{Inventory, InventoryImage, InventoryTag};
use berth_crds::name::ImageName;
use clap::Args;
use jiff::Timestamp;

use super::client::{Client, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{self, Format, Look, ago, count, lines, short_digest};
use crate::http::rest::wire::Tags;

/// Flags of `registry tags`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image, such as team-a/shop/api.
    pub image: ImageName,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Lists the tags of an image.
///
/// # Errors
/// A [`Failure`] with the exit code of DESIGN §7.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let client = Client::new(&arguments.connection)?;
    let inventory = fetch(&client, &arguments.image).await?;
    match arguments.output {
        Format::Json => output::print_json(&inventory)?,
        Format::Table => output::print(&render(&inventory, Timestamp::now(), Look::of_stdout()))?,
    }
    Ok(Exit::Done)
}

/// The whole inventory of an image, page by page.
async fn fetch(client: &Client, image: &ImageName) -> Result<Inventory, Failure> {
    let mut inventory = Inventory::default();
    loop {
        let mut query = vec![("image", image.as_str())];
        let last = inventory.images.first().and_then(|image: &InventoryImage| image.tags.last());
        let last = last.map(|tag| tag.tag.to_string());
        query.extend(last.as_deref().map(|last| ("last", last)));
        let page: Tags = client.get("/api/v1/tags", &query).await?;
        for image in page.images {
            match inventory.images.first_mut() {
                Some(first) => first.tags.extend(image.tags),
                None => inventory.images.push(image),
            }
        }
        inventory.in_use = page.in_use;
        if !page.more {
            return Ok(inventory);
        }
    }
}

fn render(inventory: &Inventory, now: Timestamp, look: Look) -> String {
    let mut tags: Vec<&InventoryTag> = inventory.images.iter().flat_map(|image| &image.tags).collect();
    // Newest first: what somebody looks for was pushed lately.
    tags.sort_by(|a, b| b.pushed_at.cmp(&a.pushed_at).then_with(|| a.tag.cmp(&b.tag)));
    let mut table = look.table(&["TAG", "DIGEST", "PUSHED", "RULES"], &[]);
    for tag in &tags {
        let digest = tag.digest.as_ref().map(ToString::to_string);
        let rules: Vec<&str> = [(tag.immutable, "immutable"), (tag.protected, "protected"), (tag.in_use, "in use")]
            .into_iter()
            .filter_map(|(holds, name)| holds.then_some(name))
            .collect();
        let rules = if rules.is_empty() { "-".to_owned() } else { rules.join(", ") };
        let pushed = match tag.pushed_at {
            Some(_) => format!("{} ago", ago(tag.pushed_at, now)),
            None => "unknown".to_owned(),
        };
        table.add_row([tag.tag.as_str(), digest.as_deref().map_or("none", short_digest), &pushed, &rules]);
    }
    if tags.is_empty() {
        return "No tags.\n".to_owned();
    }
    format!("{}{}\n", lines(&table), look.dim(&count(tags.len() as u64, "tag")))
}
