//! The passages of an example: those that serving would show, with the sources among them or without.

use lore_core::random::Random;
use lore_core::{Generator, ModelError, SearchMode};

use super::gold::Gold;
use crate::answer::{Answerer, confidence};
use crate::asked::Asked;
use crate::error::{QueryError, Result};
use crate::eval::EvalQuestion;
use crate::eval::answers::as_asked;
use crate::eval::metrics::contains;
use crate::extract::Candidate;
use crate::ground::Grounding;
use crate::pack::{Packed, ToPack, pack};
use crate::passages::{FoundPassage, passages};
use crate::quote::{Shown, ToShow, show_apart};
use crate::retrieve::{Hit, SearchRequest};
use crate::rewrite::standalone;

/// Hits beyond the passages, from which those that answer are taken away.
const SPARE: usize = 24;
/// Tokens that the end of an answer and the border between prompt and answer may take.
const END: usize = 16;

/// What the model is shown for one question.
pub(super) struct Shower<'a> {
    answerer: &'a Answerer,
    text: &'a Generator,
    question: &'a EvalQuestion,
    /// The question as it is looked for.
    rewritten: String,
}

/// What was found for a question.
pub(super) struct Found {
    pub passages: Vec<FoundPassage>,
    vector: Option<Vec<f32>>,
}

impl<'a> Shower<'a> {
    pub fn new(answerer: &'a Answerer, text: &'a Generator, question: &'a EvalQuestion) -> Self {
        let rewritten = standalone(&question.question, &question.history, answerer.question_chars);
        Self { answerer, text, question, rewritten }
    }

    /// What serving would check an answer with, where it shows `passages`.
    pub async fn grounding(&self, passages: &[FoundPassage]) -> Result<Grounding> {
        self.answerer.grounding(&self.question.question, &self.rewritten, passages).await
    }

    /// What serving would show.
    pub async fn found(&self) -> Result<Found> {
        let (hits, vector) = self.hits(self.answerer.config.passages).await?;
        Ok(Found { passages: self.passages(hits).await?, vector })
    }

    /// The same with the passages that hold `golds`: where they were found, or else in a place by chance, in the place of
    /// the last distractors; and whether retrieval found all by itself.
    pub async fn with_sources(&self, golds: &[Gold], random: &mut Random) -> Result<(Found, bool)> {
        let limit = self.answerer.config.passages;
        let (mut hits, vector) = self.hits(limit).await?;
        let mut shown = self.passages(hits.clone()).await?;
        let held = |shown: &[FoundPassage], gold: &Gold| shown.iter().any(|found| gold.is_in(found));
        let missing: Vec<&Gold> = golds.iter().filter(|gold| !held(&shown, gold)).collect();
        let retrieved = missing.is_empty();
        if !retrieved {
            missing.into_iter().for_each(|gold| put_in(&mut hits, gold, golds, limit, random));
            shown = self.passages(hits).await?;
        }
        Ok((Found { passages: shown, vector }, retrieved))
    }

    /// What serving would show if nothing that answers the question were there: neither the sources, nor what says the
    /// same elsewhere, nor what holds the right answer.
    pub async fn without_sources(&self, golds: &[Gold]) -> Result<Found> {
        let limit = self.answerer.config.passages;
        let (mut hits, vector) = self.hits(limit + SPARE).await?;
        let parts = || self.question.answers.iter().flatten();
        hits.retain(|hit| {
            let text = &hit.live.chunk.text;
            !golds.iter().any(|gold| {
                gold.touches(&hit.live)
                    || text.contains(&gold.quote)
                    || gold.chunks.iter().any(|live| hit.folded.contains(&live.chunk.id))
            }) && !parts().any(|part| contains(text, part))
        });
        hits.truncate(limit);
        Ok(Found { passages: self.passages(hits).await?, vector })
    }

    /// The question taken apart, and the sentences of what was found, best first.
    pub async fn candidates(&self, found: &Found) -> Result<(Asked, Vec<Candidate>)> {
        let (vector, passages) = (found.vector.as_deref(), &found.passages);
        self.answerer.candidates(&self.rewritten, vector, passages).await
    }

    /// The prompt with `candidates` of what was found, as serving would show them.
    pub async fn show(
        &self,
        found: &Found,
        asked: &Asked,
        candidates: Vec<Candidate>,
    ) -> Result<Result<Shown, String>> {
        let config = self.answerer.config();
        let parts = ToShow {
            index: self.answerer.retriever.index().clone(),
            asked: asked.clone(),
            question: self.rewritten.clone(),
            passages: found.passages.clone(),
            confidence: confidence(&candidates, config),
            candidates,
        };
        match show_apart(self.text, &config.generate.quotes, parts).await? {
            Ok(shown) => Ok(Ok(shown)),
            Err(ModelError::Refused { message, .. }) => Ok(Err(message)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sentences that serving would show at most.
    pub fn most_sentences(&self) -> usize {
        self.answerer.config.generate.quotes.sentences.max(1)
    }

    async fn hits(&self, limit: usize) -> Result<(Vec<Hit>, Option<Vec<f32>>)> {
        let (question, caller) = as_asked(self.question);
        let request = SearchRequest {
            query: self.rewritten.clone(),
            mode: SearchMode::Hybrid,
            filter: question.filter,
            access: caller.access,
            limit,
        };
        let retriever = &self.answerer.retriever;
        let retrieval = retriever.search(&request).await?;
        let vector = retrieval.query_vector.filter(|_| retriever.dense_understands(&self.rewritten));
        Ok((retrieval.hits, vector))
    }

    async fn passages(&self, hits: Vec<Hit>) -> Result<Vec<FoundPassage>> {
        let (catalog, limit) =
            (self.answerer.retriever.index().catalog().clone(), self.answerer.config.passages);
        tokio::task::spawn_blocking(move || passages(&catalog, &hits, limit)).await?
    }

    /// Packs as serving would, so that all of `golds` are in it and `answer` has room; the last distractors go first.
    pub async fn fit(&self, found: Found, golds: &[Gold], answer: &str) -> Result<Result<Packed, String>> {
        let Found { mut passages, vector } = found;
        let max_tokens = self.text.count_tokens(answer) + END;
        let context = self.text.info().context_tokens;
        if max_tokens > context / 2 {
            return Ok(Err(format!(
                "its answer has {max_tokens} tokens, more than half of the {context} of an example"
            )));
        }
        // What decides where a passage is cut; most prompts need no cut, and this takes the longest.
        let mut candidates: Option<Vec<Candidate>> = None;
        loop {
            let known = candidates.clone().unwrap_or_default();
            let packed = match self.packed(passages.clone(), known, max_tokens).await {
                Ok(packed) => Some(packed),
                Err(QueryError::Model(ModelError::Refused { .. })) => None,
                Err(other) => return Err(other),
            };
            let whole = packed.as_ref().is_some_and(|packed| {
                packed.passages.iter().map(|p| p.passage.span).eq(passages.iter().map(|p| p.passage.span))
            });
            if !whole && candidates.is_none() {
                let answerer = self.answerer;
                let scored = answerer.candidates(&self.rewritten, vector.as_deref(), &passages).await?.1;
                candidates = Some(sources_first(scored, &passages, golds));
                continue;
            }
            if let Some(packed) = packed
                && golds.iter().all(|gold| packed.passages.iter().any(|found| gold.is_in(found)))
            {
                return Ok(Ok(packed));
            }
            let distractor = |found: &FoundPassage| !golds.iter().any(|gold| gold.is_in(found));
            let Some(last) = passages.iter().rposition(distractor).filter(|_| passages.len() > 1) else {
                return Ok(Err(match passages.is_empty() {
                    true => "no passage was found for it".to_owned(),
                    false => format!("what answers it does not fit an example of {context} tokens"),
                }));
            };
            passages.remove(last);
            let of_rest = |candidate: Candidate| match candidate.passage {
                at if at == last => None,
                at => Some(Candidate { passage: at - usize::from(at > last), ..candidate }),
            };
            candidates = candidates.map(|all| all.into_iter().filter_map(of_rest).collect());
        }
    }

    async fn packed(
        &self,
        passages: Vec<FoundPassage>,
        candidates: Vec<Candidate>,
        max_tokens: usize,
    ) -> Result<Packed> {
        let (text, config) = (self.text.clone(), self.answerer.config.generate.clone());
        let (question, history) = (self.question.question.clone(), self.question.history.clone());
        let packing = move || {
            let parts = ToPack {
                question: &question,
                history: &history,
                passages: &passages,
                candidates: &candidates,
                max_tokens,
            };
            pack(&text, &config, &parts)
        };
        Ok(tokio::task::spawn_blocking(packing).await??)
    }
}

/// Puts the chunks of `gold` among the hits: in the place of one that says the same, or in a place by chance, for which
/// the last hit that holds none of `golds` goes.
fn put_in(hits: &mut Vec<Hit>, gold: &Gold, golds: &[Gold], limit: usize, random: &mut Random) {
    let needed = |hit: &Hit| golds.iter().any(|gold| gold.touches(&hit.live));
    for live in &gold.chunks {
        let id = live.chunk.id;
        if hits.iter().any(|hit| hit.live.chunk.id == id) {
            continue;
        }
        if let Some(twin) = hits.iter_mut().find(|hit| hit.folded.contains(&id) && !needed(hit)) {
            twin.live = live.clone();
            continue;
        }
        if hits.len() >= limit
            && let Some(last) = hits.iter().rposition(|hit| !needed(hit))
        {
            hits.remove(last);
        }
        let at = random.below(hits.len() + 1);
        let score = hits.get(at).or(hits.last()).map_or(0.0, |hit| hit.score);
        let hit = Hit {
            live: live.clone(),
            score,
            dense: None,
            lexical: None,
            fused: score,
            dense_part: 0.0,
            lexical_part: 0.0,
            factor: 1.0,
            rerank: None,
            folded: Vec::new(),
        };
        hits.insert(at, hit);
    }
}

/// The candidates with those before the others that stand in a source, so that a passage is cut around it.
fn sources_first(candidates: Vec<Candidate>, passages: &[FoundPassage], golds: &[Gold]) -> Vec<Candidate> {
    let in_source = |candidate: &Candidate| {
        passages.get(candidate.passage).is_some_and(|found| {
            golds
                .iter()
                .any(|gold| gold.is_in(found) && gold.places.iter().any(|p| p.overlaps(&candidate.span)))
        })
    };
    let (mut first, rest): (Vec<Candidate>, Vec<Candidate>) = candidates.into_iter().partition(in_source);
    first.extend(rest);
    first
}
