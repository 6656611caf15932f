//! Extraction: the sentences of the passages that answer a question, scored and chosen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lore_core::{BlockKind, EmbedKind, Embedder, Parsed, Span, sentence::sentences};
use lore_index::Index;
use lru::LruCache;

use crate::config::AnswerConfig;
use crate::error::Result;
use crate::passages::FoundPassage;
use crate::support::{Evidence, Linear};
use crate::text;

/// Sentences of one question that are embedded; the others keep the cosine of their passage.
const EMBEDDED_SENTENCES: usize = 48;
/// Sentence vectors kept between questions.
const CACHED_VECTORS: usize = 8192;
/// Share of a term's weight that counts when it stands in the headings, the title or the table's header.
const CONTEXT_SHARE: f32 = 0.7;

/// The question's terms with their weights (inverse document frequencies).
#[derive(Clone, Debug, Default)]
pub struct Terms {
    weights: BTreeMap<String, f32>,
    specific: Vec<String>,
    total: f32,
    rarest: f32,
}

impl Terms {
    /// Analyses `question` against the statistics of `index`.
    ///
    /// # Errors
    /// Fails where the lexical index fails.
    pub fn new(index: &Index, question: &str) -> Result<Self> {
        let weights: BTreeMap<String, f32> =
            index.term_weights(question)?.into_iter().filter(|(term, _)| !is_stop_word(term)).collect();
        let total = weights.values().sum();
        let rarest = weights.values().copied().fold(0.0, f32::max);
        Ok(Self { weights, specific: text::specific_terms(question), total, rarest })
    }

    /// Share of the weight that `found` gives, where it says for each term how much of it counts (0 to 1).
    fn share(&self, found: impl Fn(&str) -> f32) -> f32 {
        if self.total <= 0.0 {
            return 0.0;
        }
        self.weights.iter().map(|(term, weight)| weight * found(term)).sum::<f32>() / self.total
    }
}

/// A sentence of a passage, scored.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Index of its passage.
    pub passage: usize,
    /// Its span in the parsed text.
    pub span: Span,
    /// The slice at `span`.
    pub text: String,
    /// What speaks for it.
    pub evidence: Evidence,
    /// Log-odds of the sentence model; orders the candidates.
    pub score: f32,
    /// Terms of the question that it or its context holds.
    terms: BTreeSet<String>,
}

/// Scores and chooses sentences; clones share a cache of sentence vectors.
#[derive(Clone)]
pub struct Extractor {
    vectors: Arc<Mutex<LruCache<String, Arc<[f32]>>>>,
}

impl Default for Extractor {
    fn default() -> Self {
        let size = NonZeroUsize::new(CACHED_VECTORS).unwrap_or(NonZeroUsize::MIN);
        Self { vectors: Arc::new(Mutex::new(LruCache::new(size))) }
    }
}

impl std::fmt::Debug for Extractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractor").finish_non_exhaustive()
    }
}

impl Extractor {
    /// All sentences of `passages`, best first by `model`.
    ///
    /// `query_vector` is the question's unit vector, or `None` where the embedder does not understand its language;
    /// cosines are then left out.
    ///
    /// # Errors
    /// Fails where the lexical index or the embedder fails.
    pub async fn candidates(
        &self,
        index: &Index,
        question: &str,
        query_vector: Option<&[f32]>,
        passages: &[FoundPassage],
        model: &Linear,
    ) -> Result<Vec<Candidate>> {
        let foreign = query_vector.is_none();
        let (searched, asked, found) = (index.clone(), question.to_owned(), passages.to_vec());
        // Reads postings and takes texts apart: not on a thread that serves requests.
        let drafting = move || all_drafts(&searched, &asked, foreign, &found);
        let mut drafts = tokio::task::spawn_blocking(drafting).await??;
        if let Some(query) = query_vector {
            self.add_semantics(index.embedder(), query, &mut drafts).await?;
        }
        let mut out: Vec<Candidate> = drafts
            .into_iter()
            .map(|draft| {
                let mut candidate = draft.candidate;
                candidate.score = model.logit(&candidate.evidence);
                candidate
            })
            .collect();
        out.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)).then(a.span.cmp(&b.span))
        });
        Ok(out)
    }

    async fn add_semantics(&self, embedder: &Embedder, query: &[f32], drafts: &mut [Draft]) -> Result<()> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        let rough = |d: &Draft| d.candidate.evidence.coverage + d.candidate.evidence.retrieval;
        order.sort_by(|&a, &b| rough(&drafts[b]).total_cmp(&rough(&drafts[a])));
        order.truncate(EMBEDDED_SENTENCES);
        let mut vectors: HashMap<String, Arc<[f32]>> = HashMap::new();
        let mut missing: Vec<String> = Vec::new();
        if let Ok(mut cache) = self.vectors.lock() {
            for &i in &order {
                let text = &drafts[i].embed_text;
                match cache.get(text) {
                    Some(vector) => {
                        vectors.insert(text.clone(), vector.clone());
                    }
                    None if !missing.contains(text) => missing.push(text.clone()),
                    None => {}
                }
            }
        }
        let fresh = embedder.embed(missing.clone(), EmbedKind::Passage).await?;
        if let Ok(mut cache) = self.vectors.lock() {
            for (text, vector) in missing.into_iter().zip(fresh) {
                let vector: Arc<[f32]> = vector.into();
                cache.put(text.clone(), vector.clone());
                vectors.insert(text, vector);
            }
        }
        let passage_cosines: Vec<f32> =
            drafts.iter().map(|d| d.candidate.evidence.passage_semantic).collect();
        for (draft, cosine) in drafts.iter_mut().zip(passage_cosines) {
            // A sentence that was not embedded is at most as near as its passage, usually less.
            draft.candidate.evidence.semantic = cosine * 0.8;
        }
        for i in order {
            if let Some(vector) = vectors.get(&drafts[i].embed_text) {
                drafts[i].candidate.evidence.semantic = dot(query, vector);
            }
        }
        Ok(())
    }
}

/// Chooses the fewest sentences that answer: the best, then others only while each adds question terms that are not
/// covered yet and scores nearly as well. The result is in reading order (by passage, then position).
pub fn select(
    index: &Index,
    question: &str,
    ranked: &[Candidate],
    config: &AnswerConfig,
) -> Result<Vec<Candidate>> {
    let Some(best) = ranked.first() else { return Ok(Vec::new()) };
    let terms = Terms::new(index, question)?;
    let best_probability = sigmoid(best.score);
    let mut chosen = vec![best.clone()];
    let mut covered = best.terms.clone();
    for candidate in ranked.iter().skip(1).take(24) {
        if chosen.len() >= config.max_sentences {
            break;
        }
        if sigmoid(candidate.score) < config.min_relative_score * best_probability {
            break;
        }
        let repeats = chosen.iter().any(|c| {
            text::jaccard(&text::word_set(&c.text), &text::word_set(&candidate.text)) > 0.7
                || (c.passage == candidate.passage && c.span.overlaps(&candidate.span))
        });
        let gain = terms
            .share(|term| f32::from(u8::from(candidate.terms.contains(term) && !covered.contains(term))));
        if !repeats && gain >= config.min_gain {
            covered.extend(candidate.terms.iter().cloned());
            chosen.push(candidate.clone());
        }
    }
    chosen.sort_by_key(|c| (c.passage, c.span));
    Ok(chosen)
}

struct Draft {
    candidate: Candidate,
    embed_text: String,
}

fn all_drafts(index: &Index, question: &str, foreign: bool, passages: &[FoundPassage]) -> Result<Vec<Draft>> {
    let terms = Terms::new(index, question)?;
    let wanted = AnswerType::of(question);
    let mut drafts = Vec::new();
    for (number, found) in passages.iter().enumerate() {
        drafts.extend(drafts_of(index, question, &terms, wanted, foreign, number, found)?);
    }
    Ok(drafts)
}

fn drafts_of(
    index: &Index,
    question: &str,
    terms: &Terms,
    wanted: Option<AnswerType>,
    foreign: bool,
    number: usize,
    found: &FoundPassage,
) -> Result<Vec<Draft>> {
    let passage = &found.passage;
    let parsed = &found.parsed;
    let title_terms = term_set(index, &passage.title);
    let passage_terms = {
        let mut all = term_set(index, &passage.text);
        all.extend(title_terms.iter().cloned());
        for heading in &passage.headings {
            all.extend(term_set(index, heading));
        }
        all
    };
    let passage_coverage = terms.share(|t| f32::from(u8::from(passage_terms.contains(t))));
    let rare_missing = terms
        .weights
        .iter()
        .filter(|(term, _)| !passage_terms.contains(*term))
        .map(|(_, weight)| *weight)
        .fold(0.0, f32::max)
        / terms.rarest.max(1e-6);
    let lexical_top = found.lexical.map_or(0.0, |score| (score / terms.total.max(1e-6)).min(2.0) / 2.0);
    let asked: BTreeSet<String> = text::word_set(question);

    let mut out = Vec::new();
    for local in sentences(&passage.text) {
        let Some(text) = local.slice(&passage.text) else { continue };
        let span = local.shift(passage.span.start);
        let Some(kind) = kind_of(parsed, span, text) else { continue };
        let headings = parsed.heading_path(span.start);
        let mut context: BTreeSet<String> = title_terms.clone();
        let mut context_text = format!("{} {}", passage.title, passage.name);
        for heading in &headings {
            context.extend(term_set(index, heading));
            context_text.push(' ');
            context_text.push_str(heading);
        }
        let mut embed_text = String::new();
        if let Some(heading) = headings.last() {
            embed_text.push_str(heading);
            embed_text.push_str(": ");
        }
        if let UnitKind::Row { header } = &kind {
            context.extend(term_set(index, header));
            context_text.push(' ');
            context_text.push_str(header);
            embed_text.push_str(&row_text(header, text));
        } else {
            embed_text.push_str(text);
        }
        let own = term_set(index, text);
        let evidence = Evidence {
            coverage: terms.share(|t| {
                if own.contains(t) {
                    1.0
                } else if context.contains(t) {
                    CONTEXT_SHARE
                } else {
                    0.0
                }
            }),
            own_coverage: terms.share(|t| f32::from(u8::from(own.contains(t)))),
            passage_coverage,
            semantic: 0.0,
            passage_semantic: if foreign { 0.0 } else { found.dense.unwrap_or(0.0) },
            retrieval: passage.score.clamp(0.0, 1.0),
            lexical_top,
            specific_missing: specific_missing(terms, text, &context_text),
            rare_missing,
            type_match: wanted.map_or(0.0, |w| f32::from(u8::from(w.is_in(text, &asked)))),
            type_miss: wanted.map_or(0.0, |w| f32::from(u8::from(!w.is_in(text, &asked)))),
            length: (length_in_words(text) / 60.0).min(1.0),
            table_row: f32::from(u8::from(matches!(kind, UnitKind::Row { .. }))),
            foreign: f32::from(u8::from(foreign)),
            first_passage: f32::from(u8::from(number == 0)),
        };
        let terms: BTreeSet<String> =
            terms.weights.keys().filter(|t| own.contains(*t) || context.contains(*t)).cloned().collect();
        let candidate =
            Candidate { passage: number, span, text: text.to_owned(), evidence, score: 0.0, terms };
        out.push(Draft { candidate, embed_text });
    }
    Ok(out)
}

enum UnitKind {
    Prose,
    Row { header: String },
}

/// What a unit of text is, or `None` for what cannot answer: a heading, a table's header, a unit without letters.
fn kind_of(parsed: &Parsed, span: Span, text: &str) -> Option<UnitKind> {
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    let at = parsed.blocks.partition_point(|b| b.span.end <= span.start);
    let block = parsed.blocks.get(at)?;
    match block.kind {
        BlockKind::Heading => None,
        BlockKind::Table => {
            let header = block.span.slice(&parsed.text)?.lines().next()?.to_owned();
            (span.start > block.span.start).then_some(UnitKind::Row { header })
        }
        _ => Some(UnitKind::Prose),
    }
}

/// A table row with its column names: `name: value; name: value`.
fn row_text(header: &str, row: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect()
    };
    let names = cells(header);
    let mut out = String::new();
    for (i, value) in cells(row).into_iter().enumerate().filter(|(_, v)| !v.is_empty()) {
        if !out.is_empty() {
            out.push_str("; ");
        }
        if let Some(name) = names.get(i).filter(|n| !n.is_empty()) {
            out.push_str(name);
            out.push_str(": ");
        }
        out.push_str(&value);
    }
    out
}

fn term_set(index: &Index, text: &str) -> BTreeSet<String> {
    index.analyze(text).into_iter().collect()
}

fn specific_missing(terms: &Terms, text: &str, context: &str) -> f32 {
    if terms.specific.is_empty() {
        return 0.0;
    }
    let haystack = format!("{text} {context}").to_lowercase();
    let missing = terms.specific.iter().filter(|term| !haystack.contains(term.as_str())).count();
    missing as f32 / terms.specific.len() as f32
}

fn length_in_words(text: &str) -> f32 {
    let cjk = text.chars().filter(|&c| text::is_cjk(c)).count();
    let words = text.split_whitespace().filter(|w| !w.chars().all(text::is_cjk)).count();
    words as f32 + cjk as f32 / 1.7
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Words that carry the form of a question rather than its matter.
fn is_stop_word(term: &str) -> bool {
    const WORDS: [&str; 66] = [
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "could", "did", "do", "does", "doe", "for",
        "from", "get", "had", "has", "have", "how", "i", "if", "in", "is", "it", "its", "long", "many",
        "may", "me", "much", "must", "my", "of", "on", "one", "or", "our", "shall", "should", "so", "that",
        "the", "their", "there", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where",
        "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
    ];
    const CHINESE: [&str; 22] = [
        "的", "是", "多少", "什么", "怎么", "如何", "哪", "哪个", "哪些", "吗", "呢", "了", "在", "和", "我",
        "我们", "几", "有", "请问", "可以", "需要", "多久",
    ];
    WORDS.binary_search(&term).is_ok() || CHINESE.contains(&term)
}

/// What kind of thing a question asks for, where its words say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerType {
    Number,
    Date,
    Person,
}

impl AnswerType {
    fn of(question: &str) -> Option<Self> {
        let lower = question.to_lowercase();
        let any = |words: &[&str]| words.iter().any(|w| lower.contains(w));
        if any(&[
            "how many",
            "how much",
            "how long",
            "how often",
            "how far",
            "how soon",
            "how late",
            "how early",
            "what percentage",
            "price",
            "cost",
            "maximum",
            "limit",
            "how big",
            "how large",
            "how high",
            "多少",
            "几",
            "多久",
            "多长",
            "多大",
            "多高",
            "价格",
            "上限",
            "最多",
            "最少",
            "费用",
        ]) {
            return Some(Self::Number);
        }
        if any(&[
            "when ",
            "what date",
            "which date",
            "what day",
            "which day",
            "what time",
            "which month",
            "what year",
            "which year",
            "deadline",
            "什么时候",
            "何时",
            "哪天",
            "哪年",
            "日期",
            "时间",
        ]) {
            return Some(Self::Date);
        }
        if any(&["who ", "whom ", "whose ", "谁", "哪位"]) {
            return Some(Self::Person);
        }
        None
    }

    fn is_in(self, text: &str, asked: &BTreeSet<String>) -> bool {
        match self {
            Self::Number => {
                const WORDS: [&str; 14] = [
                    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve",
                    "half", "no", "none",
                ];
                text::word_set(text).iter().any(|w| {
                    !asked.contains(w)
                        && (w.chars().any(|c| c.is_ascii_digit()) || WORDS.contains(&w.as_str()))
                }) || text.chars().any(|c| "一二三四五六七八九十两百千万半".contains(c))
            }
            Self::Date => {
                const WORDS: [&str; 25] = [
                    "january",
                    "february",
                    "march",
                    "april",
                    "may",
                    "june",
                    "july",
                    "august",
                    "september",
                    "october",
                    "november",
                    "december",
                    "monday",
                    "tuesday",
                    "wednesday",
                    "thursday",
                    "friday",
                    "saturday",
                    "sunday",
                    "day",
                    "daily",
                    "week",
                    "month",
                    "morning",
                    "noon",
                ];
                text::word_set(text).iter().any(|w| {
                    !asked.contains(w)
                        && (w.chars().any(|c| c.is_ascii_digit()) || WORDS.contains(&w.as_str()))
                }) || ["月", "日", "年", "周", "天", "点"].iter().any(|c| text.contains(c))
            }
            Self::Person => {
                text.split_whitespace().skip(1).any(|w| w.chars().next().is_some_and(char::is_uppercase))
                    || text.chars().any(text::is_cjk)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn rows_carry_their_column_names() {
        assert_eq!(row_text("| Model | Range |", "| FJ-200 | 80 m |"), "Model: FJ-200; Range: 80 m");
    }

    #[test]
    fn number_questions_want_numbers_that_were_not_asked() {
        let kind = AnswerType::of("How many days under the 2024 policy?").unwrap();
        let asked = text::word_set("How many days under the 2024 policy?");
        assert!(!kind.is_in("The 2024 policy is old.", &asked));
        assert!(kind.is_in("The 2024 policy gives 28 days.", &asked));
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(is_stop_word("would") && is_stop_word("a") && is_stop_word("how") && !is_stop_word("vacat"));
    }
}
