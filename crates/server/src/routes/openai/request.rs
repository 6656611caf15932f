//! What a chat completion is asked for with.

use std::collections::BTreeMap;

use lore_core::{AnswerOptions, Filter, Message, Sampling};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::routes::openai::fields::{Fields, parse, unsupported, wrong};
use crate::routes::openai::messages::{ChatMessage, plain};

/// Most texts that may end an answer, as OpenAI's API has it.
const STOPS: usize = 4;
/// Longest of them, in characters.
const STOP_CHARS: usize = 500;
/// Most tokens whose logits may be moved.
const BIASED: usize = 1024;

/// What is asked for. Fields that are not listed are ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// `lore` (also where it is left out): answers from the documents. The language model's id: writes without them.
    pub model: Option<String>,
    /// The conversation. `lore` answers the last message, which must be the user's, and leaves out instructions (`system`
    /// and `developer`): they cannot change how it answers.
    pub messages: Vec<ChatMessage>,
    /// Whether to stream, as server-sent events: chunks, then `[DONE]`.
    pub stream: Option<bool>,
    /// What a stream tells beside.
    pub stream_options: Option<StreamOptions>,
    /// Divides the logits, 0 to 2; 0 takes the likeliest token. What of this and the next ones is left out is as Lore's
    /// settings say; where no language model writes, none of it matters.
    pub temperature: Option<f32>,
    /// Only the likeliest tokens that together have this probability; 0: the likeliest alone.
    pub top_p: Option<f32>,
    /// Only this many likeliest tokens (not OpenAI's).
    pub top_k: Option<usize>,
    /// Only tokens with at least this share of the likeliest one's probability (not OpenAI's).
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens that were there; 1: off (not OpenAI's).
    pub repetition_penalty: Option<f32>,
    /// The same seed gives the same text.
    pub seed: Option<i64>,
    /// Added to the logits of these tokens, by id, -100 to 100.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Most tokens to write. Left out: of `lore`, as the settings say; of the language model, as many as its context has
    /// room for.
    pub max_completion_tokens: Option<usize>,
    /// The same; `max_completion_tokens` goes first.
    pub max_tokens: Option<usize>,
    /// Up to four texts that end the answer.
    pub stop: Option<Texts>,
    /// Whether a model that can think before it answers does so: `none` and `minimal` say no, anything else yes.
    pub reasoning_effort: Option<String>,
    /// Only 1.
    pub n: Option<usize>,
    /// Only 0; see `repetition_penalty`.
    pub frequency_penalty: Option<f32>,
    /// Only 0; see `repetition_penalty`.
    pub presence_penalty: Option<f32>,
    /// Only `{"type": "text"}`.
    #[schema(value_type = Option<Object>)]
    pub response_format: Option<Value>,
    /// For the model `lore` (not OpenAI's).
    pub lore: Option<LoreOptions>,
}

/// What a stream tells beside.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a last chunk without choices tells the tokens.
    pub include_usage: Option<bool>,
}

/// A text, or several.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// What only Lore has.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoreOptions {
    /// Which documents may answer.
    pub filter: Filter,
    /// Whether statements that their source does not support are left out instead of flagged.
    pub strict: Option<bool>,
}

impl ChatRequest {
    /// The request of a body.
    ///
    /// # Errors
    /// 400 that names the field which is wrong, or which asks for what Lore cannot do.
    pub fn read(mut fields: Fields) -> Result<Self, ApiError> {
        refuse(&mut fields)?;
        let messages = fields.need::<Vec<Value>>("messages")?.into_iter().enumerate();
        let messages = messages.map(|(at, message)| parse(message, &format!("messages[{at}]")));
        let request = Self {
            messages: messages.collect::<Result<_, _>>()?,
            model: fields.take("model")?,
            stream: fields.take("stream")?,
            stream_options: fields.take("stream_options")?,
            temperature: fields.take("temperature")?,
            top_p: fields.take("top_p")?,
            top_k: fields.take("top_k")?,
            min_p: fields.take("min_p")?,
            repetition_penalty: fields.take("repetition_penalty")?,
            seed: fields.take("seed")?,
            logit_bias: fields.take("logit_bias")?,
            max_completion_tokens: fields.take("max_completion_tokens")?,
            max_tokens: fields.take("max_tokens")?,
            stop: fields.take("stop")?,
            reasoning_effort: fields.take("reasoning_effort")?,
            n: fields.take("n")?,
            frequency_penalty: fields.take("frequency_penalty")?,
            presence_penalty: fields.take("presence_penalty")?,
            response_format: fields.take("response_format")?,
            lore: fields.take("lore")?,
        };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(unsupported("n", "n must be 1; ask again for another answer"));
        }
        for (name, penalty) in
            [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)]
        {
            if penalty.is_some_and(|penalty| penalty != 0.0) {
                let message = format!("{name} must be 0; repetition_penalty does something like it");
                return Err(unsupported(name, message));
            }
        }
        let format = self.response_format.as_ref().map(|format| format.get("type").and_then(Value::as_str));
        if format.is_some_and(|kind| kind != Some("text")) {
            return Err(unsupported("response_format", "response_format must be {\"type\": \"text\"}"));
        }
        Ok(())
    }

    /// The messages with known roles and plain texts.
    ///
    /// # Errors
    /// As [`plain`].
    pub fn take_messages(&mut self) -> Result<Vec<Message>, ApiError> {
        plain(std::mem::take(&mut self.messages))
    }

    /// How tokens are chosen: as `settings` say where the request says nothing.
    ///
    /// # Errors
    /// 400 that names the field which is out of its bounds.
    pub fn sampling(&self, settings: &Sampling) -> Result<Sampling, ApiError> {
        let biases = self.logit_bias.as_ref().map_or(0, BTreeMap::len);
        if biases > BIASED {
            return Err(wrong("logit_bias", format!("logit_bias takes at most {BIASED} tokens")));
        }
        let bias = |(token, bias): (&String, &f32)| match token.parse() {
            Ok(token) => Ok((token, *bias)),
            Err(_) => Err(wrong("logit_bias", "the keys of logit_bias must be token ids, such as \"42\"")),
        };
        let likeliest = self.top_p == Some(0.0);
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(settings.temperature),
            top_k: if likeliest { 1 } else { self.top_k.unwrap_or(settings.top_k) },
            top_p: self.top_p.filter(|_| !likeliest).unwrap_or(settings.top_p),
            min_p: self.min_p.unwrap_or(settings.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(settings.repetition_penalty),
            seed: self.seed.map(i64::cast_unsigned).or(settings.seed),
            logit_bias: self.logit_bias.iter().flatten().map(bias).collect::<Result<_, _>>()?,
        };
        // The message starts with the field's name.
        sampling.check().map_err(|said| {
            let param = said.split(' ').next().unwrap_or_default().to_owned();
            wrong(&param, said)
        })?;
        Ok(sampling)
    }

    /// How an answer from the documents is to be written.
    ///
    /// # Errors
    /// 400 that names the field which is out of its bounds.
    pub fn options(&self, settings: &Sampling) -> Result<AnswerOptions, ApiError> {
        Ok(AnswerOptions {
            strict: self.lore.as_ref().and_then(|lore| lore.strict),
            max_tokens: self.token_limit()?,
            sampling: Some(self.sampling(settings)?),
            stop: self.stops()?,
        })
    }

    /// Most tokens to write, where that is said.
    ///
    /// # Errors
    /// 400 for 0.
    pub fn token_limit(&self) -> Result<Option<usize>, ApiError> {
        let (name, limit) = match (self.max_completion_tokens, self.max_tokens) {
            (Some(limit), _) => ("max_completion_tokens", limit),
            (None, Some(limit)) => ("max_tokens", limit),
            (None, None) => return Ok(None),
        };
        if limit == 0 { Err(wrong(name, format!("{name} must be at least 1"))) } else { Ok(Some(limit)) }
    }

    /// The texts that end the answer.
    ///
    /// # Errors
    /// 400 for too many, an empty one, and one that is too long.
    pub fn stops(&self) -> Result<Vec<String>, ApiError> {
        let stops = match self.stop.clone() {
            None => Vec::new(),
            Some(Texts::One(text)) => vec![text],
            Some(Texts::Many(texts)) => texts,
        };
        if stops.len() > STOPS {
            return Err(wrong("stop", format!("stop takes at most {STOPS} texts")));
        }
        if stops.iter().any(|text| text.is_empty() || text.chars().nth(STOP_CHARS).is_some()) {
            return Err(wrong("stop", format!("a text of stop must have 1 to {STOP_CHARS} characters")));
        }
        Ok(stops)
    }

    /// Whether the model is to think before it answers, where that is said.
    pub fn thinking(&self) -> Option<bool> {
        self.reasoning_effort.as_deref().map(|effort| !matches!(effort, "none" | "minimal"))
    }

    /// Whether a stream ends with the tokens.
    pub fn wants_usage(&self) -> bool {
        self.stream_options.and_then(|options| options.include_usage).unwrap_or(false)
    }
}

/// Refuses what would change the answer's kind, and what Lore cannot do.
fn refuse(fields: &mut Fields) -> Result<(), ApiError> {
    for name in ["tools", "functions"] {
        if fields.take::<Vec<Value>>(name)?.is_some_and(|tools| !tools.is_empty()) {
            return Err(unsupported(name, format!("{name} cannot be called; leave {name} out")));
        }
    }
    for name in ["tool_choice", "function_call"] {
        let choice = fields.take::<Value>(name)?;
        if choice.is_some_and(|choice| !matches!(choice.as_str(), Some("none" | "auto"))) {
            return Err(unsupported(name, format!("tools cannot be called; leave {name} out")));
        }
    }
    if fields.take::<bool>("logprobs")?.unwrap_or(false) {
        return Err(unsupported("logprobs", "logprobs are not told; leave logprobs out"));
    }
    if fields.take::<Value>("audio")?.is_some() {
        return Err(unsupported("audio", "Lore does not speak; leave audio out"));
    }
    if fields.take::<Vec<String>>("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text"))
    {
        return Err(unsupported("modalities", "modalities must be [\"text\"]"));
    }
    Ok(())
}
