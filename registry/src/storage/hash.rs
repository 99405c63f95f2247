//! A running hash that can be put down and taken up again by another replica.

use berth_crds::digest::{Algorithm, Digest};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256, Sha512};

/// SHA-256 or SHA-512 over the bytes seen so far.
#[derive(Clone)]
pub(super) enum RunningHash {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// The saved state does not belong to this algorithm or was damaged.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the saved hash state is not readable")]
pub(super) struct BadState;

impl RunningHash {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of the bytes so far; more may follow.
    pub(super) fn digest(&self) -> Digest {
        let hex = match self {
            Self::Sha256(hash) => data_encoding::HEXLOWER.encode(&hash.clone().finalize()),
            Self::Sha512(hash) => data_encoding::HEXLOWER.encode(&hash.clone().finalize()),
        };
        Digest::new(self.algorithm(), hex).expect("a hash has the length of its algorithm")
    }

    /// The state after whole blocks, the buffered bytes included: 104 bytes for SHA-256, 208 for SHA-512.
    pub(super) fn save(&self) -> Vec<u8> {
        match self {
            Self::Sha256(hash) => hash.serialize().to_vec(),
            Self::Sha512(hash) => hash.serialize().to_vec(),
        }
    }

    /// Takes up a state. The state carries no check of its own: whoever stores it guards it (amendment R1).
    pub(super) fn restore(algorithm: Algorithm, state: &[u8]) -> Result<Self, BadState> {
        match algorithm {
            Algorithm::Sha256 => {
                let state = state.try_into().map_err(|_| BadState)?;
                Sha256::deserialize(state).map(Self::Sha256).map_err(|_| BadState)
            }
            Algorithm::Sha512 => {
                let state = state.try_into().map_err(|_| BadState)?;
                Sha512::deserialize(state).map(Self::Sha512).map_err(|_| BadState)
            }
        }
    }
}

/// The digest of a text that is all there.
pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hash = RunningHash::new(algorithm);
    hash.update(bytes);
    hash.digest()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_goes_on_from_its_saved_state() {
        let text: Vec<u8> = (0..1000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for cut in [0, 1, 63, 64, 65, 127, 128, 129, 999, 1000] {
                let mut first = RunningHash::new(algorithm);
                first.update(&text[..cut]);
                let mut second = RunningHash::restore(algorithm, &first.save()).unwrap();
                second.update(&text[cut..]);
                assert_eq!(second.digest(), digest_of(algorithm, &text), "{algorithm} cut at {cut}");
            }
        }
    }

    /// Replicas of two versions may share an upload during a rolling update, so the layout must not change unseen.
    #[test]
    fn the_saved_layout_is_pinned() {
        let mut hash = RunningHash::new(Algorithm::Sha256);
        hash.update(b"berth");
        let state = data_encoding::HEXLOWER.encode(&hash.save());
        let start_value = "67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b";
        assert_eq!(state, format!("{start_value}{}{}{}", "00".repeat(8), "056265727468", "00".repeat(58)));
    }

    #[test]
    fn a_damaged_state_is_refused() {
        assert!(RunningHash::restore(Algorithm::Sha256, &[0; 103]).is_err());
        assert!(RunningHash::restore(Algorithm::Sha512, &[0; 104]).is_err());
    }
}
