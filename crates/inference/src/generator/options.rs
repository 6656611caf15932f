//! What bounds a generator.

use serde::{Deserialize, Serialize};

/// Settings of a generator's engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorOptions {
    /// Requests that may wait; beyond it callers are refused.
    pub queue: usize,
    /// Texts written at the same time.
    pub max_running: usize,
    /// Memory for keys and values in bytes. What finished requests leave in it is found again by requests that begin
    /// alike. A prompt with its answer cannot be longer than fits here.
    pub kv_bytes: u64,
    /// Prompt tokens read in a step beside texts that are being written: more reads prompts sooner, fewer makes those
    /// texts flow more evenly.
    pub prefill_tokens: usize,
    /// Prompt tokens read in a step while no text is being written.
    pub prefill_tokens_alone: usize,
    /// Most tokens of prompt and answer together, where that is to be less than the model was made for.
    pub context_tokens: Option<usize>,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            queue: 64,
            max_running: 16,
            kv_bytes: 2 << 30,
            prefill_tokens: 256,
            prefill_tokens_alone: 256,
            context_tokens: None,
        }
    }
}

impl GeneratorOptions {
    /// Refuses values that mean nothing, naming the field.
    ///
    /// # Errors
    /// The field, as text.
    pub fn check(&self) -> Result<(), String> {
        let fields = [
            ("queue", self.queue),
            ("max_running", self.max_running),
            ("prefill_tokens", self.prefill_tokens),
            ("prefill_tokens_alone", self.prefill_tokens_alone),
            ("context_tokens", self.context_tokens.unwrap_or(1)),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("{name} is 0; it must be at least 1")),
            None if self.kv_bytes == 0 => {
                Err("kv_bytes is 0; keys and values need memory, such as 2147483648".to_owned())
            }
            None => Ok(()),
        }
    }
}
