//! Conversations: whose they are, what was asked, and what was answered.
//!
//! A conversation is its owner's alone: no other key reads it, an administrator's neither. What it shows of documents is
//! read anew each time (`reread`).

use std::collections::BTreeSet;

use lore_core::{
    Access, AnswerSummary, Conversation, ConversationId, ConversationTurn, DocumentId, Limits, Passage, Span,
    Turn,
};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, Transaction, params, params_from_iter};

use super::db::Write;
use super::reread::Reread;
use super::{Catalog, access, rows};
use crate::error::{IndexError, Result};

/// Characters of the first question that become the title.
const TITLE_CHARS: usize = 80;
/// Most conversations on a page.
const PAGE: usize = 1_000;
/// What a model is told in place of an answer that is withdrawn.
const WITHDRAWN: &str = "(This answer is not available any more.)";

/// A question and its answer, to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTurn {
    /// What was asked, as it was asked.
    pub question: String,
    /// The answer.
    pub summary: AnswerSummary,
    /// The passages that it could cite.
    pub sources: Vec<Passage>,
}

/// Which conversations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationQuery {
    /// Words that the title, or one question, must contain (case-insensitive).
    pub text: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// The cursor that the page before gave.
    pub before: Option<String>,
}

/// A page of conversations, the one used last first.
#[derive(Clone, Debug, PartialEq)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<Conversation>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// The columns that [`conversation`] reads, of table `conversations` named `c`.
const COLUMNS: &str = "c.id, c.title, (SELECT count(*) FROM turns t WHERE t.conversation = c.pk), c.created_at, \
    c.updated_at";

impl Catalog {
    /// Makes conversation `id` of `owner` with its first turn, whose question becomes the title. Over
    /// `limits.conversations` of one owner, those that were used longest ago go.
    pub fn begin_conversation(
        &self,
        owner: &str,
        id: ConversationId,
        turn: &NewTurn,
        limits: &Limits,
    ) -> Result<()> {
        let title = title_of(&turn.question);
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT INTO conversations (id, owner, title, search, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            )?
            .execute(params![id.0.as_bytes(), owner, title, title.to_lowercase(), tx.now])?;
            add_turn(tx, tx.last_insert_rowid(), turn)?;
            tx.prepare_cached(
                "DELETE FROM conversations WHERE pk IN (SELECT pk FROM conversations WHERE owner = ?1
                     ORDER BY updated_at DESC, id DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![owner, rows::signed(limits.conversations.max(1) as u64)])?;
            Ok(())
        })
    }

    /// Adds a turn to conversation `id` of `owner`; false where there is none such.
    ///
    /// # Errors
    /// `ConversationFull` where it has `limits.conversation_turns` already.
    pub fn append_turn(
        &self,
        owner: &str,
        id: ConversationId,
        turn: &NewTurn,
        limits: &Limits,
    ) -> Result<bool> {
        self.put_turn(owner, id, turn, None, limits)
    }

    /// Puts a turn in the place of the last of conversation `id` of `owner`, where it still has `turns` of them; where it
    /// has others by now, the turn is added. False where there is no such conversation.
    ///
    /// # Errors
    /// As [`Catalog::append_turn`], where the turn is added.
    pub fn replace_turn(
        &self,
        owner: &str,
        id: ConversationId,
        turn: &NewTurn,
        turns: u64,
        limits: &Limits,
    ) -> Result<bool> {
        self.put_turn(owner, id, turn, Some(turns), limits)
    }

    /// Adds a turn, or puts it in the place of the last where there are as many as `replaces` says.
    fn put_turn(
        &self,
        owner: &str,
        id: ConversationId,
        turn: &NewTurn,
        replaces: Option<u64>,
        limits: &Limits,
    ) -> Result<bool> {
        self.write(|tx| {
            let Some((pk, turns)) = find(tx, owner, id)? else { return Ok(false) };
            let most = limits.conversation_turns;
            if turns > 0 && replaces == Some(turns) {
                tx.prepare_cached(
                    "DELETE FROM turns WHERE pk = (SELECT max(t.pk) FROM turns t WHERE t.conversation = ?1)",
                )?
                .execute([pk])?;
            } else if turns >= most as u64 {
                return Err(IndexError::ConversationFull { most });
            }
            add_turn(tx, pk, turn)?;
            tx.prepare_cached("UPDATE conversations SET updated_at = ?2 WHERE pk = ?1")?
                .execute(params![pk, tx.now])?;
            Ok(true)
        })
    }

    /// Conversation `id` of `owner`, if there is one.
    pub fn conversation(&self, owner: &str, id: ConversationId) -> Result<Option<Conversation>> {
        self.read(|tx| by_id(tx, owner, id))
    }

    /// Conversation `id` of `owner` with its turns, oldest first, as `access` may read them today.
    pub fn conversation_turns(
        &self,
        owner: &str,
        id: ConversationId,
        access: &Access,
    ) -> Result<Option<(Conversation, Vec<ConversationTurn>)>> {
        self.read(|tx| {
            let Some(conversation) = by_id(tx, owner, id)? else { return Ok(None) };
            let Some((pk, _)) = find(tx, owner, id)? else { return Ok(None) };
            let mut reread = Reread::new(self, tx, access);
            let mut turns = Vec::new();
            for turn in turns_of(tx, pk, usize::MAX)? {
                turns.push(reread.turn(turn)?);
            }
            Ok(Some((conversation, turns)))
        })
    }

    /// The last `most` turns of conversation `id` of `owner`, oldest first, as a model may read them: what `access` may
    /// not read any more of the answers is left out. With the number of all its turns.
    pub fn conversation_history(
        &self,
        owner: &str,
        id: ConversationId,
        access: &Access,
        most: usize,
    ) -> Result<Option<(u64, Vec<Turn>)>> {
        self.read(|tx| {
            let Some((pk, count)) = find(tx, owner, id)? else { return Ok(None) };
            let mut reread = Reread::new(self, tx, access);
            let mut history = Vec::new();
            for turn in turns_of(tx, pk, most)? {
                let shown = if reread.may_show(&turn)? { turn.answer } else { None };
                let answer = shown.unwrap_or_else(|| WITHDRAWN.to_owned());
                history.push(Turn { question: turn.question, answer });
            }
            Ok(Some((count, history)))
        })
    }

    /// Conversations of `owner` by page, the one used last first.
    ///
    /// # Errors
    /// `Invalid` for a cursor that no page gave.
    pub fn conversations(&self, owner: &str, query: &ConversationQuery) -> Result<ConversationPage> {
        let limit = query.limit.clamp(1, PAGE);
        let mut sql = format!("SELECT {COLUMNS} FROM conversations c WHERE c.owner = ?");
        let mut values = vec![Value::Text(owner.to_owned())];
        if let Some(cursor) = &query.before {
            let (at, id) = parse_cursor(cursor)?;
            sql.push_str(" AND (c.updated_at, c.id) < (?, ?)");
            values.extend([Value::Integer(at), Value::Blob(id.0.as_bytes().to_vec())]);
        }
        for word in query.text.as_deref().unwrap_or_default().split_whitespace() {
            sql.push_str(
                " AND (instr(c.search, ?) > 0 OR EXISTS (SELECT 1 FROM turns t
                       WHERE t.conversation = c.pk AND instr(t.search, ?) > 0))",
            );
            values.extend(std::iter::repeat_n(Value::Text(word.to_lowercase()), 2));
        }
        sql.push_str(" ORDER BY c.updated_at DESC, c.id DESC LIMIT ?");
        values.push(Value::Integer(rows::signed(limit as u64 + 1)));
        self.read(|tx| {
            let mut statement = tx.prepare(&sql)?;
            let mut found = statement.query(params_from_iter(&values))?;
            let mut conversations = Vec::new();
            while let Some(row) = found.next()? {
                conversations.push(conversation(row)?);
            }
            let more = conversations.len() > limit;
            conversations.truncate(limit);
            let next = conversations.last().filter(|_| more).map(cursor);
            Ok(ConversationPage { conversations, next })
        })
    }

    /// Gives conversation `id` of `owner` another title.
    ///
    /// # Errors
    /// `Invalid` for a title without words.
    pub fn rename_conversation(
        &self,
        owner: &str,
        id: ConversationId,
        title: &str,
    ) -> Result<Option<Conversation>> {
        let title = title.trim();
        if title.is_empty() {
            return Err(IndexError::Invalid("a conversation needs a title with words in it".into()));
        }
        self.write(|tx| {
            tx.prepare_cached(
                "UPDATE conversations SET title = ?3, search = ?4 WHERE id = ?1 AND owner = ?2",
            )?
            .execute(params![id.0.as_bytes(), owner, title, title.to_lowercase()])?;
            by_id(tx, owner, id)
        })
    }

    /// Deletes conversation `id` of `owner`; false where there is none such.
    pub fn delete_conversation(&self, owner: &str, id: ConversationId) -> Result<bool> {
        self.write(|tx| {
            let deleted = tx
                .prepare_cached("DELETE FROM conversations WHERE id = ?1 AND owner = ?2")?
                .execute(params![id.0.as_bytes(), owner])?;
            Ok(deleted > 0)
        })
    }
}

/// A turn as it is stored: places instead of texts.
pub(super) struct Stored {
    pub(super) question: String,
    pub(super) at: i64,
    pub(super) answer: Option<String>,
    pub(super) summary: AnswerSummary,
    pub(super) sources: Vec<Passage>,
}

/// Removes the answers that rest on a document which is being deleted.
pub(super) fn forget_document(tx: &Write<'_>, id: DocumentId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE turns SET answer = NULL, summary = json_remove(summary, '$.rewritten')
         WHERE pk IN (SELECT turn FROM turn_documents WHERE document = ?1)",
    )?
    .execute([id.0.as_bytes()])?;
    Ok(())
}

/// Removes all conversations of a caller.
pub(super) fn forget_owner(tx: &Write<'_>, owner: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM conversations WHERE owner = ?1")?.execute([owner])?;
    Ok(())
}

/// Stores a turn: the answer's own words, and of everything else the places.
fn add_turn(tx: &Write<'_>, conversation: i64, turn: &NewTurn) -> Result<()> {
    let mut summary = AnswerSummary { answer: String::new(), ..turn.summary.clone() };
    let mut rests_on: BTreeSet<DocumentId> = BTreeSet::new();
    for citation in &mut summary.citations {
        rests_on.insert(citation.document);
        (citation.name, citation.title, citation.quote) = Default::default();
        citation.headings.clear();
    }
    for near in &mut summary.nearest {
        rests_on.insert(near.document);
        (near.name, near.title) = Default::default();
    }
    let mut sources = turn.sources.clone();
    let unsure = may_rest_on_all(&turn.summary, &turn.summary.answer);
    for passage in &mut sources {
        if unsure {
            rests_on.insert(passage.document);
        }
        (passage.name, passage.title, passage.text) = Default::default();
        passage.headings.clear();
    }
    // A document that was deleted while its answer was written takes the answer along all the same.
    let mut answer = Some(&turn.summary.answer);
    for document in &rests_on {
        if access::list(tx, *document)?.is_none() {
            (answer, summary.rewritten) = (None, None);
        }
    }
    tx.prepare_cached(
        "INSERT INTO turns (conversation, at, question, search, answer, summary, sources)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        conversation,
        tx.now,
        turn.question,
        turn.question.to_lowercase(),
        answer,
        rows::to_json(&summary)?,
        rows::to_json(&sources)?,
    ])?;
    let pk = tx.last_insert_rowid();
    for document in rests_on {
        tx.prepare_cached("INSERT INTO turn_documents (turn, document) VALUES (?1, ?2)")?
            .execute(params![pk, document.0.as_bytes()])?;
    }
    if unsure {
        // Its writer saw the answers before it, too.
        tx.prepare_cached(
            "INSERT OR IGNORE INTO turn_documents (turn, document)
             SELECT DISTINCT ?1, d.document FROM turn_documents d JOIN turns t ON t.pk = d.turn
             WHERE t.conversation = ?2 AND t.pk < ?1",
        )?
        .execute(params![pk, conversation])?;
    }
    Ok(())
}

/// Whether `answer` may come from any passage that its writer saw: it has statements that no passage supports, or, where it is
/// an answer, words that no citation covers.
pub(super) fn may_rest_on_all(summary: &AnswerSummary, answer: &str) -> bool {
    if !summary.unsupported.is_empty() {
        return true;
    }
    let mut spans: Vec<Span> = summary.citations.iter().map(|citation| citation.answer_span).collect();
    spans.sort_unstable();
    let (mut next, mut covered) = (spans.iter().peekable(), 0);
    let uncited = |(at, c): (usize, char)| {
        while let Some(span) = next.next_if(|span| span.start <= at) {
            covered = covered.max(span.end);
        }
        at >= covered && c.is_alphanumeric()
    };
    summary.answered && answer.chars().enumerate().any(uncited)
}

/// The row of conversation `id` of `owner`, and the number of its turns.
fn find(tx: &Transaction<'_>, owner: &str, id: ConversationId) -> Result<Option<(i64, u64)>> {
    let found = tx
        .prepare_cached(
            "SELECT c.pk, (SELECT count(*) FROM turns t WHERE t.conversation = c.pk)
             FROM conversations c WHERE c.id = ?1 AND c.owner = ?2",
        )?
        .query_row(params![id.0.as_bytes(), owner], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    Ok(found.map(|(pk, turns)| (pk, turns.unsigned_abs())))
}

fn by_id(tx: &Transaction<'_>, owner: &str, id: ConversationId) -> Result<Option<Conversation>> {
    let mut statement = tx
        .prepare_cached(&format!("SELECT {COLUMNS} FROM conversations c WHERE c.id = ?1 AND c.owner = ?2"))?;
    let mut found = statement.query(params![id.0.as_bytes(), owner])?;
    found.next()?.map(conversation).transpose()
}

/// The last `most` turns of a conversation, oldest first.
fn turns_of(tx: &Transaction<'_>, conversation: i64, most: usize) -> Result<Vec<Stored>> {
    let mut statement = tx.prepare_cached(
        "SELECT question, at, answer, summary, sources FROM turns WHERE conversation = ?1 ORDER BY pk DESC LIMIT ?2",
    )?;
    let mut found = statement.query(params![conversation, rows::signed(most as u64)])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        let (summary, sources): (String, String) = (row.get(3)?, row.get(4)?);
        out.push(Stored {
            question: row.get(0)?,
            at: row.get(1)?,
            answer: row.get(2)?,
            summary: rows::from_json(&summary)?,
            sources: rows::from_json(&sources)?,
        });
    }
    out.reverse();
    Ok(out)
}

fn conversation(row: &Row<'_>) -> Result<Conversation> {
    let id: [u8; 16] = row.get(0)?;
    Ok(Conversation {
        id: ConversationId(uuid::Uuid::from_bytes(id)),
        title: row.get(1)?,
        turns: rows::unsigned(row, 2)?,
        created_at: rows::time(row.get(3)?)?,
        updated_at: rows::time(row.get(4)?)?,
    })
}

/// The first question on one line, cut where it is long.
fn title_of(question: &str) -> String {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// The place after a conversation: when it was used, and its id.
fn cursor(last: &Conversation) -> String {
    format!("{}.{}", last.updated_at.as_microsecond(), last.id)
}

fn parse_cursor(cursor: &str) -> Result<(i64, ConversationId)> {
    let parse = || {
        let (at, id) = cursor.split_once('.')?;
        Some((at.parse().ok()?, id.parse().ok()?))
    };
    parse().ok_or_else(|| IndexError::Invalid(format!("{cursor:?} is no cursor of a page of conversations")))
}
