//! Reads the examples of a training in a process of its own, which may take long and much memory, and ends with whoever waits.

use std::process::Stdio;
use std::time::Duration;

use lore_server::trainings::{ConfigProblem, DeskError, PreviewExample, TrainingPreview};
use lore_train::plan::Memory;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::config::FILE;
use super::{failed, folder, with_total};
use crate::settings::Settings;

/// Longest that it may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most bytes of what it prints that are taken.
const MOST: usize = 16 << 20;
/// Most bytes of what it says beside.
const TOLD: usize = 1 << 20;

/// What a training would do, and what is to be told of it; or why it cannot.
pub async fn plan(
    settings: &Settings,
    text: &str,
) -> Result<Result<(Value, Vec<String>), ConfigProblem>, DeskError> {
    let said = run(settings, text, &["--dry-run"]).await?;
    let mut plan: Value = match said.printed.first().map(|line| serde_json::from_str(line)) {
        Some(Ok(plan)) => plan,
        _ => return Ok(Err(said.problem())),
    };
    let memory = Memory::deserialize(&plan["memory"]).map_err(|error| failed(error.into()))?;
    plan["memory"] = with_total(plan["memory"].take(), memory.total());
    Ok(Ok((plan, said.notes())))
}

/// The first `count` examples.
pub async fn preview(settings: &Settings, text: &str, count: usize) -> Result<TrainingPreview, DeskError> {
    let said = run(settings, text, &["--inspect", &count.to_string()]).await?;
    if said.printed.is_empty() {
        return Err(DeskError::Refused(said.problem().message));
    }
    let examples = said.printed.iter().map(|line| serde_json::from_str::<PreviewExample>(line));
    let examples = examples.collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.into()))?;
    Ok(TrainingPreview { examples, notes: said.notes() })
}

/// What a process printed, and what it said beside.
struct Said {
    printed: Vec<String>,
    told: String,
}

impl Said {
    fn notes(&self) -> Vec<String> {
        self.told.lines().filter_map(|line| line.strip_prefix("note: ")).map(str::to_owned).collect()
    }

    /// Why it ended without what was asked for.
    fn problem(&self) -> ConfigProblem {
        let error = self.told.split_once("error: ").map(|(_, error)| error.trim());
        let message = error.unwrap_or("the examples could not be read; the server's log may say why");
        ConfigProblem { key: None, line: None, message: message.chars().take(2000).collect() }
    }
}

/// `lore train` with the settings of this process.
async fn run(settings: &Settings, text: &str, more: &[&str]) -> Result<Said, DeskError> {
    let make = || {
        let place = tempfile::Builder::new().prefix("lore-check-").tempdir()?;
        let file = place.path().join(FILE);
        std::fs::write(&file, text)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("train").arg(&file).args(more).arg("--gently").arg("--json");
        command.args(settings.flags());
        let output = folder(&settings.data_dir, "new").display().to_string();
        command.arg(format!("output_dir={}", Value::String(output)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        anyhow::Ok((place, command))
    };
    let (_place, mut command) = make().map_err(failed)?;
    let mut child = command.spawn().map_err(|error| failed(error.into()))?;
    let (printed, told) = (child.stdout.take(), child.stderr.take());
    // One that prints more ends by itself, since nobody reads it.
    let ended = async { tokio::try_join!(taken(printed, MOST + 1), taken(told, TOLD), child.wait()) };
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    let Ok(ended) = ended else {
        let seconds = PATIENCE.as_secs();
        return Err(DeskError::Refused(format!(
            "reading the examples took more than {seconds} s; bound them with max_samples"
        )));
    };
    let (printed, told, status) = ended.map_err(|error| failed(error.into()))?;
    let told = String::from_utf8_lossy(&told).into_owned();
    if printed.len() > MOST {
        return Err(DeskError::Refused(
            "the examples are too long to be shown; set a smaller cutoff_len".into(),
        ));
    }
    if !status.success() {
        tracing::debug!(%status, told, "reading examples failed");
    }
    let printed = String::from_utf8_lossy(&printed);
    let printed = printed.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
    Ok(Said { printed, told })
}

/// The first `most` bytes of what a process prints.
async fn taken(from: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    if let Some(from) = from {
        from.take(most as u64).read_to_end(&mut taken).await?;
    }
    Ok(taken)
}
