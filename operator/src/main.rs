//! The `operator` binary: reads the command line, does what it says, ends with an exit code.

mod admin;
mod arguments;
mod compilation;
mod configuration;
mod control;
mod deadline;
mod definitions;
mod exit;
mod folder;
mod identity;
mod index;
mod leader;
mod replacement;
mod replica;
mod run;
mod socket;
mod status;
mod watching;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) => {
            // Help and version are results and go to stdout; everything else is an invalid command line.
            let exit = if help.use_stderr() { Exit::Invalid } else { Exit::Done };
            return if help.print().is_ok() { exit.into() } else { ExitCode::FAILURE };
        }
    };
    let result = match arguments.command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Crds(arguments) => definitions::print(&arguments),
        Command::Compile(arguments) => compilation::run(&arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit.into()
        }
    }
}
