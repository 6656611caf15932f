//! Files of a model folder: which ones belong to it, their hashes, and the room for them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use lore_core::ids::hex;
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::spec::Pin;

/// Files at the top of a model folder that are read besides the weights.
const TOP: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// The paths to fetch out of all those of a repository: configuration, tokenizer, modules, and one form of the weights
/// (safetensors where there are any, else PyTorch's). Copies for other runtimes stay where they are. Where one `file` is
/// asked for, that alone: a GGUF file carries its configuration and tokenizer.
pub(super) fn wanted(all: &[String], file: Option<&str>) -> Vec<String> {
    if let Some(file) = file {
        return all.iter().filter(|path| *path == file).cloned().collect();
    }
    let safe = all.iter().any(|path| is_safetensors(path));
    let keep = |path: &&String| {
        if let Some((folder, file)) = path.split_once('/') {
            let module = folder.starts_with(|c: char| c.is_ascii_digit()) && folder.contains('_');
            let weights = if safe { file == "model.safetensors" } else { file == "pytorch_model.bin" };
            return module && (file == "config.json" || weights);
        }
        TOP.contains(&path.as_str()) || if safe { is_safetensors(path) } else { is_pytorch(path) }
    };
    all.iter().filter(keep).cloned().collect()
}

/// What every model folder, or the one of `file`, must have and `paths` lack.
pub(super) fn missing(paths: &[String], file: Option<&str>) -> Vec<String> {
    if let Some(file) = file {
        return if paths.iter().any(|path| path == file) { Vec::new() } else { vec![file.to_owned()] };
    }
    let mut missing: Vec<String> = ["config.json", "tokenizer.json"]
        .into_iter()
        .filter(|need| !paths.iter().any(|path| path == need))
        .map(str::to_owned)
        .collect();
    if !paths.iter().any(|path| is_safetensors(path) || is_pytorch(path) || is_gguf(path)) {
        missing.push("model.safetensors".to_owned());
    }
    missing
}

fn is_safetensors(path: &str) -> bool {
    let index = path == "model.safetensors.index.json";
    index || (!path.contains('/') && path.starts_with("model") && path.ends_with(".safetensors"))
}

fn is_pytorch(path: &str) -> bool {
    let index = path == "pytorch_model.bin.index.json";
    index || (!path.contains('/') && path.starts_with("pytorch_model") && path.ends_with(".bin"))
}

pub(super) fn is_gguf(path: &str) -> bool {
    !path.contains('/') && path.ends_with(".gguf")
}

/// Whether a path of a listing stays inside the folder that it is joined to.
pub(super) fn is_inside(path: &str) -> bool {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    !path.contains(['\\', '\0', ':']) && !path.split('/').any(bad)
}

/// Paths of the files below `dir`, relative to it and sorted; names with a leading dot and `lore.json` are left out.
pub(super) fn walk(dir: &Path) -> Result<Vec<(String, u64)>, SourceError> {
    let mut found = Vec::new();
    let mut open = vec![(dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        let io = |cause| SourceError::io("read", &folder, cause);
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || (prefix.is_empty() && name == super::manifest::FILE) {
                continue;
            }
            // Follows links, since a hub cache is made of them.
            let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
            let path = format!("{prefix}{name}");
            if meta.is_file() {
                found.push((path, meta.len()));
            } else if meta.is_dir() && path.split('/').count() < 4 {
                open.push((entry.path(), format!("{path}/")));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Length and SHA-256 of a file.
pub(super) fn pin_of(dir: &Path, path: &str) -> Result<Pin, SourceError> {
    let full = dir.join(path);
    let mut file = File::open(&full).map_err(|cause| SourceError::io("open", &full, cause))?;
    let mut hasher = Sha256::new();
    let bytes = absorb(&mut file, &mut hasher).map_err(|cause| SourceError::io("read", &full, cause))?;
    Ok(Pin { path: path.to_owned(), bytes, sha256: hex(&hasher.finalize()) })
}

/// Feeds a reader to a hash; returns the bytes read.
pub(super) fn absorb(reader: &mut impl Read, hasher: &mut Sha256) -> std::io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..n]);
        total += n as u64;
    }
}

/// Fails when `dir` does not hold exactly the pinned bytes.
pub(super) fn check_pins(dir: &Path, pins: &[Pin]) -> Result<(), SourceError> {
    for pin in pins {
        check_pin(pin, &pin_of(dir, &pin.path)?)?;
    }
    Ok(())
}

pub(super) fn check_pin(expected: &Pin, actual: &Pin) -> Result<(), SourceError> {
    if actual.sha256 != expected.sha256 {
        return Err(SourceError::Hash {
            file: expected.path.clone(),
            expected: expected.sha256.clone(),
            actual: actual.sha256.clone(),
        });
    }
    Ok(())
}

/// Free space for an ordinary user where `path` is or will be, in megabytes.
pub(super) fn free_mb(path: &Path) -> u64 {
    let place = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(place).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000)
}

/// Fails early when `bytes` more do not fit.
pub(super) fn need_room(path: &Path, bytes: u64) -> Result<(), SourceError> {
    const SLACK_MB: u64 = 16;
    let (needed, free) = (bytes / 1_000_000 + SLACK_MB, free_mb(path));
    if free < needed {
        return Err(SourceError::DiskFull { path: path.to_owned(), needed: Some(needed), free });
    }
    Ok(())
}

/// Writes the names of a folder's entries to disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SourceError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|cause| SourceError::io("sync", dir, cause))
}
