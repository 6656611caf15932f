//! Answers that a language model writes: streamed, their markers read as they come, every statement checked.
//!
//! Text goes out as it comes, but for what may become a marker or the end of a statement; when a statement is complete,
//! its citations follow at once. In strict mode a statement goes out when a passage supports it, and is dropped
//! otherwise.

use lore_core::{
    AnswerEvent, AnswerSummary, GenerateEvent, Generation, Generator, Markers, ModelError, Prompt, Question,
    Span, Verdict,
};
use tokio::sync::mpsc;

use crate::answer::{Answerer, Findings, citation, nearest, nearest_text, not_found, send};
use crate::cite::CitationParser;
use crate::error::Result;
use crate::ground::{Grounding, Judgement, Support};
use crate::pack::{Packed, ToPack, pack};
use crate::passages::FoundPassage;
use crate::prompt::PromptLanguage;
use crate::statements::{Statement, Statements, Step};

/// One answer to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub answerer: &'a Answerer,
    pub generator: &'a Generator,
    pub question: &'a Question,
    /// The question as the model gets it.
    pub text: &'a str,
    pub findings: &'a Findings,
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
            markers: Some(Markers { open: "[".into(), close: "]".into(), last }),
            ignore_end: false,
        };
        // Before the first event, so that a full queue is told as such.
        let mut written = self.generator.generate(prompt)?;
        let sources = packed.passages.iter().map(|p| p.passage.clone()).collect();
        send(events, AnswerEvent::Sources { passages: sources }).await?;
        // The model reads while the passages are taken apart.
        let known = format!("{} {}", self.question.text, self.findings.rewritten);
        let grounding = Grounding::new(
            &self.answerer.retriever,
            &self.answerer.extractor,
            &known,
            &packed.passages,
            config,
        )
        .await?;
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
            carried: None,
            supported: false,
            first: None,
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
    /// Strict mode: the line break before the first statement dropped since one was kept.
    carried: Option<String>,
    supported: bool,
    /// What the first sentence was that is not empty.
    first: Option<Judgement>,
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
        self.pending.push_str(&gap);
        self.pending.push_str(&statement.text);
        if !matches!(judgement, Judgement::Supported(_)) {
            return Ok(());
        }
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
            let fences = self.summary.answer.lines().filter(|l| l.trim_start().starts_with("```")).count();
            if self.strict && fences % 2 == 1 {
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

/// Leaves out what a model thinks aloud before it answers: `<think>...</think>` at the start of its text.
#[derive(Debug, Default)]
struct Thoughts {
    held: String,
    state: Thinking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Thinking {
    #[default]
    Unknown,
    Thinks,
    /// Between thoughts and answer.
    Ended,
    Answers,
}

const THINK: (&str, &str) = ("<think>", "</think>");

impl Thoughts {
    fn without(&mut self, text: &str) -> String {
        if self.state == Thinking::Answers {
            return text.to_owned();
        }
        self.held.push_str(text);
        if self.state == Thinking::Unknown {
            let start = self.held.trim_start();
            if let Some(after) = start.strip_prefix(THINK.0) {
                (self.held, self.state) = (after.to_owned(), Thinking::Thinks);
            } else if THINK.0.starts_with(start) {
                return String::new();
            } else {
                self.state = Thinking::Ended;
            }
        }
        if self.state == Thinking::Thinks {
            match self.held.split_once(THINK.1) {
                Some((_, after)) => (self.held, self.state) = (after.to_owned(), Thinking::Ended),
                None => {
                    // What may become the closing tag stays.
                    let mut keep = self.held.len().saturating_sub(THINK.1.len() - 1);
                    while !self.held.is_char_boundary(keep) {
                        keep -= 1;
                    }
                    self.held.drain(..keep);
                    return String::new();
                }
            }
        }
        let text = std::mem::take(&mut self.held);
        let text = text.trim_start();
        if !text.is_empty() {
            self.state = Thinking::Answers;
        }
        text.to_owned()
    }

    /// What is left at the end: nothing of a thought that never ended.
    fn rest(&mut self) -> String {
        if self.state == Thinking::Unknown { std::mem::take(&mut self.held) } else { String::new() }
    }
}
