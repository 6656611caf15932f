//! What the live documents have in common and what stands in them: labels to filter by, and headings.

use lore_core::{Access, Document};
use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};

use super::types::{Label, LabelCounts};
use super::{Catalog, listing, rows, text};
use crate::error::Result;

/// Most values of tags, and most languages, that are counted.
const LABELS: usize = 500;
/// A stored structure of more bytes than this is not read for the sake of its headings.
const STRUCTURE_BYTES: usize = 256 << 10;

impl Catalog {
    /// Tags, languages and dates of the live documents that `access` may read, the most frequent first.
    pub fn labels(&self, access: &Access) -> Result<LabelCounts> {
        let (readable, values) = live(access)?;
        self.read(|tx| {
            let tags = counted(
                tx,
                &format!(
                    "SELECT t.key, t.value, count(*) FROM documents d, json_each(d.tags) t WHERE {readable}
                     GROUP BY t.key, t.value ORDER BY 3 DESC, 1, 2 LIMIT {LABELS}"
                ),
                &values,
            )?;
            let languages = counted(
                tx,
                &format!(
                    "SELECT '', d.language, count(*) FROM documents d WHERE {readable} AND d.language IS NOT NULL
                     GROUP BY d.language ORDER BY 3 DESC, 2 LIMIT {LABELS}"
                ),
                &values,
            )?;
            let (first, last): (Option<String>, Option<String>) = tx
                .prepare_cached(&format!("SELECT min(d.date), max(d.date) FROM documents d WHERE {readable}"))?
                .query_row(params_from_iter(&values), |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(LabelCounts { tags, languages, first_date: first, last_date: last })
        })
    }

    /// The `most` documents that changed last, of the live ones that `access` may read and that no other replaces, each
    /// with its headings, its title aside. Only those in `language`, where it is given.
    pub fn recent_outlines(
        &self,
        access: &Access,
        language: Option<&str>,
        most: usize,
    ) -> Result<Vec<(Document, Vec<String>)>> {
        let (mut readable, mut values) = live(access)?;
        if let Some(language) = language {
            readable.push_str(" AND d.language = ?");
            values.push(Value::Text(language.to_owned()));
        }
        values.push(Value::Integer(rows::signed(most as u64)));
        let columns = rows::DOCUMENT;
        let sql = format!(
            "SELECT (SELECT v.structure FROM versions v WHERE v.document = d.pk AND v.version = d.version
                 AND length(v.structure) <= {STRUCTURE_BYTES}), {columns}
             FROM documents d WHERE d.pk IN (SELECT d.pk FROM documents d WHERE {readable} AND d.superseded_by IS NULL
                 ORDER BY d.updated_at DESC, d.pk DESC LIMIT ?)
             ORDER BY d.updated_at DESC, d.pk DESC"
        );
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(&values))?;
            let mut out = Vec::new();
            while let Some(row) = found.next()? {
                let structure: Option<String> = row.get(0)?;
                let headings =
                    structure.map(|stored| text::headings(&stored)).transpose()?.unwrap_or_default();
                let document = rows::document(row, 1)?;
                let titles = headings.into_iter().map(|heading| heading.title);
                let titles = titles.filter(|title| *title != document.title).collect();
                out.push((document, titles));
            }
            Ok(out)
        })
    }
}

/// The condition for live documents that `access` may read, and its values.
fn live(access: &Access) -> Result<(String, Vec<Value>)> {
    let (readable, values) = listing::readable(access)?;
    Ok((format!("d.version > 0 AND {readable}"), values))
}

fn counted(tx: &Transaction<'_>, sql: &str, values: &[Value]) -> Result<Vec<Label>> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(Label { key: row.get(0)?, value: row.get(1)?, documents: rows::unsigned(row, 2)? });
    }
    Ok(out)
}
