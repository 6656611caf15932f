//! A service over a real catalog and real indexes in a temporary folder, with an embedder that hashes words.

#[path = "../../../query/tests/support/sections.rs"]
mod sections;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use lore_core::{
    Acl, ContentHash, DocumentId, DocumentMeta, EmbedRequest, Embedder, EmbedderInfo, Format, Generator,
};
use lore_index::{Catalog, Index, IndexConfig, NewDocument, NewKey, NewVersion, Owner};
use lore_query::{Answerer, QueryConfig, Retriever};
use lore_server::{AppState, Engine, Options, app};
use sections::{chunks, parsed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

const DIMENSION: usize = 64;

pub struct World {
    pub catalog: Catalog,
    pub state: AppState,
    pub app: Router,
    index: Option<Index>,
    _folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}

/// A server on this machine that asks for no keys.
pub fn open_options() -> Options {
    Options { require_keys: false, local_token: Some("local-secret".into()), ..Options::default() }
}

pub fn keyed_options() -> Options {
    Options { require_keys: true, ..open_options() }
}

impl World {
    /// Without indexes: documents can be managed, questions cannot be answered.
    pub fn without_engine(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        let state = AppState::new(catalog.clone(), options);
        Self { catalog, app: app(state.clone()), state, index: None, _folder: folder }
    }

    /// With indexes and an embedder that answers.
    pub async fn with_engine(options: Options) -> Self {
        let (embedder, requests) = embedder();
        tokio::spawn(embed_all(requests));
        Self::with_embedder(options, embedder).await
    }

    /// With indexes over `embedder`.
    pub async fn with_embedder(options: Options, embedder: Embedder) -> Self {
        let mut world = Self::without_engine(options);
        world.open(embedder).await;
        world
    }

    /// With indexes, an embedder that answers, and a language model.
    pub async fn with_generator(options: Options, generator: Generator) -> Self {
        let (embedder, requests) = embedder();
        tokio::spawn(embed_all(requests));
        let mut world = Self::without_engine(options);
        world.open_with(embedder, Some(generator)).await;
        world
    }

    /// Opens the indexes over `embedder`.
    pub async fn open(&mut self, embedder: Embedder) {
        self.open_with(embedder, None).await;
    }

    async fn open_with(&mut self, embedder: Embedder, generator: Option<Generator>) {
        let owner = Owner::take(self.catalog.folder(), "test").unwrap();
        let index = Index::open(self.catalog.clone(), IndexConfig::default(), embedder, owner).await.unwrap();
        let config = QueryConfig::default();
        let retriever = Retriever::new(index.clone(), None, config.retrieve);
        let mut answerer = Answerer::new(retriever.clone(), config.answer);
        if let Some(generator) = generator.clone() {
            answerer = answerer.with_generator(generator);
        }
        self.state.set_engine(Engine { retriever, answerer });
        self.index = Some(index);
    }

    /// Makes a document live as the worker would, its sections as chunks, and follows with the indexes.
    pub async fn publish(&self, name: &str, text: &str, groups: &[&str]) -> DocumentId {
        let document = NewDocument {
            source: format!("upload:{name}"),
            name: name.to_owned(),
            format: Format::from_extension(name.rsplit('.').next().unwrap()).unwrap(),
            meta: DocumentMeta { acl: acl(groups), ..DocumentMeta::default() },
            acl: lore_index::AclChoice::Keep,
        };
        let content_hash = self.catalog.store_original(text.as_bytes()).unwrap();
        let version = NewVersion {
            content_hash,
            size: text.len() as u64,
            pipeline: 1,
            recipe: String::new(),
            parsed: parsed(text),
            chunks: chunks(text),
        };
        let committed = self.catalog.commit_version(&document, &version).unwrap();
        self.follow().await;
        committed.document
    }

    pub async fn follow(&self) {
        if let Some(index) = &self.index {
            index.follow(&|_, _| ()).await.unwrap();
        }
    }

    pub fn key(&self, groups: &[&str], admin: bool) -> (String, String) {
        let new = NewKey { name: "test".into(), groups: acl(groups).0, admin };
        let (key, secret) = self.catalog.create_key(&new).unwrap();
        (key.id, secret)
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path, &[], Body::empty())).await
    }

    pub async fn get_as(&self, secret: &str, path: &str) -> Reply {
        self.send(request("GET", path, &[("authorization", &format!("Bearer {secret}"))], Body::empty()))
            .await
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = Body::from(body.to_string());
        self.send(request(method, path, &[("content-type", "application/json")], body)).await
    }

    pub async fn json_as(&self, secret: &str, method: &str, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {secret}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        self.send(request(method, path, &headers, Body::from(body.to_string()))).await
    }
}

/// A request as a program on this machine sends it; `headers` replace the usual ones.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in [("host", "127.0.0.1:8787"), ("x-request-id", "test-request")] {
        if headers.iter().all(|(given, _)| *given != name) {
            builder = builder.header(name, value);
        }
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).unwrap()
}

/// Name, file name and content of a form's field.
pub type FormField<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// A form with these fields.
pub fn form(fields: &[FormField<'_>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file, content) in fields {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    ("multipart/form-data; boundary=frontier".to_owned(), body)
}

pub fn acl(groups: &[&str]) -> Acl {
    Acl(groups.iter().map(|group| (*group).to_owned()).collect::<BTreeSet<_>>())
}

pub fn hash(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

/// An embedder whose requests the test answers, or not.
pub fn embedder() -> (Embedder, mpsc::Receiver<EmbedRequest>) {
    let info = EmbedderInfo { id: "words@test".into(), dimension: DIMENSION, max_tokens: 256 };
    Embedder::channel(info, Arc::new(|text: &str| text.split_whitespace().count()), 64)
}

/// Answers every request: each word adds to one place of the vector.
pub async fn embed_all(mut requests: mpsc::Receiver<EmbedRequest>) {
    while let Some(request) = requests.recv().await {
        let vectors = request.texts.iter().map(|text| vector(text)).collect();
        let _ = request.reply.send(Ok(vectors));
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.001; DIMENSION];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let digits = hash(&word.to_lowercase());
        let place = usize::from_str_radix(&digits.as_str()[..4], 16).unwrap();
        vector[place % DIMENSION] += 1.0;
    }
    let length = vector.iter().map(|x: &f32| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}
