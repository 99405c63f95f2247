//! `operator compile`: from a folder of objects to the configuration document.

use std::io::{self, Write};

use berth_crds::configuration::{Configuration, Objects, Outcome, compile};
use berth_crds::manifest::{self, Reading};

use crate::arguments::Compile;
use crate::exit::{Exit, Failure};
use crate::{folder, replacement};

/// Reads, compiles, reports and writes.
///
/// An object that cannot be read leaves the document as it is. It may be the very RegistryVisibility that narrows what
/// the others show, so a document made without it could publish something (DESIGN §3: nothing but a RegistryVisibility
/// that names a repository ever does). What [`compile`] does not accept is safe to leave out: it fails towards less.
pub(crate) fn run(arguments: &Compile) -> Result<Exit, Failure> {
    let files = folder::read(&arguments.manifests)?;
    let reading = manifest::read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let output = arguments.output.display();
    if !reading.problems.is_empty() {
        report_problems(&mut io::stderr().lock(), &reading).map_err(Failure::temporary)?;
        return Err(Failure::invalid(format!(
            "{} cannot be read, so {output} is left as it is: correct or remove them first",
            count(reading.problems.len(), "object")
        )));
    }
    let mut objects: Objects = reading.objects.into_iter().collect();
    objects.system_namespace = Some(arguments.system_namespace.clone());
    let (configuration, outcomes) = compile(&objects);
    report_outcomes(&mut io::stderr().lock(), &outcomes).map_err(Failure::temporary)?;
    let written = replacement::replace(&arguments.output, &configuration.to_json_bytes()).map_err(|error| {
        Failure::temporary(format!("{output} cannot be written: {error}. Its folder must exist and be writable"))
    })?;
    eprintln!("{} {output}: {}", if written { "wrote" } else { "unchanged" }, summary(&configuration));
    Ok(if outcomes.iter().all(|outcome| outcome.accepted) { Exit::Done } else { Exit::Invalid })
}

fn report_problems(to: &mut impl Write, reading: &Reading) -> io::Result<()> {
    for problem in &reading.problems {
        for line in problem.to_string().lines() {
            writeln!(to, "invalid   {line}")?;
        }
    }
    Ok(())
}

/// One line per object, and one per warning below it.
fn report_outcomes(to: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    for outcome in outcomes {
        let verdict = if outcome.accepted { "accepted" } else { "refused" };
        writeln!(to, "{verdict:<9} {} ({}): {}", outcome.object, outcome.reason.as_str(), outcome.message)?;
        for warning in &outcome.warnings {
            writeln!(to, "warning   {}: {warning}", outcome.object)?;
        }
    }
    Ok(())
}

fn summary(configuration: &Configuration) -> String {
    let repositories = count(configuration.repositories.len(), "repository");
    let policies = count(configuration.policies.len(), "policy");
    format!("{repositories}, {policies}, revision {}", configuration.revision)
}

/// "1 policy", "3 policies".
fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}
