//! lore-nano: the small base generator that comes with the binary.
//!
//! `models/lore-nano` of the repository, as it is there; its README says what it is. [`unpack`] makes a folder of it, from
//! which it is opened as any other model.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lore_core::ids::hex;
use sha2::{Digest as _, Sha256};

/// What it is called.
pub const NAME: &str = "lore-nano";
/// How it and extraction did on the test questions of docs-corpus, as JSON.
pub const EVALUATION: &[u8] = include_bytes!("../../../models/lore-nano/evaluation.json");

/// Its files.
const FILES: [(&str, &[u8]); 5] = [
    ("config.json", include_bytes!("../../../models/lore-nano/config.json")),
    ("generation_config.json", include_bytes!("../../../models/lore-nano/generation_config.json")),
    ("model.safetensors", include_bytes!("../../../models/lore-nano/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../models/lore-nano/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../models/lore-nano/tokenizer_config.json")),
];
/// Bytes of the hash that are its version.
const VERSION: usize = 6;

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, bytes) in FILES {
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex(&hash.finalize()[..VERSION])
});

/// Its version: a hash of its files.
pub fn version() -> &'static str {
    &HASH
}

/// The folder of its files in `models`, which is made where it is not there; it appears whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn unpack(models: &Path) -> io::Result<PathBuf> {
    let folder = models.join(format!("{NAME}-{}", version()));
    let whole = |folder: &Path| {
        let length = |name| std::fs::metadata(folder.join(name)).map_or(0, |found| found.len());
        FILES.iter().all(|(name, bytes)| length(*name) == bytes.len() as u64)
    };
    if whole(&folder) {
        return Ok(folder);
    }
    std::fs::create_dir_all(models)?;
    let made = tempfile::Builder::new().prefix(NAME).tempdir_in(models)?;
    for (name, bytes) in FILES {
        let path = made.path().join(name);
        std::fs::write(&path, bytes)?;
        std::fs::File::open(&path)?.sync_all()?;
    }
    if folder.exists() {
        // Damaged: another cannot be renamed over it.
        std::fs::remove_dir_all(&folder)?;
    }
    let made = made.keep();
    match std::fs::rename(&made, &folder) {
        // Another process was first.
        Err(_) if whole(&folder) => std::fs::remove_dir_all(&made)?,
        other => other?,
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn it_is_unpacked_once_and_again_where_it_is_damaged() {
        let models = tempfile::tempdir().unwrap();
        let folder = unpack(models.path()).unwrap();
        assert!(folder.ends_with(format!("lore-nano-{}", version())));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        assert!(FILES.iter().all(|(name, bytes)| read(name) == *bytes));
        let time = std::fs::metadata(&folder).unwrap().modified().unwrap();
        assert_eq!(unpack(models.path()).unwrap(), folder);
        assert_eq!(std::fs::metadata(&folder).unwrap().modified().unwrap(), time);
        std::fs::write(folder.join("config.json"), "{").unwrap();
        assert_eq!(unpack(models.path()).unwrap(), folder);
        assert_eq!(read("config.json"), FILES[0].1);
        assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_whole_model_is_small() {
        let bytes: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes < 16 << 20, "{bytes}");
    }
}
