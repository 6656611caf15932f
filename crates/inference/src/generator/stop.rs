//! Texts that end an answer, wherever the borders of its pieces fall.

/// Most stop texts of a request.
pub(super) const MOST: usize = 16;
/// Most bytes of one.
pub(super) const MOST_BYTES: usize = 256;

/// Looks for stop texts in a text that comes in pieces, and holds back what may become one.
#[derive(Clone, Debug)]
pub(super) struct Stops {
    texts: Vec<String>,
    held: String,
}

impl Stops {
    /// Empty texts are left out.
    pub fn new(texts: Vec<String>) -> Self {
        Self { texts: texts.into_iter().filter(|text| !text.is_empty()).collect(), held: String::new() }
    }

    /// What of the text can go out now, and whether a stop text came. The one that is complete first counts; of those
    /// that are complete together, the longest.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let found = self.texts.iter().filter_map(|text| {
            let start = self.held.find(text.as_str())?;
            Some((start + text.len(), start))
        });
        if let Some((_, start)) = found.min() {
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let kept = self.held.split_off(self.safe());
        (std::mem::replace(&mut self.held, kept), false)
    }

    /// What is still held back when no piece comes any more.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the longest end of the text that a stop text begins with starts.
    fn safe(&self) -> usize {
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest.saturating_sub(1));
        (from..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.texts.iter().any(|text| text.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// The same over the whole text: the first place where a stop text ends.
    fn whole(text: &str, stops: &[String]) -> (String, bool) {
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            let ending = stops.iter().filter(|stop| !stop.is_empty() && text[..end].ends_with(stop.as_str()));
            if let Some(longest) = ending.map(String::len).max() {
                return (text[..end - longest].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    proptest! {
        #[test]
        fn pieces_and_the_whole_end_alike(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{0,5}", 0..4),
        ) {
            let (expected, ends) = whole(&pieces.concat(), &stops);
            let mut filter = Stops::new(stops);
            let (mut text, mut ended) = (String::new(), false);
            for piece in &pieces {
                let (out, stopped) = filter.push(piece);
                text.push_str(&out);
                prop_assert!(expected.starts_with(&text), "{text:?} went out too early");
                if stopped {
                    ended = true;
                    break;
                }
            }
            if !ended {
                text.push_str(&filter.finish());
            }
            prop_assert_eq!((text, ended), (expected, ends));
        }
    }

    #[test]
    fn without_stops_nothing_is_held_back() {
        let mut filter = Stops::new(vec![String::new()]);
        assert_eq!(filter.push("abc"), ("abc".to_owned(), false));
        let mut filter = Stops::new(vec!["\n\nQ:".to_owned()]);
        assert_eq!(filter.push("an answer\n"), ("an answer".to_owned(), false));
        assert_eq!(filter.push("in two lines"), ("\nin two lines".to_owned(), false));
    }
}
