//! `operator crds`.

use std::io::{self, Write as _};

use berth_crds::schema;
use serde_json::json;

use crate::arguments::{Crds, Format};
use crate::exit::{Exit, Failure};

/// Prints the definitions in the order in which a user meets the kinds.
pub(crate) fn print(arguments: &Crds) -> Result<Exit, Failure> {
    match io::stdout().write_all(text(arguments.output).as_bytes()) {
        // Whoever reads has seen enough, as with `operator crds | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::temporary(format!("the definitions cannot be written to stdout: {error}"))),
        Ok(()) => Ok(Exit::Done),
    }
}

fn text(format: Format) -> String {
    let documents = schema::documents();
    match format {
        Format::Yaml => documents.iter().map(|document| format!("---\n{}", schema::to_yaml(document))).collect(),
        Format::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
            format!("{list:#}\n")
        }
    }
}
