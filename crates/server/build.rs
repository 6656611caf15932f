//! Embeds what the browser gets: every file under `web/assets` with its compressed forms, and the templates.
//!
//! One hash over all assets is part of their address, so that modules can import each other by relative paths and
//! everything can be cached for ever. What was compressed is kept in the build folder under the hash of its content:
//! only changed files are compressed again.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Digits of a hash that are kept: an address must change with its content, nobody has to be kept from finding another.
const HASH_DIGITS: usize = 16;
/// Brotli's greatest effort and window: files are small and compressed once.
const BROTLI: (u32, u32) = (11, 22);

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("web");
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", root.display());
    let cache = out.join("compressed");
    fs::create_dir_all(&cache)?;

    let mut code = String::new();
    let mut all = Sha256::new();
    let mut table = String::new();
    for (name, path) in files(&root.join("assets"))? {
        let content = fs::read(&path)?;
        let hash = digits(&Sha256::digest(&content));
        all.update(name.as_bytes());
        all.update([0]);
        all.update(hash.as_bytes());
        let brotli = smaller(&cache, &hash, "br", &content, brotli)?;
        let gzip = smaller(&cache, &hash, "gz", &content, gzip)?;
        let include = |file: &Option<PathBuf>| match file {
            Some(file) => format!("Some(include_bytes!({file:?}))"),
            None => "None".to_owned(),
        };
        line(
            &mut table,
            format_args!(
                "    Asset {{ path: {name:?}, hash: {hash:?}, plain: include_bytes!({path:?}), brotli: {}, gzip: {} }},",
                include(&brotli),
                include(&gzip)
            ),
        );
    }
    line(
        &mut code,
        format_args!("/// One hash over all assets.\npub const HASH: &str = {:?};", digits(&all.finalize())),
    );
    line(
        &mut code,
        format_args!("/// The assets in order of their paths.\npub static ASSETS: &[Asset] = &[\n{table}];"),
    );
    let mut templates = String::new();
    for (name, path) in files(&root.join("templates"))? {
        line(&mut templates, format_args!("    ({name:?}, include_str!({path:?})),"));
    }
    line(
        &mut code,
        format_args!(
            "/// Names and texts of the templates.\npub static TEMPLATES: &[(&str, &str)] = &[\n{templates}];"
        ),
    );
    fs::write(out.join("assets.rs"), code)
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}

/// Every file below `folder` with its path from there, `/` between the parts, in order.
fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), folder.to_path_buf())];
    while let Some((prefix, folder)) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::other(format!("{}: the name is not UTF-8", folder.join(name).display()))
            })?;
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push((format!("{prefix}{name}/"), entry.path()));
            } else {
                found.push((format!("{prefix}{name}"), entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn digits(hash: &[u8]) -> String {
    let mut text = String::new();
    for byte in hash {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(HASH_DIGITS);
    text
}

/// The compressed form of `content`, kept in `cache`; `None` where it would not be smaller.
fn smaller(
    cache: &Path,
    hash: &str,
    kind: &str,
    content: &[u8],
    compress: fn(&[u8]) -> io::Result<Vec<u8>>,
) -> io::Result<Option<PathBuf>> {
    let path = cache.join(format!("{hash}.{kind}"));
    if !path.exists() {
        let partial = cache.join(format!("{hash}.{kind}.partial"));
        fs::write(&partial, compress(content)?)?;
        fs::rename(&partial, &path)?;
    }
    let length = fs::metadata(&path)?.len();
    Ok((length < content.len() as u64).then_some(path))
}

fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let (quality, window) = BROTLI;
    let mut writer = brotli::CompressorWriter::new(&mut out, 4096, quality, window);
    writer.write_all(content)?;
    drop(writer);
    Ok(out)
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(content)?;
    writer.finish()
}
