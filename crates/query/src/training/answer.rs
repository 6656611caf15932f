//! The words of an example's answer: true by construction, since they are the source's.

use lore_core::BlockKind;

use super::AnswerForm;
use super::gold::Gold;
use crate::eval::EvalQuestion;
use crate::eval::metrics::{contains, normalized_tokens};
use crate::prompt::{PromptLanguage, defuse};
use crate::text::{is_function_word, word_set};

/// The answer to `question` from `golds`, of which `markers` name the passages.
pub(super) fn worded(form: AnswerForm, question: &EvalQuestion, golds: &[Gold], markers: &[u32]) -> String {
    let language = PromptLanguage::of(&question.question);
    let parts: Vec<&str> = question.answers.first().into_iter().flatten().map(String::as_str).collect();
    let mut statements: Vec<String> = Vec::new();
    for (gold, marker) in golds.iter().zip(markers) {
        let told: Vec<&str> = parts.iter().copied().filter(|part| contains(&gold.quote, part)).collect();
        let statement = marked(&statement(form, language, question, gold, &told), *marker, language);
        if !statements.contains(&statement) {
            statements.push(statement);
        }
    }
    statements.join(match language {
        PromptLanguage::English => " ",
        PromptLanguage::Chinese => "",
    })
}

/// What `gold` says of the question, where it tells `parts` of the right answer; without a marker.
fn statement(
    form: AnswerForm,
    language: PromptLanguage,
    question: &EvalQuestion,
    gold: &Gold,
    parts: &[&str],
) -> String {
    let short = defuse(&parts.join(match language {
        PromptLanguage::English => ", ",
        PromptLanguage::Chinese => "，",
    }));
    if form == AnswerForm::Short && !short.is_empty() {
        return short;
    }
    if let Some(row) = row(language, question, gold, parts) {
        return defuse(&row);
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

/// A table row as a sentence: what it is about, and the cells that answer with their columns' names. `None` where the
/// source is no table row.
fn row(language: PromptLanguage, question: &EvalQuestion, gold: &Gold, parts: &[&str]) -> Option<String> {
    let place = gold.places.first()?;
    let table = gold.parsed.blocks.iter().find(|b| b.kind == BlockKind::Table && b.span.overlaps(place))?;
    let table = table.span.slice(&gold.parsed.text)?;
    let row = gold.quote.lines().next().filter(|line| line.starts_with('|'))?;
    let names = cells(table.lines().next()?);
    let values = cells(row);
    let answers = |value: &String| parts.iter().any(|part| contains(value, part));
    let (comma, colon, semicolon) = match language {
        PromptLanguage::English => (", ", ": ", "; "),
        PromptLanguage::Chinese => ("，", "：", "；"),
    };
    let name = |at: usize| names.get(at).map(String::as_str).filter(|name| !name.is_empty());
    let labelled = |at: usize, value: &str| match name(at) {
        Some(name) => format!("{name}{colon}{value}"),
        None => value.to_owned(),
    };
    let told: Vec<usize> = (0..values.len()).filter(|at| answers(&values[*at])).collect();
    if told.is_empty() || told.len() == values.len() {
        let all = values.iter().enumerate().filter(|(_, value)| !value.is_empty());
        return Some(all.map(|(at, value)| labelled(at, value)).collect::<Vec<_>>().join(semicolon));
    }
    let about: Vec<String> = subjects(&values, &told, &question.question)
        .into_iter()
        .map(|at| {
            match (name(at), values[at].starts_with(char::is_alphabetic) && !values[at].contains('%')) {
                (Some(name), false) => format!("{name} {}", values[at]),
                _ => values[at].clone(),
            }
        })
        .collect();
    let told: Vec<String> = told.into_iter().map(|at| labelled(at, &values[at])).collect();
    Some(format!("{}{comma}{}", about.join(comma), told.join(semicolon)))
}

/// The cells that say what a row is about: the first that names something, and those with words of the question.
fn subjects(values: &[String], told: &[usize], question: &str) -> Vec<usize> {
    let rest: Vec<usize> =
        (0..values.len()).filter(|at| !told.contains(at) && !values[*at].is_empty()).collect();
    let names = |at: &&usize| values[**at].chars().any(char::is_alphabetic);
    let head = rest.iter().find(names).or(rest.first()).copied();
    let asked = word_set(&question.to_lowercase());
    let shares = |at: usize| {
        let words = word_set(&values[at].to_lowercase());
        words.iter().any(|word| !is_function_word(word) && word.chars().count() > 1 && asked.contains(word))
    };
    rest.into_iter().filter(|at| Some(*at) == head || shares(*at)).collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
