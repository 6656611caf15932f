//! Documents for the catalog's tests.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs")]

use std::path::Path;

use lore_core::{ContentHash, DocumentMeta, Format, NewChunk, PageRange, Parsed, Span};
use lore_index::{Catalog, MetaChange, NewDocument, NewVersion, Upload};

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
