//! The folders of releases: `<data>/releases/<id>/`, each named by the SHA-256 of its content.
//!
//! A folder is made under a temporary name, its files and itself are synced, then it is renamed: it is there as a whole or
//! not at all. Nothing writes into it afterwards, and [`ReleaseStore::verify`] tells whether anybody did.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lore_models::record::RUN;
use sha2::{Digest as _, Sha256};

use super::ReleaseError;
use super::lease::{self, Lease};

/// The folder's name in the data folder.
const FOLDER: &str = "releases";
/// What is being made or removed begins with this.
const TEMPORARY: &str = ".tmp-";
/// Locked by everybody who makes a folder, shared; whoever has it alone may remove what was left behind.
const MAKING: &str = ".making";
/// Most files of a release.
const FILES: usize = 256;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// The one file of a release that is a GGUF file, whatever it was called.
const GGUF: &str = "model.gguf";
/// The files of an adapter that is computed beside the weights of its base; they lie beside the base's own.
const ADAPTER: [&str; 3] = ["adapter_config.json", "adapter_model.safetensors", "lore_adapter.json"];
/// Of a run, not of a model: what may be written after the content was named.
const OUTSIDE: [&str; 2] = ["report.json", "metrics.jsonl"];
/// Begins what is hashed, so that the hash means nothing else.
const DOMAIN: &[u8] = b"lore release 1\n";

/// A release's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The hash of its content.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether a release with this content was there already.
    pub known: bool,
}

/// The folders of a data folder's releases.
#[derive(Clone, Debug)]
pub struct ReleaseStore {
    folder: PathBuf,
}

impl ReleaseStore {
    /// That of the data folder `data`; nothing is made yet.
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join(FOLDER) }
    }

    /// The folder of release `id`, whether it is there or not.
    pub fn path(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// What is to be opened of release `id`: its folder, or its one GGUF file.
    pub fn model(&self, id: &str) -> PathBuf {
        let folder = self.path(id);
        let file = folder.join(GGUF);
        if file.is_file() { file } else { folder }
    }

    /// The folder of the adapter of release `id`, which is computed beside its weights, where it has one.
    pub fn adapter(&self, id: &str) -> Option<PathBuf> {
        let folder = self.path(id);
        folder.join(ADAPTER[0]).is_file().then_some(folder)
    }

    /// Makes a release of the model at `model` (a folder, of which the files that lie in it directly are taken, or a GGUF
    /// file), with the files `more` (name and content) in place of its own of these names.
    ///
    /// # Errors
    /// `NoModel`, `TooMany`, `DiskFull`, `Io`; nothing is left behind.
    pub fn add(&self, model: &Path, more: &[(&str, &[u8])]) -> Result<Stored, ReleaseError> {
        self.add_adapted(model, None, more)
    }

    /// As [`ReleaseStore::add`], with the adapter in the folder `adapter`, which is computed beside the model's weights
    /// instead of being merged into them.
    ///
    /// # Errors
    /// As [`ReleaseStore::add`], and `NoAdapter`.
    pub fn add_adapted(
        &self,
        model: &Path,
        adapter: Option<&Path>,
        more: &[(&str, &[u8])],
    ) -> Result<Stored, ReleaseError> {
        let mut sources = sources(model)?;
        if let Some(adapter) = adapter {
            // The base's own run is not the one that made the adapter.
            sources.retain(|(name, _)| !ADAPTER.contains(&name.as_str()) && name != RUN);
            sources.extend(adapter_files(adapter)?);
        }
        sources.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        std::fs::create_dir_all(&self.folder).map_err(|error| ReleaseError::io(&self.folder, error))?;
        let (path, making) = self.making()?;
        making.lock_shared().map_err(|error| ReleaseError::io(&path, error))?;
        let place = Temporary::new(&self.folder)?;
        let mut entries = Vec::new();
        for (name, source) in &sources {
            let mut file = File::open(source).map_err(|error| ReleaseError::io(source, error))?;
            entries.push(place.write(name, &mut file, source)?);
        }
        for (name, content) in more {
            let mut content: &[u8] = content;
            entries.push(place.write(name, &mut content, &place.path)?);
        }
        let (id, bytes) = (name_of(&mut entries), entries.iter().map(|entry| entry.bytes).sum());
        sync(&place.path)?;
        // Nobody removes it while it takes its name.
        let _lease = lease::shared(&self.folder, &id)?;
        let path = self.path(&id);
        let known = match self.verify(&id) {
            Ok(()) => true,
            Err(ReleaseError::Missing { .. }) => false,
            Err(ReleaseError::Damaged { .. }) => {
                self.clear(&path)?;
                false
            }
            Err(error) => return Err(error),
        };
        if !known {
            place.publish(&path)?;
            sync(&self.folder)?;
        }
        Ok(Stored { id, bytes, known })
    }

    /// Whether the folder of release `id` holds what it held when it was made. Reads all of it.
    ///
    /// # Errors
    /// `Missing`, `Damaged`, `BadId`, and `Io` where it cannot be read.
    pub fn verify(&self, id: &str) -> Result<(), ReleaseError> {
        let mut entries = Vec::new();
        for (name, path) in self.files(id)? {
            let mut file = File::open(&path).map_err(|error| ReleaseError::io(&path, error))?;
            let mut hash = Sha256::new();
            let bytes = pour(&mut file, |piece| {
                hash.update(piece);
                Ok(())
            });
            let bytes = bytes.map_err(|error| ReleaseError::io(&path, error))?;
            entries.push(Entry { name, bytes, hash: hash.finalize().into() });
        }
        let found = name_of(&mut entries);
        if found == id { Ok(()) } else { Err(ReleaseError::Damaged { id: id.to_owned(), found }) }
    }

    /// Bytes of the files of release `id`.
    ///
    /// # Errors
    /// `Missing`, `BadId`, `Io`.
    pub fn bytes(&self, id: &str) -> Result<u64, ReleaseError> {
        let size = |path: &Path| std::fs::metadata(path).map_err(|error| ReleaseError::io(path, error));
        self.files(id)?.iter().try_fold(0, |sum, (_, path)| Ok(sum + size(path)?.len()))
    }

    /// A lease on release `id`, which keeps its folder where it is.
    ///
    /// # Errors
    /// `Missing`, `BadId`, `Io`.
    pub fn lease(&self, id: &str) -> Result<Lease, ReleaseError> {
        check(id)?;
        if !self.path(id).is_dir() {
            return Err(ReleaseError::Missing { id: id.to_owned() });
        }
        let lease = lease::shared(&self.folder, id)?;
        // It may have gone while the lock was waited for.
        if self.path(id).is_dir() { Ok(lease) } else { Err(ReleaseError::Missing { id: id.to_owned() }) }
    }

    /// Removes the folder of release `id`, unless anybody has a lease on it; the bytes that this freed, 0 where there was
    /// no folder.
    ///
    /// # Errors
    /// `Leased`, `BadId`, `Io`.
    pub fn remove(&self, id: &str) -> Result<u64, ReleaseError> {
        check(id)?;
        let path = self.path(id);
        if !path.is_dir() {
            return Ok(0);
        }
        let Some(_alone) = lease::exclusive(&self.folder, id)? else {
            return Err(ReleaseError::Leased { id: id.to_owned() });
        };
        let bytes = match self.bytes(id) {
            Err(ReleaseError::Missing { .. }) => return Ok(0),
            other => other?,
        };
        self.clear(&path)?;
        sync(&self.folder)?;
        Ok(bytes)
    }

    /// Removes what somebody who was killed left half made, unless something is being made now; how many folders.
    ///
    /// # Errors
    /// `Io`.
    pub fn sweep(&self) -> Result<usize, ReleaseError> {
        if !self.folder.is_dir() {
            return Ok(0);
        }
        let (_, making) = self.making()?;
        if making.try_lock().is_err() {
            return Ok(0);
        }
        let mut removed = 0;
        for (name, path) in entries(&self.folder)? {
            if name.starts_with(TEMPORARY) {
                std::fs::remove_dir_all(&path).map_err(|error| ReleaseError::io(&path, error))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn making(&self) -> Result<(PathBuf, File), ReleaseError> {
        lease::lock_file(self.folder.join(MAKING))
    }

    /// Takes the folder at `path` out of sight at once, then removes it.
    fn clear(&self, path: &Path) -> Result<(), ReleaseError> {
        let aside = fresh(&self.folder);
        std::fs::rename(path, &aside).map_err(|error| ReleaseError::io(path, error))?;
        std::fs::remove_dir_all(&aside).map_err(|error| ReleaseError::io(&aside, error))
    }

    /// The files of release `id`, by name; whatever else lies in its folder counts as one, so that it does not go unseen.
    fn files(&self, id: &str) -> Result<Vec<(String, PathBuf)>, ReleaseError> {
        check(id)?;
        let path = self.path(id);
        if !path.is_dir() {
            return Err(ReleaseError::Missing { id: id.to_owned() });
        }
        entries(&path)
    }
}

/// Refuses what cannot be a release's id, such as a path.
fn check(id: &str) -> Result<(), ReleaseError> {
    let is_one = id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_one { Ok(()) } else { Err(ReleaseError::BadId(id.chars().take(80).collect())) }
}

/// The files that make up the model at `model`, by the names that they get.
fn sources(model: &Path) -> Result<Vec<(String, PathBuf)>, ReleaseError> {
    let none = || ReleaseError::NoModel { path: model.to_owned() };
    if model.is_file() {
        let gguf = model.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        return if gguf { Ok(vec![(GGUF.to_owned(), model.to_owned())]) } else { Err(none()) };
    }
    if !model.is_dir() {
        return Err(none());
    }
    let mut found = entries(model)?;
    found
        .retain(|(name, path)| !name.starts_with('.') && !OUTSIDE.contains(&name.as_str()) && path.is_file());
    if found.len() > FILES {
        return Err(ReleaseError::TooMany { path: model.to_owned(), most: FILES });
    }
    let ends = |end: &str| found.iter().filter(|(name, _)| name.ends_with(end)).count();
    let folder = found.iter().any(|(name, _)| name == "config.json") && ends(".safetensors") > 0;
    if !folder && ends(".gguf") == 1 {
        for (name, _) in &mut found {
            if name.ends_with(".gguf") {
                GGUF.clone_into(name);
            }
        }
        return Ok(found);
    }
    if folder { Ok(found) } else { Err(none()) }
}

/// The files of the adapter in `folder`.
fn adapter_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, ReleaseError> {
    let files = ADAPTER.iter().map(|name| ((*name).to_owned(), folder.join(name)));
    let found: Vec<(String, PathBuf)> = files.filter(|(_, path)| path.is_file()).collect();
    let whole = ADAPTER[..2].iter().all(|name| found.iter().any(|(there, _)| there == name));
    if whole { Ok(found) } else { Err(ReleaseError::NoAdapter { path: folder.to_owned() }) }
}

/// Names and paths of what lies in a folder.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, ReleaseError> {
    let wrong = |error| ReleaseError::io(folder, error);
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        out.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    out.sort();
    Ok(out)
}

/// A file as it counts for the name of its release.
struct Entry {
    name: String,
    bytes: u64,
    hash: [u8; 32],
}

/// The id of the release that these files make up, in whatever order they come.
fn name_of(entries: &mut [Entry]) -> String {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    for Entry { name, bytes, hash: content } in entries.iter() {
        // Lengths first, so that no two lists of files are one run of bytes.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(bytes.to_le_bytes());
        hash.update(content);
    }
    lore_core::ids::hex(&hash.finalize())
}

/// Hands all of `source` to `each`, piece by piece; how many bytes.
fn pour(
    source: &mut impl std::io::Read,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; PIECE], 0);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => {
                each(&buffer[..read])?;
                bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn sync(folder: &Path) -> Result<(), ReleaseError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| ReleaseError::io(folder, error))
}

/// A name under which something is made or removed.
fn fresh(folder: &Path) -> PathBuf {
    folder.join(format!("{TEMPORARY}{:016x}", rand::random::<u64>()))
}

/// A folder in the making; removed when it is dropped before it got its name.
struct Temporary {
    path: PathBuf,
    published: bool,
}

impl Temporary {
    fn new(folder: &Path) -> Result<Self, ReleaseError> {
        let path = fresh(folder);
        std::fs::create_dir(&path).map_err(|error| ReleaseError::io(&path, error))?;
        Ok(Self { path, published: false })
    }

    /// Writes a file that nobody is to change, synced; `from` is what an error while reading is about.
    fn write(&self, name: &str, source: &mut impl std::io::Read, from: &Path) -> Result<Entry, ReleaseError> {
        let path = self.path.join(name);
        let wrong = |error| ReleaseError::io(&path, error);
        let mut file = File::options().write(true).create_new(true).open(&path).map_err(wrong)?;
        let (mut hash, mut failed) = (Sha256::new(), None);
        let poured = pour(source, |piece| {
            hash.update(piece);
            file.write_all(piece).map_err(|error| {
                failed = Some(ReleaseError::io(&path, error));
                std::io::ErrorKind::WriteZero.into()
            })
        });
        let bytes = match (poured, failed) {
            (_, Some(error)) => return Err(error),
            (poured, None) => poured.map_err(|error| ReleaseError::io(from, error))?,
        };
        file.set_permissions(std::fs::Permissions::from_mode(0o444)).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        Ok(Entry { name: name.to_owned(), bytes, hash: hash.finalize().into() })
    }

    fn publish(mut self, path: &Path) -> Result<(), ReleaseError> {
        match std::fs::rename(&self.path, path) {
            Ok(()) => {
                self.published = true;
                Ok(())
            }
            // Somebody made the same at the same time.
            Err(_) if path.is_dir() => Ok(()),
            Err(error) => Err(ReleaseError::io(path, error)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished release could not be removed");
        }
    }
}
