//! What trainers say and hear: one claims the oldest training that waits, says again and again how far it is, and ends it.
//!
//! One that is not heard for [`SILENCE`] has died: its training waits again, and goes on from its last checkpoint. What a
//! trainer says counts only while the training is its own.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::db::Write;
use super::training_types::{
    TrainerOrder, TrainerSeen, Training, TrainingEnd, TrainingFigure, TrainingProgress, TrainingState,
};
use super::trainings::{by_number, state};
use super::{Catalog, rows};
use crate::error::Result;

/// Microseconds without a word after which a trainer is taken for dead.
const SILENCE: i64 = 60_000_000;
/// How often a training may lose its trainer without a new checkpoint before it is given up.
const LOSSES: u32 = 3;
/// Most figures of steps that are kept of a training, and most of evaluations; then every second of them goes.
const FIGURES: usize = 4000;
/// Longest error that is kept, in characters.
const ERROR_CHARS: usize = 4000;
/// How long trainers are remembered.
const REMEMBERED: i64 = 24 * 3_600 * 1_000_000;

impl Catalog {
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
            heard(tx, trainer)?;
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

    /// Notes that a trainer is alive.
    pub fn hear_trainer(&self, name: &str) -> Result<()> {
        self.write_soon(|tx| heard(tx, name))
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
pub(super) fn recover(tx: &Write<'_>) -> Result<()> {
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

/// Takes every second one of the figures of steps away where there are many, and of evaluations likewise.
fn thin_out(tx: &Write<'_>, n: i64) -> Result<()> {
    for of_evaluations in [false, true] {
        let count: i64 = tx
            .prepare_cached("SELECT count(*) FROM training_figures WHERE training = ?1 AND eval = ?2")?
            .query_row(params![n, of_evaluations], |row| row.get(0))?;
        if count.unsigned_abs() > FIGURES as u64 {
            tx.prepare_cached(
                "DELETE FROM training_figures WHERE training = ?1 AND eval = ?2 AND step IN (
                     SELECT step FROM (
                         SELECT step, row_number() OVER (ORDER BY step) AS place FROM training_figures
                         WHERE training = ?1 AND eval = ?2)
                     WHERE place % 2 = 0)",
            )?
            .execute(params![n, of_evaluations])?;
        }
    }
    Ok(())
}

/// Notes that trainer `name` is alive.
fn heard(tx: &Write<'_>, name: &str) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO trainers (name, started_at, heard_at) VALUES (?1, ?2, ?2)
         ON CONFLICT (name) DO UPDATE SET heard_at = ?2",
    )?
    .execute(params![name, tx.now])?;
    tx.prepare_cached("DELETE FROM trainers WHERE heard_at < ?1")?.execute([tx.now - REMEMBERED])?;
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

#[cfg(test)]
#[path = "trainings_tests.rs"]
mod tests;
