//! How a command ends: an exit code a script can act on and a sentence a person can.

use std::fmt;
use std::process::ExitCode;

/// What the exit code says; the numbers are those of the `registry` binary (DESIGN §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// A temporary failure: the same command may succeed later.
    Temporary,
    /// The command line, a file or an object is invalid; a retry will not help.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Temporary => 75,
            Exit::Invalid => 78,
        })
    }
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What went wrong and what to do next.
    message: String,
}

impl Failure {
    /// Worth a retry.
    pub(crate) fn temporary(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Temporary, message: message.to_string() }
    }

    /// What the user gave is invalid; a retry will not help.
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Invalid, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
