//! `POST /v1/embeddings`: the embedder itself.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lore_core::{EmbedKind, Embedder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::Authenticated;
use crate::dialect::OpenAiErrorBody;
use crate::error::ApiError;
use crate::routes::openai::fields::{Fields, unsupported, wrong};
use crate::routes::openai::models::check_embedder;
use crate::routes::openai::request::Texts;
use crate::state::AppState;

/// Most texts in a request, as OpenAI's API has it; their length is bounded by the body's.
const INPUTS: usize = 2048;
/// Tokens that an encoder puts around a text.
const AROUND: usize = 2;

/// What to embed. Fields that are not listed are ignored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// The embedder's id, with or without what follows its `@`, or `lore`; left out: the embedder.
    pub model: Option<String>,
    /// A text, or up to 2,048 of them.
    pub input: Texts,
    /// `float`, or `base64`: little-endian 32-bit floats.
    #[serde(default)]
    pub encoding_format: Encoding,
    /// Only the model's own.
    pub dimensions: Option<usize>,
    /// What the texts are to the model: `query` for something asked, `passage` (also where it is left out) for something
    /// that may answer (not OpenAI's).
    #[serde(default)]
    pub input_type: InputType,
    /// Whether a text that is too long for the model is cut instead of refused (not OpenAI's).
    pub truncate: Option<bool>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// As its bytes.
    Base64,
}

/// What a text is to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Something asked.
    #[serde(alias = "search_query")]
    Query,
    /// Something that may answer.
    #[default]
    #[serde(alias = "document", alias = "search_document")]
    Passage,
}

/// The vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingList {
    /// Always `list`.
    pub object: String,
    /// One for each text, in their order.
    pub data: Vec<Embedding>,
    /// The embedder's id; vectors of different ids do not mix.
    pub model: String,
    /// Tokens of the texts.
    pub usage: EmbeddingUsage,
}

/// The vector of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Embedding {
    /// Always `embedding`.
    pub object: String,
    /// The text's place, from 0.
    pub index: usize,
    /// Its unit vector.
    pub embedding: Vector,
}

/// A vector as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// Numbers.
    Numbers(Vec<f32>),
    /// Bytes in Base64.
    Bytes(String),
}

/// Tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of the texts, as the model reads them.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}

/// Turns texts into unit vectors with the embedder that the documents are searched with.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingRequest, responses(
    (status = 200, description = "The vectors", body = EmbeddingList),
    (status = "default", description = "An error", body = OpenAiErrorBody),
))]
pub async fn embed(
    State(state): State<AppState>,
    Authenticated(_): Authenticated,
    mut fields: Fields,
) -> Result<Json<EmbeddingList>, ApiError> {
    let model: Option<String> = fields.take("model")?;
    let encoding: Encoding = fields.take("encoding_format")?.unwrap_or_default();
    let dimensions: Option<usize> = fields.take("dimensions")?;
    let kind = match fields.take("input_type")?.unwrap_or_default() {
        InputType::Query => EmbedKind::Query,
        InputType::Passage => EmbedKind::Passage,
    };
    let truncate = fields.take("truncate")?.unwrap_or(false);
    let texts = texts(fields.need("input")?)?;

    let deadline = Instant::now() + state.options().http.answer_timeout();
    let embedder = state.models()?.retriever.index().embedder().clone();
    let info = embedder.info();
    check_embedder(&info.id, model.as_deref())?;
    if dimensions.is_some_and(|wanted| wanted != info.dimension) {
        let message = format!("dimensions must be {}: the model's vectors cannot be cut", info.dimension);
        return Err(unsupported("dimensions", message));
    }
    let _permit = state.until(deadline, state.questions().enter()).await??;
    let counting = {
        let embedder = embedder.clone();
        tokio::task::spawn_blocking(move || count(&embedder, &texts, truncate).map(|tokens| (texts, tokens)))
    };
    let (texts, tokens) = state.until(deadline, counting).await???;
    let vectors = state.until(deadline, embedder.embed(texts, kind)).await??;
    let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding".to_owned(),
        index,
        embedding: match encoding {
            Encoding::Float => Vector::Numbers(vector),
            Encoding::Base64 => Vector::Bytes(base64_of(&vector)),
        },
    });
    Ok(Json(EmbeddingList {
        object: "list".to_owned(),
        data: data.collect(),
        model: info.id.clone(),
        usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

/// The texts of `input`.
fn texts(input: Value) -> Result<Vec<String>, ApiError> {
    let list = match input {
        Value::String(text) => vec![Value::String(text)],
        Value::Array(list) => list,
        _ => return Err(wrong("input", "input must be a text or a list of texts")),
    };
    if list.is_empty() || list.len() > INPUTS {
        return Err(wrong("input", format!("input has {} texts; it takes 1 to {INPUTS}", list.len())));
    }
    let text = |(at, value)| match value {
        Value::String(text) if text.is_empty() => {
            Err(wrong(&format!("input[{at}]"), format!("input[{at}] is empty")))
        }
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => {
            Err(unsupported("input", "lists of tokens cannot be read; send the texts themselves"))
        }
        _ => Err(wrong(&format!("input[{at}]"), format!("input[{at}] must be a text"))),
    };
    list.into_iter().enumerate().map(text).collect()
}

/// Tokens of all texts that are read; one that the model cannot read whole is refused unless it may be cut.
fn count(embedder: &Embedder, texts: &[String], truncate: bool) -> Result<usize, ApiError> {
    let most = embedder.info().max_tokens.saturating_sub(AROUND).max(1);
    let mut sum = 0;
    for (at, text) in texts.iter().enumerate() {
        let tokens = embedder.count_tokens(text);
        if tokens > most && !truncate {
            let message = format!(
                "input[{at}] has {tokens} tokens, the model reads {most}; shorten it, or set truncate to true"
            );
            let error = ApiError::bad_request("context_length_exceeded", message);
            return Err(error.about(format!("input[{at}]")));
        }
        sum += tokens.min(most);
    }
    Ok(sum)
}

/// The vector's 32-bit floats, little-endian.
fn base64_of(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}
