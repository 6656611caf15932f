//! A run over folders: a few threads read and parse, one commits.

use std::collections::{BTreeSet, HashSet};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use lore_core::{ContentHash, DocumentId};
use lore_index::{DocumentQuery, NewDocument};

use super::events::{IngestEvent, IngestOptions, IngestReport, Outcome};
use super::{IngestError, Ingester, Prepared, Taken};
use crate::source::files::{SourceFile, Walk, file_uri, walk};

/// Files read and parsed at once.
const PARSERS: usize = 2;
/// Documents read from the catalog at once.
const PAGE: usize = 1_000;
/// So many documents of a folder may go at once, however few there are.
const HANDFUL: usize = 10;

/// What a parser thread made of a file.
enum Work {
    Started { name: String, size: u64 },
    Done { name: String, taken: Taken, bytes: u64 },
    Parsed { name: String, prepared: Box<Prepared>, bytes: u64 },
    Unreadable { document: NewDocument, reason: String },
    Stop(IngestError),
}

impl Ingester {
    /// Takes in all files under `paths`, and with `prune` removes the documents whose files have gone.
    ///
    /// The content's hash decides what is unchanged. At most two files are in memory at once. A file that cannot be read
    /// is recorded with its reason, and an earlier version of it stays live. Where a folder could not be read
    /// completely, nothing of it is pruned.
    ///
    /// # Errors
    /// [`IngestError::Walk`] where a path does not exist or a manifest is wrong, before anything is ingested;
    /// [`IngestError::Index`] where the catalog fails, such as on a full disk: what was committed stays.
    pub fn ingest_paths(
        &self,
        paths: &[PathBuf],
        options: &IngestOptions,
        events: &mut dyn FnMut(IngestEvent),
    ) -> Result<IngestReport, IngestError> {
        self.ingest_some(paths, options, &|_| true, events)
    }

    /// As [`Ingester::ingest_paths`], for those files alone whose path is `wanted`.
    pub(crate) fn ingest_some(
        &self,
        paths: &[PathBuf],
        options: &IngestOptions,
        wanted: &dyn Fn(&Path) -> bool,
        events: &mut dyn FnMut(IngestEvent),
    ) -> Result<IngestReport, IngestError> {
        let began = Instant::now();
        let mut report = IngestReport::default();
        let own = self.catalog.folder().canonicalize().into_iter().collect::<Vec<_>>();
        let walks = paths.iter().map(|path| walk(path, &own)).collect::<Result<Vec<_>, _>>()?;
        // A file under two of the paths is taken once, under the first.
        let mut seen = HashSet::new();
        let mut files = Vec::new();
        for walk in &walks {
            let new = walk.files.iter().filter(|f| wanted(&f.path) && seen.insert(f.source.as_str()));
            files.extend(new);
        }
        let bytes = files.iter().map(|f| f.size).sum();
        events(IngestEvent::Discovered { total: files.len() as u64, bytes });
        for message in walks.iter().flat_map(|w| &w.errors) {
            events(IngestEvent::Warning { message: message.clone() });
        }
        if let Some(message) = beside_manifests(&files, options) {
            events(IngestEvent::Warning { message });
        }
        let skipped = walks.iter().flat_map(|w| w.skipped.iter().map(move |s| (w.root.join(&s.name), s)));
        for (_, skipped) in skipped.filter(|(path, _)| wanted(path)) {
            let outcome = Outcome::Skipped { reason: skipped.reason.clone() };
            finish(&mut report, events, skipped.name.clone(), outcome);
        }
        self.run(&files, options, &mut report, events)?;
        if options.prune && !options.stopped() {
            self.prune(&walks, options.force, wanted, &mut report, events)?;
        }
        report.stopped = options.stopped();
        report.seconds = began.elapsed().as_secs_f64();
        events(IngestEvent::Done(report.clone()));
        Ok(report)
    }

    /// Parses `files` on a few threads and commits them here.
    fn run(
        &self,
        files: &[&SourceFile],
        options: &IngestOptions,
        report: &mut IngestReport,
        events: &mut dyn FnMut(IngestEvent),
    ) -> Result<(), IngestError> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // One result waits at most, beside the one in each thread.
            let (send, results) = mpsc::sync_channel(1);
            for _ in 0..PARSERS.min(files.len()) {
                let send = send.clone();
                let (next, failed) = (&next, &failed);
                scope.spawn(move || {
                    while !options.stopped() && !failed.load(Ordering::Relaxed) {
                        let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                        let started = Work::Started { name: file.name.clone(), size: file.size };
                        if send.send(started).is_err() {
                            break;
                        }
                        let work = self.work(file, options).unwrap_or_else(Work::Stop);
                        if send.send(work).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            let mut outcome = Ok(());
            for work in results {
                if outcome.is_err() {
                    continue;
                }
                if let Err(error) = self.take(work, report, events) {
                    failed.store(true, Ordering::Relaxed);
                    outcome = Err(error);
                }
            }
            outcome
        })
    }

    /// On a parser thread: reads, compares and parses one file.
    fn work(&self, file: &SourceFile, options: &IngestOptions) -> Result<Work, IngestError> {
        let known =
            options.acl_of_new && self.catalog.document(DocumentId::from_source(&file.source))?.is_some();
        let document = NewDocument {
            source: file.source.clone(),
            name: file.name.clone(),
            format: file.format,
            meta: options.add_to(file.meta.clone()),
            acl: options.choice(known),
        };
        let bytes = match read(&file.path, self.limits.document_bytes) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let outcome = Outcome::Skipped { reason: "it went away meanwhile".into() };
                return Ok(Work::Done { name: document.name, taken: outcome.into(), bytes: 0 });
            }
            Err(error) => return Ok(Work::Unreadable { document, reason: error.to_string() }),
        };
        let size = bytes.len() as u64;
        let hash = ContentHash::of(&bytes);
        let mut taken = self.unchanged(&document, &hash)?;
        if taken.is_none() && !options.retry_failed {
            taken = self.failed_before(&document, &hash)?;
        }
        if let Some(taken) = taken {
            return Ok(Work::Done { name: document.name, taken, bytes: size });
        }
        let prepared = self.prepare(&document, hash, &bytes)?;
        Ok(Work::Parsed { name: document.name, prepared: Box::new(prepared), bytes: size })
    }

    /// On the committing thread.
    fn take(
        &self,
        work: Work,
        report: &mut IngestReport,
        events: &mut dyn FnMut(IngestEvent),
    ) -> Result<(), IngestError> {
        let (name, Taken { outcome, kept_acl }) = match work {
            Work::Started { name, size } => {
                events(IngestEvent::Started { name, size });
                return Ok(());
            }
            Work::Done { name, taken, bytes } => {
                report.bytes += bytes;
                (name, taken)
            }
            Work::Parsed { name, prepared, bytes } => {
                report.bytes += bytes;
                (name, self.commit(*prepared)?)
            }
            Work::Unreadable { document, reason } => {
                (document.name.clone(), self.fail(&document, None, reason)?)
            }
            Work::Stop(error) => return Err(error),
        };
        if kept_acl {
            report.kept_access += 1;
            events(IngestEvent::KeptAccess { name: name.clone() });
        }
        finish(report, events, name, outcome);
        Ok(())
    }

    /// Deletes the documents under the walked folders that the walk did not find.
    ///
    /// A folder in which nothing, or much less than before, is left may be a disk that is not mounted: nothing of it goes
    /// unless it is forced.
    fn prune(
        &self,
        walks: &[Walk],
        force: bool,
        wanted: &dyn Fn(&Path) -> bool,
        report: &mut IngestReport,
        events: &mut dyn FnMut(IngestEvent),
    ) -> Result<(), IngestError> {
        let found: BTreeSet<&str> = walks.iter().flat_map(|w| &w.files).map(|f| f.source.as_str()).collect();
        for walk in walks.iter().filter(|w| w.root.is_dir()) {
            if !walk.errors.is_empty() {
                let root = walk.root.display();
                let message = format!("{root} could not be read completely; nothing of it was pruned");
                events(IngestEvent::Warning { message });
                continue;
            }
            let mut gone = self.documents_under(&walk.root)?;
            let known = gone.len();
            gone.retain(|(_, source, _)| !found.contains(source.as_str()) && wanted(&path_of(source)));
            let most = gone.len() > HANDFUL && gone.len() * 2 > known;
            if !force && !gone.is_empty() && (walk.files.is_empty() || most) {
                report.not_pruned += gone.len() as u64;
                let message = format!(
                    "the files of {} of the {known} documents of {} have gone; nothing was removed, in case its disk is \
                     not there. If they are to go, say --prune --force",
                    gone.len(),
                    walk.root.display()
                );
                events(IngestEvent::Warning { message });
                continue;
            }
            for (id, _, name) in gone {
                if self.catalog.delete(id)?.is_some() {
                    finish(report, events, name, Outcome::Removed { document: id });
                }
            }
        }
        Ok(())
    }

    fn documents_under(&self, root: &Path) -> Result<Vec<(DocumentId, String, String)>, IngestError> {
        let prefix = format!("{}/", file_uri(root).trim_end_matches('/'));
        let mut query =
            DocumentQuery { source_prefix: Some(prefix), limit: PAGE, ..DocumentQuery::default() };
        let mut out = Vec::new();
        loop {
            let page = self.catalog.documents(&query)?;
            out.extend(page.documents.into_iter().map(|d| (d.id, d.source, d.name)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(out),
            }
        }
    }
}

/// Says where a manifest lets none of the groups read that the run names, so that its own list stays.
fn beside_manifests(files: &[&SourceFile], options: &IngestOptions) -> Option<String> {
    let lists = |file: &&&SourceFile| {
        let acl = &file.meta.acl.0;
        !options.acl.is_empty() && !acl.is_empty() && acl.is_disjoint(&options.acl)
    };
    let count = files.iter().filter(lists).count();
    let first = files.iter().find(lists)?;
    Some(format!(
        "{count} files stay with the groups that their .lore.yaml names, none of which --acl names (such as {})",
        first.name
    ))
}

fn finish(report: &mut IngestReport, events: &mut dyn FnMut(IngestEvent), name: String, outcome: Outcome) {
    report.count(&outcome);
    events(IngestEvent::Finished { name, outcome });
}

/// The content of a file, unless it is larger than `limit`; never reads more than that, even while the file grows.
fn read(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    if size <= limit {
        bytes.reserve_exact(size as usize);
        file.take(limit + 1).read_to_end(&mut bytes)?;
    }
    if size.max(bytes.len() as u64) > limit {
        let message = format!(
            "the file has {} bytes, the limit is {limit}; split it, or raise document_bytes in the limits",
            size.max(bytes.len() as u64)
        );
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The path that a `file://` URI stands for.
fn path_of(source: &str) -> PathBuf {
    let encoded = source.strip_prefix("file://").unwrap_or(source);
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let decoded = (byte == b'%').then(|| {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            std::str::from_utf8(&digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok())
        });
        bytes.push(decoded.flatten().unwrap_or(byte));
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}
