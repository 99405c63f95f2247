//! `registry hash-password`: the hash of a password for a users file (DESIGN §4).

use std::io::{IsTerminal as _, Read as _};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use console::Term;

use super::exit::{Exit, Failure};
use super::output;

/// Longest password, in bytes: what fits an HTTP Basic header with room to spare.
const MAX_PASSWORD: u64 = 4096;

/// Prints one line, `$argon2id$…`.
///
/// # Errors
/// [`Failure`] when no password is given.
pub fn run() -> Result<Exit, Failure> {
    let password = if std::io::stdin().is_terminal() { ask()? } else { read(std::io::stdin())? };
    output::print(&format!(
        "{}
",
        hash(&password)?
    ))?;
    Ok(Exit::Done)
}

/// Argon2id with the parameters its authors recommend and a fresh salt.
fn hash(password: &str) -> Result<String, Failure> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Failure::temporary(format!("the password could not be hashed: {error}")))
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
    if password.is_empty() {
        return Err(Failure::invalid("the password is empty"));
    }
    if line("Again: ")? != password {
        return Err(Failure::invalid("the two passwords differ"));
    }
    Ok(password)
}

fn read(source: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    source
        .take(MAX_PASSWORD + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::invalid(format!("the password could not be read from stdin: {error}")))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(Failure::invalid(format!("the password is longer than {MAX_PASSWORD} bytes")));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::invalid("stdin is empty: pipe the password in, or run this on a terminal to be asked")),
        password => Ok(password.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let text = hash("correct horse").unwrap();
        assert!(text.starts_with("$argon2id$v=19$"), "{text}");
        let parsed = PasswordHash::new(&text).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"correct horse\n", &parsed).is_err());
        assert_ne!(text, hash("correct horse").unwrap(), "every hash has its own salt");
    }

    #[test]
    fn an_empty_or_endless_password_is_refused() {
        assert!(read("\r\n".as_bytes()).unwrap_err().message.contains("pipe the password in"));
        assert!(read(std::io::repeat(b'x')).unwrap_err().message.contains("longer than"));
        assert_eq!(read("secret\n".as_bytes()).unwrap(), "secret");
    }
}
