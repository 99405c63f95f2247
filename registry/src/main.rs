//! The `registry` binary: reads the command line, does what it says, ends with an exit code.

use std::process::ExitCode;

use berth_registry::args::Arguments;
use berth_registry::commands::exit::{Exit, Failure, end};
use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) => {
            // Help and version are results and go to stdout; everything else is an invalid command line.
            let exit = if help.use_stderr() { Exit::Invalid } else { Exit::Done };
            return if help.print().is_ok() { exit.into() } else { ExitCode::FAILURE };
        }
    };
    // One TLS provider for all of the process; a second call would be a mistake of ours, not of the user.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return end(Err(Failure::temporary("another TLS provider is installed already")));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::temporary(format!("the runtime does not start: {error}")))),
    };
    end(runtime.block_on(arguments.command.run()))
}
