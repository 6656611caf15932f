//! What a model must show before it takes another's place: that there is memory for it, and that it writes.

use std::time::Duration;

use lore_core::{ChatOptions, GenerateEvent, Generator, Message, ModelError, OpenError, Prompt, Role};

/// Longest that a model may take for its first words.
const PATIENCE: Duration = Duration::from_secs(300);
/// Tokens of the first words: one that ends the prompt's reading, and steps of writing.
const TOKENS: usize = 4;

/// Memory that a model needs beside what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of its weights' files.
    pub weights: u64,
    /// Bytes of its keys and values.
    pub kv: u64,
}

impl Room {
    /// Bytes of both.
    pub fn needed(&self) -> u64 {
        self.weights.saturating_add(self.kv)
    }

    /// Refuses what does not fit into the `available` bytes; nothing is refused where the system does not tell them.
    ///
    /// # Errors
    /// [`OpenError::NoRoom`].
    pub fn check(&self, available: Option<u64>) -> Result<(), OpenError> {
        match available {
            Some(available) if available < self.needed() => {
                Err(OpenError::NoRoom { needed: self.needed(), available })
            }
            _ => Ok(()),
        }
    }
}

/// Has a model write a few tokens, so that the first question does not wait for pages to be read and a model that cannot
/// write never takes another's place.
///
/// # Errors
/// [`OpenError::Unfit`] where it cannot write, [`OpenError::Failed`] where it takes too long or its engine is stopped or
/// busy, which says nothing of its files.
pub async fn warm_up(generator: &Generator) -> Result<(), OpenError> {
    match tokio::time::timeout(PATIENCE, first_words(generator)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ (ModelError::Overloaded { .. } | ModelError::Stopped { .. }))) => {
            Err(OpenError::Failed(error.to_string()))
        }
        Ok(Err(error)) => Err(OpenError::Unfit(error.to_string())),
        Err(_) => Err(OpenError::Failed(format!(
            "{} did not write within {} seconds",
            generator.info().id,
            PATIENCE.as_secs()
        ))),
    }
}

async fn first_words(generator: &Generator) -> Result<(), ModelError> {
    let chat = [Message::new(Role::User, "Say: yes.")];
    let options = ChatOptions { open_answer: true, thinking: Some(false) };
    let tokens = generator.encode_chat(&chat, &options)?;
    let mut events = generator.generate(Prompt { tokens, max_tokens: TOKENS, ..Prompt::default() })?;
    while let Some(event) = events.recv().await {
        match event {
            GenerateEvent::Text(_) => {}
            GenerateEvent::Done(_) => return Ok(()),
            GenerateEvent::Failed(error) => return Err(error),
        }
    }
    Err(ModelError::Stopped { model: generator.info().id.clone() })
}
