//! The words of an example's answer: true by construction, since they are the source's.

use super::AnswerForm;
use super::gold::Gold;
use super::row::Row;
use crate::eval::EvalQuestion;
use crate::eval::metrics::{contains, normalized_tokens};
use crate::prompt::{PromptLanguage, defuse, one_line};

/// The answer to `question` from `golds`, of which `markers` name the passages.
pub(super) fn worded(form: AnswerForm, question: &EvalQuestion, golds: &[Gold], markers: &[u32]) -> String {
    let language = PromptLanguage::of(&question.question);
    let parts: Vec<&str> = question.answers.first().into_iter().flatten().map(String::as_str).collect();
    let mut statements: Vec<String> = Vec::new();
    for (gold, marker) in golds.iter().zip(markers) {
        let told: Vec<&str> = parts.iter().copied().filter(|part| contains(&gold.quote, part)).collect();
        // Rows of two data sheets are told apart by their documents alone.
        let named = golds
            .iter()
            .any(|other| other.document != gold.document)
            .then(|| gold.title())
            .filter(|title| !title.is_empty());
        let statement = marked(&statement(form, language, question, gold, &told, named), *marker, language);
        if !statements.contains(&statement) {
            statements.push(statement);
        }
    }
    statements.join(match language {
        PromptLanguage::English => " ",
        PromptLanguage::Chinese => "",
    })
}

/// What `gold` says of the question, where it tells `parts` of the right answer, without a marker; a table row with the
/// `title` of its document, where there is one.
fn statement(
    form: AnswerForm,
    language: PromptLanguage,
    question: &EvalQuestion,
    gold: &Gold,
    parts: &[&str],
    title: Option<&str>,
) -> String {
    let short = defuse(&parts.join(match language {
        PromptLanguage::English => ", ",
        PromptLanguage::Chinese => "，",
    }));
    if form == AnswerForm::Short && !short.is_empty() {
        return short;
    }
    if let Some(row) = Row::of(gold) {
        return defuse(&row.told(language, &question.question, parts, title));
    }
    let quote = defuse(&one_line(&gold.quote));
    let same = normalized_tokens(&short) == normalized_tokens(&quote);
    match (form, language) {
        (AnswerForm::ShortThenQuote, _) if short.is_empty() || same => quote,
        (AnswerForm::ShortThenQuote, PromptLanguage::English) => format!("{short}: {quote}"),
        (AnswerForm::ShortThenQuote, PromptLanguage::Chinese) => format!("{short}：{quote}"),
        (AnswerForm::Quote | AnswerForm::Short, _) => quote,
    }
}

/// `statement` with its marker before the end of the sentence.
fn marked(statement: &str, marker: u32, language: PromptLanguage) -> String {
    let ends = |c: char| matches!(c, '.' | '。' | '!' | '！' | '?' | '？' | ';' | '；');
    let (space, full_stop) = match language {
        PromptLanguage::English => (" ", "."),
        PromptLanguage::Chinese => ("", "。"),
    };
    let bare = statement.trim_end_matches(ends);
    let end = match &statement[bare.len()..] {
        "" | ";" | "；" => full_stop,
        end => end,
    };
    format!("{bare}{space}[{marker}]{end}")
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
