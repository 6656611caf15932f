//! Trainings: a queue for trainers, each in a process of its own ([`super::trainers`]), and what people want of it.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::training_types::{NewTraining, Training, TrainingControl, TrainingFigure, TrainingState};
use super::{Catalog, releases, rows, trainers};
use crate::error::{IndexError, Result};

/// Trainings that may wait or run.
const OPEN: usize = 100;
/// Trainings that are listed.
const LISTED: usize = 500;

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

    /// Does what a person wants of a training, at once where no living trainer has it; `None` where there is no such training.
    ///
    /// # Errors
    /// `Invalid` where that cannot be in its state.
    pub fn control_training(&self, id: &str, control: TrainingControl) -> Result<Option<Training>> {
        use TrainingControl as C;
        use TrainingState as S;
        self.write(|tx| {
            let Some(n) = number(tx, id)? else { return Ok(None) };
            // No other trainer may ever come that would notice the death of its own.
            trainers::recover(tx)?;
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

    /// Forgets a training that no living trainer has; false where there is none such.
    ///
    /// # Errors
    /// `Invalid` where a trainer has it.
    pub fn delete_training(&self, id: &str) -> Result<bool> {
        self.write(|tx| {
            let Some(n) = number(tx, id)? else { return Ok(false) };
            trainers::recover(tx)?;
            if by_number(tx, n)?.state.is_held() {
                return Err(IndexError::Invalid(
                    "a training that runs cannot be deleted; stop it first".into(),
                ));
            }
            tx.prepare_cached("DELETE FROM trainings WHERE n = ?1")?.execute([n])?;
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
}

fn number(tx: &Transaction<'_>, id: &str) -> Result<Option<i64>> {
    let mut statement = tx.prepare_cached("SELECT n FROM trainings WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

pub(super) fn by_number(tx: &Transaction<'_>, n: i64) -> Result<Training> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM trainings t WHERE t.n = ?1"))?;
    let mut found = statement.query([n])?;
    let row = found.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    training(row)
}

pub(super) fn state(name: &str) -> Result<TrainingState> {
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
