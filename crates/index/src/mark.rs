//! How far an index is, so that a catalog put back from a backup is not taken for the one that it followed.

use std::fmt;
use std::str::FromStr;

use lore_core::Seq;

/// The last change that an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its number.
    pub seq: Seq,
    /// Digest of the change itself; 0 where it is not known, which agrees with every change of that number.
    pub change: u64,
}

impl Mark {
    /// Whether `now`, what the catalog has under this number, is the same change.
    pub fn agrees(&self, now: &Self) -> bool {
        self.seq == now.seq && (self.change == 0 || self.change == now.change)
    }
}

impl From<Seq> for Mark {
    fn from(seq: Seq) -> Self {
        Self { seq, change: 0 }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.seq.0, self.change)
    }
}

impl FromStr for Mark {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (seq, change) = text.trim().split_once(' ').unwrap_or((text.trim(), "0"));
        Ok(Self { seq: Seq(seq.parse()?), change: u64::from_str_radix(change, 16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_text() {
        let mark = Mark { seq: Seq(42), change: 0xfeed };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_eq!("7".parse(), Ok(Mark::from(Seq(7))));
        assert!("x".parse::<Mark>().is_err());
    }

    #[test]
    fn another_change_of_the_same_number_is_told_apart() {
        let mark = Mark { seq: Seq(3), change: 1 };
        assert!(mark.agrees(&mark) && Mark::from(Seq(3)).agrees(&mark));
        assert!(!mark.agrees(&Mark { seq: Seq(3), change: 2 }) && !mark.agrees(&Mark::from(Seq(3))));
    }
}
