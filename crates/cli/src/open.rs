//! Builds the parts from the settings: catalog, models, indexes, retriever, answerer. [`crate::writer`] has the language
//! model.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lore_core::{Embedder, Live, Reranker};
use lore_index::{Catalog, Index, IndexError, Owner};
use lore_inference as inference;
use lore_models::source::{self, ModelSpec, ModelStore, Source, SourceOptions};
use lore_models::{Encoder, EncoderOptions};
use lore_query::{Answerer, Retriever};

use crate::client::Client;
use crate::progress::{self, Progress, Unit};
use crate::settings::{GeneratorConfig, Settings};
use crate::writer;

/// Longest wait for another command that has the indexes, such as one that follows a folder and takes them for a moment.
const TURN: Duration = Duration::from_secs(15);
/// How often it is looked whether they are free.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `work` on a thread that may block.
///
/// # Errors
/// As `work`.
pub async fn blocking<T, E, W>(work: W) -> anyhow::Result<T>
where
    T: Send + 'static,
    E: Into<anyhow::Error> + Send + 'static,
    W: FnOnce() -> Result<T, E> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.context("the work was cancelled")?.map_err(Into::into)
}

/// The catalog of the data folder.
///
/// # Errors
/// Fails where the folder cannot be made or the catalog cannot be opened.
pub async fn catalog(settings: &Settings) -> anyhow::Result<Catalog> {
    let folder = settings.data_dir.clone();
    blocking(move || {
        Catalog::open(&folder).with_context(|| format!("cannot open the data folder {}", folder.display()))
    })
    .await
}

/// The cache of models.
///
/// # Errors
/// Fails where there is no place for it.
pub fn model_store() -> anyhow::Result<ModelStore> {
    Ok(ModelStore::from_env()?)
}

/// The folder of model `name`, fetched first where it is not here yet.
///
/// # Errors
/// Fails where no source has it; the message names each try and the next step.
pub async fn model(settings: &Settings, name: &str) -> anyhow::Result<PathBuf> {
    fetched(settings, ModelSpec::parse(name)?, &settings.config.embedder.sources).await
}

/// What is to be opened of the language model `config`, its folder or its one file, fetched first where it is not here.
///
/// # Errors
/// As [`model`].
pub async fn generator_files(settings: &Settings, config: &GeneratorConfig) -> anyhow::Result<PathBuf> {
    fetched(settings, config.spec()?, &config.sources).await
}

/// The folder of the model that comes with the binary, which is made where it is not there.
///
/// # Errors
/// Fails where it cannot be written.
pub fn nano() -> anyhow::Result<PathBuf> {
    let store = model_store()?;
    let whole = || format!("cannot unpack {} into {}", lore_nano::NAME, store.path().display());
    lore_nano::unpack(store.path()).with_context(whole)
}

/// Where the tokenizer of the language model `config` is: as [`generator_files`], but a folder need not hold weights yet.
///
/// # Errors
/// As [`model`].
pub async fn generator_text(settings: &Settings, config: &GeneratorConfig) -> anyhow::Result<PathBuf> {
    let spec = config.spec()?;
    match spec.path().filter(|path| path.join("tokenizer.json").is_file()) {
        Some(folder) => Ok(folder.to_owned()),
        None => generator_files(settings, config).await,
    }
}

/// The files of the model `name` that a training starts from, its folder or its one file: what lies there, or else a name
/// for the sources of the settings' generator.
///
/// # Errors
/// As [`model`].
pub async fn training_base(settings: &Settings, name: &str) -> anyhow::Result<PathBuf> {
    if name == lore_nano::NAME {
        return blocking(nano).await;
    }
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(path);
    }
    let spec = ModelSpec::parse(name).context("model_name_or_path")?;
    let sources = settings.config.generator.model().cloned().unwrap_or_default().sources;
    fetched(settings, spec, &sources).await
}

async fn fetched(settings: &Settings, spec: ModelSpec, sources: &[Source]) -> anyhow::Result<PathBuf> {
    let store = model_store()?;
    let options = SourceOptions {
        sources: sources.to_vec(),
        offline: settings.config.offline,
        ..SourceOptions::default()
    };
    blocking(move || {
        let mut shown: Option<(String, Progress)> = None;
        let found = store.resolve(&spec, &options, &mut |event| show_fetch(event, &mut shown))?;
        anyhow::Ok(spec.weights(&found))
    })
    .await
}

/// Shows how a model is fetched: a bar for each file, a line for each source that gave nothing.
fn show_fetch(event: source::Progress, shown: &mut Option<(String, Progress)>) {
    match event {
        // A folder is used in place.
        source::Progress::Trying { source, .. } if source == "folder" => {}
        source::Progress::Trying { model, source } => {
            progress::say(&format!("fetching {model} from the {source}"))
        }
        source::Progress::Failed { source, reason } => {
            progress::say(&format!("the {source} gave nothing: {reason}"))
        }
        source::Progress::Waiting { model } => {
            progress::say(&format!("another process fetches {model}; waiting for it"));
        }
        source::Progress::File { name, done, total } => {
            if shown.as_ref().is_none_or(|(at, _)| *at != name) {
                *shown = Some((name.clone(), Progress::new(&name, Unit::Bytes)));
            }
            if let Some((_, bar)) = shown {
                bar.set(done, total.unwrap_or(0));
            }
        }
        source::Progress::Done { .. } => *shown = None,
        _ => {}
    }
}

/// The embedder's net, loaded.
///
/// # Errors
/// Fails where the model cannot be had or its files are none that can be loaded.
pub async fn encoder(settings: &Settings) -> anyhow::Result<Encoder> {
    let config = settings.config.embedder.clone();
    let folder = model(settings, &config.model).await?;
    blocking(move || {
        let options = EncoderOptions {
            name: Some(config.model.clone()),
            query_prefix: config.query_prefix,
            passage_prefix: config.passage_prefix,
            ..EncoderOptions::default()
        };
        Encoder::load(&folder, options).with_context(|| format!("cannot load the embedder {}", config.model))
    })
    .await
}

/// The embedder, running.
///
/// # Errors
/// As [`encoder`].
pub async fn embedder(settings: &Settings) -> anyhow::Result<Embedder> {
    let encoder = encoder(settings).await?;
    Ok(inference::embedder::spawn(encoder, settings.config.limits.embed_queue))
}

/// The reranker, running, if the settings name one.
///
/// # Errors
/// Fails where the model cannot be had or loaded.
pub async fn reranker(settings: &Settings) -> anyhow::Result<Option<Reranker>> {
    let Some(config) = settings.config.reranker.clone() else { return Ok(None) };
    let folder = model(settings, &config.model).await?;
    let queue = settings.config.limits.embed_queue;
    let loaded = blocking(move || {
        let options = EncoderOptions { name: Some(config.model.clone()), ..EncoderOptions::default() };
        lore_models::Reranker::load(&folder, options)
            .with_context(|| format!("cannot load the reranker {}", config.model))
    })
    .await?;
    Ok(Some(inference::reranker::spawn(loaded, queue)))
}

/// The indexes of the data folder, owned by this process as `command`.
///
/// # Errors
/// Fails where another process owns them, and where a model or an index cannot be opened.
pub async fn index(settings: &Settings, command: &str) -> anyhow::Result<Index> {
    // The lock first: it is had at once or not at all.
    owned(settings, Owner::take(&settings.data_dir, command)?).await
}

async fn owned(settings: &Settings, owner: Owner) -> anyhow::Result<Index> {
    let catalog = catalog(settings).await?;
    let embedder = embedder(settings).await?;
    Ok(Index::open(catalog, settings.config.index.clone(), embedder, owner).await?)
}

/// Applies the changes that wait, with progress; the chunks written.
///
/// # Errors
/// Fails where an index or the embedder does.
pub async fn follow(index: &Index) -> anyhow::Result<lore_index::FollowReport> {
    let shown = Progress::new("indexing", Unit::Count("changes"));
    let shown_in = &shown;
    let report = index.follow(&move |done, total| shown_in.set(done, total)).await?;
    shown.finish("");
    Ok(report)
}

/// What answers in this process.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Finds chunks.
    pub retriever: Retriever,
    /// Answers questions, and knows who writes.
    pub answerer: Answerer,
}

impl Parts {
    /// Retriever and answerer over `index`; the live release writes, or the generator of the settings.
    ///
    /// # Errors
    /// Fails where the generator or the reranker cannot be had.
    pub async fn over(settings: &Settings, index: Index) -> anyhow::Result<Self> {
        let writing = writer::begin(settings, index.catalog()).await?;
        Self::with(settings, index, writing.live).await
    }

    /// Retriever and answerer over `index`; what `live` holds writes.
    ///
    /// # Errors
    /// Fails where the reranker cannot be had.
    pub async fn with(settings: &Settings, index: Index, live: Live) -> anyhow::Result<Self> {
        let reranker = reranker(settings).await?;
        let retriever = Retriever::new(index, reranker, settings.config.retrieve.clone());
        let answerer = Answerer::new(retriever.clone(), settings.config.answer.clone())
            .with_question_chars(settings.config.limits.question_chars)
            .with_live(live);
        Ok(Self { retriever, answerer })
    }

    /// Closes the indexes.
    ///
    /// # Errors
    /// Fails where they cannot be written.
    pub async fn close(self) -> anyhow::Result<()> {
        let index = self.retriever.index().clone();
        drop(self);
        Ok(index.close().await?)
    }
}

/// Who answers: the server that owns the data folder, or this process.
#[derive(Debug)]
pub enum Engine {
    /// The server.
    Remote(Client),
    /// This process.
    Local(Parts),
}

/// The server that owns the data folder of `catalog`, else this process as `command`, with all changes applied.
///
/// # Errors
/// Fails where a process that serves nothing keeps the folder for long, where nothing was ingested, and as [`index`].
pub async fn engine(settings: &Settings, catalog: &Catalog, command: &str) -> anyhow::Result<Engine> {
    if let Some(client) = server(settings).await? {
        return Ok(Engine::Remote(client));
    }
    let counted = catalog.clone();
    let (documents, _) = blocking(move || counted.counts()).await?;
    if documents == 0 {
        anyhow::bail!(
            "there are no documents in {} yet; `lore ingest PATH` takes some in",
            settings.data_dir.display()
        );
    }
    let started = Instant::now();
    let mut told = false;
    let owner = loop {
        match Owner::take(&settings.data_dir, command) {
            Ok(owner) => break owner,
            Err(IndexError::Locked { by, .. }) if started.elapsed() < TURN => {
                if let Some(client) = server(settings).await? {
                    return Ok(Engine::Remote(client));
                }
                if !std::mem::replace(&mut told, true) {
                    progress::say(&format!("waiting for {by}, which has the indexes"));
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let index = owned(settings, owner).await?;
    follow(&index).await?;
    Ok(Engine::Local(Parts::over(settings, index).await?))
}

/// The server that owns the data folder, if one does.
///
/// # Errors
/// Fails where the folder cannot be read.
pub async fn server(settings: &Settings) -> anyhow::Result<Option<Client>> {
    let folder = settings.data_dir.clone();
    match blocking(move || Owner::current(&folder)).await? {
        Some(owner) => Client::new(&owner),
        None => Ok(None),
    }
}

/// A secret that nobody can guess: 256 random bits.
pub fn secret() -> String {
    lore_core::ids::hex(&rand::random::<[u8; 32]>())
}
