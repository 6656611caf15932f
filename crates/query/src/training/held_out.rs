//! Questions that a model is tested with are never learned.

use std::collections::{BTreeMap, BTreeSet};

use lore_core::ids::hex;
use sha2::{Digest as _, Sha256};

use crate::error::{QueryError, Result};
use crate::eval::EvalQuestion;
use crate::eval::metrics::normalized_tokens;

/// Refuses `training` where it holds a question of `held_out`: one with the same id, or with the same words in the same
/// conversation (in lower case, without punctuation and articles).
///
/// # Errors
/// [`QueryError::HeldOut`] names the first such question.
pub fn refuse_held_out(training: &[EvalQuestion], held_out: &[EvalQuestion]) -> Result<()> {
    let ids: BTreeSet<&str> = held_out.iter().map(|question| question.id.as_str()).collect();
    let texts: BTreeMap<Vec<String>, &str> =
        held_out.iter().map(|question| (words(question), question.id.as_str())).collect();
    let same = |question: &EvalQuestion| {
        let by_id = ids.get(question.id.as_str()).copied();
        by_id.or_else(|| texts.get(&words(question)).copied())
    };
    let mut shared = training.iter().filter_map(|question| same(question).map(|other| (question, other)));
    let Some((question, other)) = shared.next() else { return Ok(()) };
    Err(QueryError::HeldOut {
        id: question.id.clone(),
        held_out: other.to_owned(),
        question: question.question.clone(),
        others: shared.count(),
    })
}

/// Bytes of a hash that tell a question apart.
const MARK: usize = 8;

/// What tells `question` apart in the record of what was learned, without its words: hashes of its id, and of its words in
/// its conversation as [`refuse_held_out`] compares them.
pub fn marks(question: &EvalQuestion) -> [String; 2] {
    [id_mark(&question.id), mark("words", &words(question).join(" "))]
}

/// The first of a question's [`marks`], from its id alone.
pub fn id_mark(id: &str) -> String {
    mark("id", id)
}

fn mark(what: &str, text: &str) -> String {
    let hash = Sha256::digest(format!("{what}:{text}"));
    hex(hash.get(..MARK).unwrap_or_default())
}

/// Those of `questions` that were learned, by the [`marks`] of what was.
pub fn learned<'a>(questions: &'a [EvalQuestion], learned: &BTreeSet<String>) -> Vec<&'a EvalQuestion> {
    questions.iter().filter(|question| marks(question).iter().any(|mark| learned.contains(mark))).collect()
}

fn words(question: &EvalQuestion) -> Vec<String> {
    let turns = question.history.iter().map(|turn| turn.question.as_str());
    turns.chain([question.question.as_str()]).flat_map(normalized_tokens).collect()
}
