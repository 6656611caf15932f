//! Follow-up questions made whole with their conversation: by a language model where there is one, else by rules.
//!
//! The rules: "And in Shanghai?" after "How many vacation days does a new employee in Munich get?" is looked for as "How many
//! vacation days does a new employee in Shanghai get?": a phrase of the follow-up that begins with a preposition replaces
//! the phrase of the earlier question that begins with the same one. Where nothing can be replaced, the earlier
//! question's words are added.

use std::borrow::Cow;

use lore_core::{ChatOptions, GenerateEvent, Generator, ModelError, Prompt, Sampling, Turn};

use crate::pack::encode;
use crate::prompt::rewrite_chat;
use crate::text::{is_cjk, is_function_word, language, matter, numbers, specific_terms, word_set};

/// Most tokens of a question that the model makes whole.
const REWRITTEN_TOKENS: usize = 128;
/// What a question made whole may have in code points beyond the question and the one before it.
const LONGER: usize = 120;

const PREPOSITIONS: [&str; 12] =
    ["in", "for", "at", "from", "under", "with", "during", "after", "before", "on", "of", "to"];

const OPENERS: [&str; 14] = [
    "and",
    "what about",
    "how about",
    "but",
    "so",
    "then",
    "also",
    "or",
    "same",
    "else",
    "那么",
    "那",
    "还有",
    "如果",
];

const REFERENCES: [&str; 19] = [
    "it", "its", "they", "them", "their", "that", "those", "this", "these", "there", "he", "she", "his",
    "her", "one", "ones", "same", "such", "then",
];

const CHINESE_REFERENCES: [&str; 12] =
    ["它", "他", "她", "这个", "那个", "那边", "那里", "这些", "那些", "呢", "该", "同样"];

/// The question as it should be looked for: `question` itself where it stands alone, else made whole with the turns
/// before it, the nearest first, for as long as all of it has at most `limit` characters.
pub fn standalone(question: &str, history: &[Turn], limit: usize) -> String {
    let mut pieces: Vec<Cow<'_, str>> = Vec::new();
    let (mut question, mut turns) = (question, history);
    let mut left = limit;
    loop {
        let earlier = turns.split_last().filter(|_| depends(question));
        let replaced = earlier.and_then(|(last, _)| replace_phrase(&last.question, question));
        let replaced = replaced.filter(|text| text.chars().count() <= left);
        let (piece, next) = match (replaced, earlier) {
            (Some(whole), _) => (Cow::Owned(whole), None),
            (None, Some(next)) => (Cow::Borrowed(strip_opener(question)), Some(next)),
            (None, None) => (Cow::Borrowed(question.trim()), None),
        };
        let chars = piece.chars().count() + usize::from(!pieces.is_empty());
        if chars > left && !pieces.is_empty() {
            break;
        }
        left = left.saturating_sub(chars);
        pieces.push(piece);
        let Some((last, before)) = next else { break };
        (question, turns) = (&last.question, before);
    }
    let mut out = String::new();
    while let Some(piece) = pieces.pop() {
        if pieces.is_empty() {
            out.push_str(&piece);
        } else {
            out.push_str(piece.trim_end_matches(['?', '？', '.', '。']));
            out.push(' ');
        }
    }
    out
}

/// Whether a question needs its conversation to be understood: it opens like a continuation, points back with a
/// pronoun, or is too short to name what it is about.
pub fn depends(question: &str) -> bool {
    let lower = question.trim().to_lowercase();
    if OPENERS.iter().any(|o| opens_with(&lower, o)) {
        return true;
    }
    let cjk = lower.chars().filter(|&c| is_cjk(c)).count();
    if cjk > 0 {
        return cjk <= 6 || CHINESE_REFERENCES.iter().any(|w| lower.contains(w));
    }
    let words = word_set(&lower);
    words.len() <= 3 || REFERENCES.iter().any(|w| words.contains(*w))
}

/// The question made whole by `generator`, or `None` where it stands alone or the model wrote no such question.
///
/// # Errors
/// Fails where the model does.
pub async fn by_model(
    generator: &Generator,
    question: &str,
    history: &[Turn],
    limit: usize,
) -> Result<Option<String>, ModelError> {
    let Some(last) = history.last().filter(|_| depends(question)) else { return Ok(None) };
    let options = ChatOptions { open_answer: true, thinking: Some(false) };
    let (_, tokens) = encode(generator, rewrite_chat(question, history), &options)?;
    let mut events = generator.generate(Prompt {
        tokens,
        sampling: Sampling::default(),
        max_tokens: REWRITTEN_TOKENS,
        ..Prompt::default()
    })?;
    let longest = (question.chars().count() + last.question.chars().count() + LONGER).min(limit);
    let mut written = String::new();
    while let Some(event) = events.recv().await {
        match event {
            GenerateEvent::Text(text) => written.push_str(&text),
            GenerateEvent::Done(_) => return Ok(sensible(question, &written, longest)),
            GenerateEvent::Failed(error) => return Err(error),
        }
    }
    Err(ModelError::Stopped { model: generator.info().id.clone() })
}

/// What the model wrote, where it is one question in the language of `question`, of at most `longest` code points.
fn sensible(question: &str, written: &str, longest: usize) -> Option<String> {
    // A model that thinks all the same does so first.
    let written = written.rsplit_once("</think>").map_or(written, |(_, after)| after).trim();
    let bare = written.trim_matches(['"', '“', '”', '「', '」', '*', ' ']);
    let one_line = !bare.is_empty() && !bare.contains('\n');
    let fits = bare.chars().count() <= longest && language(bare) == language(question);
    // "Question: ..." and "The last question is ..." are talk about the question.
    let talk = bare.split_once([':', '：']).is_some_and(|(label, _)| label.chars().count() <= 24);
    // A thought that was cut off is none, and neither is what has control characters.
    let clean = !bare.contains("<think>") && !bare.chars().any(char::is_control);
    (one_line && fits && !talk && clean && keeps(question, bare)).then(|| bare.to_owned())
}

/// Whether `written` still asks what `question` asks: it holds its numbers, codes and names, and, where there are any, some
/// of the words that carry its matter. An answer, or the question before once more, does not.
fn keeps(question: &str, written: &str) -> bool {
    let lower = written.to_lowercase();
    let rest = strip_opener(strip_opener(question));
    let definite = specific_terms(rest).iter().all(|term| lower.contains(term.as_str()));
    let there = numbers(written);
    if !definite || !numbers(rest).is_subset(&there) {
        return false;
    }
    let telling = |word: &&String| {
        let word = word.as_str();
        !is_function_word(word)
            && !REFERENCES.contains(&word)
            && !OPENERS.contains(&word)
            && !CHINESE_REFERENCES.contains(&word)
    };
    let words = word_set(&matter(&rest.to_lowercase()));
    let words: Vec<&String> = words.iter().filter(telling).collect();
    // "costs" is there where "cost" is: a word's first letters are enough.
    let stem = |word: &str| word.chars().take(word.chars().count().max(4) - 1).collect::<String>();
    let holds = |word: &&&String| {
        lower.contains(&if word.chars().all(is_cjk) { (**word).clone() } else { stem(word) })
    };
    words.is_empty() || words.iter().any(|word| holds(&word))
}

fn opens_with(lower: &str, opener: &str) -> bool {
    lower.strip_prefix(opener).is_some_and(|rest| {
        opener.chars().any(is_cjk) || rest.chars().next().is_none_or(|c| !c.is_alphanumeric())
    })
}

fn strip_opener(question: &str) -> &str {
    let trimmed = question.trim();
    let lower = trimmed.to_lowercase();
    for opener in ["and ", "but ", "so ", "then ", "or ", "what about ", "how about ", "那么", "那"] {
        if lower.starts_with(opener) && trimmed.is_char_boundary(opener.len()) {
            return trimmed[opener.len()..].trim_start_matches([',', ' ', '，']);
        }
    }
    trimmed
}

/// `earlier` with one prepositional phrase replaced by the follow-up's phrase with the same preposition.
fn replace_phrase(earlier: &str, follow_up: &str) -> Option<String> {
    let rest = strip_opener(strip_opener(follow_up));
    let words: Vec<&str> = rest.split_whitespace().collect();
    // Only a bare phrase replaces ("in Shanghai?", "for contractors?"); a whole clause says more than that.
    let preposition = words.first()?.to_lowercase();
    if words.len() > 5 || words.len() < 2 || !PREPOSITIONS.contains(&preposition.as_str()) {
        return None;
    }
    let before: Vec<&str> = earlier.split_whitespace().collect();
    let at = before.iter().rposition(|w| w.to_lowercase() == preposition)?;
    // The phrase ends before the next preposition or verb-like tail; proper names and numbers extend it.
    let mut end = at + 1;
    while end < before.len() {
        let word = before[end];
        let name = word.chars().next().is_some_and(|c| c.is_uppercase() || c.is_ascii_digit());
        let article = matches!(word.to_lowercase().as_str(), "the" | "a" | "an" | "our" | "my");
        if !(name || article) {
            break;
        }
        end += 1;
    }
    if end == at + 1 {
        end = (at + 2).min(before.len());
    }
    let phrase = rest.trim_end_matches(['?', '.', '!']);
    let mut out: Vec<&str> = before[..at].to_vec();
    out.push(phrase);
    out.extend(&before[end..]);
    let text = out.join(" ");
    Some(if text.ends_with('?') { text } else { format!("{text}?") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(question: &str) -> Vec<Turn> {
        vec![Turn { question: question.into(), answer: String::new() }]
    }

    #[test]
    fn a_place_replaces_a_place() {
        let history = turn("How many vacation days does a new employee in Munich get?");
        assert_eq!(
            standalone("And in Shanghai?", &history, 4000),
            "How many vacation days does a new employee in Shanghai get?"
        );
    }

    #[test]
    fn a_whole_question_stays() {
        let history = turn("How many vacation days does a new employee in Munich get?");
        let question = "Which torque do the mounting screws need on the sensor bracket?";
        assert_eq!(standalone(question, &history, 4000), question);
    }

    #[test]
    fn a_pronoun_brings_the_earlier_words() {
        let history = turn("What is the range of the FJ-200?");
        assert_eq!(
            standalone("How much does it cost?", &history, 4000),
            "What is the range of the FJ-200 How much does it cost?"
        );
    }

    #[test]
    fn chinese_follow_up() {
        let history = turn("上海员工有多少天年假？");
        assert_eq!(standalone("那苏州呢？", &history, 4000), "上海员工有多少天年假 苏州呢？");
    }

    #[test]
    fn a_conversation_of_hints_goes_back_to_what_it_is_about() {
        let history: Vec<Turn> = ["What is the range of the FJ-200?", "How much does it cost?"]
            .iter()
            .flat_map(|q| turn(q))
            .collect();
        let whole = "What is the range of the FJ-200 How much does it cost is it new?";
        assert_eq!(standalone("And is it new?", &history, 4000), whole);
    }

    #[test]
    fn a_long_conversation_gives_its_newest_turns_and_no_more_than_the_limit() {
        let long = format!("And what about it, {}?", "word ".repeat(700));
        let history: Vec<Turn> = (0..32).flat_map(|_| turn(&long)).collect();
        let question = "And how much does it cost?";
        let text = standalone(question, &history, 4000);
        assert!(text.chars().count() <= 4000, "{}", text.chars().count());
        assert!(text.ends_with("how much does it cost?") && text.contains("word"), "{text}");
        // The first piece that does not fit ends it.
        assert_eq!(standalone(question, &history, 100), "how much does it cost?");
    }

    #[test]
    fn what_the_model_writes_is_taken_only_where_it_is_a_question() {
        let whole = "How much does the FJ-200 cost?";
        let sense = |written: &str| sensible("How much does it cost?", written, 60);
        assert_eq!(sense(&format!(" \"{whole}\"\n")).as_deref(), Some(whole));
        assert_eq!(sense(&format!("<think>\n\n</think>\n\n{whole}")).as_deref(), Some(whole));
        for nonsense in [
            "",
            "\n",
            "One line.\nAnother.",
            "FJ-200 多少钱？",
            "Question: How much?",
            &"long ".repeat(20),
            "<think>What does it cost, the user asks",
            "How much does \u{7} the FJ-200 cost?",
            "I do not know.",
            "30 days.",
        ] {
            assert_eq!(sense(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_question_made_whole_keeps_what_was_asked() {
        let kept = |question: &str, written: &str| sensible(question, written, 200).is_some();
        assert!(kept("And in Shanghai?", "How many vacation days does a new employee in Shanghai get?"));
        assert!(!kept("And in Shanghai?", "How many vacation days does a new employee in Munich get?"));
        assert!(kept("And for 3 years?", "What is the interest of the FJ-200 for 3 years?"));
        assert!(!kept("And for 3 years?", "What is the interest of the FJ-200?"));
        assert!(kept("Why?", "Why does the FJ-200 need no battery?"));
        assert!(
            kept("那苏州呢？", "苏州员工有多少天年假？") && !kept("那苏州呢？", "上海员工有多少天年假？")
        );
        assert!(kept("它多少钱？", "FJ-200 多少钱？"));
    }

    #[test]
    fn without_history_nothing_changes() {
        assert_eq!(standalone(" And in Shanghai? ", &[], 4000), "And in Shanghai?");
    }
}
