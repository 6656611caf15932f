//! A small index of real documents, an embedder that hashes words, and a generator that writes what a test says.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs")]

mod sections;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lore_core::{
    AnswerEvent, AnswerSummary, Caller, ContentHash, DocumentId, DocumentMeta, EmbedRequest, Embedder,
    EmbedderInfo, FinishReason, Format, GenerateEvent, GenerateRequest, Generation, GenerationTimings,
    Generator, GeneratorInfo, Message, ModelError, Prompt, Question, Usage,
};
use lore_index::{Catalog, Index, IndexConfig, NewDocument, NewVersion, Owner};
use lore_query::eval::{EvalQuestion, GoldSource};
use lore_query::{AnswerConfig, Answerer, RetrieveConfig, Retriever};
use sections::{chunks, parsed};
use tempfile::TempDir;
use tokio::sync::mpsc;

const DIMENSION: usize = 256;

pub const HANDBOOK: &str = "# Vacation\n\nA full-time employee in Munich is entitled to 30 days of vacation per year. \
    After five years of service the entitlement in Munich rises to 32 days. Unused days may not be paid out.\n\n\
    A new employee in Austin receives 18 days of vacation per year.\n\n\
    # Lunch\n\nThe canteen opens at noon and closes at two. Guests pay EUR 9.50 for lunch.\n";

pub const SENSORS: &str = "# Sensors\n\nThe FJ-200 measures up to 80 metres. The FJ-300 measures up to 120 metres. \
    Both sensors weigh 92 grams.\n";

pub const CHINESE: &str = "# 休假\n\n上海全职员工每年享有 12 天年假。满五年后年假增加到 15 天。\n";

pub struct World {
    catalog: Catalog,
    index: Index,
    _folder: TempDir,
}

impl World {
    pub async fn new(documents: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        let owner = Owner::take(folder.path(), "test").unwrap();
        let info = EmbedderInfo { id: "words@test".into(), dimension: DIMENSION, max_tokens: 256 };
        let (embedder, requests) =
            Embedder::channel(info, Arc::new(|text: &str| text.split_whitespace().count()), 64);
        tokio::spawn(embed_all(requests));
        let index = Index::open(catalog.clone(), IndexConfig::default(), embedder, owner).await.unwrap();
        let world = Self { catalog, index, _folder: folder };
        for (name, text) in documents {
            world.publish(name, text);
        }
        world.index.follow(&|_, _| ()).await.unwrap();
        world
    }

    fn publish(&self, name: &str, text: &str) -> DocumentId {
        let document = NewDocument {
            source: format!("upload:{name}"),
            name: name.to_owned(),
            format: Format::Md,
            meta: DocumentMeta::default(),
            acl: lore_index::AclChoice::Keep,
        };
        let version = NewVersion {
            content_hash: self.catalog.store_original(text.as_bytes()).unwrap(),
            size: text.len() as u64,
            pipeline: 1,
            recipe: String::new(),
            parsed: parsed(text),
            chunks: chunks(text),
        };
        self.catalog.commit_version(&document, &version).unwrap().document
    }

    /// The parsed text of a document.
    pub fn text(&self, document: DocumentId, version: u32) -> String {
        self.catalog.parsed(document, version).unwrap().unwrap().text.clone()
    }

    /// Deletes a document, or closes it to everybody but a board.
    pub fn close(&self, document: DocumentId, delete: bool) {
        if delete {
            self.catalog.delete(document).unwrap();
        } else {
            let board = lore_core::Acl(["board".to_owned()].into());
            let change = lore_index::MetaChange { acl: Some(board), ..Default::default() };
            self.catalog.change_meta(document, &change).unwrap();
        }
    }

    /// An answerer that writes the supporting sentences.
    pub fn extractive(&self, config: AnswerConfig) -> Answerer {
        let retriever = Retriever::new(self.index.clone(), None, RetrieveConfig::default());
        Answerer::new(retriever, config)
    }

    /// An answerer whose model writes `scripts`, one a request.
    pub fn writing(&self, config: AnswerConfig, scripts: &[&str]) -> (Answerer, Arc<Told>) {
        let (generator, told) = generator(4096, scripts);
        (self.extractive(config).with_generator(generator), told)
    }
}

/// What a generator was told.
#[derive(Default)]
pub struct Told {
    pub chats: Mutex<Vec<Vec<Message>>>,
    pub prompts: Mutex<Vec<Prompt>>,
}

impl Told {
    /// The last chat that became a prompt.
    pub fn chat(&self) -> Vec<Message> {
        self.chats.lock().unwrap().last().unwrap().clone()
    }
}

/// A generator whose tokens are words, and that writes `scripts`, one a request, in awkward pieces.
pub fn generator(context_tokens: usize, scripts: &[&str]) -> (Generator, Arc<Told>) {
    let told = Arc::new(Told::default());
    let heard = told.clone();
    let (generator, mut requests) = Generator::channel(
        GeneratorInfo {
            id: "scripted@test".into(),
            context_tokens,
            answer_style: lore_core::AnswerStyle::default(),
        },
        Arc::new(|text: &str| text.split_whitespace().count()),
        Arc::new(move |messages: &[Message], _| {
            heard.chats.lock().unwrap().push(messages.to_vec());
            let words: usize = messages.iter().map(|m| m.content.split_whitespace().count() + 4).sum();
            Ok((0..words as u32).collect())
        }),
        4,
    );
    let mut scripts: Vec<String> = scripts.iter().rev().map(|s| (*s).to_owned()).collect();
    let heard = told.clone();
    tokio::spawn(async move {
        while let Some(GenerateRequest { prompt, reply, .. }) = requests.recv().await {
            let script = scripts.pop().unwrap_or_default();
            let usage = Usage {
                prompt_tokens: prompt.tokens.len(),
                cached_tokens: 0,
                completion_tokens: script.split_whitespace().count(),
            };
            heard.prompts.lock().unwrap().push(prompt);
            if script == "FAIL" {
                let message = "out of memory".to_owned();
                let failed = ModelError::Failed { model: "scripted@test".into(), message };
                let _ = reply.send(GenerateEvent::Text("Half a".into())).await;
                let _ = reply.send(GenerateEvent::Failed(failed)).await;
                continue;
            }
            let chars: Vec<char> = script.chars().collect();
            let (mut at, mut size) = (0, 1);
            while at < chars.len() {
                let end = (at + size).min(chars.len());
                let piece = chars[at..end].iter().collect();
                if reply.send(GenerateEvent::Text(piece)).await.is_err() {
                    break;
                }
                (at, size) = (end, size % 5 + 1);
            }
            let timings = GenerationTimings { first_token_ms: 1.0, ..GenerationTimings::default() };
            let done = Generation { finish: FinishReason::Stop, usage, timings, pointing: None };
            let _ = reply.send(GenerateEvent::Done(done)).await;
        }
    });
    (generator, told)
}

/// A question of a data set, its right answer in parts, and its sources (document, quote); without any it has no answer.
pub fn asked(id: &str, question: &str, answer: &str, sources: &[(&str, &str)]) -> EvalQuestion {
    let source = |(document, quote): &(&str, &str)| GoldSource {
        document: (*document).into(),
        quote: (*quote).into(),
    };
    EvalQuestion {
        id: id.into(),
        lang: "en".into(),
        question: question.into(),
        history: Vec::new(),
        groups: BTreeSet::new(),
        answers: vec![answer.split("; ").map(str::to_owned).collect()],
        sources: sources.iter().map(source).collect(),
        answerable: !sources.is_empty(),
        kind: "lookup".into(),
    }
}

pub fn question(text: &str) -> Question {
    Question { text: text.into(), ..Question::default() }
}

/// All events of an answer, neighbouring texts joined; the last is `Done`.
pub async fn events(answerer: &Answerer, question: Question) -> (Vec<AnswerEvent>, AnswerSummary) {
    let mut receiver = answerer.ask(question, &Caller::local());
    let mut out: Vec<AnswerEvent> = Vec::new();
    while let Some(event) = receiver.recv().await {
        match (out.last_mut(), event) {
            (Some(AnswerEvent::Token { text }), AnswerEvent::Token { text: more }) => text.push_str(&more),
            (_, event) => out.push(event),
        }
    }
    let Some(AnswerEvent::Done(summary)) = out.last().cloned() else { panic!("no end: {out:?}") };
    (out, summary)
}

/// The answer as `lore ask` prints it: each citation where it came, `[1?]` where it does not support.
pub fn printed(events: &[AnswerEvent]) -> String {
    let mut out = String::new();
    for event in events {
        match event {
            AnswerEvent::Token { text } => out.push_str(text),
            AnswerEvent::Citation { citation } => {
                let doubt = if citation.verdict == lore_core::Verdict::Supported { "" } else { "?" };
                out.push_str(&format!(" [{}{doubt}: {}]", citation.name, citation.quote));
            }
            _ => {}
        }
    }
    out
}

/// Answers every request: each word and each Chinese character adds to one place of the vector.
async fn embed_all(mut requests: mpsc::Receiver<EmbedRequest>) {
    while let Some(request) = requests.recv().await {
        let vectors = request.texts.iter().map(|text| vector(text)).collect();
        let _ = request.reply.send(Ok(vectors));
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.001; DIMENSION];
    for word in lore_query::text::word_set(text) {
        let digits = ContentHash::of(word.as_bytes());
        let place = usize::from_str_radix(&digits.as_str()[..4], 16).unwrap();
        vector[place % DIMENSION] += 1.0;
    }
    let length = vector.iter().map(|x: &f32| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}
