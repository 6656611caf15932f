//! BM25F over a snapshot of the index, with exact statistics of the chunks that are alive.
//!
//! Term frequencies and lengths of the fields are weighted and added before they saturate (Robertson, Zaragoza and
//! Taylor 2004, "Simple BM25 extension to multiple weighted fields"); with weights of 1 a chunk scores as if title,
//! headings and body were one text. Lengths are exact, not rounded to a byte, and deleted chunks count for nothing, so an
//! index that was rebuilt scores exactly as the one before it.
//!
//! Terms are scored one after the other into one accumulator per chunk: at 100,000 chunks and ten words that is about a
//! million postings, a few milliseconds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use lore_core::{ChunkId, ScoredChunk};
use tantivy::index::{SegmentId, SegmentReader};
use tantivy::postings::{Postings as _, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet as _, Searcher, TERMINATED, Term};
use uuid::Uuid;

use super::schema::{DATE, Fields, ID, LENGTHS};
use crate::config::Bm25;
use crate::payload::Condition;

/// Most distinct terms of a query that are scored; of a longer one the rarest are.
const MAX_TERMS: usize = 96;

/// Parameters of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    pub k1: f32,
    pub b: f32,
    /// Title, headings, body.
    pub fields: [f32; 3],
}

impl From<Bm25> for Weights {
    fn from(bm25: Bm25) -> Self {
        Self {
            k1: bm25.bm25_k1.max(0.0),
            b: bm25.bm25_b.clamp(0.0, 1.0),
            fields: [bm25.title_boost, bm25.headings_boost, 1.0],
        }
    }
}

/// What is kept in memory of a segment: 20 bytes for each chunk.
#[derive(Debug)]
pub(super) struct Facts {
    ids: Vec<Uuid>,
    lengths: Vec<f32>,
}

impl Facts {
    fn read(reader: &SegmentReader, weights: &Weights) -> tantivy::Result<Self> {
        let fast = reader.fast_fields();
        let [high, low] = [fast.u64(ID[0])?, fast.u64(ID[1])?];
        let lengths = [fast.u64(LENGTHS[0])?, fast.u64(LENGTHS[1])?, fast.u64(LENGTHS[2])?];
        let docs = 0..reader.max_doc();
        let id = |doc| Uuid::from_u64_pair(high.first(doc).unwrap_or(0), low.first(doc).unwrap_or(0));
        let length = |doc| {
            let fields = lengths.iter().zip(weights.fields);
            fields.map(|(column, weight)| weight * column.first(doc).unwrap_or(0) as f32).sum()
        };
        Ok(Self { ids: docs.clone().map(id).collect(), lengths: docs.map(length).collect() })
    }
}

/// The index at one commit.
pub(super) struct Snapshot {
    searcher: Searcher,
    facts: Vec<Arc<Facts>>,
    fields: Fields,
    weights: Weights,
    live: u64,
    average: f64,
}

/// Postings of a term: (chunk, weighted frequency) for each segment, and in how many chunks it is.
struct Hits {
    segments: Vec<Vec<(u32, f32)>>,
    count: u64,
}

impl Snapshot {
    /// Reads what is needed of the segments that `before` does not have.
    pub(super) fn new(
        searcher: Searcher,
        fields: Fields,
        weights: Weights,
        before: Option<&Snapshot>,
    ) -> tantivy::Result<Self> {
        let known: HashMap<SegmentId, &Arc<Facts>> = before
            .iter()
            .flat_map(|b| b.searcher.segment_readers().iter().map(SegmentReader::segment_id).zip(&b.facts))
            .collect();
        let mut facts = Vec::new();
        let (mut live, mut terms) = (0, 0.0);
        for reader in searcher.segment_readers() {
            let of_segment = match known.get(&reader.segment_id()) {
                Some(facts) => Arc::clone(facts),
                None => Arc::new(Facts::read(reader, &weights)?),
            };
            for doc in reader.doc_ids_alive() {
                live += 1;
                terms += f64::from(of_segment.lengths[doc as usize]);
            }
            facts.push(of_segment);
        }
        let average = if live == 0 || terms == 0.0 { 1.0 } else { terms / live as f64 };
        Ok(Self { searcher, facts, fields, weights, live, average })
    }

    /// The same commit with other weights. Lengths are read anew where a field's weight differs, since they hold it: a few
    /// milliseconds at 100,000 chunks.
    pub(super) fn weighted(&self, weights: Weights) -> tantivy::Result<Self> {
        let before = (weights.fields == self.weights.fields).then_some(self);
        Self::new(self.searcher.clone(), self.fields.clone(), weights, before)
    }

    /// Chunks alive.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// Calls `each` with the id and the value of the number field `name` of every chunk alive.
    pub(super) fn for_each(&self, name: &str, mut each: impl FnMut(ChunkId, u64)) -> tantivy::Result<()> {
        for (reader, facts) in self.searcher.segment_readers().iter().zip(&self.facts) {
            let column = reader.fast_fields().u64(name)?;
            for doc in reader.doc_ids_alive() {
                each(ChunkId(facts.ids[doc as usize]), column.first(doc).unwrap_or(0));
            }
        }
        Ok(())
    }

    /// The best `limit` chunks that hold any of `terms` and meet `conditions`, best first, equal scores by id.
    pub(super) fn search(
        &self,
        terms: &[String],
        conditions: &[Condition],
        limit: usize,
    ) -> tantivy::Result<Vec<ScoredChunk>> {
        let mut scores: Vec<Vec<f32>> = self.facts.iter().map(|f| vec![0.0; f.ids.len()]).collect();
        let Weights { k1, b, .. } = self.weights;
        let slope = k1 * b / self.average as f32;
        for (term, times) in self.rarest(terms)? {
            let hits = self.hits(term)?;
            let idf = times as f32 * self.idf(hits.count);
            for ((scores, facts), found) in scores.iter_mut().zip(&self.facts).zip(&hits.segments) {
                for &(doc, frequency) in found {
                    let doc = doc as usize;
                    let norm = k1 * (1.0 - b) + slope * facts.lengths[doc];
                    scores[doc] += idf * frequency / (frequency + norm);
                }
            }
        }
        let mut best: BinaryHeap<Reverse<Found>> =
            BinaryHeap::with_capacity(limit.min(self.live as usize).saturating_add(1));
        for (segment, scores) in scores.iter().enumerate() {
            let allowed = self.allowed(segment, conditions)?;
            let mut bar = if best.len() == limit { best.peek().map_or(0.0, |f| f.0.score) } else { 0.0 };
            for (doc, &score) in scores.iter().enumerate() {
                if score <= 0.0 || score < bar || allowed.as_ref().is_some_and(|bits| !bits.has(doc)) {
                    continue;
                }
                best.push(Reverse(Found { score, id: self.facts[segment].ids[doc] }));
                if best.len() > limit {
                    best.pop();
                    bar = best.peek().map_or(0.0, |f| f.0.score);
                }
            }
        }
        let found = best.into_sorted_vec();
        Ok(found.into_iter().map(|Reverse(f)| ScoredChunk { id: ChunkId(f.id), score: f.score }).collect())
    }

    /// Inverse document frequency of each distinct term, in order of first occurrence; of more than [`MAX_TERMS`] terms
    /// only of those that a search scores.
    pub(super) fn weights(&self, terms: &[String]) -> tantivy::Result<Vec<(String, f32)>> {
        let mut scored: BTreeSet<&str> = self.rarest(terms)?.into_iter().map(|(term, _)| term).collect();
        let distinct = terms.iter().filter(|term| scored.remove(term.as_str()));
        distinct.map(|term| Ok((term.clone(), self.idf(self.hits(term)?.count)))).collect()
    }

    /// Robertson and Sparck Jones' weight, kept above zero as Lucene does.
    fn idf(&self, count: u64) -> f32 {
        let (all, with) = (self.live as f64, count as f64);
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln() as f32
    }

    /// Distinct terms with how often the query has them; of very long queries the rarest.
    fn rarest<'a>(&self, terms: &'a [String]) -> tantivy::Result<Vec<(&'a str, u32)>> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for term in terms {
            *counts.entry(term).or_default() += 1;
        }
        let mut distinct: Vec<(&str, u32)> = counts.into_iter().collect();
        if distinct.len() > MAX_TERMS {
            let mut ranked = Vec::with_capacity(distinct.len());
            for (term, times) in distinct {
                let mut postings = 0u64;
                for field in self.fields.text {
                    postings += self.searcher.doc_freq(&Term::from_field_text(field, term))?;
                }
                if postings > 0 {
                    ranked.push((postings, term, times));
                }
            }
            ranked.sort_unstable();
            distinct = ranked.into_iter().take(MAX_TERMS).map(|(_, term, times)| (term, times)).collect();
            distinct.sort_unstable();
        }
        Ok(distinct)
    }

    fn hits(&self, term: &str) -> tantivy::Result<Hits> {
        let mut hits = Hits { segments: Vec::with_capacity(self.facts.len()), count: 0 };
        for reader in self.searcher.segment_readers() {
            let mut cursors = Vec::with_capacity(self.fields.text.len());
            for (field, weight) in self.fields.text.into_iter().zip(self.weights.fields) {
                if weight <= 0.0 {
                    continue;
                }
                let term = Term::from_field_text(field, term);
                let index = reader.inverted_index(field)?;
                if let Some(postings) = index.read_postings(&term, IndexRecordOption::WithFreqs)? {
                    cursors.push((postings, weight));
                }
            }
            let found = merge(cursors, reader);
            hits.count += found.len() as u64;
            hits.segments.push(found);
        }
        Ok(hits)
    }

    /// The chunks of a segment that meet all conditions, or `None` where there are none to meet.
    fn allowed(&self, segment: usize, conditions: &[Condition]) -> tantivy::Result<Option<Bits>> {
        let reader = &self.searcher.segment_readers()[segment];
        let mut all: Option<Bits> = None;
        for condition in conditions {
            let mut bits = Bits::new(reader.max_doc());
            match condition {
                Condition::Any(name, values) => {
                    let field = self.fields.keyword(name);
                    let index = reader.inverted_index(field)?;
                    for value in values {
                        let term = Term::from_field_text(field, value);
                        if let Some(mut found) = index.read_postings(&term, IndexRecordOption::Basic)? {
                            while found.doc() != TERMINATED {
                                bits.set(found.doc());
                                found.advance();
                            }
                        }
                    }
                }
                Condition::Days(from, to) => {
                    let dates = reader.fast_fields().i64(DATE)?;
                    for doc in 0..reader.max_doc() {
                        let meets = |day: i64| from.is_none_or(|f| day >= f) && to.is_none_or(|t| day <= t);
                        if dates.first(doc).is_some_and(meets) {
                            bits.set(doc);
                        }
                    }
                }
            }
            all = Some(match all {
                Some(before) => before.and(&bits),
                None => bits,
            });
        }
        Ok(all)
    }
}

/// Adds up a term's weighted frequencies in the fields, chunk by chunk, leaving deleted chunks out.
fn merge(mut cursors: Vec<(SegmentPostings, f32)>, reader: &SegmentReader) -> Vec<(u32, f32)> {
    let alive = reader.alive_bitset();
    let most = cursors.iter().map(|(postings, _)| postings.doc_freq() as usize).max().unwrap_or(0);
    let mut found = Vec::with_capacity(most);
    loop {
        let doc = cursors.iter().map(|(postings, _)| postings.doc()).min().unwrap_or(TERMINATED);
        if doc == TERMINATED {
            return found;
        }
        let mut frequency = 0.0;
        for (postings, weight) in &mut cursors {
            if postings.doc() == doc {
                frequency += *weight * postings.term_freq() as f32;
                postings.advance();
            }
        }
        if alive.is_none_or(|bits| bits.is_alive(doc)) {
            found.push((doc, frequency));
        }
    }
}

/// A candidate; the greater is the better.
#[derive(PartialEq)]
struct Found {
    score: f32,
    id: Uuid,
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.id.cmp(&self.id))
    }
}

/// A set of chunks of a segment.
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: u32) -> Self {
        Self(vec![0; (len as usize).div_ceil(64)])
    }

    fn set(&mut self, doc: u32) {
        self.0[doc as usize / 64] |= 1 << (doc % 64);
    }

    fn has(&self, doc: usize) -> bool {
        self.0[doc / 64] >> (doc % 64) & 1 == 1
    }

    fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        self
    }
}
