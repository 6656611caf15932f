//! The handle to a language model that writes text, and what is asked of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::model::{ModelError, TokenCounter};

/// Pieces of text that wait for a slow reader; what comes on top is held back and sent as one piece.
const PIECES: usize = 64;

/// Who speaks in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; special tokens in it are plain text to the model.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// How a chat becomes a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatOptions {
    /// Whether the prompt ends where the model's own message begins.
    pub open_answer: bool,
    /// Whether a model that can think before it answers does so; `None`: as its template says.
    pub thinking: Option<bool>,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self { open_answer: true, thinking: None }
    }
}

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token (greedy).
    pub temperature: f32,
    /// Only this many likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1 for all.
    pub top_p: f32,
    /// Only tokens with at least this share of the likeliest one's probability; 0 for all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that were there (Keskar et al. 2019, section 4.1); 1: off.
    pub repetition_penalty: f32,
    /// The same seed gives the same text, whatever else runs; `None` takes one by chance.
    pub seed: Option<u64>,
    /// Added to the logits of these tokens.
    #[serde(skip)]
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: None,
            logit_bias: Vec::new(),
        }
    }
}

impl Sampling {
    /// Refuses values that mean nothing, naming the field.
    ///
    /// # Errors
    /// The field and its bounds, as text.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f32, low: f32, high: f32| {
            if value.is_finite() && (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} is {value}; it must lie between {low} and {high}"))
            }
        };
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, f32::MIN_POSITIVE, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.01, 10.0)?;
        self.logit_bias.iter().try_for_each(|(_, bias)| within("logit_bias", *bias, -100.0, 100.0))
    }
}

/// Markers that the text may hold: `open`, a number from 1 to `last` without leading zeros, `close`.
///
/// After `open` directly followed by a digit, no token is chosen that makes another number of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// What opens a marker, such as `[`.
    pub open: String,
    /// What closes it, such as `]`.
    pub close: String,
    /// The greatest number; 0 allows none.
    pub last: u32,
}

/// Sentences that an answer points at: it is tags of some of them, each perhaps followed by words of its sentence, or a
/// refusal alone.
///
/// The tag of the first sentence is `[s1]`; a sentence is tagged once. Words behind a tag stand in its sentence as they are,
/// and hold no `[`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quotes {
    /// The sentences, as the prompt shows them.
    pub sentences: Vec<String>,
    /// Most tags.
    pub most: usize,
    /// Whether words of the sentence may follow its tag.
    pub words: bool,
    /// The answer is a refusal where the probability of one, among what may come, is at least this.
    pub refuse_at: f32,
}

impl Quotes {
    /// What stands for a refusal.
    pub const NONE: &str = "[none]";

    /// The tag of the sentence with this number, from 1.
    pub fn tag(number: usize) -> String {
        format!("[s{number}]")
    }

    /// Whether `words` stand in `sentence` as they are, with no word or number cut at either end.
    pub fn is_part(sentence: &str, words: &str) -> bool {
        let whole =
            |at: usize| !Self::is_inside(sentence, at) && !Self::is_inside(sentence, at + words.len());
        !words.is_empty() && sentence.match_indices(words).any(|(at, _)| whole(at))
    }

    /// Whether a word (of a script with spaces) or a number goes on over the byte `at` of a sentence: within `800`, before the
    /// comma of `1,250`, behind the sign of `-5`, before `万` in `15万`.
    pub fn is_inside(sentence: &str, at: usize) -> bool {
        let (Some(before), Some(behind)) = (sentence.get(..at), sentence.get(at..)) else { return true };
        let (mut before, mut behind) = (before.chars().rev(), behind.chars());
        let (Some(last), Some(next)) = (before.next(), behind.next()) else { return false };
        let (second_last, second) = (before.next(), behind.next());
        let part = |char: char| char.is_alphanumeric() && char < '\u{2e80}';
        let digit = |char: Option<char>| char.is_some_and(|char| char.is_ascii_digit());
        let joint = |char: char| matches!(char, '.' | ',' | ':' | '/' | '-' | '\'');
        let sign = |char: char| matches!(char, '-' | '+' | '−');
        part(last) && part(next)
            || digit(Some(last)) && joint(next) && digit(second)
            || digit(second_last) && joint(last) && digit(Some(next))
            || sign(last) && digit(Some(next)) && !second_last.is_some_and(part)
            || digit(Some(last)) && matches!(next, '万' | '亿' | '千' | '百' | '%' | '％' | '‰' | '°')
    }
}

/// What a text may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Free text, in which markers name passages that exist.
    Marked(Markers),
    /// An answer that points at sentences.
    Quotes(Arc<Quotes>),
}

/// How a model answers questions best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerStyle {
    /// In its own words, with markers of the passages.
    #[default]
    Prose,
    /// By pointing at sentences, which are then quoted word for word.
    Quotes,
}

/// What a model is to write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The prompt's tokens, special tokens included.
    pub tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to write; 0 writes as many as the context has room for.
    pub max_tokens: usize,
    /// Texts that end the answer, and are not part of it, wherever token borders fall.
    pub stop: Vec<String>,
    /// What may be written; `None` does not restrict.
    pub form: Option<Form>,
    /// Goes on over the end-of-text token until `max_tokens` (for benchmarks).
    pub ignore_end: bool,
}

/// Work for a generator.
#[derive(Debug)]
pub struct GenerateRequest {
    /// What is asked.
    pub prompt: Prompt,
    /// When it was asked.
    pub asked: std::time::Instant,
    /// Where the text goes; a receiver that is dropped cancels the work at its next step.
    pub reply: mpsc::Sender<GenerateEvent>,
}

/// What comes back, in this order: any number of `Text`, then one `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerateEvent {
    /// The next piece of text.
    Text(String),
    /// The end.
    Done(Generation),
    /// The end, without the rest.
    Failed(ModelError),
}

/// Why a text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model ended it, or a stop text came.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that were in the cache from an earlier request.
    pub cached_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
}

/// What a generation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationTimings {
    /// Milliseconds in the queue.
    pub queue_ms: f64,
    /// Milliseconds from its start until the prompt was read.
    pub prefill_ms: f64,
    /// Milliseconds from asking to the first token.
    pub first_token_ms: f64,
    /// Milliseconds from asking to the end.
    pub total_ms: f64,
    /// Tokens written per second after the first.
    pub tokens_per_second: f64,
}

/// How sure a model was when it began to point, where its text was to be [`Quotes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Pointing {
    /// The probability of a refusal.
    pub refusal: f32,
    /// The probability of each sentence, where it does not refuse; empty where a tag is several tokens.
    pub sentences: Vec<f32>,
}

/// The end of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Why it ends.
    pub finish: FinishReason,
    /// Tokens.
    pub usage: Usage,
    /// Times.
    pub timings: GenerationTimings,
    /// How sure it was, where it was to point.
    pub pointing: Option<Pointing>,
}

/// What a generator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorInfo {
    /// Name and weights hash; the release that wrote an answer.
    pub id: String,
    /// Most tokens of prompt and answer together.
    pub context_tokens: usize,
    /// How it was taught to answer.
    pub answer_style: AnswerStyle,
}

/// A chat as the prompt's tokens, by the model's own template.
pub type ChatEncoder = Arc<dyn Fn(&[Message], &ChatOptions) -> Result<Vec<u32>, ModelError> + Send + Sync>;

/// A handle to a language model; clones share its queue.
#[derive(Clone)]
pub struct Generator {
    queue: mpsc::Sender<GenerateRequest>,
    info: Arc<GeneratorInfo>,
    count: TokenCounter,
    chat: ChatEncoder,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Generator {
    /// A handle, and the end of its queue that the engine reads; at most `bound` requests wait.
    pub fn channel(
        info: GeneratorInfo,
        count: TokenCounter,
        chat: ChatEncoder,
        bound: usize,
    ) -> (Self, mpsc::Receiver<GenerateRequest>) {
        let (queue, requests) = mpsc::channel(bound.max(1));
        (Self { queue, info: Arc::new(info), count, chat }, requests)
    }

    /// What it is.
    pub fn info(&self) -> &GeneratorInfo {
        &self.info
    }

    /// Number of tokens of `text`, as the model reads it, without special tokens.
    pub fn count_tokens(&self, text: &str) -> usize {
        (self.count)(text)
    }

    /// A chat as the prompt's tokens. Special tokens that stand in a message's content are plain text.
    ///
    /// # Errors
    /// [`ModelError::Refused`] where the model has no chat template, or the template refuses the messages (such as two
    /// of one role in a row).
    pub fn encode_chat(&self, messages: &[Message], options: &ChatOptions) -> Result<Vec<u32>, ModelError> {
        (self.chat)(messages, options)
    }

    /// Starts to write; refuses rather than waits when the queue is full. Dropping the receiver cancels.
    ///
    /// # Errors
    /// [`ModelError::Overloaded`], [`ModelError::Stopped`], and [`ModelError::Refused`] where a setting makes no sense
    /// or the prompt leaves no room in the context.
    pub fn generate(&self, prompt: Prompt) -> Result<mpsc::Receiver<GenerateEvent>, ModelError> {
        let refused = |message| ModelError::Refused { model: self.info.id.clone(), message };
        prompt.sampling.check().map_err(refused)?;
        let (tokens, limit) = (prompt.tokens.len(), self.info.context_tokens);
        if tokens == 0 {
            return Err(refused("the prompt is empty".to_owned()));
        }
        if tokens >= limit {
            return Err(refused(format!(
                "the prompt has {tokens} tokens, the model's context is {limit}; shorten it, or raise \
                 generator.kv_bytes where that bounds it"
            )));
        }
        let (reply, events) = mpsc::channel(PIECES);
        let request = GenerateRequest { prompt, asked: std::time::Instant::now(), reply };
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ModelError::Overloaded { model: self.info.id.clone() },
            mpsc::error::TrySendError::Closed(_) => ModelError::Stopped { model: self.info.id.clone() },
        })?;
        Ok(events)
    }

    /// Requests waiting now.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the engine still takes requests.
    pub fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_sentence_are_whole_words_and_numbers() {
        let sentence = "Pay EUR 1,250.50 or -5 by 24/7; 15万元, 30 % and 80%.";
        let parts = ["Pay", "EUR 1,250.50", "-5", "24/7", "15万元", "30", "30 %", "80%", "or -5 by"];
        assert!(parts.into_iter().all(|words| Quotes::is_part(sentence, words)));
        let cut = ["Pa", "1", "250.50", "1,250", "5 by", "24", "15", "80", "", "pay", "EUR  1"];
        assert!(!cut.into_iter().any(|words| Quotes::is_part(sentence, words)));
    }
}
