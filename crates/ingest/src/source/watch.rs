//! Follows folders: what is written, renamed or deleted is taken in a moment later.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};

use super::files::IGNORE_FILE;
use super::manifest::MANIFEST;
use crate::pipeline::{IngestError, IngestEvent, IngestOptions, Ingester};

/// A file is taken when nothing happened to it for so long.
const QUIET: Duration = Duration::from_millis(500);
/// How often the state of changed files is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Events that may wait; when more come, the folders are walked anew.
const QUEUE: usize = 4_096;
/// Changed paths remembered; when there are more, the folders are walked anew.
const MOST_CHANGED: usize = 10_000;
/// How often folders are looked through where the system cannot tell of changes.
const POLL: Duration = Duration::from_secs(10);

/// A path to which something happened.
#[derive(Debug)]
struct Changed {
    at: Instant,
    seen: Option<State>,
}

/// Size and time of a file, `None` where it has gone.
type State = Option<(u64, Option<SystemTime>)>;

/// Takes in `paths` and then follows them until `options.stop` is set.
///
/// A file is taken half a second after its last change, when its size stands still. Files that went away are removed
/// where `options.prune` is set (of a folder that lost most of its files, only with `options.force`), as are those that a manifest ignores now. A changed `.lore.yaml` or `.loreignore`, and
/// changes that come faster than they can be noted, make the folders be walked anew.
///
/// # Errors
/// As [`Ingester::ingest_paths`] at the start, and [`IngestError::Watch`]. Later a wrong manifest or a folder that went
/// away is a [`IngestEvent::Warning`], and the rest goes on; an error of the catalog ends it.
pub fn watch(
    ingester: &Ingester,
    paths: &[PathBuf],
    options: &IngestOptions,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<(), IngestError> {
    let overflow = Arc::new(AtomicBool::new(false));
    let (send, queue) = mpsc::sync_channel::<Event>(QUEUE);
    // First watch, then walk: what changes meanwhile is seen by one of them.
    let _watcher = start(paths, send, overflow.clone())?;
    ingester.ingest_paths(paths, options, events)?;
    // A person asked once for these groups; what a person sets later holds.
    let options =
        &IngestOptions { acl_of_new: true, reset_acl: false, retry_failed: false, ..options.clone() };
    let mut changed: HashMap<PathBuf, Changed> = HashMap::new();
    let mut anew = false;
    let mut last = Instant::now();
    while !options.stopped() {
        match queue.recv_timeout(TICK) {
            Ok(event) => {
                last = Instant::now();
                anew |= note(&event, &mut changed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Ok(event) = queue.try_recv() {
            last = Instant::now();
            anew |= note(&event, &mut changed);
        }
        if overflow.swap(false, Ordering::AcqRel) || changed.len() > MOST_CHANGED {
            tracing::warn!("more changes than can be noted; the folders are walked anew");
            anew = true;
            changed.clear();
        }
        if anew && last.elapsed() >= QUIET {
            changed.clear();
            anew = !attempt(ingester, paths, options, &|_| true, events)?;
            last = Instant::now();
            continue;
        }
        let ready = take_ready(&mut changed);
        if ready.is_empty() || anew {
            continue;
        }
        let wanted = |path: &Path| ready.iter().any(|changed| path.starts_with(changed));
        if !attempt(ingester, paths, options, &wanted, events)? {
            anew = true;
            last = Instant::now();
        }
    }
    Ok(())
}

/// One run; a wrong manifest or a missing folder is told, and `false` says that it must be tried again.
fn attempt(
    ingester: &Ingester,
    paths: &[PathBuf],
    options: &IngestOptions,
    wanted: &dyn Fn(&Path) -> bool,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<bool, IngestError> {
    match ingester.ingest_some(paths, options, wanted, events) {
        Ok(_) => Ok(true),
        Err(IngestError::Walk(error)) => {
            events(IngestEvent::Warning { message: error.to_string() });
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn start(
    paths: &[PathBuf],
    send: mpsc::SyncSender<Event>,
    overflow: Arc<AtomicBool>,
) -> Result<Box<dyn Watcher + Send>, IngestError> {
    let handler = move |event: notify::Result<Event>| match event {
        Ok(event) => {
            if event.need_rescan() || matches!(send.try_send(event), Err(mpsc::TrySendError::Full(_))) {
                overflow.store(true, Ordering::Release);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "changes may have been missed; the folders are walked anew");
            overflow.store(true, Ordering::Release);
        }
    };
    let fail = |path: &Path, error: &notify::Error| IngestError::Watch {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new("."));
    let mut native = notify::recommended_watcher(handler.clone()).map_err(|e| fail(first, &e))?;
    match add(&mut native, paths) {
        Ok(()) => return Ok(Box::new(native)),
        Err((_, error)) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
            tracing::warn!(
                "the system's limit on watched folders is reached (fs.inotify.max_user_watches); looking every {} s",
                POLL.as_secs()
            );
        }
        Err((path, error)) => return Err(fail(&path, &error)),
    }
    let config = notify::Config::default().with_poll_interval(POLL);
    let mut polling = notify::PollWatcher::new(handler, config).map_err(|e| fail(first, &e))?;
    add(&mut polling, paths).map_err(|(path, error)| fail(&path, &error))?;
    Ok(Box::new(polling))
}

fn add(watcher: &mut dyn Watcher, paths: &[PathBuf]) -> Result<(), (PathBuf, notify::Error)> {
    for path in paths {
        let path = path.canonicalize().map_err(|e| (path.clone(), notify::Error::io(e)))?;
        // An editor replaces a file; its folder sees that.
        let (target, mode) = match path.parent() {
            Some(parent) if path.is_file() => (parent.to_owned(), RecursiveMode::NonRecursive),
            _ => (path, RecursiveMode::Recursive),
        };
        watcher.watch(&target, mode).map_err(|error| (target, error))?;
    }
    Ok(())
}

/// Notes an event's paths; true where all folders must be walked anew.
fn note(event: &Event, changed: &mut HashMap<PathBuf, Changed>) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        // Our own reading is an event too.
        EventKind::Access(_) => return false,
        _ => {}
    }
    let mut anew = false;
    for path in &event.paths {
        anew |= path.file_name().is_some_and(|name| name == MANIFEST || name == IGNORE_FILE);
        changed.insert(path.clone(), Changed { at: Instant::now(), seen: None });
    }
    anew
}

/// Takes out the paths that stood still for [`QUIET`]: no event, and the same state at two looks.
fn take_ready(changed: &mut HashMap<PathBuf, Changed>) -> Vec<PathBuf> {
    let mut ready = Vec::new();
    changed.retain(|path, change| {
        if change.at.elapsed() < QUIET {
            return true;
        }
        let now = state(path);
        if change.seen == Some(now) {
            ready.push(path.clone());
            return false;
        }
        change.seen = Some(now);
        true
    });
    ready
}

fn state(path: &Path) -> State {
    let file = std::fs::metadata(path).ok()?;
    Some((if file.is_file() { file.len() } else { 0 }, file.modified().ok().filter(|_| file.is_file())))
}
