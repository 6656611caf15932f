//! `lore examples`: what a model would learn from questions, as a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use lore_models::GeneratorText;
use lore_models::text::TextOptions;
use lore_query::training::{AnswerForm, RagConfig};

use crate::asking::Writer;
use crate::examples::{self, Making, Wanted};
use crate::settings::Settings;
use crate::{open, print};

/// Write the training examples made of questions: prompts as in serving, answers with their markers
#[derive(Debug, Args)]
pub struct Examples {
    /// Questions with known sources (.jsonl)
    #[arg(long, value_name = "FILE", required = true)]
    questions: Vec<PathBuf>,
    /// Their documents [default: the data folder, else DIR, where the questions lie in DIR/questions]
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Questions that must not be learned [default: test.jsonl beside the questions and the documents]
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
    #[command(flatten)]
    writer: Writer,
    /// Most tokens of an example
    #[arg(long, default_value_t = 2048)]
    cutoff_len: usize,
    /// How answers are worded
    #[arg(long, value_enum, default_value = "quote")]
    answer: Form,
    /// Share of the answerable questions that are asked again without their passages
    #[arg(long, default_value_t = RagConfig::default().no_answer_share)]
    no_answer_share: f64,
    /// Share of the questions without an answer that become examples
    #[arg(long, default_value_t = RagConfig::default().unanswerable_share)]
    unanswerable_share: f64,
    /// Examples of a question for a model that points: one as serving shows it, others with some of the sentences
    #[arg(long, default_value_t = RagConfig::default().variants)]
    variants: usize,
    /// What choices by chance start from
    #[arg(long, default_value_t = RagConfig::default().seed)]
    seed: u64,
    /// The file that is written, one chat a line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// [`AnswerForm`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The source's sentence
    Quote,
    /// The right answer alone
    Short,
    /// The right answer, then the source's sentence
    ShortThenQuote,
}

impl Examples {
    /// Runs the command.
    ///
    /// # Errors
    /// As [`examples::make`].
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let settings = self.writer.apply(settings)?;
        let config = settings.config.generator.model().cloned();
        let config = config.context("no model is named that will learn; name one with --generator")?;
        let path = open::generator_text(&settings, &config).await?;
        let options = TextOptions { chat_template: config.chat_template.clone(), fallback_template: None };
        let text = open::blocking(move || GeneratorText::open(&path, &options)).await?;
        let text = examples::reader(&Arc::new(text), &config.name(), self.cutoff_len);
        let wanted = Wanted {
            questions: self.questions,
            documents: self.documents,
            beside: Vec::new(),
            held_out: self.held_out,
            rag: RagConfig {
                answer: match self.answer {
                    Form::Quote => AnswerForm::Quote,
                    Form::Short => AnswerForm::Short,
                    Form::ShortThenQuote => AnswerForm::ShortThenQuote,
                },
                no_answer_share: self.no_answer_share,
                unanswerable_share: self.unanswerable_share,
                variants: self.variants,
                seed: self.seed,
            },
        };
        let set = examples::make(&settings, &wanted, &text, &Making::ALL).await?;
        examples::write(&self.out, &set)?;
        print::report(settings.json, &set.report)?;
        Ok(ExitCode::SUCCESS)
    }
}
