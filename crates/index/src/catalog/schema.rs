//! The schema and its migrations, one step per version of `PRAGMA user_version`.

use rusqlite::{Connection, TransactionBehavior};

use self::steps::{
    CONVERSATIONS, DELETED, FEEDBACK_BY_QUESTION, FIRST, FOLDER_ID, RELEASES, SECOND, SESSIONS,
};
use crate::error::{IndexError, Result};

mod steps;

/// Steps from an empty file to the present schema; a step that was released is never edited, a new one is appended.
const MIGRATIONS: &[&str] = &[
    FIRST,
    SECOND,
    FOLDER_ID,
    CONVERSATIONS,
    RELEASES,
    SESSIONS,
    DELETED,
    super::trainings::SCHEMA,
    FEEDBACK_BY_QUESTION,
];

/// The newest schema version that this program knows.
pub(super) fn known_version() -> u32 {
    MIGRATIONS.len() as u32
}

/// Brings the database to the newest schema; safe when several processes try at once.
///
/// # Errors
/// `NewerSchema` when the file was written by a newer program.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = known_version();
    if found > known {
        return Err(IndexError::NewerSchema { found, known });
    }
    for step in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(step)?;
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn access_lists_survive_the_second_step() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO documents (id, source, name, title, search, format, tags, acl, version, size, pipeline,
                       chunks, state, created_at, updated_at)
                   VALUES (x'00', 's', 'n', 't', 'n', 'md', '{}', '["board"]', 2, 1, 1, 0, 'live', 0, 0);
                   INSERT INTO versions (document, version, content_hash, size, pipeline, created_at, text_bytes,
                       structure, text)
                   VALUES (1, 1, 'h', 1, 1, 0, 1, '{}', 'x');"#,
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let (acl, source, by_hand): (String, String, bool) = connection
            .query_row("SELECT acl, acl_source, acl_by_hand FROM documents", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!((acl.as_str(), source.as_str(), by_hand), (r#"["board"]"#, r#"["board"]"#, false));
        let closed: bool =
            connection.query_row("SELECT acl IS NULL FROM versions", [], |row| row.get(0)).unwrap();
        assert!(closed, "who could read a version that was replaced before is not known");
    }

    #[test]
    fn conversations_come_with_the_fourth_step_and_what_was_there_stays() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in [FIRST, SECOND, FOLDER_ID] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 3).unwrap();
        connection
            .execute_batch(
                "INSERT INTO changes (document, kind, version, at) VALUES (x'00', 'version', 1, 0)",
            )
            .unwrap();
        let folder = |c: &Connection| c.query_row("SELECT id FROM folder", [], |row| row.get::<_, String>(0));
        let before = folder(&connection).unwrap();
        migrate(&mut connection).unwrap();
        let count = |table: &str| {
            connection
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0))
                .unwrap()
        };
        let counts = ["changes", "conversations", "turns", "turn_documents"].map(count);
        assert_eq!(counts, [1, 0, 0, 0]);
        assert_eq!(folder(&connection).unwrap(), before);
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, known_version());
    }

    #[test]
    fn releases_come_with_the_fifth_step_and_one_at_most_is_live() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in [FIRST, SECOND, FOLDER_ID, CONVERSATIONS] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 4).unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let add = |id: &str, state: &str| {
            connection.execute(
                "INSERT INTO releases (id, name, state, bytes, created_at, origin) VALUES (?1, 'n', ?2, 0, 0, '{}')",
                [id, state],
            )
        };
        add("a", "live").unwrap();
        add("b", "candidate").unwrap();
        assert!(add("c", "live").is_err() && add("d", "nonsense").is_err());
    }

    #[test]
    fn tables_of_deleted_documents_have_the_columns_of_documents() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let columns = |table: &str| -> Vec<(String, String)> {
            let mut statement = connection
                .prepare(
                    "SELECT name, type FROM pragma_table_info(?1)
                     WHERE name NOT IN ('pk', 'document', 'deleted') ORDER BY name",
                )
                .unwrap();
            let found = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            found.map(Result::unwrap).collect()
        };
        for table in ["documents", "versions", "chunks"] {
            assert_eq!(columns(table), columns(&format!("deleted_{table}")), "{table}");
        }
    }

    #[test]
    fn sessions_come_with_the_sixth_step_and_keys_stay() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in [FIRST, SECOND, FOLDER_ID, CONVERSATIONS, RELEASES] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 5).unwrap();
        connection
            .execute_batch(
                "INSERT INTO keys (id, name, member_of, admin, secret_hash, created_at)
                 VALUES ('a', 'n', '[]', 0, x'00', 0)",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let add = |hash: u8, key: &str| {
            connection.execute(
                "INSERT INTO sessions (token_hash, key, created_at, seen_at, expires_at) VALUES (?1, ?2, 0, 0, 1)",
                rusqlite::params![[hash], key],
            )
        };
        add(1, "a").unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        assert!(add(2, "nobody").is_err());
    }
}
