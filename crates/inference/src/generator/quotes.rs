//! Answers that point at sentences: tags that exist, each once, and behind a tag nothing but words of its sentence.

use lore_core::Quotes;

/// Where a text stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QuoteState {
    place: Place,
    /// Numbers of the sentences that are tagged.
    tagged: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In a tag, or in what stands for a refusal: what there is of it.
    Tag(String),
    /// Behind the last tag.
    Behind(Words),
    /// Behind a refusal.
    Refused,
}

/// Words behind a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    /// None yet; whether a space stands there.
    None(bool),
    /// The bytes of the sentence up to the end of every place where they stand.
    At(Vec<usize>),
}

/// Whether a text refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaning {
    /// It may still do both.
    Open,
    /// It does.
    Refuses,
    /// It points at a sentence.
    Answers,
}

impl QuoteState {
    /// The beginning of a text.
    pub fn new() -> Self {
        Self { place: Place::Tag(String::new()), tagged: Vec::new() }
    }

    /// Where the text stands after `piece`; `None` where that is no such answer.
    pub fn after(&self, quotes: &Quotes, piece: &str) -> Option<Self> {
        piece.chars().try_fold(self.clone(), |state, char| state.step(quotes, char))
    }

    /// Whether it may end: behind a refusal or a tag, and behind whole words.
    pub fn may_end(&self, quotes: &Quotes) -> bool {
        match &self.place {
            Place::Refused => true,
            Place::Tag(_) => false,
            Place::Behind(words) => self.is_whole(quotes, words),
        }
    }

    /// Whether a token without text may come: words may hold characters of several tokens.
    pub fn may_wait(&self) -> bool {
        matches!(self.place, Place::Behind(_))
    }

    /// The sentence whose tag it ends with, from 0.
    pub fn tagged(&self) -> Option<usize> {
        match self.place {
            Place::Behind(Words::None(false)) => self.tagged.last().and_then(|number| number.checked_sub(1)),
            _ => None,
        }
    }

    /// What it has become.
    pub fn leaning(&self) -> Leaning {
        match &self.place {
            Place::Refused => Leaning::Refuses,
            Place::Tag(begun) if self.tagged.is_empty() => match begun.len() {
                0 | 1 => Leaning::Open,
                _ if Quotes::NONE.starts_with(begun.as_str()) => Leaning::Refuses,
                _ => Leaning::Answers,
            },
            Place::Tag(_) | Place::Behind(_) => Leaning::Answers,
        }
    }

    fn step(mut self, quotes: &Quotes, char: char) -> Option<Self> {
        self.place = match self.place {
            Place::Refused => return None,
            Place::Tag(begun) => return Self { place: Place::Refused, ..self }.tag(quotes, begun, char),
            Place::Behind(ref words) if char == '[' => {
                let more = self.tagged.len() < quotes.most && self.tagged.len() < quotes.sentences.len();
                (more && self.is_whole(quotes, words)).then(|| Place::Tag("[".to_owned()))?
            }
            Place::Behind(Words::None(false)) if quotes.words && char == ' ' => {
                Place::Behind(Words::None(true))
            }
            Place::Behind(words) if quotes.words => {
                let sentence = quotes.sentences.get(self.tagged.last()?.checked_sub(1)?)?;
                let ends = match words {
                    Words::None(_) => begins(sentence, char),
                    Words::At(ends) => {
                        ends.into_iter().filter_map(|end| goes_on(sentence, end, char)).collect()
                    }
                };
                (!ends.is_empty()).then_some(Place::Behind(Words::At(ends)))?
            }
            Place::Behind(_) => return None,
        };
        Some(self)
    }

    /// `begun` and `char` in a tag.
    fn tag(mut self, quotes: &Quotes, mut begun: String, char: char) -> Option<Self> {
        begun.push(char);
        if self.tagged.is_empty() && Quotes::NONE.starts_with(&begun) && begun != "[" {
            self.place = if begun == Quotes::NONE { Place::Refused } else { Place::Tag(begun) };
            return Some(self);
        }
        let mut free = (1..=quotes.sentences.len()).filter(|number| !self.tagged.contains(number));
        let number = free.find(|number| Quotes::tag(*number).starts_with(&begun))?;
        if Quotes::tag(number) == begun {
            self.tagged.push(number);
            self.place = Place::Behind(Words::None(false));
        } else {
            self.place = Place::Tag(begun);
        }
        Some(self)
    }

    /// Whether `words` end where a word of the sentence does.
    fn is_whole(&self, quotes: &Quotes, words: &Words) -> bool {
        let Words::At(ends) = words else { return true };
        let sentence = self.tagged.last().and_then(|number| quotes.sentences.get(number - 1));
        sentence.is_some_and(|sentence| ends.iter().any(|end| !Quotes::is_inside(sentence, *end)))
    }
}

/// The ends of `char` where a word of `sentence` begins with it.
fn begins(sentence: &str, char: char) -> Vec<usize> {
    let found = sentence.match_indices(char).map(|(at, found)| (at, at + found.len()));
    found.filter(|(at, _)| !Quotes::is_inside(sentence, *at)).map(|(_, end)| end).collect()
}

fn goes_on(sentence: &str, end: usize, char: char) -> Option<usize> {
    sentence.get(end..)?.starts_with(char).then(|| end + char.len_utf8())
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    pub fn quotes(sentences: &[&str]) -> Quotes {
        let sentences = sentences.iter().map(|text| (*text).to_owned()).collect();
        Quotes { sentences, most: 2, words: true, refuse_at: 0.5 }
    }

    fn ends(quotes: &Quotes, text: &str) -> bool {
        QuoteState::new().after(quotes, text).is_some_and(|state| state.may_end(quotes))
    }

    #[test]
    fn tags_that_exist_each_once_or_a_refusal_alone() {
        let quotes = quotes(&["a"; 12]);
        assert!(["[none]", "[s1]", "[s12]", "[s2][s1]"].into_iter().all(|text| ends(&quotes, text)));
        let wrong = [
            "",
            "[",
            "[s",
            "[s0]",
            "[s13]",
            "[s01]",
            "[s1][s1]",
            "[s1][s2][s3]",
            "[none][s1]",
            "[s1][none]",
            "x",
        ];
        assert!(!wrong.into_iter().any(|text| ends(&quotes, text)));
        // A number that is taken is not begun either, unless another goes on from it.
        let after = |text| QuoteState::new().after(&quotes, text);
        assert!(after("[s2][s2").is_none() && after("[s1][s1").is_some());
    }

    #[test]
    fn words_are_whole_words_of_the_sentence() {
        let quotes = quotes(&["Up to EUR 800 for 10 days.", "年假为 15 天，病假另计。"]);
        let right =
            ["[s1] EUR 800", "[s1]EUR 800[s2]15 天", "[s1]", "[s2]病假", "[s1]Up to EUR 800 for 10 days."];
        assert!(right.into_iter().all(|text| ends(&quotes, text)), "{quotes:?}");
        let wrong = [
            "[s1] EUR 80",
            "[s1]UR 800",
            "[s1] eur",
            "[s2]EUR",
            "[s1]EUR  800",
            "[none] EUR",
            "[s1]800[none]",
        ];
        assert!(!wrong.into_iter().any(|text| ends(&quotes, text)));
        assert!(!ends(&Quotes { words: false, ..quotes }, "[s1] EUR 800"));
    }

    #[test]
    fn a_text_refuses_or_answers_from_where_that_is_certain() {
        let quotes = quotes(&["a"]);
        let leaning = |text| QuoteState::new().after(&quotes, text).unwrap().leaning();
        assert_eq!(["", "["].map(leaning), [Leaning::Open; 2]);
        assert_eq!(["[n", "[none]"].map(leaning), [Leaning::Refuses; 2]);
        assert_eq!(["[s", "[s1]", "[s1] a"].map(leaning), [Leaning::Answers; 3]);
    }

    proptest! {
        #[test]
        fn what_may_end_holds_parts_of_its_sentences(pieces in prop::collection::vec(r"(\[s[12]\]|\[none\]|[\[\]s1a é]|a1|1,5)?", 0..6)) {
            let quotes = quotes(&["a é a1 1,5", "1"]);
            let text = pieces.concat();
            if ends(&quotes, &text) && text != Quotes::NONE {
                for behind in text.split("[s").skip(1) {
                    let (number, words) = behind.split_once(']').unwrap();
                    let sentence = &quotes.sentences[number.parse::<usize>().unwrap() - 1];
                    let words = words.strip_prefix(' ').unwrap_or(words);
                    prop_assert!(words.is_empty() || Quotes::is_part(sentence, words), "{text}");
                }
            }
        }
    }
}
