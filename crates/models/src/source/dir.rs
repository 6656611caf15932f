//! A local folder as a source: used in place, never copied or written to.

use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::files;
use super::spec::ModelSpec;

/// The model's folder below `base`, or `base` itself.
pub(super) fn find(base: &Path, spec: &ModelSpec) -> Result<PathBuf, SourceError> {
    let joined = spec.name().replace('/', "--");
    let last = spec.name().rsplit('/').next().unwrap_or(spec.name());
    let below = [
        base.join(spec.folder()),
        base.join(&joined),
        base.join(spec.name()),
        base.join(last),
        snapshot(&base.join(format!("models--{joined}")), spec),
        base.to_owned(),
    ];
    let sign = spec.file().unwrap_or("config.json");
    let Some(found) = below.into_iter().find(|path| path.join(sign).is_file()) else {
        return Err(SourceError::NotInDir { path: base.to_owned(), model: spec.name().to_owned() });
    };
    check(&found, spec)?;
    Ok(found)
}

/// Fails when a folder lacks what every model needs, or differs from the pins. A GGUF file is whole by itself.
pub(super) fn check(dir: &Path, spec: &ModelSpec) -> Result<(), SourceError> {
    if dir.is_file() && dir.extension().is_some_and(|extension| extension == "gguf") {
        return Ok(());
    }
    let paths: Vec<String> = files::walk(dir)?.into_iter().map(|(path, _)| path).collect();
    let mut missing = files::missing(&paths, spec.file());
    missing.extend(spec.pins().iter().map(|pin| pin.path.clone()).filter(|path| !paths.contains(path)));
    missing.dedup();
    if !missing.is_empty() {
        return Err(SourceError::Incomplete { place: dir.display().to_string(), missing });
    }
    files::check_pins(dir, spec.pins())
}

/// The snapshot that a hub cache holds of the revision, after the cache's `refs`.
fn snapshot(cache: &Path, spec: &ModelSpec) -> PathBuf {
    let revision = spec.hub_revision();
    let commit = std::fs::read_to_string(cache.join("refs").join(revision)).ok();
    let by_ref = cache.join("snapshots").join(commit.as_deref().map_or(revision, str::trim));
    if by_ref.is_dir() || spec.revision().is_some() {
        return by_ref;
    }
    let main = std::fs::read_to_string(cache.join("refs/main")).unwrap_or_default();
    cache.join("snapshots").join(main.trim())
}
