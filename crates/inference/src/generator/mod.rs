//! The engine of a language model: continuous batching over a cache of keys and values in blocks.
//!
//! Each step reads one token of every text that is being written and some tokens of the prompts that wait to be read
//! ([`scheduler`] says which), in one forward pass. Keys and values lie in blocks ([`blocks`]) that later requests find
//! again where they begin alike. A text depends on its request alone: its sampler counts with its own seed, and the
//! markers and stop texts ([`writer`]) see the text, not its pieces.
//!
//! A caller that drops his receiver frees his place and his blocks at the next step; one that reads slowly gets joined
//! pieces, and nobody waits for him.

mod blocks;
mod form;
mod markers;
mod model;
mod options;
mod outlet;
mod quotes;
mod run;
mod sampler;
mod scheduler;
mod sequence;
mod stop;
mod writer;

use std::sync::Arc;

use lore_core::generate::ChatEncoder;
use lore_core::model::TokenCounter;
use lore_core::{AnswerStyle, Generator, GeneratorInfo, ModelError};
use lore_models::GeneratorText;
use lore_models::decoder::{AnyDecoder, BLOCK_TOKENS};

use self::model::{Cached, Ids, Model, Text};
pub use self::options::GeneratorOptions;
use self::run::Engine;
use crate::engine::start;

/// Starts the engine of `decoder`, whose tokens `text` makes and reads.
///
/// The context is cut to what `options.kv_bytes` has room for, which a warning says. A decoder of another family than our
/// own keeps one sequence: it writes one text at a time and finds nothing of earlier ones again.
///
/// Counters `lore_generate_requests_total`, `lore_generate_tokens_total` (label `kind`: `prompt`, `cached` of those,
/// `completion`), `lore_generate_cancelled_total`, `lore_generate_paused_total` (texts that gave their blocks to an older
/// one and were read again), `lore_generate_failures_total` (refused ones included); histograms
/// `lore_generate_step_seconds`, `lore_generate_first_token_seconds`; gauges `lore_generate_running`,
/// `lore_generate_waiting`, `lore_generate_kv_blocks`, `lore_generate_kv_blocks_used` and `lore_generate_engines` (those
/// whose last text has not ended; more than one while a model takes another's place).
pub fn spawn(
    decoder: impl Into<AnyDecoder>,
    text: Arc<GeneratorText>,
    options: &GeneratorOptions,
) -> Generator {
    let decoder = decoder.into();
    let id = decoder.id().to_owned();
    spawn_as(id, decoder, text, options, ())
}

/// As [`spawn`], called `id`, with something that the engine keeps until it has ended, such as a lease on its files.
pub fn spawn_as(
    id: String,
    decoder: impl Into<AnyDecoder>,
    text: Arc<GeneratorText>,
    options: &GeneratorOptions,
    kept: impl Send + 'static,
) -> Generator {
    let decoder = decoder.into();
    let info = GeneratorInfo { id, answer_style: text.answer_style(), ..info(&decoder) };
    let chat = text.chat_encoder(info.id.clone());
    let front = Front { info, count: text.counter(), chat };
    spawn_decoder(front, decoder, text, options, kept)
}

/// As [`spawn`] without a tokenizer: the text is each token's id in angle brackets, no token ends it, a text counts as
/// its bytes, and chats are refused. For measuring.
pub fn spawn_raw(decoder: impl Into<AnyDecoder>, options: &GeneratorOptions) -> Generator {
    let decoder = decoder.into();
    let info = info(&decoder);
    let model = info.id.clone();
    let chat: ChatEncoder = Arc::new(move |_, _| {
        let message = "the model runs without a tokenizer; give it token ids".to_owned();
        Err(ModelError::Refused { model: model.clone(), message })
    });
    let front = Front { info, count: Arc::new(|text| text.len()), chat };
    spawn_decoder(front, decoder, Ids, options, ())
}

fn info(decoder: &AnyDecoder) -> GeneratorInfo {
    let (id, context_tokens) = (decoder.id().to_owned(), decoder.context());
    GeneratorInfo { id, context_tokens, answer_style: AnswerStyle::default() }
}

fn spawn_decoder<T: Text>(
    front: Front,
    decoder: AnyDecoder,
    text: T,
    options: &GeneratorOptions,
    kept: impl Send + 'static,
) -> Generator {
    let blocks = options.kv_bytes / decoder.block_bytes().max(1) as u64;
    let blocks = usize::try_from(blocks).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
    match decoder {
        AnyDecoder::Own(decoder) => launch(front, Cached::new(decoder, blocks), text, blocks, options, kept),
        AnyDecoder::Other(decoder) => {
            // More than the context is never used.
            let blocks = blocks.min(decoder.context().div_ceil(BLOCK_TOKENS));
            let options = GeneratorOptions { max_running: 1, ..options.clone() };
            launch(front, decoder.with_blocks(blocks), text, blocks, &options, kept)
        }
    }
}

fn launch<M: Model, T: Text>(
    front: Front,
    model: M,
    text: T,
    blocks: usize,
    options: &GeneratorOptions,
    kept: impl Send + 'static,
) -> Generator {
    let (generator, engine) = engine(front, model, text, blocks, options);
    let running = Running::begin();
    start("generator", move || {
        engine.run();
        drop((running, kept));
    });
    generator
}

/// Counts an engine for as long as it lives.
struct Running;

impl Running {
    fn begin() -> Self {
        metrics::gauge!("lore_generate_engines").increment(1.0);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("lore_generate_engines").decrement(1.0);
    }
}

/// What a handle says of its model.
struct Front {
    info: GeneratorInfo,
    count: TokenCounter,
    chat: ChatEncoder,
}

/// A handle and the engine behind it, which does not run yet; `blocks` is what the model's cache has.
fn engine<M: Model, T: Text>(
    front: Front,
    model: M,
    text: T,
    blocks: usize,
    options: &GeneratorOptions,
) -> (Generator, Engine<M, T>) {
    let Front { mut info, count, chat } = front;
    let wanted = options.context_tokens.unwrap_or(usize::MAX).min(info.context_tokens);
    info.context_tokens = wanted.min(blocks.saturating_mul(BLOCK_TOKENS));
    if info.context_tokens < wanted {
        let (room, kv_bytes) = (info.context_tokens, options.kv_bytes);
        tracing::warn!(
            model = info.id,
            wanted,
            room,
            kv_bytes,
            "the context is cut; generator.kv_bytes has no room for more"
        );
    }
    // Half of what may wait stands in the channel, half in the engine's own line, where cancelled requests are seen.
    let ahead = (options.queue / 2).max(1);
    let (id, context) = (info.id.clone(), info.context_tokens);
    let (generator, requests) = Generator::channel(info, count, chat, options.queue.saturating_sub(ahead));
    let engine = Engine::new(id, model, text, (blocks, context), options.clone(), (requests, ahead));
    (generator, engine)
}

#[cfg(test)]
mod tests;
