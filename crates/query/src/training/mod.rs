//! Training examples in the shape that serving uses: what is trained is what is served.
//!
//! A question with known sources becomes the chat that [`crate::write`] would show a model: the same instructions, the
//! passages that retrieval finds for it in its order, fenced and numbered, the question last, and an answer whose markers
//! name the passages that hold the sources. The other passages are the distractors of RAFT (Zhang et al. 2024, "RAFT:
//! Adapting Language Model to Domain Specific RAG", section 3): the nearest that retrieval finds, not ones by chance. As
//! there, some questions come without their source; here the answer is then the sentence that says so, as it is for
//! questions that the documents do not answer.
//!
//! Sources are found in the catalog by their quotes (`gold`), passages are chosen and packed (`passages`), answers are
//! worded (`answer`), and checked as serving checks what a model writes (`check`): where it would flag an answer, the
//! source's own sentence is taught instead. A model that was made to point at sentences learns their tags instead of an
//! answer in words (`pointing`). What a model is later tested with is kept out ([`refuse_held_out`]).

mod answer;
mod check;
mod gold;
mod held_out;
mod passages;
mod pointing;
mod row;

use std::collections::BTreeSet;

use lore_core::random::Random;
use lore_core::{AnswerStyle, Generator, Message, Quotes, Role};
use lore_index::Catalog;
use serde::{Deserialize, Serialize};

use self::check::Checker;
use self::gold::{Gold, Library};
use self::passages::{Found, Shower};
use self::pointing::{Example, Pointing};
use crate::answer::Answerer;
use crate::error::Result;
use crate::eval::EvalQuestion;
use crate::eval::answers::as_asked;
use crate::eval::metrics::{contains, token_f1};
use crate::pack::Packed;
use crate::passages::FoundPassage;
use crate::prompt::PromptLanguage;

pub use self::held_out::{id_mark, learned, marks, refuse_held_out};

/// Ends the id of an example whose passages were taken away.
const WITHOUT_SOURCE: &str = ":without-source";

/// Stands before the number of a variant in its example's id.
const VARIANT: &str = ":variant-";

/// How the answers of examples are worded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// The source's own sentence; of a table the cells that answer, with what they are about and their columns' names.
    #[default]
    Quote,
    /// The right answer alone.
    Short,
    /// The right answer, a colon, and the source's sentence.
    ShortThenQuote,
}

/// How questions become examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RagConfig {
    /// How answers are worded.
    pub answer: AnswerForm,
    /// Share of the answerable questions that are asked a second time, without the passages that answer them; the answer
    /// is then that nothing was found.
    pub no_answer_share: f64,
    /// Share of the questions that the documents do not answer which become examples; those that are left out are drawn by
    /// chance. Where nearly all of them are near-misses, a search's evidence would seem to say nothing.
    pub unanswerable_share: f64,
    /// Examples of a question for a model that points: the first as serving would show it, others with some of the
    /// sentences.
    pub variants: usize,
    /// What choices by chance start from.
    pub seed: u64,
}

impl Default for RagConfig {
    fn default() -> Self {
        Self {
            answer: AnswerForm::default(),
            no_answer_share: 0.2,
            unanswerable_share: 1.0,
            variants: 1,
            seed: 42,
        }
    }
}

/// What an example teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RagKind {
    /// An answer from the passages.
    Answer,
    /// Refusal, where the passage that answers is not there.
    WithoutSource,
    /// Refusal, where the documents hold no answer.
    Unanswerable,
}

/// A message of an example, as in OpenAI's files for fine-tuning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RagMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// 0 for an answer of an earlier turn, which is not learned: it has no markers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

/// A chat to be learned; as JSON a line of an OpenAI messages file with an id and the documents behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RagExample {
    /// The question's id; with `:without-source` behind it where its passages were taken away.
    pub id: String,
    /// Instructions, passages and question, and the answer last.
    pub messages: Vec<RagMessage>,
    /// `DOCUMENT@VERSION` of every passage in it, for the lineage.
    pub documents: Vec<String>,
    /// What it teaches.
    #[serde(skip)]
    pub kind: RagKind,
    /// Numbers of the passages, or of the sentences, that hold the sources.
    #[serde(skip)]
    pub right: BTreeSet<u32>,
    /// Passages, or sentences with tags, in it.
    #[serde(skip)]
    pub passages: usize,
    /// Tokens of the prompt, as serving would have them.
    #[serde(skip)]
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    #[serde(skip)]
    pub answer_tokens: usize,
}

/// A question that became no example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The question's id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What became of the questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RagReport {
    /// Questions.
    pub questions: usize,
    /// Examples with an answer.
    pub answers: usize,
    /// Examples whose passages were taken away.
    pub without_source: usize,
    /// Examples of questions that the documents do not answer.
    pub unanswerable: usize,
    /// Questions that became no example.
    pub skipped: usize,
    /// Share of the examples with an answer whose passages retrieval found by itself.
    pub retrieved: f64,
    /// Share of them where a passage that answers stands first.
    pub first: f64,
    /// Examples with an answer whose wording serving would flag, so that it is the source's own.
    pub reworded: usize,
    /// Those of them whose source serving would flag too.
    pub flagged: usize,
    /// Mean token F1 of the answers against the right ones: what a model that learned them all by heart would reach.
    pub answer_f1: f64,
    /// Share of the answers that hold the right one.
    pub contains_gold: f64,
    /// Mean number of passages.
    pub passages: f64,
    /// Mean tokens of a prompt.
    pub prompt_tokens: f64,
    /// Mean tokens of an answer.
    pub answer_tokens: f64,
    /// Tokens of the longest example.
    pub longest: usize,
}

impl RagExample {
    /// The id of the question that it was made of.
    fn question(&self) -> &str {
        let id = self.id.rsplit_once(VARIANT).map_or(self.id.as_str(), |(id, _)| id);
        id.strip_suffix(WITHOUT_SOURCE).filter(|_| self.kind == RagKind::WithoutSource).unwrap_or(id)
    }
}

/// Examples, and what could not become any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RagSet {
    /// The examples, in the order of the questions.
    pub examples: Vec<RagExample>,
    /// Questions that became none.
    pub skipped: Vec<Skipped>,
    /// Counts and means.
    pub report: RagReport,
    /// The [`marks`] of the questions that became examples.
    pub learned: BTreeSet<String>,
}

/// Makes examples of `questions` over the documents that `answerer` searches.
///
/// `text` is the model that will learn: its tokenizer and chat template count, its `context_tokens` is the most that an
/// example may have; nothing is generated. A question that cannot become an example is skipped and told in
/// [`RagSet::skipped`]. The same questions, documents, settings and seed give the same examples. `progress` hears the
/// questions done.
///
/// # Errors
/// Fails where an index, the catalog or the embedder fails; the question's id is in the message.
pub async fn build(
    answerer: &Answerer,
    text: &Generator,
    questions: &[EvalQuestion],
    config: &RagConfig,
    progress: &(dyn Fn(usize) + Send + Sync),
) -> Result<RagSet> {
    let library = Library::read(answerer.retriever.index().catalog()).await?;
    let twice = asked_twice(questions, config);
    let points = answerer.config().generate.style_of(text) == AnswerStyle::Quotes;
    let mut builder =
        Builder { answerer, text, config, library, points, set: RagSet::default(), sums: Sums::default() };
    for (done, question) in questions.iter().enumerate() {
        let again = twice.contains(question.id.as_str());
        builder.add(question, again).await.map_err(|error| error.of_question(&question.id))?;
        progress(done + 1);
    }
    let mut set = builder.finish(questions.len());
    let made: BTreeSet<&str> = set.examples.iter().map(RagExample::question).collect();
    let made = questions.iter().filter(|question| made.contains(question.id.as_str()));
    let learned = made.flat_map(marks).collect();
    set.learned = learned;
    Ok(set)
}

/// How many of the documents that `questions` name are not in `catalog`, and how many they name.
///
/// # Errors
/// Fails where the catalog does.
pub async fn missing_documents(catalog: &Catalog, questions: &[EvalQuestion]) -> Result<(usize, usize)> {
    let library = Library::read(catalog).await?;
    let named: BTreeSet<&str> =
        questions.iter().flat_map(|q| &q.sources).map(|source| source.document.as_str()).collect();
    Ok((named.iter().filter(|name| !library.has(name)).count(), named.len()))
}

/// The ids of the answerable questions that are asked again without their source.
fn asked_twice<'a>(questions: &'a [EvalQuestion], config: &RagConfig) -> BTreeSet<&'a str> {
    let answerable = questions.iter().filter(|q| q.answerable);
    let mut drawn: Vec<(u64, &str)> =
        answerable.map(|q| (Random::of(config.seed, &q.id).next(), q.id.as_str())).collect();
    drawn.sort_unstable();
    let count = (config.no_answer_share.clamp(0.0, 1.0) * drawn.len() as f64).round() as usize;
    drawn.into_iter().take(count).map(|(_, id)| id).collect()
}

struct Builder<'a> {
    answerer: &'a Answerer,
    text: &'a Generator,
    config: &'a RagConfig,
    library: Library,
    /// Whether the model learns to point.
    points: bool,
    set: RagSet,
    sums: Sums,
}

/// The prompt of an example.
struct Prompted {
    messages: Vec<Message>,
    /// Its tokens.
    tokens: usize,
    /// `DOCUMENT@VERSION` of what it shows.
    documents: BTreeSet<String>,
    /// Passages or sentences in it.
    shown: usize,
}

/// The id of an example's variant with this number.
fn variant(id: &str, number: usize) -> String {
    if number == 1 { id.to_owned() } else { format!("{id}{VARIANT}{number}") }
}

/// `DOCUMENT@VERSION` of a passage.
fn named(found: &FoundPassage) -> String {
    format!("{}@{}", found.passage.document, found.passage.version)
}

impl From<Packed> for Prompted {
    fn from(packed: Packed) -> Self {
        Self {
            documents: packed.passages.iter().map(named).collect(),
            shown: packed.passages.len(),
            tokens: packed.tokens.len(),
            messages: packed.messages,
        }
    }
}

/// What is counted of the examples with an answer.
#[derive(Debug, Default)]
struct Sums {
    retrieved: usize,
    reworded: usize,
    flagged: usize,
    f1: f64,
    holds: f64,
}

impl Builder<'_> {
    async fn add(&mut self, question: &EvalQuestion, again: bool) -> Result<()> {
        let shower = Shower::new(self.answerer, self.text, question);
        if !question.answerable {
            let drawn = Random::of(self.config.seed, &format!("{} drawn", question.id)).unit();
            if drawn >= self.config.unanswerable_share {
                return Ok(());
            }
            let found = shower.found().await?;
            return self.refuse(question, RagKind::Unanswerable, &shower, found).await;
        }
        let access = as_asked(question).1.access;
        let golds = match self.library.locate(question, &access).await? {
            Ok(golds) => golds,
            Err(reason) => {
                self.skip(question, reason);
                return Ok(());
            }
        };
        let mut random = Random::of(self.config.seed, &format!("{} rank", question.id));
        let (found, retrieved) = shower.with_sources(&golds, &mut random).await?;
        let before = self.set.examples.len();
        let told = match self.points {
            true => self.point(question, &golds, &shower, found).await?,
            false => self.tell(question, &golds, &shower, found).await?,
        };
        if retrieved {
            self.sums.retrieved += self.set.examples.len() - before;
        }
        if let Err(reason) = told {
            self.skip(question, reason);
        }
        if again {
            let found = shower.without_sources(&golds).await?;
            self.refuse(question, RagKind::WithoutSource, &shower, found).await?;
        }
        Ok(())
    }

    /// An example whose answer points at the sources.
    async fn point(
        &mut self,
        question: &EvalQuestion,
        golds: &[Gold],
        shower: &Shower<'_>,
        found: Found,
    ) -> Result<Result<(), String>> {
        let pointing = Pointing::new(self.config.answer, question, golds);
        let mut random = Random::of(self.config.seed, &format!("{} variants", question.id));
        let examples = match pointing.examples(shower, &found, self.config.variants, &mut random).await? {
            Err(reason) => return Ok(Err(reason)),
            Ok(examples) => examples,
        };
        for (number, Example { prompt, answer, plain, right }) in (1..).zip(examples) {
            self.measure(question, &plain);
            self.push(variant(&question.id, number), RagKind::Answer, prompt, answer, right);
        }
        Ok(Ok(()))
    }

    fn measure(&mut self, question: &EvalQuestion, plain: &str) {
        let best = |score: &dyn Fn(&[String]) -> f64| {
            question.answers.iter().map(|parts| score(parts)).fold(0.0, f64::max)
        };
        self.sums.f1 += best(&|parts| token_f1(plain, &parts.join(" ")));
        self.sums.holds += best(&|parts| f64::from(u8::from(parts.iter().all(|p| contains(plain, p)))));
    }

    /// An example whose answer is in words.
    async fn tell(
        &mut self,
        question: &EvalQuestion,
        golds: &[Gold],
        shower: &Shower<'_>,
        found: Found,
    ) -> Result<Result<(), String>> {
        let draft = answer::worded(self.config.answer, question, golds, &vec![10; golds.len()]);
        let packed = match shower.fit(found, golds, &draft).await? {
            Ok(packed) => packed,
            Err(reason) => return Ok(Err(reason)),
        };
        let marker = |gold: &Gold| {
            let held = packed.passages.iter().find(|found| gold.is_in(found));
            held.map_or(0, |found| found.passage.marker)
        };
        let markers: Vec<u32> = golds.iter().map(marker).collect();
        let right: BTreeSet<u32> = markers.iter().copied().collect();
        let checker = Checker::new(shower.grounding(&packed.passages).await?, &packed);
        let worded = |form| answer::worded(form, question, golds, &markers);
        let mut text = worded(self.config.answer);
        if !checker.accepts(&text, &right).await? {
            text = worded(AnswerForm::Quote);
            self.sums.reworded += 1;
            if !checker.accepts(&text, &right).await? {
                self.sums.flagged += 1;
                tracing::debug!(id = question.id, text, "serving would flag the answer of an example");
            }
        }
        let plain = crate::cite::parse(&text, packed.passages.len() as u32).0;
        drop(checker);
        self.measure(question, &plain);
        self.push(question.id.clone(), RagKind::Answer, packed.into(), text, right);
        Ok(Ok(()))
    }

    async fn refuse(
        &mut self,
        question: &EvalQuestion,
        kind: RagKind,
        shower: &Shower<'_>,
        found: Found,
    ) -> Result<()> {
        let (text, prompts) = if self.points {
            let mut random = Random::of(self.config.seed, &format!("{} none", question.id));
            let prompts = pointing::prompts(shower, &found, self.config.variants, &mut random).await?;
            (Quotes::NONE, prompts)
        } else {
            let text = PromptLanguage::of(&question.question).refusal();
            (text, shower.fit(found, &[], text).await?.map(|packed| vec![Prompted::from(packed)]))
        };
        let id = match kind {
            RagKind::WithoutSource => format!("{}{WITHOUT_SOURCE}", question.id),
            RagKind::Answer | RagKind::Unanswerable => question.id.clone(),
        };
        match prompts {
            Ok(prompts) => {
                for (number, prompt) in (1..).zip(prompts) {
                    self.push(variant(&id, number), kind, prompt, text.to_owned(), BTreeSet::new());
                }
            }
            Err(reason) => self.set.skipped.push(Skipped { id, reason }),
        }
        Ok(())
    }

    fn skip(&mut self, question: &EvalQuestion, reason: String) {
        self.set.skipped.push(Skipped { id: question.id.clone(), reason });
    }

    fn push(&mut self, id: String, kind: RagKind, prompt: Prompted, answer: String, right: BTreeSet<u32>) {
        let message = |Message { role, content }: Message| RagMessage {
            role,
            content,
            weight: (role == Role::Assistant).then_some(0),
        };
        let answer_tokens = self.text.count_tokens(&answer);
        let mut messages: Vec<RagMessage> = prompt.messages.into_iter().map(message).collect();
        messages.push(RagMessage { role: Role::Assistant, content: answer, weight: None });
        self.set.examples.push(RagExample {
            id,
            messages,
            documents: prompt.documents.into_iter().collect(),
            kind,
            right,
            passages: prompt.shown,
            prompt_tokens: prompt.tokens,
            answer_tokens,
        });
    }

    fn finish(self, questions: usize) -> RagSet {
        let (mut set, sums) = (self.set, self.sums);
        let all = &set.examples;
        let count = |kind: RagKind| all.iter().filter(|example| example.kind == kind).count();
        let mean = |of: fn(&RagExample) -> usize| {
            all.iter().map(|example| of(example) as f64).sum::<f64>() / all.len().max(1) as f64
        };
        let answers = count(RagKind::Answer);
        let of_answers = |sum: f64| sum / answers.max(1) as f64;
        set.report = RagReport {
            questions,
            answers,
            without_source: count(RagKind::WithoutSource),
            unanswerable: count(RagKind::Unanswerable),
            skipped: set.skipped.len(),
            retrieved: of_answers(sums.retrieved as f64),
            first: of_answers(all.iter().filter(|example| example.right.contains(&1)).count() as f64),
            reworded: sums.reworded,
            flagged: sums.flagged,
            answer_f1: of_answers(sums.f1),
            contains_gold: of_answers(sums.holds),
            passages: mean(|example| example.passages),
            prompt_tokens: mean(|example| example.prompt_tokens),
            answer_tokens: mean(|example| example.answer_tokens),
            longest: all.iter().map(|e| e.prompt_tokens + e.answer_tokens).max().unwrap_or(0),
        };
        set
    }
}
