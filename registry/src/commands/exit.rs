//! How a command ends: an exit code a script can act on and a sentence a person can.

use std::fmt;
use std::process::ExitCode;

/// What the exit code of a command says (DESIGN §7). The numbers are those of BSD's `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, also when a limit stopped the run.
    Done,
    /// The registry cannot be reached (`EX_UNAVAILABLE`).
    Unreachable,
    /// A temporary failure: the same command may succeed later (`EX_TEMPFAIL`).
    Temporary,
    /// The caller is not permitted (`EX_NOPERM`).
    NotPermitted,
    /// The policy, a file or the configuration is invalid; a retry will not help (`EX_CONFIG`).
    Invalid,
}

impl Exit {
    /// The number the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unreachable => 69,
            Self::Temporary => 75,
            Self::NotPermitted => 77,
            Self::Invalid => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong and what to do next; whole sentences, possibly several lines.
    pub message: String,
}

impl Failure {
    /// The registry cannot be reached.
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Unreachable, message: message.to_string() }
    }

    /// Worth a retry.
    pub fn temporary(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Temporary, message: message.to_string() }
    }

    /// The caller lacks a right or showed a bad credential.
    pub fn not_permitted(message: impl fmt::Display) -> Self {
        Self { exit: Exit::NotPermitted, message: message.to_string() }
    }

    /// What the user gave is invalid; a retry will not help.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Invalid, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Ends a command: a failure is told on stderr, so that stdout carries results only.
pub fn end(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit.into()
        }
    }
}
