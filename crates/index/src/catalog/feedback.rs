//! What people said of answers.

use rusqlite::{Row, params};

use super::types::{Feedback, FeedbackChange, NewFeedback, Rating};
use super::{Catalog, rows};
use crate::error::{IndexError, Result};

impl Catalog {
    /// Stores feedback, of which `most` are kept.
    ///
    /// # Errors
    /// `FeedbackFull` where so many are stored already.
    pub fn add_feedback(&self, caller: &str, feedback: &NewFeedback, most: usize) -> Result<Feedback> {
        let citations = rows::to_json(&feedback.citations)?;
        let id = uuid::Uuid::now_v7().to_string();
        let rating = rating_name(feedback.rating);
        let at = self.write(|tx| {
            let stored: i64 =
                tx.prepare_cached("SELECT count(*) FROM feedback")?.query_row([], |row| row.get(0))?;
            if stored.unsigned_abs() >= most as u64 {
                return Err(IndexError::FeedbackFull { most });
            }
            tx.prepare_cached(
                "INSERT INTO feedback
                     (id, caller, created_at, question, answer, rating, reason, better_answer, citations)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                id,
                caller,
                tx.now,
                feedback.question,
                feedback.answer,
                rating,
                feedback.reason,
                feedback.better_answer,
                citations,
            ])?;
            Ok(tx.now)
        })?;
        Ok(Feedback {
            id,
            caller: caller.to_owned(),
            created_at: rows::time(at)?,
            feedback: feedback.clone(),
        })
    }

    /// Changes feedback that `caller` gave; false where it gave none with this id.
    pub fn change_feedback(&self, caller: &str, id: &str, change: &FeedbackChange) -> Result<bool> {
        self.write(|tx| {
            let changed = tx
                .prepare_cached(
                    "UPDATE feedback SET rating = coalesce(?3, rating), reason = nullif(coalesce(?4, reason), ''),
                         better_answer = nullif(coalesce(?5, better_answer), '')
                     WHERE id = ?1 AND caller = ?2",
                )?
                .execute(params![
                    id,
                    caller,
                    change.rating.map(rating_name),
                    change.reason,
                    change.better_answer
                ])?;
            Ok(changed > 0)
        })
    }

    /// Takes feedback back that `caller` gave; false where it gave none with this id.
    pub fn delete_feedback(&self, caller: &str, id: &str) -> Result<bool> {
        self.write(|tx| {
            let deleted = tx
                .prepare_cached("DELETE FROM feedback WHERE id = ?1 AND caller = ?2")?
                .execute(params![id, caller])?;
            Ok(deleted > 0)
        })
    }

    /// Feedback, newest first.
    pub fn feedback(&self, limit: usize) -> Result<Vec<Feedback>> {
        self.read(|tx| {
            let sql = format!("SELECT {COLUMNS} FROM feedback ORDER BY n DESC LIMIT ?1");
            let mut statement = tx.prepare_cached(&sql)?;
            let mut found = statement.query([rows::signed(limit as u64)])?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                out.push(given(row)?);
            }
            Ok(out)
        })
    }

    /// What `caller` said last of each of these questions and answers.
    pub fn feedback_on(&self, caller: &str, answers: &[(&str, &str)]) -> Result<Vec<Option<Feedback>>> {
        self.read(|tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM feedback WHERE caller = ?1 AND question = ?2 AND answer = ?3
                 ORDER BY n DESC LIMIT 1"
            );
            let mut statement = tx.prepare_cached(&sql)?;
            let mut last = |(question, answer): &(&str, &str)| {
                let mut found = statement.query(params![caller, question, answer])?;
                found.next()?.map(given).transpose()
            };
            answers.iter().map(&mut last).collect()
        })
    }
}

/// What [`given`] reads.
const COLUMNS: &str = "id, caller, created_at, question, answer, rating, reason, better_answer, citations";

fn given(row: &Row<'_>) -> Result<Feedback> {
    let rating: String = row.get(5)?;
    let citations: String = row.get(8)?;
    Ok(Feedback {
        id: row.get(0)?,
        caller: row.get(1)?,
        created_at: rows::time(row.get(2)?)?,
        feedback: NewFeedback {
            question: row.get(3)?,
            answer: row.get(4)?,
            rating: match rating.as_str() {
                "up" => Rating::Up,
                "down" => Rating::Down,
                other => return Err(IndexError::Damaged(format!("{other:?} is no rating"))),
            },
            reason: row.get(6)?,
            better_answer: row.get(7)?,
            citations: rows::from_json(&citations)?,
        },
    })
}

fn rating_name(rating: Rating) -> &'static str {
    match rating {
        Rating::Up => "up",
        Rating::Down => "down",
    }
}
