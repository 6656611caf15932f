//! `lore models new`: a model from nothing, for `lore train` with `init: random`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use lore_core::{Limits, Message};
use lore_ingest::parse;
use lore_ingest::source::files::{SourceFile, walk};
use lore_models::fresh::{self, FreshShape};
use lore_query::prompt;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Most bytes of text; a vocabulary hardly becomes better with more.
const MOST_TEXT: usize = 256 << 20;
/// Files whose texts are what stands between their quotation marks.
const RECORDS: [&str; 3] = ["jsonl", "ndjson", "json"];

/// Make a model from nothing: a vocabulary learned from texts, and a net that has yet to be trained
#[derive(Debug, Args)]
pub struct NewModel {
    /// A new folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folders of documents, and files: documents, or .jsonl with questions or examples
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    text: Vec<PathBuf>,
    /// Most tokens of the vocabulary
    #[arg(long, default_value_t = 6144)]
    vocabulary: usize,
    /// Length of a token's vector
    #[arg(long, default_value_t = 256)]
    hidden: usize,
    /// Layers
    #[arg(long, default_value_t = 6)]
    layers: usize,
    /// Attention heads of a layer
    #[arg(long, default_value_t = 8)]
    heads: usize,
    /// Heads that hold keys and values [default: half as many as heads]
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Length of the inner vector of a layer [default: 2.75 times --hidden]
    #[arg(long)]
    intermediate: Option<usize>,
    /// Most tokens of a text
    #[arg(long, default_value_t = 2048)]
    context: usize,
    /// Make a model that answers by pointing at sentences, with so many tags for them that are a token each
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    tags: usize,
}

/// What was read.
#[derive(Debug, Default)]
struct Texts {
    texts: Vec<String>,
    bytes: usize,
    /// Files that only some may read.
    closed: usize,
    /// Files that could not be read, and why.
    failed: Vec<String>,
    /// Whether something was left out since there is enough.
    cut: bool,
}

impl NewModel {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where a path or a shape cannot be used, where there is no text, and where something is at `--out` already.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let shape = self.shape();
        let Self { out, text, .. } = self;
        let limits = settings.config.limits.clone();
        let read = open::blocking(move || Texts::read(&text, &limits)).await?;
        for failed in &read.failed {
            progress::say(&format!("left out {failed}"));
        }
        if read.closed > 0 {
            progress::say(&format!(
                "left out {} documents that only some people may read: a model tells everybody what it learned",
                read.closed
            ));
        }
        if read.cut {
            progress::say(&format!("only the first {} MB of text were read", MOST_TEXT >> 20));
        }
        progress::say(&format!("learning a vocabulary from {:.1} MB of text", read.bytes as f64 / 1e6));
        let target = out.clone();
        let made = open::blocking(move || fresh::create(&shape, &read.texts, &target)).await?;
        if settings.json {
            print::json(&made)?;
            return Ok(ExitCode::SUCCESS);
        }
        if made.vocabulary < shape.vocabulary {
            progress::say(&format!(
                "the texts hold no more than {} tokens that are seen twice",
                made.vocabulary
            ));
        }
        print::line(&format!(
            "{}: {} tokens, {:.1} M values to be trained; the texts have {} tokens, of {:.1} characters each",
            out.display(),
            made.vocabulary,
            made.values as f64 / 1e6,
            made.tokens,
            made.characters as f64 / made.tokens.max(1) as f64
        ))?;
        progress::say(&format!(
            "it knows nothing yet: `lore train configs/train/pretrain.yaml model_name_or_path={}` trains it",
            out.display()
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn shape(&self) -> FreshShape {
        FreshShape {
            vocabulary: self.vocabulary,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads.unwrap_or_else(|| self.heads.div_ceil(2)),
            intermediate: self.intermediate.unwrap_or_else(|| self.hidden.saturating_mul(11) / 4),
            context: self.context,
            tags: self.tags,
        }
    }
}

impl Texts {
    /// Reads all paths, in order, and what serving tells a model.
    fn read(paths: &[PathBuf], limits: &Limits) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for path in paths {
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            if path.is_file() && ending.is_some_and(|ending| RECORDS.contains(&ending.as_str())) {
                all.records(path)?;
                continue;
            }
            let found = walk(path, &[]).with_context(|| format!("cannot read {}", path.display()))?;
            if found.files.is_empty() {
                bail!("{} holds no document; .jsonl files in it are to be named themselves", path.display());
            }
            all.failed.extend(found.errors);
            for file in &found.files {
                all.document(file, limits);
            }
        }
        for question in ["?", "？问"] {
            let told = prompt::answer_chat(question, &[], &[]);
            told.into_iter().for_each(|Message { content, .. }| all.add(content));
        }
        Ok(all)
    }

    fn add(&mut self, text: String) {
        if self.bytes + text.len() > MOST_TEXT {
            self.cut = true;
        } else {
            self.bytes += text.len();
            self.texts.push(text);
        }
    }

    fn document(&mut self, file: &SourceFile, limits: &Limits) {
        if !file.meta.acl.0.is_empty() {
            self.closed += 1;
            return;
        }
        let read = || {
            let bytes = std::fs::read(&file.path)?;
            let format = parse::detect(&file.name, &bytes)?;
            anyhow::Ok(parse::parse(format, &bytes, &file.name, limits)?.text)
        };
        match read() {
            Ok(text) => self.add(text),
            Err(error) => self.failed.push(format!("{}: {error:#}", file.name)),
        }
    }

    /// All strings of a file of JSON, those of a line or an element together.
    fn records(&mut self, path: &Path) -> anyhow::Result<()> {
        let whole = || format!("cannot read {}", path.display());
        let file = std::fs::File::open(path).with_context(whole)?;
        let values = serde_json::Deserializer::from_reader(std::io::BufReader::new(file)).into_iter();
        for value in values {
            let mut text = String::new();
            strings(&value.with_context(whole)?, &mut text);
            self.add(text);
        }
        Ok(())
    }
}

/// Adds every string in `value` to `text`, each on lines of its own.
fn strings(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::String(words) => {
            text.push_str(words);
            text.push('\n');
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, text)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| strings(value, text)),
        _ => {}
    }
}
