//! Sets of ASCII characters.

/// A set of ASCII characters: bit n is character n. Everything beyond ASCII is left out, because no name contains it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ascii(pub(super) u128);

impl Ascii {
    pub(super) const ALL: Self = Self(u128::MAX);
    pub(super) const DIGIT: Self = Self::EMPTY.with(b'0', b'9');
    pub(super) const LOWER: Self = Self::EMPTY.with(b'a', b'z');
    pub(super) const UPPER: Self = Self::EMPTY.with(b'A', b'Z');
    pub(super) const WORD: Self = Self(Self::DIGIT.0 | Self::LOWER.0 | Self::UPPER.0).with(b'_', b'_');
    /// RE2's `\s`: without the vertical tab.
    pub(super) const SPACE: Self = Self::EMPTY.with(b'\t', b'\n').with(0x0c, b'\r').with(b' ', b' ');
    pub(super) const NEWLINE: Self = Self::EMPTY.with(b'\n', b'\n');
    const EMPTY: Self = Self(0);

    /// This set and the characters from `low` to `high`, both ASCII.
    pub(super) const fn with(self, low: u8, high: u8) -> Self {
        let up_to_high = if high >= 127 { u128::MAX } else { (1 << (high + 1)) - 1 };
        let below_low = (1_u128 << low) - 1;
        Self(self.0 | (up_to_high & !below_low))
    }

    /// The ASCII part of a range of characters, with case folding if wanted. Two characters beyond ASCII fold into it:
    /// the long s and the Kelvin sign (RE2 folds by Unicode's orbits).
    pub(super) fn range(low: char, high: char, fold: bool) -> Self {
        let mut set = Self::EMPTY;
        if let Ok(first) = u8::try_from(low)
            && first.is_ascii()
        {
            set = set.with(first, u8::try_from(high).unwrap_or(127).min(127));
        }
        if !fold {
            return set;
        }
        for (beyond, letter) in [('\u{17f}', b's'), ('\u{212a}', b'k')] {
            if (low..=high).contains(&beyond) {
                set = set.with(letter, letter);
            }
        }
        set.folded()
    }

    /// This set with both cases of every letter in it.
    pub(super) const fn folded(self) -> Self {
        let lower = self.0 & Self::LOWER.0;
        let upper = self.0 & Self::UPPER.0;
        Self(self.0 | (lower >> 32) | (upper << 32))
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn negated(self) -> Self {
        Self(!self.0)
    }

    /// The set as ranges from low to high, in order, not touching each other.
    pub(super) fn ranges(self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for character in (0..128_u8).filter(|character| self.0 & (1 << character) != 0) {
            match ranges.last_mut() {
                Some((_, high)) if *high + 1 == character => *high = character,
                _ => ranges.push((character, character)),
            }
        }
        ranges
    }

    /// POSIX classes by their name between `[:` and `:]`.
    pub(super) fn posix(name: &str) -> Option<Self> {
        let alpha = Self::LOWER.or(Self::UPPER);
        let graph = Self::EMPTY.with(b'!', b'~');
        Some(match name {
            "alnum" => alpha.or(Self::DIGIT),
            "alpha" => alpha,
            "ascii" => Self::ALL,
            "blank" => Self::EMPTY.with(b'\t', b'\t').with(b' ', b' '),
            "cntrl" => Self::EMPTY.with(0, 0x1f).with(0x7f, 0x7f),
            "digit" => Self::DIGIT,
            "graph" => graph,
            "lower" => Self::LOWER,
            "print" => graph.with(b' ', b' '),
            "punct" => graph.without(alpha.or(Self::DIGIT)),
            "space" => Self::SPACE.with(0x0b, 0x0b),
            "upper" => Self::UPPER,
            "word" => Self::WORD,
            "xdigit" => Self::DIGIT.with(b'a', b'f').with(b'A', b'F'),
            _ => return None,
        })
    }
}
