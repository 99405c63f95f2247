//! `registry hash-password`: the hash of a password for a users file (DESIGN §4).

use std::io::{IsTerminal as _, Read as _};

use console::Term;

use super::exit::{Exit, Failure};
use super::output;
use crate::auth::users;

/// What is read of stdin, in bytes: more than any password may have, so that a longer one is seen to be.
const MAX_INPUT: u64 = 64 * 1024;

/// Prints one line, `$argon2id$…`.
///
/// # Errors
/// [`Failure`] when no password is given.
pub fn run() -> Result<Exit, Failure> {
    let password = if std::io::stdin().is_terminal() { ask()? } else { read(std::io::stdin())? };
    let hash = users::hash_password(&password).map_err(Failure::invalid)?;
    output::print(&format!("{hash}\n"))?;
    Ok(Exit::Done)
}

fn ask() -> Result<String, Failure> {
    let terminal = Term::stderr();
    let line = |prompt: &str| {
        terminal
            .write_str(prompt)
            .and_then(|()| terminal.read_secure_line())
            .map_err(|error| Failure::invalid(format!("the password could not be read: {error}")))
    };
    let password = line("Password: ")?;
    if line("Again: ")? != password {
        return Err(Failure::invalid("the two passwords differ"));
    }
    Ok(password)
}

fn read(source: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    source
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(|error| Failure::invalid(format!("the password could not be read from stdin: {error}")))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::invalid("stdin is empty: pipe the password in, or run this on a terminal to be asked")),
        password => Ok(password.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stdin_gives_one_password_and_not_an_empty_one() {
        assert!(read("\r\n".as_bytes()).unwrap_err().message.contains("pipe the password in"));
        let endless = read(std::io::repeat(b'x')).unwrap();
        assert!(users::hash_password(&endless).unwrap_err().to_string().contains("longer than"));
        assert_eq!(read("secret\n".as_bytes()).unwrap(), "secret");
    }
}
