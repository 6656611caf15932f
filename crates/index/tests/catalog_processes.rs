//! Several catalogs on one folder, as several processes have them; processes killed at any moment; newer files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lore_core::{Access, ChunkId, DocumentId, Seq};
use lore_index::{Catalog, IndexError};
use support::*;

const FOLDER: &str = "LORE_TEST_KILLED_FOLDER";
const START: &str = "LORE_TEST_KILLED_START";

#[test]
fn concurrent_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let folder = folder.path();
            scope.spawn(move || {
                // Opening races, too: the database is made and migrated by whoever comes first.
                let catalog = Catalog::open(folder).unwrap();
                for n in 0..25 {
                    commit(&catalog, &format!("{writer}-{n}.md"), &format!("{writer} wrote\n{n}"));
                    if n % 5 == 0 {
                        let id = DocumentId::from_source(&format!("upload:{writer}-{n}.md"));
                        catalog.delete(id).unwrap().unwrap();
                    }
                    enqueue(&catalog, &document(&format!("job-{writer}-{n}")), &format!("{writer}-{n}"));
                }
            });
        }
    });
    let catalog = Catalog::open(folder.path()).unwrap();
    assert_eq!(catalog.counts().unwrap(), (80, 160));
    assert_eq!(catalog.open_jobs().unwrap(), (100, 0));
    let changes = catalog.changes_after(Seq(0), 1_000).unwrap();
    assert_eq!(changes.iter().map(|c| c.seq.0).collect::<Vec<_>>(), (1..=120).collect::<Vec<_>>());
    assert_eq!(catalog.integrity().unwrap(), Vec::<String>::new());
}

#[test]
fn each_job_goes_to_one_worker() {
    let (_folder, catalog) = open();
    for n in 0..40 {
        enqueue(&catalog, &document(&format!("{n}")), &format!("{n}"));
    }
    let leased: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let folder = catalog.folder();
                scope.spawn(move || {
                    let catalog = Catalog::open(folder).unwrap();
                    let mut mine = Vec::new();
                    while let Some((job, _)) = catalog.lease_job(&format!("w{worker}"), 60).unwrap() {
                        mine.push(job.id);
                    }
                    mine
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(leased.len(), 40);
    assert_eq!(leased.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn an_original_stored_while_its_twin_is_deleted_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Catalog::open(folder.path()).unwrap();
    let theirs = Catalog::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                commit(&ours, &format!("a{n}"), "the same in all");
            }
        });
        scope.spawn(|| {
            for n in 0..60 {
                let id = commit(&theirs, &format!("b{n}"), "the same in all").document;
                theirs.delete(id).unwrap();
                theirs.delete(DocumentId::from_source(&format!("upload:a{}", n / 2))).unwrap();
            }
        });
    });
    assert_eq!(ours.integrity().unwrap(), Vec::<String>::new());
    for id in ours.live_documents().unwrap() {
        ours.delete(id).unwrap();
    }
    assert!(files(&folder.path().join("originals")).is_empty());
}

/// Not a test of its own: the process that `killed_at_any_moment` kills.
#[test]
fn the_process_that_is_killed() {
    let (Ok(folder), Ok(start)) = (std::env::var(FOLDER), std::env::var(START)) else { return };
    let catalog = Catalog::open(Path::new(&folder)).unwrap();
    let mut out = std::io::stdout();
    let mut say = |what: &str, n: u64| {
        writeln!(out, "{what} {n}").unwrap();
        out.flush().unwrap();
    };
    for n in start.parse::<u64>().unwrap().. {
        commit(&catalog, &n.to_string(), &format!("text\nof {n}"));
        say("committed", n);
        if n % 3 == 2 {
            say("deleting", n - 1);
            catalog.delete(DocumentId::from_source(&format!("upload:{}", n - 1))).unwrap();
            say("deleted", n - 1);
        }
    }
}

#[test]
fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (mut committed, mut deleting, mut deleted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for round in 0..10u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(START, (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(rand::random_range(20_000..250_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let mut line = String::new();
        // A last line without its end may be cut off in the middle of its number.
        while said.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            let said = std::mem::take(&mut line);
            let Some((what, n)) = said.trim_end().split_once(' ') else { continue };
            let Ok(n) = n.parse::<u64>() else { continue };
            match what {
                "committed" => committed.insert(n),
                "deleting" => deleting.insert(n),
                "deleted" => deleted.insert(n),
                _ => continue,
            };
        }
        killer.join().unwrap();

        let catalog = Catalog::open(folder.path()).unwrap();
        assert_eq!(catalog.integrity().unwrap(), Vec::<String>::new());
        for n in &committed {
            let id = DocumentId::from_source(&format!("upload:{n}"));
            let live = catalog.live_chunks(&[ChunkId::new(id, 1, 1)], &Access::All).unwrap();
            if deleted.contains(n) {
                assert!(live.is_empty(), "{n} was deleted");
            } else if !deleting.contains(n) {
                assert_eq!(live.first().map(|l| l.chunk.text.clone()), Some(format!("of {n}")));
                let original = catalog.original(live[0].document.content_hash.as_ref().unwrap()).unwrap();
                assert_eq!(original.unwrap(), format!("text\nof {n}").into_bytes());
            }
        }
        let changes = catalog.changes_after(Seq(0), usize::MAX).unwrap();
        assert!(changes.iter().zip(1..).all(|(change, n)| change.seq == Seq(n)));
    }
    assert!(committed.len() > 10, "only {} commits in ten rounds", committed.len());
}

#[test]
fn a_newer_catalog_is_refused() {
    let (folder, catalog) = open();
    drop(catalog);
    let connection = rusqlite::Connection::open(folder.path().join("catalog.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Catalog::open(folder.path()).unwrap_err();
    assert!(matches!(error, IndexError::NewerSchema { found: 99, known: 1.. }), "{error}");
}

#[test]
fn a_file_that_is_no_catalog_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.db"), "no database, ".repeat(1_000)).unwrap();
    let error = Catalog::open(folder.path()).unwrap_err();
    assert!(matches!(error, IndexError::Damaged(_)), "{error}");
}
