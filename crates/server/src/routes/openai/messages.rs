//! The messages of a chat: as a question with its conversation, and as what a language model reads.

use lore_core::{Limits, Message, Role, Turn};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::routes::ask::check_question;
use crate::routes::openai::fields::wrong;

/// A message as it comes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system` or `developer`, `user`, or `assistant`.
    pub role: String,
    /// What is said: a text, or a list of parts of type `text`.
    #[serde(default)]
    pub content: Option<Content>,
}

/// What is said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "the content must be a text or a list of parts with a type")]
pub enum Content {
    /// At once.
    Text(String),
    /// In parts, which are put one behind the other.
    Parts(Vec<Part>),
}

/// A part of what is said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// Only `text` can be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// The messages with known roles and plain texts.
///
/// # Errors
/// 400 where there is none, and for a role or a kind of content that Lore cannot read.
pub fn plain(messages: Vec<ChatMessage>) -> Result<Vec<Message>, ApiError> {
    if messages.is_empty() {
        return Err(wrong("messages", "messages is empty; send at least what the user says"));
    }
    messages.into_iter().enumerate().map(|(at, message)| one(at, message)).collect()
}

fn one(at: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let shown: String = other.chars().take(50).collect();
            let message =
                format!("the role {shown:?} cannot be read; use system, developer, user or assistant");
            return Err(wrong(&format!("messages[{at}].role"), message));
        }
    };
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let parts = parts.into_iter().enumerate().map(|(n, part)| text_of(at, n, part));
            parts.collect::<Result<String, _>>()?
        }
        // Calls of tools come so.
        None if role == Role::Assistant => String::new(),
        None => return Err(wrong(&format!("messages[{at}].content"), "the message has no content")),
    };
    Ok(Message { role, content })
}

fn text_of(at: usize, n: usize, part: Part) -> Result<String, ApiError> {
    if part.kind != "text" {
        let shown: String = part.kind.chars().take(50).collect();
        let message = format!("content of type {shown:?} cannot be read; send text");
        return Err(wrong(&format!("messages[{at}].content[{n}].type"), message));
    }
    part.text.ok_or_else(|| wrong(&format!("messages[{at}].content[{n}].text"), "the part has no text"))
}

/// The last message as a question, and the turns before it, oldest first.
///
/// Instructions (`system`, `developer`) are left out: how Lore answers from documents is not the caller's to change.
/// Clients send the whole conversation each time, so that what is over a limit is left out or cut instead of refused,
/// the question itself aside.
///
/// # Errors
/// 400 where the last message is not the user's, or is empty or too long.
pub fn question(messages: Vec<Message>, limits: &Limits) -> Result<(String, Vec<Turn>), ApiError> {
    let last = format!("messages[{}]", messages.len().saturating_sub(1));
    let mut messages = messages;
    let question = match messages.pop() {
        Some(Message { role: Role::User, content }) => content,
        _ => return Err(wrong(&format!("{last}.role"), "the last message must be the user's: the question")),
    };
    check_question(&question, limits).map_err(|error| error.about(format!("{last}.content")))?;
    let mut turns: Vec<Turn> = Vec::new();
    for Message { role, content } in messages {
        match (role, turns.last_mut()) {
            (Role::User, _) => {
                let question = content.chars().take(limits.question_chars).collect();
                turns.push(Turn { question, answer: String::new() });
            }
            (Role::Assistant, Some(turn)) => {
                if !turn.answer.is_empty() {
                    turn.answer.push('\n');
                }
                turn.answer.push_str(&content);
            }
            // A greeting before the first question tells nothing.
            (Role::Assistant, None) | (Role::System, _) => {}
        }
    }
    let oldest = turns.len().saturating_sub(limits.history_turns);
    Ok((question, turns.split_off(oldest)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn said(messages: &[(Role, &str)]) -> Vec<Message> {
        messages.iter().map(|(role, content)| Message::new(*role, *content)).collect()
    }

    #[test]
    fn a_conversation_becomes_turns() {
        let limits = Limits { history_turns: 2, question_chars: 9, ..Limits::default() };
        let (question, turns) = question(
            said(&[
                (Role::System, "You are a pirate."),
                (Role::Assistant, "Hello, how can I help?"),
                (Role::User, "Too old?"),
                (Role::Assistant, "Yes."),
                (Role::User, "This is too long?"),
                (Role::User, "And?"),
                (Role::Assistant, "One."),
                (Role::Assistant, "Two."),
                (Role::User, "Why?"),
            ]),
            &limits,
        )
        .unwrap();
        assert_eq!(question, "Why?");
        let turn = |question: &str, answer: &str| Turn { question: question.into(), answer: answer.into() };
        assert_eq!(turns, [turn("This is t", ""), turn("And?", "One.\nTwo.")]);
    }

    #[test]
    fn the_last_message_must_be_a_question() {
        let limits = Limits { question_chars: 9, ..Limits::default() };
        let param = |messages: &[(Role, &str)]| {
            question(said(messages), &limits).unwrap_err().param().unwrap().to_owned()
        };
        assert_eq!(param(&[(Role::User, "Why?"), (Role::Assistant, "So.")]), "messages[1].role");
        assert_eq!(param(&[(Role::User, "  ")]), "messages[0].content");
        assert_eq!(param(&[(Role::User, "Why why why?")]), "messages[0].content");
    }
}
