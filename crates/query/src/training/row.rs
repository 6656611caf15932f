//! A table row as a sentence: what it is about, and the cells that answer with their columns' names.

use std::collections::BTreeSet;

use lore_core::BlockKind;

use super::gold::Gold;
use crate::eval::metrics::{contains, exact_match};
use crate::prompt::PromptLanguage;
use crate::text::{is_function_word, word_set};

/// Names of columns that say nothing of what stands in them.
const BARE: [&str; 12] = [
    "value",
    "values",
    "detail",
    "details",
    "description",
    "wert",
    "值",
    "数值",
    "参数值",
    "内容",
    "说明",
    "要求",
];

/// The row that a source is, with the names of its columns.
pub(super) struct Row {
    names: Vec<String>,
    values: Vec<String>,
}

impl Row {
    /// The row; `None` where the source is none.
    pub fn of(gold: &Gold) -> Option<Self> {
        let place = gold.places.first()?;
        let table =
            gold.parsed.blocks.iter().find(|b| b.kind == BlockKind::Table && b.span.overlaps(place))?;
        let header = table.span.slice(&gold.parsed.text)?.lines().next()?;
        let row = gold.quote.lines().next().filter(|line| line.starts_with('|'))?;
        Some(Self { names: cells(header), values: cells(row) })
    }

    /// What the row says of `question`, where `parts` are the right answer; of the document `title`, where that is given.
    pub fn told(
        &self,
        language: PromptLanguage,
        question: &str,
        parts: &[&str],
        title: Option<&str>,
    ) -> String {
        let (comma, colon, semicolon) = match language {
            PromptLanguage::English => (", ", ": ", "; "),
            PromptLanguage::Chinese => ("，", "：", "；"),
        };
        let asked = matter(question);
        let told = self.answering(parts, &asked);
        let labelled = |at: usize| match self.name(at) {
            Some(name) => format!("{name}{colon}{}", self.value(at)),
            None => self.value(at).to_owned(),
        };
        let answer =
            |columns: &[usize]| columns.iter().map(|at| labelled(*at)).collect::<Vec<_>>().join(semicolon);
        let about = self.subjects(&told, &asked);
        let title = title.map(str::to_owned);
        if told.is_empty() || about.is_empty() {
            let filled: Vec<usize> =
                (0..self.values.len()).filter(|at| !self.value(*at).is_empty()).collect();
            return title.into_iter().chain([answer(&filled)]).collect::<Vec<_>>().join(comma);
        }
        let about = about.into_iter().map(|at| match self.name(at) {
            // A bare number or limit says nothing without its column.
            Some(name)
                if !self.value(at).starts_with(char::is_alphabetic) || self.value(at).contains('%') =>
            {
                format!("{name} {}", self.value(at))
            }
            _ => self.value(at).to_owned(),
        });
        let about = title.into_iter().chain(about).collect::<Vec<_>>().join(comma);
        match *told.as_slice() {
            [at] if self.is_bare(at) => format!("{about}{colon}{}", self.value(at)),
            _ => format!("{about}{comma}{}", answer(&told)),
        }
    }

    fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }

    fn name(&self, at: usize) -> Option<&str> {
        self.names.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn is_bare(&self, at: usize) -> bool {
        self.name(at).is_none_or(|name| BARE.contains(&name.to_lowercase().as_str()))
    }

    /// The columns that hold `parts`, each once: where several hold one, the one that is asked for by its name, else one
    /// that holds nothing more, else the first.
    fn answering(&self, parts: &[&str], asked: &BTreeSet<String>) -> Vec<usize> {
        let mut found = BTreeSet::new();
        for part in parts {
            let holding: Vec<usize> =
                (0..self.values.len()).filter(|at| contains(self.value(*at), part)).collect();
            let named = |at: &usize| self.name(*at).is_some_and(|name| !matter(name).is_disjoint(asked));
            let exact = |at: &usize| exact_match(self.value(*at), part);
            let pick = holding.iter().copied();
            found.extend(pick.clone().find(named).or(pick.clone().find(exact)).or(holding.first().copied()));
        }
        found.into_iter().collect()
    }

    /// The cells that say what the row is about: the first that names something, the next where that is a code, and those
    /// with further words of what is asked.
    fn subjects(&self, told: &[usize], asked: &BTreeSet<String>) -> Vec<usize> {
        let rest: Vec<usize> =
            (0..self.values.len()).filter(|at| !told.contains(at) && !self.value(*at).is_empty()).collect();
        let names = |at: &usize| self.value(*at).chars().any(char::is_alphabetic);
        let mut named = rest.iter().copied().filter(names);
        let mut head: Vec<usize> = named.next().or(rest.first().copied()).into_iter().collect();
        // An article's number tells a person little.
        if head.iter().all(|at| is_code(self.value(*at))) {
            head.extend(named.next());
        }
        let mut said: BTreeSet<String> = head.iter().flat_map(|at| matter(self.value(*at))).collect();
        let mut adds = |at: usize| {
            let words = matter(self.value(at));
            let further = words.iter().any(|word| asked.contains(word) && !said.contains(word));
            if further {
                said.extend(words);
            }
            further
        };
        rest.into_iter().filter(|at| head.contains(at) || adds(*at)).collect()
    }
}

fn is_code(value: &str) -> bool {
    value.chars().any(|c| c.is_ascii_digit()) && !value.contains(char::is_whitespace)
}

/// The words of a text that carry its matter.
fn matter(text: &str) -> BTreeSet<String> {
    let mut words = word_set(&text.to_lowercase());
    words.retain(|word| !is_function_word(word) && word.chars().count() > 1);
    words
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}
