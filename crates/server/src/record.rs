//! Answers kept in a conversation: which one a question goes on with, and the turn at its end.

use lore_core::{AnswerSummary, Caller, ConversationId, Limits, Passage, Turn};
use lore_index::{Catalog, NewTurn};

use crate::error::ApiError;
use crate::state::AppState;

/// What a client sends to begin a conversation.
pub const NEW: &str = "new";

/// Where an answer is to be kept, and what is known of it so far.
#[derive(Debug)]
pub struct Record {
    catalog: Catalog,
    limits: Limits,
    owner: String,
    id: ConversationId,
    begins: bool,
    /// The number of turns, the last of which the answer replaces.
    replaces: Option<u64>,
    question: String,
    /// The passages that the answer may cite.
    pub sources: Vec<Passage>,
}

impl Record {
    /// Conversation `wanted` of `caller` for `question`, and the turns before it, the newest of them, as the caller may
    /// read them today. With `replace` the answer takes the place of the last turn, which is then none of those before it.
    ///
    /// # Errors
    /// 422 where there is no turn to replace, 404 where the caller has no such conversation, 422 where it takes no more turns.
    pub async fn open(
        state: &AppState,
        caller: &Caller,
        wanted: &str,
        question: &str,
        replace: bool,
    ) -> Result<(Self, Vec<Turn>), ApiError> {
        let limits = state.limits().clone();
        let record = |id, begins, replaces| Self {
            catalog: state.catalog_handle().clone(),
            limits: limits.clone(),
            owner: caller.id.clone(),
            id,
            begins,
            replaces,
            question: question.to_owned(),
            sources: Vec::new(),
        };
        if wanted == NEW {
            if replace {
                return Err(nothing_to_replace());
            }
            return Ok((record(ConversationId::fresh(), true, None), Vec::new()));
        }
        let id: ConversationId = wanted.parse().map_err(|_| ApiError::not_found("conversation"))?;
        let (owner, access) = (caller.id.clone(), caller.access.clone());
        let most = limits.history_turns.saturating_add(usize::from(replace));
        let found =
            state.catalog(move |catalog| catalog.conversation_history(&owner, id, &access, most)).await?;
        let (count, mut history) = found.ok_or_else(|| ApiError::not_found("conversation"))?;
        if replace {
            history.pop().ok_or_else(nothing_to_replace)?;
            return Ok((record(id, false, Some(count)), history));
        }
        let most = limits.conversation_turns;
        if count >= most as u64 {
            return Err(lore_index::IndexError::ConversationFull { most }.into());
        }
        Ok((record(id, false, None), history))
    }

    /// Keeps the answer; the conversation, or `None` where it could not be kept, which the log explains.
    pub async fn keep(self, summary: AnswerSummary) -> Option<ConversationId> {
        let Self { catalog, limits, owner, id, begins, replaces, question, sources } = self;
        let turn = NewTurn { question, summary, sources };
        let kept = tokio::task::spawn_blocking(move || {
            if begins {
                catalog.begin_conversation(&owner, id, &turn, &limits).map(|()| true)
            } else if let Some(turns) = replaces {
                catalog.replace_turn(&owner, id, &turn, turns, &limits)
            } else {
                catalog.append_turn(&owner, id, &turn, &limits)
            }
        });
        match kept.await {
            Ok(Ok(true)) => return Some(id),
            Ok(Ok(false)) => {
                tracing::info!(%id, "the conversation was deleted while its question was answered")
            }
            Ok(Err(error)) => tracing::error!(%id, %error, "an answer could not be kept in its conversation"),
            Err(error) => tracing::error!(%id, %error, "an answer could not be kept in its conversation"),
        }
        None
    }
}

fn nothing_to_replace() -> ApiError {
    ApiError::invalid(
        "bad_replace",
        "there is no answer to replace; leave replace out, or name a conversation with one",
    )
}
