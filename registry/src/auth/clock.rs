//! Time as a value that tests can move.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Where this room takes the time from: expiries, renewals, lockouts.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self::from_fn(Timestamp::now)
    }

    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A clock that stands still until a test moves it.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct TestClock(Arc<std::sync::atomic::AtomicI64>);

#[cfg(test)]
impl TestClock {
    /// A moment in 2026.
    pub(super) fn new() -> Self {
        Self(Arc::new(1_780_000_000.into()))
    }

    pub(super) fn advance(&self, by: jiff::SignedDuration) {
        self.0.fetch_add(by.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn clock(&self) -> Clock {
        let seconds = self.0.clone();
        Clock::from_fn(move || {
            let now = seconds.load(std::sync::atomic::Ordering::SeqCst);
            Timestamp::from_second(now).expect("a test moves the clock by days, not by millennia")
        })
    }
}
