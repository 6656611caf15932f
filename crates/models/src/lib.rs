//! Nets, weights and tokenizers.
//!
//! - [`encoder`]: text encoders (BERT, RoBERTa, XLM-RoBERTa in sentence-transformers folders) and cross-encoders.
//! - [`decoder`]: language models.
//! - [`text`]: a generator's tokenizer and chat template.
//! - [`weights`] and [`tokenizer`]: the files of a model folder.
//! - [`nn`]: the layers of decoders.
//! - [`adapter`]: what training adds to a model, in files: PEFT's format, ours of bottlenecks, and merging.
//! - [`export`]: models written as safetensors and GGUF.
//! - [`fresh`]: a model from nothing: a vocabulary learned from texts, and a shape.
//! - [`training`]: decoders whose values can be changed: losses and gradients.
//! - [`record`]: where the record of the run that made a model lies.
//! - [`ops`]: the CPU kernels behind them.
//! - [`bench`](mod@bench): how fast they are here.

pub mod adapter;
pub mod bench;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod export;
pub mod fresh;
pub mod nn;
pub mod ops;
pub mod record;
pub mod source;
pub mod text;
pub mod tokenizer;
pub mod training;
pub mod weights;

pub use encoder::{Encoder, EncoderOptions, Reranker};
pub use error::ModelsError;
pub use text::GeneratorText;
