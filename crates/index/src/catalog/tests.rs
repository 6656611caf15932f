//! What can only be provoked from inside.
#![allow(clippy::unwrap_used, reason = "tests")]

use lore_core::{ContentHash, DocumentMeta, Format, Parsed};

use super::{Catalog, NewDocument, NewVersion};
use crate::error::IndexError;

fn commit(catalog: &Catalog, name: &str, text: &str) -> crate::error::Result<super::Committed> {
    let document = NewDocument {
        source: format!("upload:{name}"),
        name: name.to_owned(),
        format: Format::Txt,
        meta: DocumentMeta::default(),
        acl: super::AclChoice::Keep,
    };
    let version = NewVersion {
        content_hash: ContentHash::of(text.as_bytes()),
        size: text.len() as u64,
        pipeline: 1,
        recipe: String::new(),
        parsed: Parsed { text: text.to_owned(), ..Parsed::default() },
        chunks: Vec::new(),
    };
    catalog.commit_version(&document, &version)
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    commit(&catalog, "a", "fits").unwrap();
    let limit = |pages: i64| {
        let set = |writer: &rusqlite::Connection| {
            Ok(writer.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
        };
        catalog.inner.db.with_writer(set).unwrap();
    };
    limit(1);
    let error = commit(&catalog, "b", &"does not fit ".repeat(10_000)).unwrap_err();
    assert!(matches!(&error, IndexError::DiskFull { path } if path.ends_with("catalog.db")), "{error}");
    assert_eq!(catalog.counts().unwrap().0, 1);
    assert_eq!(catalog.last_seq().unwrap().0, 1);
    limit(1 << 30);
    commit(&catalog, "b", &"fits now ".repeat(10_000)).unwrap();
    assert_eq!(catalog.integrity().unwrap().len(), 2, "the two originals were never stored");
}

#[test]
fn what_interrupted_work_left_is_removed_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    let hash = catalog.store_original(b"never referred to").unwrap();
    let path = catalog.original_path(&hash);
    let temporary = path.with_file_name(".left.tmp");
    std::fs::write(&temporary, b"half").unwrap();
    assert_eq!(catalog.vacuum().unwrap().files, 0, "both may be in the making");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    for path in [&path, &temporary] {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(catalog.vacuum().unwrap().files, 1, "the original is still pinned");
    assert!(path.is_file() && !temporary.exists());
    catalog.write(|tx| Ok(tx.execute("UPDATE pins SET until = 0", [])?)).unwrap();
    assert_eq!(catalog.vacuum().unwrap().files, 1);
    assert!(!path.exists());
}

#[test]
fn a_sweep_that_was_cut_off_is_done_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    let hash = catalog.store_original(b"gone").unwrap();
    let path = catalog.original_path(&hash);
    catalog
        .write(|tx| {
            tx.execute("DELETE FROM pins", [])?;
            Ok(tx.execute("INSERT INTO garbage (hash) VALUES (?1)", [hash.as_str()])?)
        })
        .unwrap();
    assert!(path.is_file());
    drop(catalog);
    Catalog::open(folder.path()).unwrap();
    assert!(!path.exists());
}

#[test]
fn readers_wait_for_a_free_connection() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..50 {
                    catalog.counts().unwrap();
                }
            });
        }
    });
}
