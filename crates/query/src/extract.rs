//! Extraction: the sentences of the passages, with the evidence that each answers the question, and their order.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lore_core::{EmbedKind, Embedder, Span};
use lore_index::Index;
use lru::LruCache;

use crate::asked::Asked;
use crate::error::Result;
use crate::passages::FoundPassage;
use crate::support::{Evidence, Linear};
use crate::text;
use crate::units::{term_set, units};

/// Sentences of one question that are embedded; the others keep the cosine of their passage.
const EMBEDDED_SENTENCES: usize = 48;
/// A sentence that is not embedded is at most as near as its passage, usually less.
const UNEMBEDDED: f32 = 0.8;
/// Sentence vectors kept between questions.
const CACHED_VECTORS: usize = 8192;
/// Share of a term's weight that counts when it stands in the headings, the title or the table's header.
pub(crate) const CONTEXT_SHARE: f32 = 0.7;

/// A sentence of a passage, scored.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Index of its passage.
    pub passage: usize,
    /// Its span in the parsed text.
    pub span: Span,
    /// The slice at `span`.
    pub text: String,
    /// What is read: of a table row each cell with its column's name, else the text.
    pub read: String,
    /// The nearest heading above it.
    pub heading: Option<String>,
    /// What speaks for it.
    pub evidence: Evidence,
    /// Score of the sentence model; orders the candidates.
    pub score: f32,
    /// Terms of the question that it or its context holds.
    pub(crate) terms: BTreeSet<String>,
}

/// Finds and scores sentences; clones share a cache of sentence vectors.
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
    /// All sentences of `passages`, best first by `model`, and the question taken apart.
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
    ) -> Result<(Asked, Vec<Candidate>)> {
        let foreign = query_vector.is_none();
        let (searched, text, found) = (index.clone(), question.to_owned(), passages.to_vec());
        // Reads postings and takes texts apart: not on a thread that serves requests.
        let drafting = move || {
            let asked = Asked::new(&searched, &text)?;
            let drafts = drafts(&searched, &asked, foreign, &found);
            Ok::<_, crate::QueryError>((asked, drafts))
        };
        let (asked, mut drafts) = tokio::task::spawn_blocking(drafting).await??;
        if let Some(query) = query_vector {
            self.add_semantics(index.embedder(), query, &mut drafts).await?;
        }
        let mut out: Vec<Candidate> = drafts
            .into_iter()
            .map(|draft| {
                let mut candidate = draft.candidate;
                candidate.score = model.value(&candidate.evidence.features());
                candidate
            })
            .collect();
        out.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)).then(a.span.cmp(&b.span))
        });
        Ok((asked, out))
    }

    /// The unit vectors of `texts` as passages, by text; one request for those that are not remembered.
    ///
    /// # Errors
    /// Fails where the embedder fails.
    pub(crate) async fn vectors(
        &self,
        embedder: &Embedder,
        texts: Vec<String>,
    ) -> Result<HashMap<String, Arc<[f32]>>> {
        let mut vectors: HashMap<String, Arc<[f32]>> = HashMap::new();
        let mut missing: Vec<String> = Vec::new();
        if let Ok(mut cache) = self.vectors.lock() {
            for text in texts {
                match cache.get(&text) {
                    Some(vector) => {
                        vectors.insert(text, vector.clone());
                    }
                    None if !missing.contains(&text) => missing.push(text),
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
        Ok(vectors)
    }

    async fn add_semantics(&self, embedder: &Embedder, query: &[f32], drafts: &mut [Draft]) -> Result<()> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        let rough = |d: &Draft| d.candidate.evidence.coverage + d.candidate.evidence.retrieval;
        order.sort_by(|&a, &b| rough(&drafts[b]).total_cmp(&rough(&drafts[a])));
        order.truncate(EMBEDDED_SENTENCES);
        let texts = order.iter().filter_map(|&i| drafts.get(i)).map(|d| d.embed_text.clone()).collect();
        let vectors = self.vectors(embedder, texts).await?;
        for draft in drafts.iter_mut() {
            let evidence = &mut draft.candidate.evidence;
            evidence.semantic = evidence.passage_semantic * UNEMBEDDED;
        }
        for i in order {
            if let Some(vector) = vectors.get(&drafts[i].embed_text) {
                drafts[i].candidate.evidence.semantic = dot(query, vector);
            }
        }
        let nearest = drafts.iter().map(|d| d.candidate.evidence.semantic).fold(-1.0, f32::max);
        for draft in drafts.iter_mut() {
            draft.candidate.evidence.semantic_gap = nearest - draft.candidate.evidence.semantic;
        }
        Ok(())
    }
}

struct Draft {
    candidate: Candidate,
    embed_text: String,
}

/// What is the same for all sentences of a passage.
struct Around {
    passage_terms: BTreeSet<String>,
    /// Name, title and text, in lower case.
    haystack: String,
}

fn drafts(index: &Index, asked: &Asked, foreign: bool, passages: &[FoundPassage]) -> Vec<Draft> {
    let around: Vec<Around> = passages.iter().map(|found| Around::of(index, found)).collect();
    let everything: String = around.iter().map(|a| a.haystack.as_str()).collect::<Vec<_>>().join("\n");
    let unknown = asked.lacks(&everything);
    let top = passages.iter().map(|p| p.passage.score).fold(f32::MIN_POSITIVE, f32::max);
    let mut out = Vec::new();
    for (number, (found, around)) in passages.iter().zip(&around).enumerate() {
        let shared = Evidence {
            passage_coverage: asked.share(|t| f32::from(u8::from(around.passage_terms.contains(t)))),
            passage_semantic: if foreign { 0.0 } else { found.dense.unwrap_or(0.0) },
            retrieval: found.passage.score.clamp(0.0, 1.0),
            retrieval_share: (found.passage.score / top).clamp(0.0, 1.0),
            lexical_top: found.lexical.map_or(0.0, |s| (s / asked.total().max(1e-6)).min(2.0) / 2.0),
            passage_lacks: asked.lacks(&around.haystack),
            code_unknown: unknown.code,
            name_unknown: unknown.name,
            passage_rare_missing: asked.rarest_missing(|t| around.passage_terms.contains(t)),
            foreign: f32::from(u8::from(foreign)),
            first_passage: f32::from(u8::from(number == 0)),
            ..Evidence::default()
        };
        out.extend(drafts_of(index, asked, &shared, number, found));
    }
    out
}

impl Around {
    fn of(index: &Index, found: &FoundPassage) -> Self {
        let passage = &found.passage;
        let mut passage_terms = term_set(index, &passage.text);
        passage_terms.extend(term_set(index, &passage.title));
        for heading in &passage.headings {
            passage_terms.extend(term_set(index, heading));
        }
        let headings = passage.headings.join(" ");
        let haystack =
            format!("{} {} {headings} {}", passage.name, passage.title, passage.text).to_lowercase();
        Self { passage_terms, haystack }
    }
}

fn drafts_of(
    index: &Index,
    asked: &Asked,
    shared: &Evidence,
    number: usize,
    found: &FoundPassage,
) -> Vec<Draft> {
    let mut out = Vec::new();
    for unit in units(index, found) {
        let held = |t: &str| unit.own.contains(t) || unit.context.contains(t);
        let evidence = Evidence {
            coverage: asked.share(|t| unit.holds(t, CONTEXT_SHARE)),
            own_coverage: asked.share(|t| f32::from(u8::from(unit.own.contains(t)))),
            lacks: asked.lacks(&unit.haystack),
            rare_missing: asked.rarest_missing(held),
            meets: asked.wanted.meets(&unit.read),
            length: (length_in_words(&unit.text) / 60.0).min(1.0),
            table_row: f32::from(u8::from(unit.row)),
            ..*shared
        };
        let terms = asked.terms_in(held);
        let candidate = Candidate {
            passage: number,
            span: unit.span,
            text: unit.text,
            read: unit.read,
            heading: unit.headings.into_iter().next_back(),
            evidence,
            score: 0.0,
            terms,
        };
        out.push(Draft { candidate, embed_text: unit.embed_text });
    }
    out
}

fn length_in_words(text: &str) -> f32 {
    let cjk = text.chars().filter(|&c| text::is_cjk(c)).count();
    let words = text.split_whitespace().filter(|w| !w.chars().all(text::is_cjk)).count();
    words as f32 + cjk as f32 / 1.7
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
