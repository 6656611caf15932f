//! Documents for the catalog's tests.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs")]

use std::io::Write as _;
use std::path::Path;

use lore_core::{ContentHash, DocumentMeta, Format, NewChunk, PageRange, Parsed, Span};
use lore_index::{Catalog, MetaChange, NewDocument, NewVersion, Upload, VectorBackend};
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{CreateCollectionBuilder, Distance, VectorParamsBuilder};

/// An uploaded Markdown document.
pub fn document(name: &str) -> NewDocument {
    NewDocument {
        source: format!("upload:{name}"),
        name: name.to_owned(),
        format: Format::Md,
        meta: DocumentMeta::default(),
        acl: lore_index::AclChoice::Keep,
    }
}

/// The same, for members of `groups` only.
pub fn document_for(name: &str, groups: &[&str]) -> NewDocument {
    let mut document = document(name);
    document.meta.acl.0 = groups.iter().map(|group| (*group).to_owned()).collect();
    document
}

/// A version whose chunks are the lines of `text`; its original is the text and is not stored.
pub fn version(text: &str) -> NewVersion {
    let mut chunks = Vec::new();
    let mut at = 0;
    for line in text.split('\n') {
        let len = line.chars().count();
        if len > 0 {
            chunks.push(NewChunk {
                span: Span::new(at, at + len),
                pages: Some(PageRange { first: 1, last: 2 }),
                headings: vec!["Rules".into(), "Travel".into()],
                context: None,
            });
        }
        at += len + 1;
    }
    NewVersion {
        content_hash: ContentHash::of(text.as_bytes()),
        size: text.len() as u64,
        pipeline: 1,
        recipe: String::new(),
        parsed: Parsed { text: text.to_owned(), language: Some("en".into()), ..Parsed::default() },
        chunks,
    }
}

/// Stores the original and commits the version.
pub fn commit(catalog: &Catalog, name: &str, text: &str) -> lore_index::Committed {
    catalog.store_original(text.as_bytes()).unwrap();
    catalog.commit_version(&document(name), &version(text)).unwrap()
}

/// Stores the original and queues the upload.
pub fn enqueue(catalog: &Catalog, document: &NewDocument, text: &str) -> lore_index::Job {
    let hash = catalog.store_original(text.as_bytes()).unwrap();
    let upload = Upload { document: document.clone(), hash, size: text.len() as u64 };
    catalog.enqueue(&[upload], 100).unwrap().remove(0)
}

/// A change of the access list alone.
pub fn acl(groups: &[&str]) -> MetaChange {
    MetaChange { acl: Some(document_for("any", groups).meta.acl), ..MetaChange::default() }
}

/// A catalog in a folder of its own.
pub fn open() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    (folder, catalog)
}

/// Regular files under a folder.
pub fn files(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return out };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    out.sort();
    out
}

/// A name of its own on the vector server that `QDRANT_URL` names.
pub struct Server {
    pub backend: VectorBackend,
    collection: String,
    client: Qdrant,
}

/// The vector server, unless there is none; then it is said that a test is skipped.
pub fn server() -> Option<Server> {
    let Ok(url) = std::env::var("QDRANT_URL") else {
        // Not by a macro, whose output the test runner keeps back.
        let _ = std::io::stderr()
            .write_all(b"skipped, because QDRANT_URL is not set: a test on a vector server\n");
        return None;
    };
    let client = Qdrant::from_url(&url).skip_compatibility_check().build().unwrap();
    let collection = format!("lore-test-{}", uuid::Uuid::now_v7().simple());
    let backend =
        VectorBackend::Server { url, api_key: None, collection: collection.clone(), shards: 1, replicas: 1 };
    Some(Server { backend, collection, client })
}

impl Server {
    /// Collections under this name.
    pub async fn collections(&self) -> Vec<String> {
        let all = self.client.list_collections().await.unwrap().collections;
        all.into_iter().map(|found| found.name).filter(|name| name.starts_with(&self.collection)).collect()
    }

    /// Makes a collection as somebody else does.
    pub async fn make(&self, name: &str) -> String {
        let name = format!("{}-{name}", self.collection);
        let vectors = VectorParamsBuilder::new(4, Distance::Dot);
        let request = CreateCollectionBuilder::new(&name).vectors_config(vectors);
        self.client.create_collection(request).await.unwrap();
        name
    }

    /// Removes what the test made.
    pub async fn clean(&self) {
        for name in self.collections().await {
            self.client.delete_collection(name).await.unwrap();
        }
    }
}
