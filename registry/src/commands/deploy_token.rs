//! `registry deploy-token`: a password for a machine, made on the spot and stored nowhere (DESIGN §4).

use berth_crds::duration::Span;
use berth_crds::kinds::Scope;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::{self, Format, Look};
use crate::auth::deploy_token::{NewDeployToken, generate};

/// Flags of `registry deploy-token`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Name of the token, unique in its repository.
    #[arg(long, default_value = "deploy")]
    pub name: String,
    /// What the token may do.
    #[arg(long, value_enum, default_value_t = TokenScope::Read)]
    pub scope: TokenScope,
    /// How long the token works from now on, such as 90d; without it until it is removed.
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<Span>,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// What a deploy token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenScope {
    /// Pull and list (`ReadRegistry`).
    Read,
    /// Also push (`WriteRegistry`).
    Write,
}

/// A token and the entry that makes a registry accept it.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    token: String,
    deploy_token: Entry,
}

/// An item of `spec.deployTokens`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    sha256: String,
}

/// Prints the token and its entry.
///
/// # Errors
/// [`Failure`] when the name cannot be a token's.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.name.is_empty() || arguments.name.len() > 63 {
        return Err(Failure::invalid("the name of a deploy token has 1 to 63 characters"));
    }
    let made = arguments.entry(generate(), Timestamp::now())?;
    match arguments.output {
        Format::Json => output::print_json(&made)?,
        Format::Table => output::print(&made.render(Look::of_stdout())?)?,
    }
    Ok(Exit::Done)
}

impl Arguments {
    fn entry(&self, made: NewDeployToken, now: Timestamp) -> Result<NewToken, Failure> {
        let expires_at = self
            .expires_in
            .map(|span| {
                let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
                let end = now.checked_add(SignedDuration::from_secs(seconds));
                end.map(|end| end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                    .map_err(|_| Failure::invalid("--expires-in lies beyond the year 9999"))
            })
            .transpose()?;
        let scope = match self.scope {
            TokenScope::Read => Scope::ReadRegistry,
            TokenScope::Write => Scope::WriteRegistry,
        };
        let deploy_token = Entry { name: self.name.clone(), scopes: vec![scope], expires_at, sha256: made.sha256 };
        Ok(NewToken { token: made.token, deploy_token })
    }
}

impl NewToken {
    fn render(&self, look: Look) -> Result<String, Failure> {
        let entry = serde_yaml::to_string(&[&self.deploy_token])
            .map_err(|error| Failure::temporary(format!("the entry could not be written: {error}")))?;
        let entry: String = entry.lines().map(|line| format!("    {line}\n")).collect();
        Ok(format!(
            "{}\n  {}\n\n{}\n{entry}\n{}\n",
            look.dim("Password, shown only here and stored nowhere (any user name goes with it):"),
            look.bold(&self.token),
            look.dim("Add to spec.deployTokens of the ContainerRepository it is for:"),
            look.dim("Then: docker login REGISTRY -u token --password-stdin"),
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn args() -> Arguments {
        Arguments {
            name: "edge".into(),
            scope: TokenScope::Read,
            expires_in: Some("90d".parse().unwrap()),
            output: Format::Table,
        }
    }

    #[test]
    fn the_entry_names_the_hash_and_the_end_and_not_the_token() {
        let made = args().entry(generate(), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
        let text = made.render(Look::PLAIN).unwrap();
        let (before, entry) = text.split_once("spec.deployTokens").unwrap();
        assert!(before.contains(&made.token), "{text}");
        assert!(!entry.contains(&made.token[6..]), "{text}");
        assert!(entry.contains(&format!("sha256: {}", made.deploy_token.sha256)), "{text}");
        assert!(entry.contains("expiresAt: 2026-04-01T00:00:00Z"), "{text}");
    }

    #[test]
    fn an_end_beyond_all_calendars_is_refused() {
        let args = Arguments { expires_in: Some("9999999d".parse().unwrap()), ..args() };
        let failure = args.entry(generate(), Timestamp::now()).map(|made| made.token).unwrap_err();
        assert!(failure.message.contains("year 9999"), "{failure}");
    }
}
