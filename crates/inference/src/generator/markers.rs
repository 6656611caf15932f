//! Keeps markers of passages that do not exist out of a text.
//!
//! Where `open` is directly followed by a digit, the text goes on with a number from 1 to `last` without leading
//! zeros, and then `close`; anything else after `open` is free, so that Markdown links and arrays can be written.

use lore_core::Markers;

/// Where a text stands among its markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MarkerState {
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Outside; the end of the text, at most as long as `open`.
    Outside(String),
    /// In the number.
    Number(u32),
    /// After the number and this many bytes of `close`.
    Closing(usize),
}

impl MarkerState {
    /// The beginning of a text.
    pub fn new() -> Self {
        Self { place: Place::Outside(String::new()) }
    }

    /// Whether a marker has begun and is not closed.
    pub fn inside(&self) -> bool {
        !matches!(self.place, Place::Outside(_))
    }

    /// Where the text stands after `piece`; `None` where that is no text that `markers` allow.
    pub fn after(&self, markers: &Markers, piece: &str) -> Option<Self> {
        let mut place = self.place.clone();
        for char in piece.chars() {
            place = step(place, markers, char)?;
        }
        Some(Self { place })
    }
}

fn step(place: Place, markers: &Markers, char: char) -> Option<Place> {
    match place {
        Place::Outside(mut tail) => {
            if !markers.open.is_empty() && tail == markers.open && char.is_ascii_digit() {
                return number(0, markers, char);
            }
            tail.push(char);
            while tail.len() > markers.open.len() {
                tail.remove(0);
            }
            Some(Place::Outside(tail))
        }
        Place::Number(value) if char.is_ascii_digit() => number(value, markers, char),
        Place::Number(_) if markers.close.is_empty() => step(Place::Outside(String::new()), markers, char),
        Place::Number(_) => close(0, markers, char),
        Place::Closing(matched) => close(matched, markers, char),
    }
}

fn number(value: u32, markers: &Markers, digit: char) -> Option<Place> {
    let value = value.checked_mul(10)?.checked_add(digit.to_digit(10)?)?;
    (1..=markers.last).contains(&value).then_some(Place::Number(value))
}

fn close(matched: usize, markers: &Markers, char: char) -> Option<Place> {
    if !markers.close.get(matched..)?.starts_with(char) {
        return None;
    }
    let matched = matched + char.len_utf8();
    let closed = matched == markers.close.len();
    Some(if closed { Place::Outside(String::new()) } else { Place::Closing(matched) })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    pub fn markers(last: u32) -> Markers {
        Markers { open: "[".to_owned(), close: "]".to_owned(), last }
    }

    /// Whether every `[` that a digit follows is a marker from 1 to `last`, the end of the text excepted.
    pub fn valid(text: &str, last: u32) -> bool {
        text.split('[').skip(1).all(|rest| {
            let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
            let (number, rest) = rest.split_at(digits);
            let known = || number.parse().is_ok_and(|number: u32| (1..=last).contains(&number));
            number.is_empty()
                || (!number.starts_with('0') && known() && (rest.is_empty() || rest.starts_with(']')))
        })
    }

    /// `split('[')` cuts a number off where a `[` follows it; that is not its end.
    fn cut(text: &str) -> bool {
        text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1] == b'[')
    }

    proptest! {
        #[test]
        fn what_is_let_through_is_what_is_valid(text in r"[\[\]0123é(]{0,10}", last in 0u32..25) {
            prop_assume!(!cut(&text));
            let after = MarkerState::new().after(&markers(last), &text);
            prop_assert_eq!(after.is_some(), valid(&text, last), "{}", text);
        }

        #[test]
        fn borders_of_pieces_change_nothing(pieces in prop::collection::vec(r"[\[\]012a]{0,4}", 0..6)) {
            let markers = markers(12);
            let whole = MarkerState::new().after(&markers, &pieces.concat());
            let parts = pieces.iter().try_fold(MarkerState::new(), |state, piece| state.after(&markers, piece));
            prop_assert_eq!(parts, whole);
        }
    }

    #[test]
    fn a_marker_of_several_characters() {
        let markers = Markers { open: "((".into(), close: "))".into(), last: 3 };
        let allowed = |text| MarkerState::new().after(&markers, text).is_some();
        assert!(["((2))", "(((2)) (7)", "(2)", "((a))", "((3", "((3)"].into_iter().all(allowed));
        assert!(!["((4))", "((2) ", "((2a", "((0", "((21"].into_iter().any(allowed));
        let none = Markers { last: 0, ..markers };
        assert!(MarkerState::new().after(&none, "((1").is_none());
    }
}
