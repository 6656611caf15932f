//! Groups: they exist where a document's access list or a key names them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Catalog, rows};
use crate::error::Result;

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Groups {
    /// The groups, by name.
    pub groups: Vec<Group>,
    /// Documents that everybody may read.
    pub open_documents: u64,
    /// Documents that only groups may read.
    pub closed_documents: u64,
    /// Keys that may read everything.
    pub admin_keys: Vec<KeyName>,
    /// Keys of no group, which read what is open.
    pub keys_without_group: Vec<KeyName>,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Documents whose access list names it.
    pub documents: u64,
    /// Its keys that were not revoked, oldest first.
    pub keys: Vec<KeyName>,
}

/// A key, as a group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Catalog {
    /// The groups that documents and keys name.
    pub fn groups(&self) -> Result<Groups> {
        let keys = self.keys()?;
        let mut out = Groups::default();
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT group_of.value, count(*) FROM documents, json_each(documents.acl) AS group_of
                 GROUP BY group_of.value",
            )?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let name: String = row.get(0)?;
                groups.entry(name).or_default().documents = rows::unsigned(row, 1)?;
            }
            let mut statement =
                tx.prepare_cached("SELECT count(*) FROM documents WHERE (acl = '[]') = ?1")?;
            let mut count = |open: bool| -> Result<u64> {
                statement.query_row([open], |row| Ok(rows::unsigned(row, 0)))?
            };
            (out.open_documents, out.closed_documents) = (count(true)?, count(false)?);
            Ok(())
        })?;
        for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
            let name = KeyName { id: key.id, name: key.name };
            if key.admin {
                out.admin_keys.push(name.clone());
            } else if key.groups.is_empty() {
                out.keys_without_group.push(name.clone());
            }
            for group in key.groups {
                groups.entry(group).or_default().keys.push(name.clone());
            }
        }
        out.groups = groups.into_iter().map(|(name, group)| Group { name, ..group }).collect();
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use lore_core::{Acl, DocumentMeta, Format};

    use super::*;
    use crate::catalog::{AclChoice, NewDocument, NewKey};

    #[test]
    fn groups_are_those_that_documents_and_keys_name() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        for (name, groups) in [("a.md", vec![]), ("b.md", vec!["board"]), ("c.md", vec!["board", "人事"])] {
            let document = NewDocument {
                source: format!("upload:{name}"),
                name: name.to_owned(),
                format: Format::Md,
                meta: DocumentMeta { acl: Acl(named(&groups)), ..DocumentMeta::default() },
                acl: AclChoice::Keep,
            };
            let hash = catalog.store_original(name.as_bytes()).unwrap();
            catalog.commit_failure(&document, Some(&hash), "unreadable", "test").unwrap();
        }
        let key = |name: &str, groups: &[&str], admin| {
            let new = NewKey { name: name.to_owned(), groups: named(groups), admin };
            let (key, _) = catalog.create_key(&new).unwrap();
            KeyName { id: key.id, name: key.name }
        };
        let (one, two) = (key("one", &["board", "works council"], false), key("two", &[], true));
        let (three, gone) = (key("three", &[], false), key("gone", &["board"], false));
        assert!(catalog.revoke_key(&gone.id).unwrap());
        let group = |name: &str, documents, keys: &[&KeyName]| Group {
            name: name.to_owned(),
            documents,
            keys: keys.iter().copied().cloned().collect(),
        };
        assert_eq!(
            catalog.groups().unwrap(),
            Groups {
                groups: vec![
                    group("board", 2, &[&one]),
                    group("works council", 0, &[&one]),
                    group("人事", 1, &[]),
                ],
                open_documents: 1,
                closed_documents: 2,
                admin_keys: vec![two],
                keys_without_group: vec![three],
            }
        );
    }
}
