//! Who writes answers: the live release, or the model of the settings, loaded and running.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use lore_core::{Live, OpenError, Opener, ReleaseName, Serving};
use lore_index::Catalog;
use lore_inference::GeneratorOptions;
use lore_inference::generator::{spawn, spawn_as};
use lore_inference::release::{Lease, ReleaseError, ReleaseStore, Room, warm_up};
use lore_models::GeneratorText;
use lore_models::decoder::{AnyDecoder, BLOCK_TOKENS, DecoderOptions};
use lore_models::text::TextOptions;

use crate::open::{self, blocking};
use crate::print;
use crate::proc;
use crate::settings::{GeneratorConfig, Settings};

/// Tokens that instructions, a question, a passage and an answer have at least, about.
const LEAST_CONTEXT: usize = 1024;
/// Memory for keys and values that must be free beside a model that still writes: what a model holds grows with the answers
/// that it writes, and the old one gives its own back as its last ones end.
const KV_AT_FIRST: u64 = 256 << 20;
/// What a release's name stands for in messages that others than the folder's owner may read.
const ITS_FOLDER: &str = "its folder";

/// The language model that the settings name, running, if they name one.
///
/// # Errors
/// Fails where the model cannot be had or loaded.
pub async fn configured(settings: &Settings) -> anyhow::Result<Option<Serving>> {
    let Some(config) = settings.config.generator.model() else { return Ok(None) };
    let path = open::generator_files(settings, config).await?;
    let config = config.clone();
    blocking(move || {
        let name = config.name();
        let whole = || format!("cannot load the generator {name}");
        // A model of this machine goes by its file's name: callers are told it, and need not know where it lies.
        let ours = config.model == lore_nano::NAME;
        let shown = (ours || config.spec()?.path().is_none()).then(|| name.clone());
        let options = config.options().with_context(whole)?;
        let loaded = Loaded::open(&path, &config, options, shown).with_context(whole)?;
        loaded.check_text(&name)?;
        loaded.check_room()?;
        let bytes = loaded.decoder.weight_bytes() as u64 + config.kv_bytes;
        let Loaded { decoder, text, options } = loaded;
        let generator = spawn(decoder, Arc::new(text), &options);
        anyhow::Ok(Some(Serving { generator, release: None, bytes }))
    })
    .await
}

/// Release `name` of the data folder, running and warm, run as the settings say of the generator. Its engine has a lease on
/// the folder.
///
/// # Errors
/// Says whether it is damaged, cannot be run, or has no room.
pub async fn release(settings: &Settings, name: ReleaseName) -> Result<Serving, OpenError> {
    let store = ReleaseStore::of(&settings.data_dir);
    let config = settings.config.generator.configured().cloned().unwrap_or_default();
    let label = name.label();
    let loading = tokio::task::spawn_blocking(move || load(&store, &config, name));
    let serving =
        loading.await.map_err(|error| OpenError::Failed(format!("loading broke off: {error}")))??;
    warm_up(&serving.generator).await?;
    tracing::info!(release = label, bytes = serving.bytes, "a release is loaded");
    Ok(serving)
}

/// As [`release`], for a command that names one of `catalog`: there it is noted as failed where it cannot be run.
///
/// # Errors
/// That it cannot `purpose`, such as "go live", and why.
pub async fn named_release(
    settings: &Settings,
    catalog: &Catalog,
    name: ReleaseName,
    purpose: &str,
) -> anyhow::Result<Serving> {
    let error = match release(settings, name.clone()).await {
        Ok(serving) => return Ok(serving),
        Err(error) => error,
    };
    let label = name.label();
    if error.is_of_release() {
        let (catalog, reason) = (catalog.clone(), error.to_string());
        blocking(move || catalog.fail_release(&name.id, &reason)).await?;
    }
    bail!("{label} cannot {purpose}: {error}")
}

fn load(store: &ReleaseStore, config: &GeneratorConfig, name: ReleaseName) -> Result<Serving, OpenError> {
    let lease: Lease = store.lease(&name.id).map_err(of_folder)?;
    room(file_bytes(&store.model(&name.id)), config).check(proc::available())?;
    store.verify(&name.id).map_err(of_folder)?;
    let folder = store.path(&name.id).display().to_string();
    let unfit =
        |error: anyhow::Error| OpenError::Unfit(print::chain(&error).replace(folder.as_str(), ITS_FOLDER));
    // What is wrong with the settings says nothing of the release.
    let failed = |error: anyhow::Error| OpenError::Failed(print::chain(&error));
    let options = config.options().map_err(failed)?;
    // A template that the settings name is for their model; a release brings its own, if its base had one.
    let model = store.model(&name.id);
    let adapter = store.adapter(&name.id);
    let own = GeneratorConfig { chat_template: None, adapter, ..config.clone() };
    let mut loaded = Loaded::open(&model, &own, options, None).map_err(unfit)?;
    if !loaded.text.has_chat_template() {
        let options = TextOptions { chat_template: config.chat_template.clone(), fallback_template: None };
        loaded.text = GeneratorText::open(&model, &options).map_err(|error| failed(error.into()))?;
    }
    loaded.check_text(&name.label()).map_err(unfit)?;
    loaded.check_room().map_err(failed)?;
    let bytes = loaded.decoder.weight_bytes() as u64 + config.kv_bytes;
    let Loaded { decoder, text, options } = loaded;
    let generator = spawn_as(name.label(), decoder, Arc::new(text), &options, lease);
    Ok(Serving { generator, release: Some(name), bytes })
}

fn room(weights: u64, config: &GeneratorConfig) -> Room {
    Room { weights, kv: config.kv_bytes.min(KV_AT_FIRST) }
}

/// Bytes of a model's weights: of the file, or of the folder's files of weights, of which a GGUF file counts only where
/// there are no others, as in loading; 0 for what cannot be read.
fn file_bytes(path: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    if path.is_file() {
        return length(path);
    }
    let ending = |wanted: &str| -> u64 {
        let files = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|end| end == wanted)).map(|path| length(&path)).sum()
    };
    match ending("safetensors") {
        0 => ending("gguf"),
        bytes => bytes,
    }
}

fn of_folder(error: ReleaseError) -> OpenError {
    match error {
        ReleaseError::Missing { .. } | ReleaseError::Damaged { .. } | ReleaseError::BadId(_) => {
            OpenError::Damaged(error.to_string())
        }
        other => OpenError::Failed(other.to_string()),
    }
}

/// A model before it runs.
struct Loaded {
    decoder: AnyDecoder,
    text: GeneratorText,
    options: GeneratorOptions,
}

impl Loaded {
    fn open(
        path: &Path,
        config: &GeneratorConfig,
        options: GeneratorOptions,
        name: Option<String>,
    ) -> anyhow::Result<Self> {
        let loading = DecoderOptions {
            kv: config.kv_type,
            name,
            quantize: config.quantize,
            context: config.context_tokens,
            adapter: config.adapter.clone(),
        };
        let decoder = AnyDecoder::open(path, &loading)?;
        let chat_template = config.chat_template.clone();
        let text = GeneratorText::open(path, &TextOptions { chat_template, fallback_template: None })?;
        Ok(Self { decoder, text, options })
    }

    /// Refuses what cannot answer questions.
    fn check_text(&self, name: &str) -> anyhow::Result<()> {
        let (ids, columns) = (self.text.vocabulary(), self.decoder.vocabulary());
        // Gemma 3's tokenizer names one more, that of images, which its text models do not read.
        let more = usize::from(matches!(self.decoder, AnyDecoder::Other(_)));
        if ids > columns + more {
            bail!("the tokenizer of {name} has {ids} tokens and the model {columns}; they are of two models");
        }
        if !self.text.has_chat_template() {
            bail!(
                "the generator {name} has no chat template; choose a model that is tuned for chats, or name a file with \
                 a template in generator.chat_template"
            );
        }
        Ok(())
    }

    /// Refuses settings without the room for an answer.
    fn check_room(&self) -> anyhow::Result<()> {
        let memory = proc::bytes("/proc/meminfo", "MemTotal");
        check_room(&self.options, self.decoder.block_bytes(), self.decoder.context(), memory)
    }
}

/// Refuses a bound for keys and values that is more than the `memory` of this machine, or has no room for an answer of a
/// model that has `context` tokens and blocks of `block` bytes.
fn check_room(
    options: &GeneratorOptions,
    block: usize,
    context: usize,
    memory: Option<u64>,
) -> anyhow::Result<()> {
    let kv = options.kv_bytes;
    if let Some(memory) = memory.filter(|memory| kv > *memory) {
        bail!("generator.kv_bytes is {kv}, and this machine has {memory} bytes of memory; set it lower");
    }
    let bytes = |tokens: usize| (tokens.div_ceil(BLOCK_TOKENS) * block) as u64;
    let wanted = context.min(options.context_tokens.unwrap_or(context));
    let least = bytes(wanted.min(LEAST_CONTEXT));
    if kv < least {
        bail!(
            "generator.kv_bytes is {kv}, which has no room for an answer of this model; set it to {least} at least, and to \
             {} for the whole context of {wanted} tokens",
            bytes(wanted)
        );
    }
    Ok(())
}

/// Who writes when a command begins, and what is wrong with that.
#[derive(Debug)]
pub struct Writing {
    /// The model.
    pub live: Live,
    /// Why it is not the live release, for everybody; the log has the reason.
    pub trouble: Option<String>,
}

/// The live release of `catalog`, or the model of the settings: where none is live, where a command's own flag says so, and
/// where the live one cannot be run, which is said loudly.
///
/// # Errors
/// Fails where the model of the settings is to write and cannot be had or loaded.
pub async fn begin(settings: &Settings, catalog: &Catalog) -> anyhow::Result<Writing> {
    let counted = catalog.clone();
    let live = blocking(move || counted.live_release()).await?;
    let mut trouble = None;
    if let Some(live) = live {
        let label = live.label();
        if settings.own_writer {
            tracing::info!(
                release = label,
                "a release is live and does not write here: another writer is named"
            );
        } else {
            match release(settings, live).await {
                Ok(serving) => return Ok(Writing { live: Live::new(Some(serving)), trouble: None }),
                Err(error) => {
                    let instead = settings.config.generator.model().map(GeneratorConfig::name);
                    let instead = instead.as_deref().unwrap_or("no language model");
                    tracing::error!(
                        release = label,
                        %error,
                        instead,
                        "THE LIVE RELEASE CANNOT BE RUN; another writes in its place: promote a release that is whole, or \
                         `lore releases rollback`"
                    );
                    // Without the name, which may be a path.
                    trouble =
                        Some(format!("the live release {label} cannot be run; another writes in its place"));
                }
            }
        }
    }
    Ok(Writing { live: Live::new(configured(settings).await?), trouble })
}

/// What loads other models into a running server.
pub fn opener(settings: &Settings) -> Opener {
    let settings = settings.clone();
    Arc::new(move |name: Option<ReleaseName>| {
        let settings = settings.clone();
        Box::pin(async move {
            match name {
                Some(name) => release(&settings, name).await.map(Some),
                None => {
                    let failed = |error: anyhow::Error| OpenError::Failed(print::chain(&error));
                    if let Some(config) = settings.config.generator.model() {
                        let path = open::generator_files(&settings, config).await.map_err(failed)?;
                        room(file_bytes(&path), config).check(proc::available())?;
                    }
                    let serving = configured(&settings).await.map_err(failed)?;
                    if let Some(serving) = &serving {
                        warm_up(&serving.generator).await?;
                    }
                    Ok(serving)
                }
            }
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_gguf_file_beside_other_weights_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |file: &str, bytes: usize| std::fs::write(folder.path().join(file), vec![0; bytes]).unwrap();
        write("model.gguf", 5);
        assert_eq!((file_bytes(folder.path()), file_bytes(&folder.path().join("model.gguf"))), (5, 5));
        write("a.safetensors", 3);
        write("b.safetensors", 4);
        assert_eq!(file_bytes(folder.path()), 7);
    }

    #[test]
    fn a_bound_for_keys_and_values_has_room_for_an_answer_and_fits_the_machine() {
        let options = |kv_bytes| GeneratorOptions { kv_bytes, ..GeneratorOptions::default() };
        let check = |kv, memory| check_room(&options(kv), 1000, 4096, memory).map_err(|e| e.to_string());
        assert_eq!(check(32_000, Some(32_000)), Ok(()));
        assert_eq!(check(32_000, None), Ok(()));
        let small = check(31_999, None).unwrap_err();
        assert!(small.contains("set it to 32000 at least, and to 128000 for"), "{small}");
        assert!(check(32_001, Some(32_000)).unwrap_err().contains("32000 bytes of memory"), "memory");
        // A model that was made for less needs less.
        assert!(check_room(&options(1000), 1000, 32, None).is_ok());
    }
}
