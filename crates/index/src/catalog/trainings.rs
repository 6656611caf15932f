//! Trainings: a queue for trainers, each in a process of its own.
//!
//! A trainer claims the oldest training that waits, says again and again how far it is ([`Catalog::report_training`]) and hears
//! in turn what a person wants. One that is not heard for [`SILENCE`] has died: its training waits again, and goes on from its
//! last checkpoint. What a trainer says counts only while the training is its own.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::db::Write;
use super::training_types::{
    NewTraining, TrainerOrder, TrainerSeen, Training, TrainingControl, TrainingEnd, TrainingFigure,
    TrainingProgress, TrainingState,
};
use super::{Catalog, releases, rows};
use crate::error::{IndexError, Result};

/// Microseconds without a word after which a trainer is taken for dead.
const SILENCE: i64 = 60_000_000;
/// How often a training may lose its trainer without a new checkpoint before it is given up.
const LOSSES: u32 = 3;
/// Trainings that may wait or run.
const OPEN: usize = 100;
/// Trainings that are listed.
const LISTED: usize = 500;
/// Most figures that are kept of a training; then every second step of it goes.
const FIGURES: usize = 4000;
/// Longest error that is kept, in characters.
const ERROR_CHARS: usize = 4000;
/// How long trainers are remembered.
const REMEMBERED: i64 = 24 * 3_600 * 1_000_000;

/// The schema's step that brings trainings.
pub(super) const SCHEMA: &str = r"
CREATE TABLE trainings (
    n          INTEGER PRIMARY KEY,       -- order of arrival
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    config     TEXT NOT NULL,             -- YAML as it was given
    base       TEXT NOT NULL,             -- folder that paths in it are seen from
    outcome    TEXT NOT NULL,             -- what becomes of what it learns
    state      TEXT NOT NULL CHECK
        (state IN ('queued', 'running', 'paused', 'stopping', 'succeeded', 'failed', 'stopped')),
    wanted     TEXT CHECK (wanted IN ('pause', 'stop')),
    caller     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    heard_at   INTEGER,
    trainer    TEXT,
    losses     INTEGER NOT NULL DEFAULT 0, -- trainers that died since the last checkpoint
    progress   TEXT NOT NULL DEFAULT '{}',
    error      TEXT,
    made       TEXT                        -- id of the release
) STRICT;
CREATE INDEX trainings_open ON trainings (n) WHERE state IN ('queued', 'running', 'stopping');

CREATE TABLE training_figures (
    training INTEGER NOT NULL REFERENCES trainings (n) ON DELETE CASCADE,
    step     INTEGER NOT NULL,
    eval     INTEGER NOT NULL,
    figures  TEXT NOT NULL,
    PRIMARY KEY (training, step, eval)
) STRICT, WITHOUT ROWID;

CREATE TABLE trainers (
    name       TEXT PRIMARY KEY,
    started_at INTEGER NOT NULL,
    heard_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str =
    "t.n, t.id, t.name, t.config, t.outcome, t.state, t.wanted, t.caller, t.created_at, t.started_at,
    t.ended_at, t.heard_at, t.progress, t.error, t.made, t.base";

impl Catalog {
    /// Puts a training into the queue.
    ///
    /// # Errors
    /// `Invalid` where the name is none or too many trainings are open already.
    pub fn add_training(&self, new: &NewTraining) -> Result<Training> {
        releases::check_release_name(&new.name)?;
        let outcome = rows::to_json(&new.outcome)?;
        self.write(|tx| {
            let open: i64 = tx
                .prepare_cached(
                    "SELECT count(*) FROM trainings WHERE state IN ('queued', 'running', 'stopping')",
                )?
                .query_row([], |row| row.get(0))?;
            if open.unsigned_abs() >= OPEN as u64 {
                return Err(IndexError::Invalid(format!(
                    "{open} trainings wait or run, which is the limit; stop one or wait for its end"
                )));
            }
            let id = uuid::Uuid::now_v7().to_string();
            tx.prepare_cached(
                "INSERT INTO trainings (id, name, config, base, outcome, state, caller, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7)",
            )?
            .execute(params![id, new.name, new.config, new.base, outcome, new.by, tx.now])?;
            by_number(tx, tx.last_insert_rowid())
        })
    }

    /// The trainings, newest first, without their configurations.
    pub fn trainings(&self) -> Result<Vec<Training>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM trainings t ORDER BY t.n DESC LIMIT {LISTED}"
            ))?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let mut training = training(row)?;
                training.config.clear();
                out.push(training);
            }
            Ok(out)
        })
    }

    /// A training.
    pub fn training(&self, id: &str) -> Result<Option<Training>> {
        self.read(|tx| number(tx, id)?.map(|n| by_number(tx, n)).transpose())
    }

    /// Does what a person wants of a training, at once where no trainer has it; `None` where there is no such training.
    ///
    /// # Errors
    /// `Invalid` where that cannot be in its state.
    pub fn control_training(&self, id: &str, control: TrainingControl) -> Result<Option<Training>> {
        use TrainingControl as C;
        use TrainingState as S;
        self.write(|tx| {
            let Some(n) = number(tx, id)? else { return Ok(None) };
            let state = by_number(tx, n)?.state;
            let (next, wanted) = match (control, state) {
                (C::Pause, S::Queued | S::Paused) => (S::Paused, None),
                (C::Pause, S::Running) => (S::Running, Some("pause")),
                (C::Resume, S::Running) => (S::Running, None),
                (C::Resume, S::Queued | S::Paused | S::Stopped | S::Failed) => (S::Queued, None),
                (C::Stop, S::Queued | S::Paused | S::Stopped) => (S::Stopped, None),
                (C::Stop, S::Running | S::Stopping) => (S::Stopping, Some("stop")),
                (control, state) => {
                    let control = match control {
                        C::Pause => "paused",
                        C::Resume => "resumed",
                        C::Stop => "stopped",
                    };
                    let state = state.name();
                    return Err(IndexError::Invalid(format!(
                        "a training that is {state} cannot be {control}"
                    )));
                }
            };
            let ended = (next == S::Stopped).then_some(tx.now);
            tx.prepare_cached(
                "UPDATE trainings SET state = ?2, wanted = ?3, ended_at = ?4, losses = 0,
                     error = CASE WHEN ?2 = 'queued' THEN NULL ELSE error END
                 WHERE n = ?1",
            )?
            .execute(params![n, next.name(), wanted, ended])?;
            by_number(tx, n).map(Some)
        })
    }

    /// Forgets a training that no trainer has; false where there is none such.
    ///
    /// # Errors
    /// `Invalid` where a trainer has it.
    pub fn delete_training(&self, id: &str) -> Result<bool> {
        self.write(|tx| {
            let Some(n) = number(tx, id)? else { return Ok(false) };
            if by_number(tx, n)?.state.is_held() {
                return Err(IndexError::Invalid(
                    "a training that runs cannot be deleted; stop it first".into(),
                ));
            }
            tx.prepare_cached("DELETE FROM trainings WHERE n = ?1")?.execute([n])?;
            Ok(true)
        })
    }

    /// Takes the oldest training that waits, for `trainer`; before, those of trainers that died wait again.
    pub fn claim_training(&self, trainer: &str) -> Result<Option<Training>> {
        // One that has nothing to do asks again and again; it must not take the write lock for that.
        if !self.read(|tx| something_to_do(tx, rows::now()))? {
            return Ok(None);
        }
        self.write(|tx| {
            recover(tx)?;
            let next: Option<i64> = tx
                .prepare_cached("SELECT n FROM trainings WHERE state = 'queued' ORDER BY n LIMIT 1")?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(n) = next else { return Ok(None) };
            tx.prepare_cached(
                "UPDATE trainings SET state = 'running', trainer = ?2, heard_at = ?3, wanted = NULL, ended_at = NULL,
                     started_at = coalesce(started_at, ?3)
                 WHERE n = ?1",
            )?
            .execute(params![n, trainer, tx.now])?;
            by_number(tx, n).map(Some)
        })
    }

    /// Stores what `trainer` says of the training that it has, and says what it is to do. Figures of a step that was taken
    /// before replace those.
    pub fn report_training(
        &self,
        id: &str,
        trainer: &str,
        progress: &TrainingProgress,
        figures: &[TrainingFigure],
    ) -> Result<TrainerOrder> {
        let said = rows::to_json(progress)?;
        self.write_soon(|tx| {
            let Some((n, state, wanted)) = held(tx, id, trainer)? else { return Ok(TrainerOrder::Lost) };
            let before: Option<i64> = tx
                .prepare_cached("SELECT json_extract(progress, '$.checkpoint') FROM trainings WHERE n = ?1")?
                .query_row([n], |row| row.get(0))?;
            let saved = progress.checkpoint.map(rows::signed) > before;
            tx.prepare_cached(
                "UPDATE trainings SET heard_at = ?2, progress = ?3, losses = CASE WHEN ?4 THEN 0 ELSE losses END
                 WHERE n = ?1",
            )?
            .execute(params![n, tx.now, said, saved])?;
            for figure in figures {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO training_figures (training, step, eval, figures) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    n,
                    rows::signed(figure.step),
                    figure.eval,
                    rows::to_json(&figure.figures)?
                ])?;
            }
            if !figures.is_empty() {
                thin_out(tx, n)?;
            }
            Ok(match (state, wanted) {
                (TrainingState::Running, false) => TrainerOrder::GoOn,
                _ => TrainerOrder::End,
            })
        })
    }

    /// Forgets the figures of steps after `step`, which are taken again.
    pub fn forget_figures(&self, id: &str, trainer: &str, step: u64) -> Result<()> {
        self.write_soon(|tx| {
            if let Some((n, ..)) = held(tx, id, trainer)? {
                tx.prepare_cached("DELETE FROM training_figures WHERE training = ?1 AND step > ?2")?
                    .execute(params![n, rows::signed(step)])?;
            }
            Ok(())
        })
    }

    /// Notes what a training came to, for the trainer that has it; false where it has it no more.
    pub fn end_training(&self, id: &str, trainer: &str, end: &TrainingEnd) -> Result<bool> {
        self.write(|tx| {
            let Some((n, state, wanted)) = held(tx, id, trainer)? else { return Ok(false) };
            let (next, release, error) = match end {
                TrainingEnd::Succeeded { release } => (TrainingState::Succeeded, release.clone(), None),
                TrainingEnd::Failed(error) => (TrainingState::Failed, None, Some(error)),
                TrainingEnd::ToldTo => (told_to(state, wanted), None, None),
            };
            let error: Option<String> = error.map(|error| error.chars().take(ERROR_CHARS).collect());
            let ended = (next != TrainingState::Queued && next != TrainingState::Paused).then_some(tx.now);
            tx.prepare_cached(
                "UPDATE trainings SET state = ?2, wanted = NULL, trainer = NULL, heard_at = ?3, ended_at = ?4,
                     error = ?5, made = coalesce(?6, made)
                 WHERE n = ?1",
            )?
            .execute(params![n, next.name(), tx.now, ended, error, release])?;
            Ok(true)
        })
    }

    /// Figures of a training after step `after`, oldest first, at most `limit`; `None` where there is no such training.
    pub fn training_figures(
        &self,
        id: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Option<Vec<TrainingFigure>>> {
        self.read(|tx| {
            let Some(n) = number(tx, id)? else { return Ok(None) };
            let mut statement = tx.prepare_cached(
                "SELECT step, eval, figures FROM training_figures WHERE training = ?1 AND step > ?2
                 ORDER BY step, eval LIMIT ?3",
            )?;
            let after = after.map_or(-1, rows::signed);
            let mut found = statement.query(params![n, after, rows::signed(limit as u64)])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let figures: String = row.get(2)?;
                out.push(TrainingFigure {
                    step: rows::unsigned(row, 0)?,
                    eval: row.get(1)?,
                    figures: rows::from_json(&figures)?,
                });
            }
            Ok(Some(out))
        })
    }

    /// Notes that a trainer is alive.
    pub fn hear_trainer(&self, name: &str) -> Result<()> {
        self.write_soon(|tx| {
            tx.prepare_cached(
                "INSERT INTO trainers (name, started_at, heard_at) VALUES (?1, ?2, ?2)
                 ON CONFLICT (name) DO UPDATE SET heard_at = ?2",
            )?
            .execute(params![name, tx.now])?;
            tx.prepare_cached("DELETE FROM trainers WHERE heard_at < ?1")?.execute([tx.now - REMEMBERED])?;
            Ok(())
        })
    }

    /// Forgets a trainer that ends.
    pub fn forget_trainer(&self, name: &str) -> Result<()> {
        self.write_soon(|tx| {
            tx.prepare_cached("DELETE FROM trainers WHERE name = ?1")?.execute([name])?;
            Ok(())
        })
    }

    /// The trainers of the last day, the one heard last first.
    pub fn trainers(&self) -> Result<Vec<TrainerSeen>> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT name, started_at, heard_at FROM trainers ORDER BY heard_at DESC LIMIT 20",
            )?;
            let mut found = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let heard: i64 = row.get(2)?;
                out.push(TrainerSeen {
                    name: row.get(0)?,
                    started_at: rows::time(row.get(1)?)?,
                    heard_at: rows::time(heard)?,
                    alive: rows::now() - heard < SILENCE,
                });
            }
            Ok(out)
        })
    }
}

/// Where a training goes that ended because it was told to.
fn told_to(state: TrainingState, wanted: bool) -> TrainingState {
    match (state, wanted) {
        (TrainingState::Stopping, _) => TrainingState::Stopped,
        (_, true) => TrainingState::Paused,
        // The trainer itself had to end.
        (_, false) => TrainingState::Queued,
    }
}

/// Whether a training waits, or its trainer has died.
fn something_to_do(tx: &Transaction<'_>, now: i64) -> Result<bool> {
    Ok(tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM trainings WHERE state IN ('queued', 'running', 'stopping')
                 AND (state = 'queued' OR heard_at < ?1))",
        )?
        .query_row([now - SILENCE], |row| row.get(0))?)
}

/// Takes trainings away from trainers that died.
fn recover(tx: &Write<'_>) -> Result<()> {
    let mut statement = tx.prepare_cached(
        "SELECT n, state, wanted IS NOT NULL, losses FROM trainings
         WHERE state IN ('queued', 'running', 'stopping') AND state <> 'queued' AND heard_at < ?1",
    )?;
    let mut found = statement.query([tx.now - SILENCE])?;
    while let Some(row) = found.next()? {
        let (n, wanted, losses): (i64, bool, u32) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let next = told_to(state(&row.get::<_, String>(1)?)?, wanted);
        let given_up = next == TrainingState::Queued && losses + 1 >= LOSSES;
        let next = if given_up { TrainingState::Failed } else { next };
        let error = given_up.then(|| {
            format!("given up: its trainer died {LOSSES} times without a new checkpoint; the trainer's log may say why")
        });
        let ended = (given_up || next == TrainingState::Stopped).then_some(tx.now);
        tx.prepare_cached(
            "UPDATE trainings SET state = ?2, wanted = NULL, trainer = NULL, losses = losses + 1, error = ?3,
                 ended_at = ?4
             WHERE n = ?1",
        )?
        .execute(params![n, next.name(), error, ended])?;
    }
    Ok(())
}

/// Takes every second step's figures away where there are many; evaluations stay.
fn thin_out(tx: &Write<'_>, n: i64) -> Result<()> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM training_figures WHERE training = ?1")?
        .query_row([n], |row| row.get(0))?;
    if count.unsigned_abs() > FIGURES as u64 {
        tx.prepare_cached(
            "DELETE FROM training_figures WHERE training = ?1 AND eval = 0 AND step IN (
                 SELECT step FROM (
                     SELECT step, row_number() OVER (ORDER BY step) AS place FROM training_figures
                     WHERE training = ?1 AND eval = 0)
                 WHERE place % 2 = 0)",
        )?
        .execute([n])?;
    }
    Ok(())
}

/// The training `id`, where `trainer` has it: its number, its state, and whether something is wanted of it.
fn held(tx: &Write<'_>, id: &str, trainer: &str) -> Result<Option<(i64, TrainingState, bool)>> {
    let found: Option<(i64, String, bool)> = tx
        .prepare_cached(
            "SELECT n, state, wanted IS NOT NULL FROM trainings
             WHERE id = ?1 AND trainer = ?2 AND state IN ('running', 'stopping')",
        )?
        .query_row([id, trainer], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    found.map(|(n, name, wanted)| Ok((n, state(&name)?, wanted))).transpose()
}

fn number(tx: &Transaction<'_>, id: &str) -> Result<Option<i64>> {
    let mut statement = tx.prepare_cached("SELECT n FROM trainings WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

fn by_number(tx: &Transaction<'_>, n: i64) -> Result<Training> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM trainings t WHERE t.n = ?1"))?;
    let mut found = statement.query([n])?;
    let row = found.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    training(row)
}

fn state(name: &str) -> Result<TrainingState> {
    TrainingState::of(name).ok_or_else(|| IndexError::Damaged(format!("{name:?} is no state of a training")))
}

fn training(row: &Row<'_>) -> Result<Training> {
    let time = |at: usize| -> Result<Option<Timestamp>> {
        row.get::<_, Option<i64>>(at)?.map(rows::time).transpose()
    };
    let (outcome, progress): (String, String) = (row.get(4)?, row.get(12)?);
    let wanted: Option<String> = row.get(6)?;
    Ok(Training {
        id: row.get(1)?,
        name: row.get(2)?,
        config: row.get(3)?,
        outcome: rows::from_json(&outcome)?,
        state: state(&row.get::<_, String>(5)?)?,
        wanted: wanted.map(|wanted| match wanted.as_str() {
            "pause" => TrainingControl::Pause,
            _ => TrainingControl::Stop,
        }),
        by: row.get(7)?,
        created_at: rows::time(row.get(8)?)?,
        started_at: time(9)?,
        ended_at: time(10)?,
        heard_at: time(11)?,
        progress: rows::from_json(&progress)?,
        error: row.get(13)?,
        release: row.get(14)?,
        base: row.get(15)?,
    })
}

#[cfg(test)]
#[path = "trainings_tests.rs"]
mod tests;
