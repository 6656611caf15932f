//! The schema and its migrations, one step per version of `PRAGMA user_version`.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{IndexError, Result};

/// Steps from an empty file to the present schema; a step that was released is never edited, a new one is appended.
const MIGRATIONS: &[&str] =
    &[FIRST, SECOND, FOLDER_ID, CONVERSATIONS, RELEASES, SESSIONS, DELETED, super::trainings::SCHEMA];

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

/// A name of the data folder that no other has, for what it keeps on servers that others use too.
const FOLDER_ID: &str = r"
CREATE TABLE folder (id TEXT NOT NULL) STRICT;
INSERT INTO folder (id) VALUES (lower(hex(randomblob(8))));
";

/// Times are microseconds since 1970 in UTC, UUIDs 16 bytes, hashes of originals hexadecimal text, hashes of embedded
/// texts 32 bytes, lists and maps JSON.
const FIRST: &str = r"
CREATE TABLE documents (
    pk            INTEGER PRIMARY KEY,
    id            BLOB NOT NULL UNIQUE,
    source        TEXT NOT NULL,
    name          TEXT NOT NULL,
    title         TEXT NOT NULL,
    search        TEXT NOT NULL,           -- name and title in lower case
    format        TEXT NOT NULL,
    language      TEXT,
    tags          TEXT NOT NULL,
    acl           TEXT NOT NULL,
    date          TEXT,
    superseded_by TEXT,
    version       INTEGER NOT NULL,        -- live version, 0 for none
    content_hash  TEXT,
    size          INTEGER NOT NULL,
    pipeline      INTEGER NOT NULL,
    pages         INTEGER,
    chunks        INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('live', 'pending', 'failed')),
    reason        TEXT,
    failed_hash   TEXT,                    -- original that could not be read
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX documents_by_name ON documents (name, id);
CREATE INDEX documents_by_failed_hash ON documents (failed_hash) WHERE failed_hash IS NOT NULL;

CREATE TABLE versions (
    pk           INTEGER PRIMARY KEY,
    document     INTEGER NOT NULL REFERENCES documents (pk) ON DELETE CASCADE,
    version      INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    size         INTEGER NOT NULL,
    pipeline     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    title        TEXT,
    language     TEXT,
    text_bytes   INTEGER NOT NULL,
    structure    TEXT NOT NULL,            -- blocks, headings, pages
    text         TEXT NOT NULL,
    UNIQUE (document, version)
) STRICT;
CREATE INDEX versions_by_hash ON versions (content_hash);

-- Chunks of the live version alone: nothing asks for those of a retired one.
CREATE TABLE chunks (
    pk         INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    document   INTEGER NOT NULL REFERENCES documents (pk) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    char_start INTEGER NOT NULL,           -- code points
    char_end   INTEGER NOT NULL,
    byte_start INTEGER NOT NULL,           -- the same range in bytes, so that slicing needs no scan
    byte_end   INTEGER NOT NULL,
    first_page INTEGER,
    last_page  INTEGER,
    headings   TEXT NOT NULL,
    context    TEXT,
    text_hash  BLOB NOT NULL,
    UNIQUE (document, ordinal)
) STRICT;
CREATE INDEX chunks_by_text ON chunks (text_hash);

-- Rows are never removed: the numbers have no gaps, and a document that comes back after its deletion goes on counting
-- its versions, so that no chunk id ever means two texts.
CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY,
    document BLOB NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('version', 'meta', 'deleted')),
    version  INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_by_document ON changes (document, version);

CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    n            INTEGER PRIMARY KEY,      -- order of arrival
    id           TEXT NOT NULL UNIQUE,
    kind         TEXT NOT NULL,
    document     BLOB NOT NULL,
    content_hash TEXT NOT NULL,
    size         INTEGER NOT NULL,
    payload      TEXT,                     -- the document as it was uploaded; gone once the job has ended
    meta_set     INTEGER NOT NULL DEFAULT 0, -- tags or access list were set by hand since
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    reason       TEXT,
    attempts     INTEGER NOT NULL,
    worker       TEXT,
    lease_until  INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_open_by_document ON jobs (document) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_open ON jobs (n) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_open_by_hash ON jobs (content_hash) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_ended ON jobs (updated_at) WHERE state IN ('done', 'failed');

-- Originals stored by somebody who has not referred to them yet.
CREATE TABLE pins (
    n     INTEGER PRIMARY KEY,
    hash  TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX pins_by_hash ON pins (hash);

-- Originals that nothing refers to any more, to be removed from the disk.
CREATE TABLE garbage (
    hash TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE embedders (
    pk   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE vectors (
    pk        INTEGER PRIMARY KEY,
    text_hash BLOB NOT NULL,
    embedder  INTEGER NOT NULL REFERENCES embedders (pk) ON DELETE CASCADE,
    vector    BLOB NOT NULL,               -- f32, little endian
    UNIQUE (text_hash, embedder)
) STRICT;

CREATE TABLE feedback (
    n             INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    caller        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    question      TEXT NOT NULL,
    answer        TEXT NOT NULL,
    rating        TEXT NOT NULL,
    reason        TEXT,
    better_answer TEXT,
    citations     TEXT NOT NULL
) STRICT;

CREATE TABLE keys (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    member_of    TEXT NOT NULL,           -- groups
    admin        INTEGER NOT NULL,
    secret_hash  BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
";

/// Where access lists come from, those of older versions, and what cut or refused a content.
const SECOND: &str = r"
ALTER TABLE documents ADD COLUMN acl_by_hand INTEGER NOT NULL DEFAULT 0;  -- set by a person, not by the source
ALTER TABLE documents ADD COLUMN acl_source TEXT NOT NULL DEFAULT '[]';   -- what the source said last
UPDATE documents SET acl_source = acl;
ALTER TABLE documents ADD COLUMN recipe TEXT NOT NULL DEFAULT '';         -- how the live version was cut
ALTER TABLE documents ADD COLUMN failed_by TEXT;                          -- what could not read failed_hash

-- The access list in force when the version was replaced; null for the live one, and where it is not known.
ALTER TABLE versions ADD COLUMN acl TEXT;

ALTER TABLE jobs DROP COLUMN meta_set;  -- the payload has what was set
";

/// Conversations. No text of a document stands in them but what an answer says itself: of quotes and passages the places
/// are kept. An answer is null once a document that it rests on was deleted.
const CONVERSATIONS: &str = r"
CREATE TABLE conversations (
    pk         INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    owner      TEXT NOT NULL,
    title      TEXT NOT NULL,
    search     TEXT NOT NULL,             -- title in lower case
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id);

CREATE TABLE turns (
    pk           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (pk) ON DELETE CASCADE,
    at           INTEGER NOT NULL,
    question     TEXT NOT NULL,
    search       TEXT NOT NULL,           -- question in lower case
    answer       TEXT,
    summary      TEXT NOT NULL,           -- the end of the answer without texts
    sources      TEXT NOT NULL            -- passages without texts
) STRICT;
CREATE INDEX turns_by_conversation ON turns (conversation, pk);

-- The documents that an answer rests on.
CREATE TABLE turn_documents (
    turn     INTEGER NOT NULL REFERENCES turns (pk) ON DELETE CASCADE,
    document BLOB NOT NULL,
    PRIMARY KEY (turn, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_documents_by_document ON turn_documents (document);
";

/// Releases of the language model. A release is never removed, only its folder, so that what is known of an answer's writer
/// stays known.
const RELEASES: &str = r"
CREATE TABLE releases (
    n           INTEGER PRIMARY KEY,      -- order of arrival
    id          TEXT NOT NULL UNIQUE,     -- hash of the folder's content
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('candidate', 'live', 'retired', 'rejected', 'failed')),
    reason      TEXT,                     -- why it cannot be run
    bytes       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    origin      TEXT NOT NULL,            -- base, data, config, seed, code
    verdict     TEXT,
    report      TEXT,                     -- both sides of the evaluation
    promoted_at INTEGER,
    retired_at  INTEGER,
    removed_at  INTEGER,                  -- the folder
    forced      TEXT                      -- why it went live unproven
) STRICT;
-- The alias: one at most.
CREATE UNIQUE INDEX releases_live ON releases (state) WHERE state = 'live';

-- The documents that a release learned from.
CREATE TABLE release_sources (
    release  INTEGER NOT NULL REFERENCES releases (n),
    document BLOB NOT NULL,
    version  INTEGER NOT NULL,
    name     TEXT NOT NULL,
    PRIMARY KEY (release, document, version)
) STRICT, WITHOUT ROWID;

-- Each time that a release went live, and what was live before; null for the model of the settings.
CREATE TABLE promotions (
    n         INTEGER PRIMARY KEY,
    release   INTEGER NOT NULL REFERENCES releases (n),
    before    INTEGER REFERENCES releases (n),
    at        INTEGER NOT NULL,
    caller    TEXT NOT NULL,
    forced    TEXT,
    undone_at INTEGER,
    undone_by TEXT
) STRICT;
CREATE INDEX promotions_by_release ON promotions (release, n);
";

/// Sessions of browsers: each stands for a key, and ends with it.
const SESSIONS: &str = r"
CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    key        TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,          -- to the minute
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_key ON sessions (key, seen_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);
";

/// Documents that were deleted and can still be brought back. They lie in tables of their own, so that nothing that reads
/// documents can meet them. Their columns are those of the tables that they come from, without numbers of rows.
const DELETED: &str = r"
CREATE TABLE deleted (
    pk       INTEGER PRIMARY KEY,
    document BLOB NOT NULL UNIQUE,
    until    INTEGER NOT NULL,             -- then it is removed
    job      INTEGER,                      -- its open job
    job_hash TEXT                          -- and that one's original
) STRICT;
CREATE INDEX deleted_by_time ON deleted (until);
CREATE INDEX deleted_by_job_hash ON deleted (job_hash) WHERE job_hash IS NOT NULL;

CREATE TABLE deleted_documents (
    deleted       INTEGER NOT NULL UNIQUE REFERENCES deleted (pk) ON DELETE CASCADE,
    id            BLOB NOT NULL,
    source        TEXT NOT NULL,
    name          TEXT NOT NULL,
    title         TEXT NOT NULL,
    search        TEXT NOT NULL,
    format        TEXT NOT NULL,
    language      TEXT,
    tags          TEXT NOT NULL,
    acl           TEXT NOT NULL,
    date          TEXT,
    superseded_by TEXT,
    version       INTEGER NOT NULL,
    content_hash  TEXT,
    size          INTEGER NOT NULL,
    pipeline      INTEGER NOT NULL,
    pages         INTEGER,
    chunks        INTEGER NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT,
    failed_hash   TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    acl_by_hand   INTEGER NOT NULL,
    acl_source    TEXT NOT NULL,
    recipe        TEXT NOT NULL,
    failed_by     TEXT
) STRICT;
CREATE INDEX deleted_documents_by_failed_hash ON deleted_documents (failed_hash) WHERE failed_hash IS NOT NULL;

CREATE TABLE deleted_versions (
    deleted      INTEGER NOT NULL REFERENCES deleted (pk) ON DELETE CASCADE,
    version      INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    size         INTEGER NOT NULL,
    pipeline     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    title        TEXT,
    language     TEXT,
    text_bytes   INTEGER NOT NULL,
    structure    TEXT NOT NULL,
    text         TEXT NOT NULL,
    acl          TEXT
) STRICT;
CREATE INDEX deleted_versions_by_document ON deleted_versions (deleted);
CREATE INDEX deleted_versions_by_hash ON deleted_versions (content_hash);

CREATE TABLE deleted_chunks (
    deleted    INTEGER NOT NULL REFERENCES deleted (pk) ON DELETE CASCADE,
    id         BLOB NOT NULL,
    version    INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    char_start INTEGER NOT NULL,
    char_end   INTEGER NOT NULL,
    byte_start INTEGER NOT NULL,
    byte_end   INTEGER NOT NULL,
    first_page INTEGER,
    last_page  INTEGER,
    headings   TEXT NOT NULL,
    context    TEXT,
    text_hash  BLOB NOT NULL
) STRICT;
CREATE INDEX deleted_chunks_by_document ON deleted_chunks (deleted);
CREATE INDEX deleted_chunks_by_text ON deleted_chunks (text_hash);

-- A job that failed keeps its payload for another try, until its document has other content or is gone.
CREATE INDEX jobs_to_try_again ON jobs (document) WHERE state = 'failed' AND payload IS NOT NULL;

-- For lists of documents in another order than that of their names.
CREATE INDEX documents_by_update ON documents (updated_at, id);
";

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
