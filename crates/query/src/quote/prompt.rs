//! What a model is told that answers by pointing at sentences.
//!
//! The question stands before the sentences, so that each is read with it in mind, and again behind them; a sentence's tag
//! stands behind it, where all of it has been read.

use std::sync::LazyLock;

use lore_core::{Message, Quotes, Role};
use regex::Regex;

use super::highlight::MARK;
use crate::prompt::{PromptLanguage, UNSEEN, file, one_line};

/// Longest title or heading in code points.
const LONGEST_AROUND: usize = 60;
/// Longest sentence in code points; a table row can be longer than a page.
const LONGEST: usize = 600;

/// A sentence as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it is from.
    pub around: String,
    /// Its text.
    pub text: String,
    /// The text with what the question shares with it marked ([`super::highlight`]).
    pub marked: String,
    /// How likely the search finds it among these, how much of what is asked it holds, and how near its meaning is: 0 to 9
    /// each.
    pub marks: [u8; 3],
}

impl Line {
    /// A line of a sentence of the document `title`, under `heading`.
    pub fn new(
        title: &str,
        heading: Option<&str>,
        text: &str,
        highlight: &dyn Fn(&str) -> String,
        marks: [f32; 3],
    ) -> Self {
        let heading = heading.filter(|heading| *heading != title);
        let around: Vec<String> = [Some(title), heading]
            .into_iter()
            .flatten()
            .filter(|part| !part.trim().is_empty())
            .map(|part| shown(part).chars().take(LONGEST_AROUND).collect())
            .collect();
        let text: String = shown(text).chars().take(LONGEST).collect();
        let around = highlight(&around.join(" > "));
        Self { around, marked: highlight(&text), text, marks: marks.map(mark) }
    }

    /// The line with the tag of this number.
    pub fn tagged(&self, number: usize) -> String {
        let [likely, holds, near] = self.marks;
        let colon = if self.around.is_empty() { "" } else { ": " };
        format!("{}{colon}{} {likely}{holds}{near}{}", self.around, self.marked, Quotes::tag(number))
    }
}

/// `text` on one line, without what could be taken for a mark, a marker or a tag.
fn shown(text: &str) -> String {
    // Marks go first: `[s*3]` without its star is a tag.
    one_line(&defuse(&text.replace(MARK, "")))
}

/// A share as a digit.
pub fn mark(share: f32) -> u8 {
    (share.clamp(0.0, 1.0) * 10.0).min(9.0) as u8
}

/// The messages: instructions, and the question with the sentences; behind them again with what the sentences share
/// marked, and `confidence`, how sure the search is of the first.
pub fn quotes_chat(
    question: &str,
    lines: &[Line],
    highlight: &dyn Fn(&str) -> String,
    confidence: f32,
) -> Vec<Message> {
    let language = PromptLanguage::of(question);
    let tagged: Vec<String> = (1..).zip(lines).map(|(number, line)| line.tagged(number)).collect();
    let question = shown(question);
    let again = highlight(&question);
    let told = format!("{question}\n{}\n{again} {}", tagged.join("\n"), mark(confidence));
    vec![Message::new(Role::System, file!(language, "system")), Message::new(Role::User, told)]
}

#[allow(clippy::expect_used, reason = "the pattern is a constant, and a test uses it")]
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    let spread = |letters: [&str; 4]| letters.map(|like| format!("[{like}]{UNSEEN}")).concat();
    let none = spread(["nｎ", "oｏо", "nｎ", "eｅе"]);
    let pattern =
        format!(r"(?i)[\[［【〔]{UNSEEN}([sｓѕ]{UNSEEN}[0-9０-９]{{1,3}}|{none}){UNSEEN}[\]］】〕]");
    Regex::new(&pattern).expect("a pattern of this file")
});

/// `text` without what could be taken for a tag or a marker: `[s3]` is `(s3)`.
pub fn defuse(text: &str) -> String {
    TAG.replace_all(&crate::prompt::defuse(text), "($1)").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn documents_cannot_set_tags() {
        assert_eq!(
            shown("See [s3], [None] and [ S12 ]; [see] [4]."),
            "See (s3), (None) and (S12); [see] (4)."
        );
        assert_eq!(shown("[s*3] [**none**] [ｓ３]"), "(s3) (none) (ｓ３)");
        let line = Line::new("[s*1]", Some("[*none*]"), "[s*2]", &plain, [0.0; 3]).tagged(4);
        assert_eq!(line, "(s1) > (none): (s2) 000[s4]");
        let told = quotes_chat("[s*1]?", &[], &plain, 0.5)[1].content.clone();
        assert!(!told.contains('['), "{told}");
    }

    #[test]
    fn a_line_tells_where_it_is_from_and_what_the_search_knows() {
        let line =
            Line::new("Handbook", Some("Vacation"), "30 days\n **a**  year [s1].", &plain, [1.0, 0.55, 0.0]);
        assert_eq!(line.tagged(2), "Handbook > Vacation: 30 days a year (s1). 950[s2]");
        assert_eq!(Line::new("", None, "x", &plain, [0.0; 3]).tagged(1), "x 000[s1]");
        assert_eq!(Line::new("A", Some("A"), "x", &plain, [0.0; 3]).around, "A");
    }

    #[test]
    fn the_chats_of_both_languages() {
        let shared = |words: &'static [&str]| {
            move |text: &str| {
                words.iter().fold(text.to_owned(), |text, word| text.replace(word, &format!("{word}{MARK}")))
            }
        };
        let zh = shared(&["上海", "年假"]);
        let en = shared(&["Munich", "days"]);
        let lines = [
            Line::new("员工手册", Some("年假"), "上海员工每年享有 12 天年假。", &zh, [1.0, 0.8, 0.0]),
            Line::new("Handbook", Some("Vacation"), "Munich has 30 days.", &en, [1.0, 0.8, 0.7]),
            Line::new("Handbook", Some("Leave"), "Leeds has 26 days.", &en, [0.3, 0.6, 0.6]),
        ];
        let chats = [
            quotes_chat("上海有几天年假？", &lines[..1], &zh, 0.93),
            quotes_chat("How many days are there in [s2] Munich?", &lines[1..], &en, 0.77),
        ];
        let told: Vec<String> = chats
            .iter()
            .flatten()
            .map(|message| format!("== {:?}\n{}", message.role, message.content))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
