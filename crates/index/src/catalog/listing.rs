//! Lists of documents: filters, orders, pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lore_core::{Access, Document};
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use super::types::{DocumentOrder, DocumentPage, DocumentQuery, GroupFilter};
use super::{Catalog, rows};
use crate::error::{IndexError, Result};

/// Longest page that is given at once; a longer one goes on at its cursor.
const LONGEST_PAGE: usize = 10_000;

impl Catalog {
    /// Documents by page; a page has at most 10,000.
    ///
    /// # Errors
    /// `Invalid` for a cursor that no page in this order gave, or a state that does not exist.
    pub fn documents(&self, query: &DocumentQuery) -> Result<DocumentPage> {
        let (mut conditions, mut values) = conditions(query)?;
        let limit = query.limit.clamp(1, LONGEST_PAGE);
        let column = query.order.column();
        let (direction, behind) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
        self.read(|tx| {
            let all = conditions.join(" AND ");
            let total: i64 = tx
                .prepare_cached(&format!("SELECT count(*) FROM documents d WHERE {all}"))?
                .query_row(params_from_iter(&values), |row| row.get(0))?;
            if let Some(cursor) = &query.after {
                let Place { value, id, .. } = Place::parse(cursor, query.order)?;
                conditions.push(format!("({column}, d.id) {behind} (?, ?)"));
                values.push(value.into());
                values.push(Value::Blob(id.to_vec()));
            }
            values.push(Value::Integer(rows::signed(limit as u64 + 1)));
            values.push(Value::Integer(rows::signed(query.skip as u64)));
            let (all, columns) = (conditions.join(" AND "), rows::DOCUMENT);
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {columns} FROM documents d WHERE {all}
                 ORDER BY {column} {direction}, d.id {direction} LIMIT ? OFFSET ?"
            ))?;
            let mut found = statement.query(params_from_iter(&values))?;
            let mut documents = Vec::new();
            while let Some(row) = found.next()? {
                documents.push(rows::document(row, 0)?);
            }
            let more = documents.len() > limit;
            documents.truncate(limit);
            let last = documents.last().filter(|_| more);
            let next = last.map(|last| Place::of(last, query.order).cursor()).transpose()?;
            Ok(DocumentPage { documents, next, total: total.unsigned_abs() })
        })
    }
}

impl DocumentOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Name => "d.name",
            Self::Updated => "d.updated_at",
            Self::Size => "d.size",
            Self::Chunks => "d.chunks",
            Self::Pages => "coalesce(d.pages, 0)",
        }
    }
}

/// The condition for documents that `access` may read, and its values.
pub(super) fn readable(access: &Access) -> Result<(String, Vec<Value>)> {
    let (conditions, values) =
        conditions(&DocumentQuery { access: access.clone(), ..DocumentQuery::default() })?;
    Ok((conditions.join(" AND "), values))
}

/// The conditions of a listing without its cursor, as SQL and values.
pub(super) fn conditions(query: &DocumentQuery) -> Result<(Vec<String>, Vec<Value>)> {
    let mut conditions = vec!["1".to_owned()];
    let mut values = Vec::new();
    let mut add = |condition: &str, given: Vec<Value>| {
        conditions.push(condition.to_owned());
        values.extend(given);
    };
    for word in query.text.as_deref().unwrap_or_default().split_whitespace() {
        add("instr(d.search, ?) > 0", vec![Value::Text(word.to_lowercase())]);
    }
    for (prefix, condition) in [
        (&query.name_prefix, "substr(d.name, 1, length(?)) = ?"),
        (&query.source_prefix, "substr(d.source, 1, length(?)) = ?"),
    ] {
        if let Some(prefix) = prefix {
            add(condition, vec![Value::Text(prefix.clone()); 2]);
        }
    }
    if let Some(state) = &query.state {
        if !["live", "pending", "failed"].contains(&state.as_str()) {
            return Err(IndexError::Invalid(format!(
                "{state:?} is no state; the states are live, pending and failed"
            )));
        }
        add("d.state = ?", vec![Value::Text(state.clone())]);
    }
    if let Some(format) = query.format {
        add("d.format = ?", vec![Value::Text(rows::format_name(format).to_owned())]);
    }
    if let Some((key, value)) = &query.tag {
        add(
            "d.tags <> '{}' AND EXISTS (SELECT 1 FROM json_each(d.tags) AS t WHERE t.key = ? AND t.value = ?)",
            vec![Value::Text(key.clone()), Value::Text(value.clone())],
        );
    }
    match &query.group {
        Some(GroupFilter::Everyone) => add("d.acl = '[]'", Vec::new()),
        Some(GroupFilter::Named(group)) => add(
            "d.acl <> '[]' AND EXISTS (SELECT 1 FROM json_each(d.acl) AS n WHERE n.value = ?)",
            vec![Value::Text(group.clone())],
        ),
        None => {}
    }
    if let Access::Groups(groups) = &query.access {
        add(READABLE, vec![Value::Text(rows::to_json(groups)?)]);
    }
    Ok((conditions, values))
}

/// Whether members of the groups in a JSON list may read document `d`.
const READABLE: &str = "(d.acl = '[]' OR EXISTS (SELECT 1 FROM json_each(d.acl) AS a
     WHERE a.value IN (SELECT g.value FROM json_each(?) AS g)))";

/// The place behind a document in an order.
#[derive(Serialize, Deserialize)]
struct Place {
    #[serde(rename = "o")]
    order: DocumentOrder,
    #[serde(rename = "v")]
    value: PlaceValue,
    #[serde(rename = "i")]
    id: [u8; 16],
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PlaceValue {
    Number(i64),
    Text(String),
}

impl From<PlaceValue> for Value {
    fn from(value: PlaceValue) -> Self {
        match value {
            PlaceValue::Number(number) => Self::Integer(number),
            PlaceValue::Text(text) => Self::Text(text),
        }
    }
}

impl Place {
    fn of(document: &Document, order: DocumentOrder) -> Self {
        let value = match order {
            DocumentOrder::Name => PlaceValue::Text(document.name.clone()),
            DocumentOrder::Updated => PlaceValue::Number(document.updated_at.as_microsecond()),
            DocumentOrder::Size => PlaceValue::Number(rows::signed(document.size)),
            DocumentOrder::Chunks => PlaceValue::Number(document.chunks.into()),
            DocumentOrder::Pages => PlaceValue::Number(document.pages.unwrap_or(0).into()),
        };
        Self { order, value, id: *document.id.0.as_bytes() }
    }

    fn cursor(&self) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(rows::to_json(self)?))
    }

    fn parse(cursor: &str, order: DocumentOrder) -> Result<Self> {
        let parse = || -> Option<Self> {
            let place: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let is_text = matches!(place.value, PlaceValue::Text(_));
            (place.order == order && is_text == (order == DocumentOrder::Name)).then_some(place)
        };
        parse().ok_or_else(|| {
            IndexError::Invalid(format!("{cursor:?} is no cursor of a page of documents in this order"))
        })
    }
}
