//! `lore releases list` and `lore releases show`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use jiff::Timestamp;
use lore_index::{Release, ReleaseDetails, SourceState};
use lore_inference::release::ReleaseStore;

use crate::settings::Settings;
use crate::{open, print};

/// Most sources that are shown by name.
const SHOWN: usize = 20;

/// Lists the releases.
///
/// # Errors
/// Fails where the catalog does.
pub async fn list(settings: &Settings) -> anyhow::Result<ExitCode> {
    let catalog = open::catalog(settings).await?;
    let releases = open::blocking(move || catalog.releases()).await?;
    if settings.json {
        print::json(&releases)?;
    } else {
        let store = ReleaseStore::of(&settings.data_dir);
        let rows: Vec<Vec<String>> = releases.iter().map(|release| row(release, &store)).collect();
        print::table(&["release", "state", "made", "verdict", "documents", "size", "note"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the release that `wanted` names.
///
/// # Errors
/// Fails where there is none such.
pub async fn show(settings: &Settings, wanted: String) -> anyhow::Result<ExitCode> {
    let catalog = open::catalog(settings).await?;
    let found = open::blocking(move || catalog.release(&wanted)).await?;
    if settings.json {
        print::json(&found)?;
    } else {
        for (key, text) in fields(&found) {
            print::line(&format!("{key:12} {text}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(release: &Release, store: &ReleaseStore) -> Vec<String> {
    let mut notes = notes(release);
    if release.removed_at.is_none() && !store.path(&release.id).is_dir() {
        notes.push("ITS FOLDER IS MISSING".to_owned());
    }
    vec![
        release.label(),
        release.state.name().to_owned(),
        time(release.created_at),
        verdict(release).to_owned(),
        release.documents.to_string(),
        size(release.bytes),
        notes.join("; "),
    ]
}

fn verdict(release: &Release) -> &'static str {
    match &release.verdict {
        None => "-",
        Some(verdict) if verdict.passed => "passed",
        Some(_) => "not passed",
    }
}

/// What a person should know of a release before relying on it.
fn notes(release: &Release) -> Vec<String> {
    let mut notes = Vec::new();
    let of = |state: SourceState| {
        let gone = release.gone.iter().filter(|gone| gone.state == state);
        gone.map(|gone| gone.source.document.0).collect::<BTreeSet<_>>().len()
    };
    for (count, one, several) in [
        (of(SourceState::Deleted), "was deleted", "were deleted"),
        (
            of(SourceState::VersionGone),
            "is not kept in the version that it learned from",
            "are not kept in the versions that it learned from",
        ),
        (of(SourceState::NeverHere), "was never here", "were never here"),
    ] {
        match count {
            0 => {}
            1 => notes.push(format!("LEARNED FROM 1 DOCUMENT that {one}")),
            _ => notes.push(format!("LEARNED FROM {count} DOCUMENTS that {several}")),
        }
    }
    if let Some(reason) = &release.reason {
        notes.push(format!("cannot be run: {reason}"));
    }
    if let Some(reason) = &release.forced {
        notes.push(format!("forced: {reason}"));
    }
    if release.removed_at.is_some() {
        notes.push("its files were removed".to_owned());
    }
    notes
}

fn fields(found: &ReleaseDetails) -> Vec<(&'static str, String)> {
    let release = &found.release;
    let origin = &release.origin;
    let mut out = vec![
        ("id", release.id.clone()),
        ("name", release.name.clone()),
        ("state", release.state.name().to_owned()),
        ("made", time(release.created_at)),
        ("size", size(release.bytes)),
    ];
    let mut add = |key, value: Option<String>| out.extend(value.map(|value| (key, value)));
    add("base", origin.base.clone());
    add("base hash", origin.base_hash.clone());
    add("data hash", origin.data_hash.clone());
    add("seed", origin.seed.map(|seed| seed.to_string()));
    add("lore", origin.code_version.clone());
    add("documents", Some(release.documents.to_string()));
    for note in notes(release) {
        add("note", Some(note));
    }
    for source in release.gone.iter().take(SHOWN) {
        let what = match source.state {
            SourceState::Deleted => "deleted",
            SourceState::NeverHere => "never here",
            SourceState::VersionGone | SourceState::Live | SourceState::Replaced => "version gone",
        };
        add("gone", Some(format!("{} (version {}): {what}", source.source.name, source.source.version)));
    }
    if let Some(verdict) = &release.verdict {
        let passed = if verdict.passed { "passed" } else { "not passed" };
        add("verdict", Some(format!("{passed} against {} on {}", verdict.against, time(verdict.at))));
        for reason in &verdict.reasons {
            add("because", Some(reason.clone()));
        }
    }
    for promotion in &found.promotions {
        let before = promotion.before.as_deref().unwrap_or("the model of the settings");
        let mut text = format!("{} by {}, after {before}", time(promotion.at), promotion.by);
        if let Some(reason) = &promotion.forced {
            text.push_str(&format!(", forced: {reason}"));
        }
        if let (Some(at), Some(by)) = (promotion.undone_at, &promotion.undone_by) {
            text.push_str(&format!("; rolled back {} by {by}", time(at)));
        }
        add("live", Some(text));
    }
    if let Some(config) = &origin.config {
        for line in config.lines() {
            add("config", Some(line.to_owned()));
        }
    }
    out
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1e6 { format!("{:.1} kB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) }
}
