//! Logs: one JSON object per line on stderr, at a level that can be changed while the process runs.

use std::fmt;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt as lines};

/// The level of the running process. Cheap to clone.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

/// A filter nobody can follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a log level: write error, warn, info, debug or trace, or a list such as info,berth_registry=debug"
)]
pub struct LevelError(String);

/// Begins to log. Once per process.
///
/// # Errors
/// [`LevelError`] for a filter that cannot be read.
pub fn init(filter: &str) -> Result<LogLevel, LevelError> {
    let (filter, level) = changeable(filter)?;
    let json = lines::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    // A second subscriber means that a test or an embedding program logs its own way, which is fine.
    let _ = tracing_subscriber::registry().with(filter).with(json).try_init();
    Ok(level)
}

/// A filter and what changes it; the level works as long as the filter lives.
pub(crate) fn changeable(filter: &str) -> Result<(reload::Layer<EnvFilter, Registry>, LogLevel), LevelError> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    Ok((filter, LogLevel(handle)))
}

impl LogLevel {
    /// The filter in force.
    pub fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Changes it from the next line on.
    ///
    /// # Errors
    /// [`LevelError`]; the filter in force stays.
    pub fn set(&self, filter: &str) -> Result<(), LevelError> {
        let new = parse(filter)?;
        self.0.reload(new).map_err(|_| LevelError(filter.to_owned()))
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LevelError> {
    let filter = filter.trim();
    // An empty filter would silence errors, and a misspelt level would be read as the name of a module.
    let known = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default();
        ["off", "error", "warn", "info", "debug", "trace"].contains(&level.to_ascii_lowercase().as_str())
    };
    if filter.is_empty() || !filter.split(',').all(known) {
        return Err(LevelError(filter.to_owned()));
    }
    EnvFilter::try_new(filter).map_err(|_| LevelError(filter.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_changed_and_a_bad_one_is_refused() {
        let (_filter, level) = changeable("info").unwrap();
        assert_eq!(level.get(), "info");
        level.set("warn,berth_registry=debug").unwrap();
        assert_eq!(level.get(), "berth_registry=debug,warn");
        for filter in ["", "loud", "info,", "berth_registry", "info,x=loud"] {
            let error = level.set(filter).unwrap_err().to_string();
            assert!(error.contains("write error, warn"), "{filter}: {error}");
        }
        assert_eq!(level.get(), "berth_registry=debug,warn");
    }
}
