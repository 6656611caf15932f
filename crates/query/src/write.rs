//! Answers that a language model writes: streamed, their markers read as they come, every statement checked.
//!
//! Text goes out as it comes, but for what may become a marker or the end of a statement; when a statement is complete,
//! its citations follow at once. In strict mode a statement goes out when a passage supports it, and is dropped
//! otherwise. A document that is deleted or closed to the caller meanwhile ends the answer.

use std::collections::BTreeSet;

use lore_core::{
    Access, AnswerEvent, AnswerSummary, DocumentId, Form, GenerateEvent, Generation, Generator, Markers,
    ModelError, Prompt, Question, Seq, Span, Verdict,
};
use lore_index::Catalog;
use tokio::sync::mpsc;

use crate::answer::{Answerer, Findings, citation, nearest, nearest_text, not_found, send};
use crate::cite::CitationParser;
use crate::error::{QueryError, Result};
use crate::ground::{Grounding, Judgement, Support};
use crate::pack::{Packed, ToPack, pack};
use crate::passages::FoundPassage;
use crate::prompt::PromptLanguage;
use crate::statements::{Statement, Statements, Step};
use crate::thoughts::Thoughts;

/// One answer to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub answerer: &'a Answerer,
    pub generator: &'a Generator,
    pub question: &'a Question,
    /// The question as the model gets it.
    pub text: &'a str,
    pub findings: &'a Findings,
    /// What the caller may read.
    pub access: &'a Access,
}

impl Job<'_> {
    /// Writes the answer into `summary` and sends its events, but for the last.
    pub async fn write(&self, summary: &mut AnswerSummary, events: &mpsc::Sender<AnswerEvent>) -> Result<()> {
        let config = &self.answerer.config.generate;
        let options = &self.question.options;
        let packed = self.pack().await?;
        let last = packed.passages.len() as u32;
        let prompt = Prompt {
            tokens: packed.tokens,
            sampling: options.sampling.clone().unwrap_or_else(|| config.sampling.clone()),
            max_tokens: packed.max_tokens,
            stop: options.stop.clone(),
            form: Some(Form::Marked(Markers { open: "[".into(), close: "]".into(), last })),
            ignore_end: false,
        };
        let catalog = self.answerer.retriever.index().catalog();
        let mut open = StillOpen::new(catalog.clone(), self.access.clone(), &packed.passages);
        open.check().await?;
        // Before the first event, so that a full queue is told as such.
        let mut written = self.generator.generate(prompt)?;
        let sources = packed.passages.iter().map(|p| p.passage.clone()).collect();
        send(events, AnswerEvent::Sources { passages: sources }).await?;
        // The model reads while the passages are taken apart.
        let (asked, rewritten) = (&self.question.text, &self.findings.rewritten);
        let grounding = self.answerer.grounding(asked, rewritten, &packed.passages).await?;
        let mut draft = Draft {
            language: PromptLanguage::of(self.text),
            strict: options.strict.unwrap_or(config.strict),
            passages: &packed.passages,
            grounding,
            summary,
            events,
            text: String::new(),
            taken: 0,
            pending: String::new(),
            missing: 0,
            carried: None,
            code: (false, false),
            supported: false,
            first: None,
            open,
        };
        let generation = draft.read(&mut written, last, &self.generator.info().id).await?;
        draft.end(self.question, &self.findings.passages).await?;
        summary.usage = Some(generation.usage);
        summary.finish = Some(generation.finish);
        summary.timings.generation = Some(generation.timings);
        Ok(())
    }

    async fn pack(&self) -> Result<Packed> {
        let config = self.answerer.config.generate.clone();
        let max_tokens = self.question.options.max_tokens.unwrap_or(config.max_tokens);
        let (generator, text) = (self.generator.clone(), self.text.to_owned());
        let (history, passages) = (self.question.history.clone(), self.findings.passages.clone());
        let candidates = self.findings.candidates.clone();
        // Tokenizing takes its time: not on a thread that serves requests.
        let packing = move || {
            let parts = ToPack {
                question: &text,
                history: &history,
                passages: &passages,
                candidates: &candidates,
                max_tokens,
            };
            pack(&generator, &config, &parts)
        };
        Ok(tokio::task::spawn_blocking(packing).await??)
    }
}

/// An answer that is being written.
struct Draft<'a> {
    language: PromptLanguage,
    strict: bool,
    passages: &'a [FoundPassage],
    grounding: Grounding,
    summary: &'a mut AnswerSummary,
    events: &'a mpsc::Sender<AnswerEvent>,
    /// Strict mode: the model's text without markers.
    text: String,
    /// Strict mode: code points of `text` up to the end of the last statement.
    taken: usize,
    /// Strict mode: sentences that claim nothing and wait for a statement that is kept.
    pending: String,
    /// Strict mode: bytes of `pending` up to the end of the last sentence that says what was not found.
    missing: usize,
    /// Strict mode: the line break before the first statement dropped since one was kept.
    carried: Option<String>,
    /// Strict mode: whether what follows is code, in the model's text and in what is kept of it.
    code: (bool, bool),
    supported: bool,
    /// What the first sentence was that is not empty.
    first: Option<Judgement>,
    open: StillOpen,
}

/// Whether the caller may still read every document that the model was shown (ARCHITECTURE.md, invariant 2).
pub(crate) struct StillOpen {
    catalog: Catalog,
    access: Access,
    documents: BTreeSet<DocumentId>,
    /// The last change of the catalog when it was looked at.
    seen: Option<Seq>,
}

impl StillOpen {
    pub fn new(catalog: Catalog, access: Access, passages: &[FoundPassage]) -> Self {
        let documents = passages.iter().map(|found| found.passage.document).collect();
        Self { catalog, access, documents, seen: None }
    }

    /// Fails with [`QueryError::Withdrawn`] where one of them is not.
    pub async fn check(&mut self) -> Result<()> {
        let (catalog, access, seen) = (self.catalog.clone(), self.access.clone(), self.seen);
        let documents = self.documents.clone();
        let looking = move || {
            let last = catalog.last_seq()?;
            let open = seen == Some(last)
                || catalog.readable_documents(&documents, &access)?.len() == documents.len();
            Ok::<_, QueryError>((last, open))
        };
        let (last, open) = tokio::task::spawn_blocking(looking).await??;
        self.seen = Some(last);
        if open { Ok(()) } else { Err(QueryError::Withdrawn) }
    }
}

impl Draft<'_> {
    /// Reads all that the model writes.
    async fn read(
        &mut self,
        written: &mut mpsc::Receiver<GenerateEvent>,
        last: u32,
        model: &str,
    ) -> Result<Generation> {
        let mut thoughts = Thoughts::default();
        let (mut parser, mut statements) = (CitationParser::new(last), Statements::default());
        let (mut pieces, mut steps) = (Vec::new(), Vec::new());
        loop {
            let event =
                written.recv().await.ok_or_else(|| ModelError::Stopped { model: model.to_owned() })?;
            let end = match event {
                GenerateEvent::Text(text) => {
                    parser.push(&thoughts.without(&text), &mut pieces);
                    None
                }
                GenerateEvent::Done(generation) => {
                    parser.push(&thoughts.rest(), &mut pieces);
                    parser.finish(&mut pieces);
                    Some(generation)
                }
                GenerateEvent::Failed(error) => return Err(error.into()),
            };
            pieces.drain(..).for_each(|piece| statements.push(piece, &mut steps));
            if end.is_some() {
                statements.finish(&mut steps);
            }
            self.open.check().await?;
            for step in steps.drain(..) {
                self.step(step).await?;
            }
            if let Some(generation) = end {
                return Ok(generation);
            }
        }
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Text(text) if self.strict => self.text.push_str(&text),
            Step::Text(text) => self.send_text(text).await?,
            Step::Statement(statement) => {
                let judgement = self.grounding.judge(&statement).await?;
                self.supported |= matches!(judgement, Judgement::Supported(_));
                if judgement != Judgement::Empty && self.first.is_none() {
                    self.first = Some(judgement.clone());
                }
                if self.strict {
                    self.keep_or_drop(&statement, judgement).await?;
                } else {
                    self.tell(statement.span, judgement).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends the citations of the statement at `span` of the answer.
    async fn tell(&mut self, span: Span, judgement: Judgement) -> Result<()> {
        let (supports, verdict) = match judgement {
            Judgement::Empty | Judgement::NothingFound => return Ok(()),
            Judgement::Supported(supports) => (supports, Verdict::Supported),
            Judgement::Unsupported(nearest) => (nearest, Verdict::Unsupported),
        };
        if verdict == Verdict::Unsupported {
            self.summary.unsupported.push(span);
        }
        for Support { passage, span: source, score } in supports {
            let found = self.passages.get(passage);
            let Some(citation) = found.and_then(|f| citation(f, span, (source, score), verdict)) else {
                continue;
            };
            self.summary.citations.push(citation.clone());
            send(self.events, AnswerEvent::Citation { citation }).await?;
        }
        Ok(())
    }

    /// Strict mode: sends the statement where it is supported.
    async fn keep_or_drop(&mut self, statement: &Statement, judgement: Judgement) -> Result<()> {
        let before = Span::new(self.taken, statement.span.start);
        let mut gap = before.slice(&self.text).unwrap_or_default().to_owned();
        self.taken = statement.span.end;
        self.code.0 ^= opens_code(&gap);
        match judgement {
            Judgement::Unsupported(_) => {
                if gap.contains('\n') {
                    self.carried.get_or_insert(gap);
                }
                return Ok(());
            }
            Judgement::Empty | Judgement::NothingFound | Judgement::Supported(_) => {}
        }
        if let Some(carried) = self.carried.take().filter(|_| !gap.contains('\n')) {
            gap = carried;
        }
        if self.code.1 ^ opens_code(&gap) != self.code.0 {
            // The code began or ended behind what was dropped.
            gap = without_fences(&gap);
            if self.code.1 != self.code.0 {
                gap = "\n```\n".to_owned();
            }
        }
        self.code.1 = self.code.0;
        self.pending.push_str(&gap);
        self.pending.push_str(&statement.text);
        match judgement {
            Judgement::Supported(_) => {}
            Judgement::NothingFound => {
                self.missing = self.pending.len();
                return Ok(());
            }
            Judgement::Empty | Judgement::Unsupported(_) => return Ok(()),
        }
        self.missing = 0;
        let mut text = std::mem::take(&mut self.pending);
        if self.summary.answer.is_empty() {
            text = text.trim_start().to_owned();
        }
        self.send_text(text).await?;
        let end = self.summary.answer.chars().count();
        self.tell(Span::new(end - statement.span.len().min(end), end), judgement).await
    }

    async fn send_text(&mut self, text: String) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.summary.answer.push_str(&text);
        send(self.events, AnswerEvent::Token { text }).await
    }

    /// Decides whether this is an answer, and says so where it is none.
    async fn end(&mut self, question: &Question, passages: &[FoundPassage]) -> Result<()> {
        let refused = self.first == Some(Judgement::NothingFound);
        self.summary.answered = self.supported && !refused;
        if self.summary.answered {
            // What the documents do not say belongs to the answer.
            let missing = self.pending.get(..self.missing).unwrap_or_default().to_owned();
            self.send_text(missing).await?;
            if self.strict && opens_code(&self.summary.answer) {
                // The statement behind which the code ended was dropped.
                self.send_text("\n```".to_owned()).await?;
            }
            return Ok(());
        }
        self.summary.nearest = nearest(passages);
        let near = nearest_text(self.language, &self.summary.nearest);
        let answer = self.summary.answer.trim();
        let text = if answer.is_empty() {
            not_found(&question.text, &self.summary.nearest)
        } else if refused {
            if self.supported { String::new() } else { near }
        } else {
            match self.language {
                PromptLanguage::English => format!("\n\nThe documents do not support this answer.{near}"),
                PromptLanguage::Chinese => format!("\n\n文档不支持以上回答。{near}"),
            }
        };
        self.send_text(text).await
    }
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~")
}

/// Whether what follows `text` is code where what is before it is none, or the other way round.
fn opens_code(text: &str) -> bool {
    text.lines().filter(|line| is_fence(line)).count() % 2 == 1
}

fn without_fences(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !is_fence(line)).collect()
}
