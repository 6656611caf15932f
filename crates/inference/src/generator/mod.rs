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
mod markers;
mod model;
mod options;
mod outlet;
mod run;
mod sampler;
mod scheduler;
mod sequence;
mod stop;
mod writer;

use lore_core::model::TokenCounter;
use lore_core::{ChatEncoder, Generator, GeneratorInfo};

use self::model::{BLOCK_TOKENS, Model, Text};
pub use self::options::GeneratorOptions;
use self::run::Engine;
use crate::engine::start;

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

fn spawn_with<M: Model, T: Text>(
    front: Front,
    model: M,
    text: T,
    blocks: usize,
    options: &GeneratorOptions,
) -> Generator {
    let (generator, engine) = engine(front, model, text, blocks, options);
    start("generator", move || engine.run());
    generator
}

#[cfg(test)]
mod tests;
