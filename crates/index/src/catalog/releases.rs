//! Releases of the language model: where each comes from, what was found of it, and which one is live.
//!
//! The row whose state is `live` is the alias; moving it is one transaction. Going back follows the promotions: each row of
//! `promotions` that was not undone names what was live before it, so that two steps back lead to the one before that.

use lore_core::live::{EXTRACTIVE, ReleaseName, short};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::db::Write;
use super::release_types::{
    NewRelease, Promotion, Release, ReleaseDetails, ReleaseSource, ReleaseState, ReleaseVerdict, Rollback,
    SourceState, StoredSource,
};
use super::{Catalog, rows};
use crate::error::{IndexError, Result};

/// What people may write for the live release.
const LIVE: &str = "live";
/// Fewest digits of an id that name a release.
const LEAST_DIGITS: usize = 4;
/// Most releases that an error names.
const NAMED: usize = 5;

const COLUMNS: &str =
    "r.n, r.id, r.name, r.state, r.reason, r.bytes, r.created_at, r.origin, r.verdict, r.promoted_at,
    r.retired_at, r.removed_at, r.forced,
    (SELECT count(DISTINCT document) FROM release_sources s WHERE s.release = r.n)";

impl Catalog {
    /// Takes in a release whose folder is there, as a candidate. One that is known already is given as it is; one whose
    /// folder was removed is a candidate again.
    ///
    /// # Errors
    /// `Invalid` where the name is none.
    pub fn add_release(&self, new: &NewRelease) -> Result<Release> {
        check_release_name(&new.name)?;
        let origin = rows::to_json(&new.origin)?;
        self.write(|tx| {
            let known: Option<(i64, bool)> = tx
                .prepare_cached("SELECT n, removed_at IS NOT NULL FROM releases WHERE id = ?1")?
                .query_row([&new.id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match known {
                Some((n, removed)) => {
                    if removed {
                        tx.prepare_cached(
                            "UPDATE releases SET removed_at = NULL, reason = NULL, state =
                                 CASE WHEN json_extract(verdict, '$.passed') = 0 THEN 'rejected' ELSE 'candidate' END
                             WHERE n = ?1",
                        )?
                        .execute([n])?;
                    }
                    tx.prepare_cached(
                        "UPDATE releases SET state = 'candidate', reason = NULL WHERE n = ?1 AND state = 'failed'",
                    )?
                    .execute([n])?;
                    by_number(tx, n)
                }
                None => {
                    tx.prepare_cached(
                        "INSERT INTO releases (id, name, state, bytes, created_at, origin)
                         VALUES (?1, ?2, 'candidate', ?3, ?4, ?5)",
                    )?
                    .execute(params![new.id, new.name, rows::signed(new.bytes), tx.now, origin])?;
                    let n = tx.last_insert_rowid();
                    for source in &new.sources {
                        tx.prepare_cached(
                            "INSERT OR IGNORE INTO release_sources (release, document, version, name)
                             VALUES (?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![
                            n,
                            source.document.0.as_bytes(),
                            source.version,
                            source.name
                        ])?;
                    }
                    by_number(tx, n)
                }
            }
        })
    }

    /// All releases, newest first, without the settings of their trainings.
    pub fn releases(&self) -> Result<Vec<Release>> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached(&format!("SELECT {COLUMNS} FROM releases r ORDER BY r.n DESC"))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let mut release = release(tx, row)?;
                release.origin.config = None;
                out.push(release);
            }
            Ok(out)
        })
    }

    /// The release that `wanted` names: an id, the beginning of one, `NAME@BEGINNING`, a name that only one has, or `live`.
    ///
    /// # Errors
    /// `UnknownRelease`, `AmbiguousRelease`.
    pub fn release(&self, wanted: &str) -> Result<ReleaseDetails> {
        self.read(|tx| {
            let n = find(tx, wanted)?;
            let report: Option<String> = tx
                .prepare_cached("SELECT report FROM releases WHERE n = ?1")?
                .query_row([n], |row| row.get(0))?;
            Ok(ReleaseDetails {
                release: by_number(tx, n)?,
                sources: sources(tx, n)?,
                report: report.map(|report| rows::from_json(&report)).transpose()?,
                promotions: promotions(tx, n)?,
            })
        })
    }

    /// The live release, if one is.
    pub fn live_release(&self) -> Result<Option<ReleaseName>> {
        self.read(|tx| Ok(live(tx)?.map(|(_, name)| name)))
    }

    /// Stores what an evaluation found; a candidate that failed it is rejected, and a rejected one that passed it is a
    /// candidate again.
    ///
    /// # Errors
    /// `UnknownRelease`.
    pub fn judge_release(
        &self,
        id: &str,
        verdict: &ReleaseVerdict,
        report: &serde_json::Value,
    ) -> Result<Release> {
        let (verdict_json, report) = (rows::to_json(verdict)?, rows::to_json(report)?);
        self.write(|tx| {
            let n = exact(tx, id)?;
            tx.prepare_cached(
                "UPDATE releases SET verdict = ?2, report = ?3, reason = NULL, state = CASE
                     WHEN state IN ('live', 'retired') THEN state WHEN ?4 THEN 'candidate' ELSE 'rejected' END
                 WHERE n = ?1",
            )?
            .execute(params![n, verdict_json, report, verdict.passed])?;
            by_number(tx, n)
        })
    }

    /// Notes that a release cannot be run; the live one stays live.
    ///
    /// # Errors
    /// `UnknownRelease`.
    pub fn fail_release(&self, id: &str, reason: &str) -> Result<Release> {
        self.write(|tx| {
            let n = exact(tx, id)?;
            tx.prepare_cached(
                "UPDATE releases SET reason = ?2, state = CASE state WHEN 'live' THEN state ELSE 'failed' END
                 WHERE n = ?1",
            )?
            .execute(params![n, reason])?;
            by_number(tx, n)
        })
    }

    /// The release that `wanted` names ([`Catalog::release`]), if it may go live: it passed its evaluation against what
    /// writes now, or somebody forces it for a reason. `base` says whether the settings name a model, which writes where no
    /// release is live.
    ///
    /// # Errors
    /// `UnknownRelease`, `AmbiguousRelease`, `Unproven`, `ReleaseRemoved`.
    pub fn may_promote(&self, wanted: &str, forced: Option<&str>, base: bool) -> Result<Release> {
        self.read(|tx| {
            let release = by_number(tx, find(tx, wanted)?)?;
            let live = live(tx)?.map(|(_, name)| name);
            allowed(&release, live.as_ref(), forced, base)?;
            Ok(release)
        })
    }

    /// Makes release `id` the live one, for `caller`; the one before is retired. Where it is live already, nothing changes.
    ///
    /// # Errors
    /// As [`Catalog::may_promote`], for another release that is live; what the settings name is not known here.
    pub fn promote_release(&self, id: &str, forced: Option<&str>, caller: &str) -> Result<Release> {
        self.write(|tx| {
            let (n, live) = (exact(tx, id)?, live(tx)?);
            let (before, instead_of) = live.unzip();
            if before == Some(n) {
                // Whoever promotes it has just seen that it runs.
                tx.prepare_cached("UPDATE releases SET reason = NULL WHERE n = ?1")?.execute([n])?;
                return by_number(tx, n);
            }
            allowed(&by_number(tx, n)?, instead_of.as_ref(), forced, false)?;
            tx.prepare_cached(
                "INSERT INTO promotions (release, before, at, caller, forced) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![n, before, tx.now, caller, forced])?;
            put_live(tx, before, Some(n))?;
            tx.prepare_cached("UPDATE releases SET forced = ?2 WHERE n = ?1")?.execute(params![n, forced])?;
            by_number(tx, n)
        })
    }

    /// What [`Catalog::roll_back`] would do; only if the release is live that `wanted` names, where it names one.
    ///
    /// # Errors
    /// `NothingLive` where no release is live, `ReleaseRemoved` where the one before has no folder any more, `NotLive` where
    /// another than `wanted` is live, and as [`Catalog::release`].
    pub fn before_live(&self, wanted: Option<&str>) -> Result<Rollback> {
        self.read(|tx| {
            let step = step_back(tx)?;
            let named = wanted.map(|wanted| find(tx, wanted)).transpose()?;
            if let Some(other) = named.filter(|named| *named != step.from.0) {
                return Err(IndexError::NotLive { release: by_number(tx, other)?.label() });
            }
            step.rollback(tx)
        })
    }

    /// Goes back from the live release `from` to what was live before it was promoted: another release, or none (then the
    /// model that the settings name, if any, writes).
    ///
    /// # Errors
    /// As [`Catalog::before_live`]; `NotLive` where another release than `from` is live.
    pub fn roll_back(&self, from: &str, caller: &str) -> Result<Rollback> {
        self.write(|tx| {
            let step = step_back(tx)?;
            if step.from.1.id != from {
                return Err(IndexError::NotLive { release: short(from).to_owned() });
            }
            put_live(tx, Some(step.from.0), step.to.as_ref().map(|(n, _)| *n))?;
            tx.prepare_cached("UPDATE promotions SET undone_at = ?2, undone_by = ?3 WHERE n = ?1")?
                .execute(params![step.promotion, tx.now, caller])?;
            step.rollback(tx)
        })
    }

    /// Releases whose folders may be removed: retired, rejected and failed ones beyond the `keep` that were used last, but
    /// never the live one, a candidate, or the one that a rollback leads to.
    pub fn prunable_releases(&self, keep: usize) -> Result<Vec<Release>> {
        self.read(|tx| {
            let back = step_back(tx).ok().and_then(|step| step.to);
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM releases r
                 WHERE r.state IN ('retired', 'rejected', 'failed') AND r.removed_at IS NULL
                 ORDER BY coalesce(r.retired_at, r.created_at) DESC, r.n DESC"
            ))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                out.push(release(tx, row)?);
            }
            let kept = |release: &Release| back.as_ref().is_some_and(|(_, back)| back.id == release.id);
            Ok(out.into_iter().skip(keep).filter(|release| !kept(release)).collect())
        })
    }

    /// Has `remove` take away the folder of a release, and notes that; nothing happens where it has gone live meanwhile.
    /// What is known of it stays.
    ///
    /// # Errors
    /// As `remove`.
    pub fn remove_release<E: From<IndexError>>(
        &self,
        id: &str,
        remove: impl FnOnce() -> Result<u64, E>,
    ) -> Result<Option<u64>, E> {
        let mut outcome = Ok(None);
        self.write(|tx| {
            let n = exact(tx, id)?;
            if matches!(by_number(tx, n)?.state, ReleaseState::Live | ReleaseState::Candidate) {
                return Ok(());
            }
            outcome = remove().map(Some);
            if outcome.is_ok() {
                tx.prepare_cached("UPDATE releases SET removed_at = ?2 WHERE n = ?1")?
                    .execute(params![n, tx.now])?;
            }
            Ok(())
        })?;
        outcome
    }
}

/// Refuses what cannot be a release's name, which stands in the names of models and in paths.
///
/// # Errors
/// `Invalid`, which says what a name may be.
pub fn check_release_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_hash = name.len() >= LEAST_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit());
    if (1..=64).contains(&name.len()) && name.chars().all(fits) && name != LIVE && !is_hash {
        Ok(())
    } else {
        Err(IndexError::Invalid(format!(
            "{name:?} is no name of a release; write 1 to 64 letters, digits, `-`, `_` or `.`, other than `live` and what \
             looks like an id"
        )))
    }
}

/// Moves the alias.
fn put_live(tx: &Write<'_>, from: Option<i64>, to: Option<i64>) -> Result<()> {
    if let Some(from) = from {
        tx.prepare_cached("UPDATE releases SET state = 'retired', retired_at = ?2 WHERE n = ?1")?
            .execute(params![from, tx.now])?;
    }
    if let Some(to) = to {
        tx.prepare_cached(
            "UPDATE releases SET state = 'live', promoted_at = ?2, retired_at = NULL, reason = NULL WHERE n = ?1",
        )?
        .execute(params![to, tx.now])?;
    }
    Ok(())
}

/// Whether `release` may take the place of `live`, or where none is live of the model of the settings if `base`.
fn allowed(release: &Release, live: Option<&ReleaseName>, forced: Option<&str>, base: bool) -> Result<()> {
    if release.removed_at.is_some() {
        return Err(IndexError::ReleaseRemoved { release: release.label() });
    }
    if forced.is_some() || release.state == ReleaseState::Live {
        return Ok(());
    }
    let why = match (&release.verdict, release.state) {
        (_, ReleaseState::Failed) => {
            format!("could not be run: {}", release.reason.as_deref().unwrap_or("the reason is not known"))
        }
        (Some(verdict), _) if verdict.passed => match (live, verdict.against.as_str()) {
            (Some(live), against) if against != live.label() => {
                format!("was proven against {against}, and {} is live; evaluate it again", live.label())
            }
            (None, EXTRACTIVE) if base => format!(
                "was proven against {EXTRACTIVE}, and the model of the settings writes; evaluate it again"
            ),
            _ => return Ok(()),
        },
        (Some(verdict), _) => format!("did not pass its evaluation: {}", verdict.reasons.join("; ")),
        (None, _) => "was not evaluated".to_owned(),
    };
    Err(IndexError::Unproven { release: release.label(), why })
}

/// A release by its number.
type Numbered = (i64, ReleaseName);

/// The promotion that is undone next, and what that leads from and to.
struct Step {
    promotion: i64,
    from: Numbered,
    to: Option<Numbered>,
}

impl Step {
    /// Both releases as they are now.
    fn rollback(&self, tx: &Transaction<'_>) -> Result<Rollback> {
        let to = self.to.as_ref().map(|(n, _)| by_number(tx, *n)).transpose()?;
        Ok(Rollback { from: by_number(tx, self.from.0)?, to })
    }
}

fn step_back(tx: &Transaction<'_>) -> Result<Step> {
    let from = live(tx)?.ok_or(IndexError::NothingLive)?;
    let (promotion, before, removed): (i64, Option<Numbered>, bool) = tx
        .prepare_cached(
            "SELECT p.n, b.n, b.id, b.name, b.removed_at IS NOT NULL
             FROM promotions p LEFT JOIN releases b ON b.n = p.before
             WHERE p.release = ?1 AND p.undone_at IS NULL ORDER BY p.n DESC LIMIT 1",
        )?
        .query_row([from.0], |row| {
            let before = match row.get(1)? {
                Some(n) => Some((n, ReleaseName { id: row.get(2)?, name: row.get(3)? })),
                None => None,
            };
            Ok((row.get(0)?, before, row.get(4)?))
        })?;
    match before {
        Some((_, gone)) if removed => Err(IndexError::ReleaseRemoved { release: gone.label() }),
        to => Ok(Step { promotion, from, to }),
    }
}

/// Number and name of the live release.
fn live(tx: &Transaction<'_>) -> Result<Option<Numbered>> {
    Ok(tx
        .prepare_cached("SELECT n, id, name FROM releases WHERE state = 'live'")?
        .query_row([], |row| Ok((row.get(0)?, ReleaseName { id: row.get(1)?, name: row.get(2)? })))
        .optional()?)
}

fn exact(tx: &Transaction<'_>, id: &str) -> Result<i64> {
    tx.prepare_cached("SELECT n FROM releases WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?
        .ok_or_else(|| IndexError::UnknownRelease { wanted: short(id).to_owned() })
}

fn find(tx: &Transaction<'_>, wanted: &str) -> Result<i64> {
    let unknown = || IndexError::UnknownRelease { wanted: wanted.chars().take(80).collect() };
    if wanted == LIVE {
        return live(tx)?.map(|(n, _)| n).ok_or(IndexError::NothingLive);
    }
    let (name, digits) = match wanted.rsplit_once('@') {
        Some((name, digits)) => (Some(name), digits.to_ascii_lowercase()),
        None => (None, wanted.to_ascii_lowercase()),
    };
    let is_digits = digits.len() >= LEAST_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let mut statement = tx.prepare_cached(
        "SELECT n, name || '@' || substr(id, 1, 12) FROM releases
         WHERE (?1 AND id LIKE ?2 || '%' AND (?3 IS NULL OR name = ?3)) OR (?3 IS NULL AND name = ?4)
         ORDER BY n DESC LIMIT 6",
    )?;
    let found: Vec<(i64, String)> = statement
        .query_map(params![is_digits, digits, name, wanted], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    match found.as_slice() {
        [] => Err(unknown()),
        [(n, _)] => Ok(*n),
        several => Err(IndexError::AmbiguousRelease {
            wanted: wanted.chars().take(80).collect(),
            releases: several.iter().take(NAMED).map(|(_, label)| label.clone()).collect(),
        }),
    }
}

fn by_number(tx: &Transaction<'_>, n: i64) -> Result<Release> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM releases r WHERE r.n = ?1"))?;
    let mut found = statement.query([n])?;
    match found.next()? {
        Some(row) => release(tx, row),
        None => Err(IndexError::Damaged(format!("release number {n} is not there"))),
    }
}

fn release(tx: &Transaction<'_>, row: &Row<'_>) -> Result<Release> {
    let time = |at: usize| -> Result<_> { row.get::<_, Option<i64>>(at)?.map(rows::time).transpose() };
    let state: String = row.get(3)?;
    let (origin, verdict): (String, Option<String>) = (row.get(7)?, row.get(8)?);
    let mut gone = sources(tx, row.get(0)?)?;
    gone.retain(|source| !matches!(source.state, SourceState::Live | SourceState::Replaced));
    Ok(Release {
        id: row.get(1)?,
        name: row.get(2)?,
        state: ReleaseState::of(&state)
            .ok_or_else(|| IndexError::Damaged(format!("{state:?} is no state of a release")))?,
        reason: row.get(4)?,
        bytes: rows::unsigned(row, 5)?,
        created_at: rows::time(row.get(6)?)?,
        origin: rows::from_json(&origin)?,
        verdict: verdict.map(|verdict| rows::from_json(&verdict)).transpose()?,
        promoted_at: time(9)?,
        retired_at: time(10)?,
        removed_at: time(11)?,
        forced: row.get(12)?,
        documents: rows::unsigned(row, 13)?,
        gone,
    })
}

/// What a release learned from, and how it stands today.
fn sources(tx: &Transaction<'_>, release: i64) -> Result<Vec<StoredSource>> {
    let mut statement = tx.prepare_cached(
        "SELECT s.document, s.version, s.name, d.version,
             EXISTS (SELECT 1 FROM versions v WHERE v.document = d.pk AND v.version = s.version),
             EXISTS (SELECT 1 FROM changes c WHERE c.document = s.document)
         FROM release_sources s LEFT JOIN documents d ON d.id = s.document
         WHERE s.release = ?1 ORDER BY s.name, s.document, s.version",
    )?;
    let mut found = statement.query([release])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        let (version, live, kept): (u32, Option<u32>, bool) = (row.get(1)?, row.get(3)?, row.get(4)?);
        // Changes are never forgotten, a deletion neither.
        let ever: bool = row.get(5)?;
        let source = ReleaseSource { document: rows::document_id(row, 0)?, version, name: row.get(2)? };
        out.push(StoredSource {
            state: match live {
                None if !ever => SourceState::NeverHere,
                None => SourceState::Deleted,
                Some(_) if !kept => SourceState::VersionGone,
                Some(live) if live == version => SourceState::Live,
                Some(_) => SourceState::Replaced,
            },
            source,
        });
    }
    Ok(out)
}

fn promotions(tx: &Transaction<'_>, release: i64) -> Result<Vec<Promotion>> {
    let mut statement = tx.prepare_cached(
        "SELECT p.at, p.caller, p.forced, p.undone_at, p.undone_by, b.id, b.name
         FROM promotions p LEFT JOIN releases b ON b.n = p.before WHERE p.release = ?1 ORDER BY p.n",
    )?;
    let mut found = statement.query([release])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        let before: Option<(String, String)> = row.get::<_, Option<String>>(5)?.zip(row.get(6)?);
        out.push(Promotion {
            at: rows::time(row.get(0)?)?,
            by: row.get(1)?,
            forced: row.get(2)?,
            undone_at: row.get::<_, Option<i64>>(3)?.map(rows::time).transpose()?,
            undone_by: row.get(4)?,
            before: before.map(|(id, name)| ReleaseName { id, name }.label()),
        });
    }
    Ok(out)
}
