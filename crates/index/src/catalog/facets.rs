//! What there is to filter documents by.

use std::collections::{BTreeMap, BTreeSet};

use lore_core::Access;
use rusqlite::params_from_iter;

use super::types::DocumentFacets;
use super::{Catalog, listing, rows};
use crate::error::Result;

/// Most tags, and most groups, that are given.
const MOST: usize = 200;
/// Most different tags that are counted; with more, those that come late are left out.
const COUNTED: usize = 20_000;

impl Catalog {
    /// What the documents that `access` may read can be filtered by; of groups, only those that it is in.
    pub fn facets(&self, access: &Access) -> Result<DocumentFacets> {
        let (readable, values) = listing::readable(access)?;
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT d.state, d.format, d.tags, d.acl, d.chunks FROM documents d WHERE {readable}"
            ))?;
            let mut found = statement.query(params_from_iter(&values))?;
            let mut out = DocumentFacets::default();
            while let Some(row) = found.next()? {
                let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
                out.documents += 1;
                out.chunks += rows::unsigned(row, 4)?;
                count(&mut out.states, text(0)?);
                count(&mut out.formats, text(1)?);
                let (tags, acl) = (text(2)?, text(3)?);
                if tags != "{}" {
                    for (key, value) in rows::from_json::<BTreeMap<String, String>>(tags)? {
                        count(&mut out.tags, &format!("{key}={value}"));
                    }
                }
                if acl == "[]" {
                    out.open += 1;
                    continue;
                }
                for group in rows::from_json::<BTreeSet<String>>(acl)? {
                    if access_knows(access, &group) {
                        count(&mut out.groups, &group);
                    }
                }
            }
            most(&mut out.tags);
            most(&mut out.groups);
            Ok(out)
        })
    }
}

fn access_knows(access: &Access, group: &str) -> bool {
    match access {
        Access::All => true,
        Access::Groups(groups) => groups.contains(group),
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < COUNTED {
        counts.insert(name.to_owned(), 1);
    }
}

/// Keeps the names that are counted most.
fn most(counts: &mut BTreeMap<String, u64>) {
    if counts.len() <= MOST {
        return;
    }
    let mut all: Vec<(String, u64)> = std::mem::take(counts).into_iter().collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all.truncate(MOST);
    counts.extend(all);
}
