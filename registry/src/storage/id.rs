//! Names of instances, holdings, data, tag versions and sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ulid::Ulid;

/// A ULID in lower case: 26 characters, time first, so that keys made of it sort by birth.
///
/// Ids are never used twice; a fresh one for every attempt at a birth (rule 10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Ulid);

impl Id {
    /// Length of its text in characters.
    pub const LENGTH: usize = 26;

    /// When it was made, by the maker's clock, to the millisecond.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.timestamp_ms())
    }

    /// The folder that spreads ids over S3 partitions: the last two, hence random, characters.
    pub(super) fn shard(self) -> String {
        self.to_string()[Self::LENGTH - 2..].to_owned()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        f.write_str(&self.0.array_to_str(&mut buffer).to_ascii_lowercase())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a 26-character id")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let lower = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.len() != Self::LENGTH || !lower {
            return Err(NotAnId);
        }
        Ulid::from_string(text).map(Self).map_err(|_| NotAnId)
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where new ids come from. Random in production, seeded in simulations so that a failing run replays.
///
/// The time in them is also the time by which notes fall due: in a simulation nothing may depend on the clock on the wall.
#[derive(Clone, Debug)]
pub struct Ids {
    source: Arc<Mutex<Source>>,
}

#[derive(Debug)]
struct Source {
    random: StdRng,
    /// In a simulation: milliseconds since the epoch, one more with every id.
    simulated_millis: Option<u64>,
}

impl Source {
    fn millis(&self) -> u64 {
        self.simulated_millis.unwrap_or_else(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl Ids {
    pub fn random() -> Self {
        Self::from(Source { random: rand::make_rng(), simulated_millis: None })
    }

    /// The same ids and times for the same seed. Clones share them, so that replicas in one simulation never make the
    /// same id twice.
    pub fn seeded(seed: u64) -> Self {
        /// 2026-01-01T00:00:00Z, where the clock of a simulated store begins too.
        const BEGINNING: u64 = 1_767_225_600_000;
        Self::from(Source { random: StdRng::seed_from_u64(seed), simulated_millis: Some(BEGINNING) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Seconds since the epoch, by the clock that ids are stamped with.
    pub(super) fn seconds(&self) -> u64 {
        self.lock().millis() / 1000
    }

    /// A fresh id, stamped with the time now.
    pub fn next(&self) -> Id {
        let mut source = self.lock();
        if let Some(millis) = &mut source.simulated_millis {
            *millis += 1;
        }
        let millis = source.millis();
        let random = (u128::from(source.random.next_u64()) << 64) | u128::from(source.random.next_u64());
        Id(Ulid::from_parts(millis, random))
    }
}

impl From<Source> for Ids {
    fn from(source: Source) -> Self {
        Self { source: Arc::new(Mutex::new(source)) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_what_it_writes_and_nothing_else() {
        let id = Ids::seeded(7).next();
        assert_eq!(id.to_string().len(), Id::LENGTH);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "x", &id.to_string().to_ascii_uppercase(), &format!("{id}.x"), &"!".repeat(26)] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_repeats_ids_and_times() {
        let (a, b) = (Ids::seeded(1), Ids::seeded(1));
        assert_eq!((a.next(), a.next(), a.seconds()), (b.next(), b.next(), b.seconds()));
    }
}
