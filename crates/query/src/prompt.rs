//! What the language model is told: instructions, passages, conversation and question, as messages with fixed roles.
//!
//! The texts are the files under `prompts/`. Passages stand at the head of the first user message, so that prompts over
//! the same passages begin alike. What comes from documents is fenced, and fences and markers in it are defused.

use std::sync::LazyLock;

use lore_core::{BlockKind, Message, Parsed, Role, Span, Turn};
use regex::Regex;

use crate::passages::FoundPassage;
use crate::text;

/// Longest title or heading path of a passage in code points.
const LONGEST_ATTRIBUTE: usize = 160;
/// Earlier turns that a follow-up question is made whole with.
const REWRITE_TURNS: usize = 4;
/// Characters of an earlier answer that a follow-up question is made whole with.
const REWRITE_ANSWER: usize = 400;

/// The language of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptLanguage {
    /// English, for questions in all languages but Chinese.
    English,
    /// Chinese.
    Chinese,
}

/// The text of a prompt's file in one language.
macro_rules! file {
    ($language:expr, $name:literal) => {
        match $language {
            PromptLanguage::English => include_str!(concat!("prompts/", $name, ".en.md")).trim_end(),
            PromptLanguage::Chinese => include_str!(concat!("prompts/", $name, ".zh.md")).trim_end(),
        }
    };
}
pub(crate) use file;

impl PromptLanguage {
    /// The language in which `question` is best answered.
    pub fn of(question: &str) -> Self {
        if text::language(question) == "zh" { Self::Chinese } else { Self::English }
    }

    /// What is said where the documents hold no answer.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::English => "I could not find this in the documents.",
            Self::Chinese => "我在文档中没有找到答案。",
        }
    }
}

/// The name of the language of `question`, in the language of its prompt.
fn answer_language(question: &str) -> &'static str {
    match text::language(question) {
        "zh" => "中文",
        "de" => "German",
        "fr" => "French",
        "es" => "Spanish",
        "it" => "Italian",
        _ if question.is_ascii() => "English",
        _ => "the language of the question",
    }
}

/// The messages of an answer: instructions; passages and the oldest question; the turns between; the question.
pub fn answer_chat(question: &str, history: &[Turn], passages: &[FoundPassage]) -> Vec<Message> {
    let language = PromptLanguage::of(question);
    let answer_in = answer_language(question);
    let instructions =
        render(file!(language, "system"), &[("language", answer_in), ("refusal", language.refusal())]);
    let mut messages = vec![Message::new(Role::System, instructions)];
    let blocks: Vec<String> = passages.iter().map(passage_block).collect();
    let mut head = render(file!(language, "passages"), &[("passages", &blocks.join("\n"))]);
    head.push_str("\n\n");
    for turn in history {
        let asked = std::mem::take(&mut head) + &defuse(turn.question.trim());
        messages.push(Message::new(Role::User, asked));
        messages.push(Message::new(Role::Assistant, defuse(turn.answer.trim())));
    }
    let question = render(
        file!(language, "question"),
        &[("question", &defuse(question.trim())), ("language", answer_in)],
    );
    messages.push(Message::new(Role::User, head + &question));
    messages
}

/// The messages that ask for a follow-up question made whole.
pub fn rewrite_chat(question: &str, history: &[Turn]) -> Vec<Message> {
    let language = PromptLanguage::of(question);
    let (asked, answered) = match language {
        PromptLanguage::English => ("Question", "Answer"),
        PromptLanguage::Chinese => ("问题", "回答"),
    };
    let mut conversation = String::new();
    for turn in history.iter().skip(history.len().saturating_sub(REWRITE_TURNS)) {
        let answer: String = turn.answer.trim().chars().take(REWRITE_ANSWER).collect();
        if !conversation.is_empty() {
            conversation.push('\n');
        }
        conversation.push_str(&format!(
            "{asked}: {}\n{answered}: {}",
            one_line(&turn.question),
            one_line(&answer)
        ));
    }
    let user = render(
        file!(language, "follow_up"),
        &[("conversation", &conversation), ("question", &one_line(question))],
    );
    vec![Message::new(Role::System, file!(language, "rewrite")), Message::new(Role::User, user)]
}

/// Puts values in the place of `{{name}}`; what a value holds is not looked at again.
fn render(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let found = after.split_once("}}").and_then(|(name, behind)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, behind))
        });
        match found {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A passage in its fence.
pub(crate) fn passage_block(found: &FoundPassage) -> String {
    let passage = &found.passage;
    let title = if passage.title.is_empty() { &passage.name } else { &passage.title };
    let mut out = format!("<passage n=\"{}\" title=\"{}\"", passage.marker, attribute(title));
    let headings: Vec<&str> =
        passage.headings.iter().map(String::as_str).filter(|heading| heading != title).collect();
    if !headings.is_empty() {
        out.push_str(&format!(" section=\"{}\"", attribute(&headings.join(" > "))));
    }
    if let Some(pages) = passage.pages {
        out.push_str(&format!(" page=\"{}\"", pages.first));
    }
    out.push_str(">\n");
    if let Some(header) = table_header(&found.parsed, passage.span) {
        out.push_str(&defuse(&header));
        out.push('\n');
    }
    out.push_str(&defuse(passage.text.trim()));
    out.push_str("\n</passage>");
    out
}

/// The header row of the table that `span` begins in the middle of.
pub(crate) fn table_header(parsed: &Parsed, span: Span) -> Option<String> {
    let at = parsed.blocks.partition_point(|b| b.span.end <= span.start);
    let block = parsed.blocks.get(at).filter(|b| b.kind == BlockKind::Table)?;
    if span.start <= block.span.start {
        return None;
    }
    block.span.slice(&parsed.text)?.lines().next().map(str::to_owned)
}

/// A value between double quotes.
fn attribute(text: &str) -> String {
    let plain = one_line(&defuse(text)).replace('"', "'").replace('<', "‹").replace('>', "›");
    plain.chars().take(LONGEST_ATTRIBUTE).collect()
}

/// `text` with one space in the place of each run of white space.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What may stand between the characters of a fence or a marker without being seen: spaces, format characters, and marks
/// that join what is before them.
pub(crate) const UNSEEN: &str = r"[\s\p{Cf}\u{34f}\u{fe00}-\u{fe0f}]*";

/// The letters of the fence's name, each with the ones that look like it: full-width, Cyrillic, IPA.
const NAME: [&str; 7] = ["pｐр", "aａаɑ", "sｓѕ", "sｓѕ", "aａаɑ", "gｇɡ", "eｅе"];

#[allow(clippy::expect_used, reason = "the patterns are constants, and a test uses them")]
static FENCE: LazyLock<Regex> = LazyLock::new(|| {
    let name: Vec<String> = NAME.iter().map(|like| format!("[{like}]")).collect();
    let name = name.join(UNSEEN);
    Regex::new(&format!("(?i)[<＜﹤](({UNSEEN})[/／⁄∕]?({UNSEEN}){name})")).expect("a pattern of this file")
});

#[allow(clippy::expect_used, reason = "the pattern is a constant, and a test uses it")]
static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    let number = format!("{UNSEEN}[0-9０-９]{{1,3}}{UNSEEN}");
    Regex::new(&format!(r"[\[【［〔]({number}(?:[,，、;；–-]{number})*)[\]】］〕]"))
        .expect("a pattern of this file")
});

/// `text` without what could be taken for a fence or for a marker: `</passage>` is `‹/passage>`, `[3]` is `(3)`.
pub(crate) fn defuse(text: &str) -> String {
    let fenced = FENCE.replace_all(text, "‹$1");
    MARKER.replace_all(&fenced, "($1)").into_owned()
}

#[cfg(test)]
#[path = "prompt_tests.rs"]
mod tests;
