//! A language model for tests: its tokens are characters, and it says again what it was told, or what [`CITED`] says
//! where it may cite.

use std::sync::Arc;

use lore_core::{
    ChatOptions, FinishReason, GenerateEvent, GenerateRequest, Generation, GenerationTimings, Generator,
    GeneratorInfo, Message, ModelError, Role, Usage,
};
use tokio::sync::mpsc;

pub const MODEL: &str = "tiny/echo@test";
pub const CONTEXT: usize = 6000;

/// What is written from passages: one statement that a passage supports, and one that none does.
pub const CITED: &str =
    "New employees in Munich get 30 vacation days per year [1]. Elephants fly to the moon.";

/// A model whose requests the test answers, or not.
pub fn model(bound: usize) -> (Generator, mpsc::Receiver<GenerateRequest>) {
    named(MODEL, bound)
}

/// The same under another name.
pub fn named(id: &str, bound: usize) -> (Generator, mpsc::Receiver<GenerateRequest>) {
    let info = GeneratorInfo {
        id: id.into(),
        context_tokens: CONTEXT,
        answer_style: lore_core::AnswerStyle::default(),
    };
    Generator::channel(info, Arc::new(|text: &str| text.chars().count()), Arc::new(encode), bound)
}

/// A line for each message; two of one role in a row are refused, as many templates do.
fn encode(messages: &[Message], options: &ChatOptions) -> Result<Vec<u32>, ModelError> {
    if messages.windows(2).any(|pair| pair[0].role == pair[1].role) {
        let message = "roles must alternate".to_owned();
        return Err(ModelError::Refused { model: MODEL.into(), message });
    }
    let mut text = String::new();
    for Message { role, content } in messages {
        let role = match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        text.push_str(&format!("{role}: {content}\n"));
    }
    text.push_str("assistant:");
    if options.thinking == Some(true) {
        text.push_str(" <think>");
    }
    Ok(text.chars().map(u32::from).collect())
}

/// The prompt as text.
pub fn told(request: &GenerateRequest) -> String {
    request.prompt.tokens.iter().map(|token| char::from_u32(*token).unwrap()).collect()
}

/// Answers every request with what the user said last, or with [`CITED`], a word at a time, within the limit of tokens.
pub async fn echo(mut requests: mpsc::Receiver<GenerateRequest>) {
    while let Some(request) = requests.recv().await {
        let said = told(&request);
        let told = said.lines().rev().find_map(|line| line.strip_prefix("user: ")).unwrap();
        let said = if request.prompt.form.is_some() { CITED } else { told };
        let limit = if request.prompt.max_tokens == 0 { CONTEXT } else { request.prompt.max_tokens };
        let cut: String = said.chars().take(limit).collect();
        for word in cut.split_inclusive(' ') {
            let _ = request.reply.send(GenerateEvent::Text(word.to_owned())).await;
        }
        if said == "break off" {
            let message = "as it was told".to_owned();
            let failed = ModelError::Failed { model: MODEL.into(), message };
            let _ = request.reply.send(GenerateEvent::Failed(failed)).await;
            continue;
        }
        let finish = if cut.len() < said.len() { FinishReason::Length } else { FinishReason::Stop };
        let _ = request.reply.send(GenerateEvent::Done(done(&request, finish, cut.chars().count()))).await;
    }
}

pub fn done(request: &GenerateRequest, finish: FinishReason, written: usize) -> Generation {
    Generation {
        finish,
        pointing: None,
        usage: Usage {
            prompt_tokens: request.prompt.tokens.len(),
            cached_tokens: 7,
            completion_tokens: written,
        },
        timings: GenerationTimings {
            queue_ms: 1.0,
            prefill_ms: 2.0,
            first_token_ms: 3.5,
            total_ms: 10.0,
            tokens_per_second: 50.0,
        },
    }
}
