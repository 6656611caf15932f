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
/// As the model; [`ModelError::Failed`] where it takes too long.
pub async fn warm_up(generator: &Generator) -> Result<(), ModelError> {
    let failed = |message: &str| ModelError::Failed {
        model: generator.info().id.clone(),
        message: message.to_owned(),
    };
    let chat = [Message::new(Role::User, "Say: yes.")];
    let options = ChatOptions { open_answer: true, thinking: Some(false) };
    let tokens = generator.encode_chat(&chat, &options)?;
    let mut events = generator.generate(Prompt { tokens, max_tokens: TOKENS, ..Prompt::default() })?;
    let written = async {
        while let Some(event) = events.recv().await {
            match event {
                GenerateEvent::Text(_) => {}
                GenerateEvent::Done(_) => return Ok(()),
                GenerateEvent::Failed(error) => return Err(error),
            }
        }
        Err(ModelError::Stopped { model: generator.info().id.clone() })
    };
    tokio::time::timeout(PATIENCE, written)
        .await
        .map_err(|_| failed("it did not write within five minutes"))?
}
