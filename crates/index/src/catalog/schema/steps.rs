//! The steps of the schema, oldest first but for the folder's name. One that was released is never edited.

/// A name of the data folder that no other has, for what it keeps on servers that others use too.
pub(super) const FOLDER_ID: &str = r"
CREATE TABLE folder (id TEXT NOT NULL) STRICT;
INSERT INTO folder (id) VALUES (lower(hex(randomblob(8))));
";

/// Times are microseconds since 1970 in UTC, UUIDs 16 bytes, hashes of originals hexadecimal text, hashes of embedded
/// texts 32 bytes, lists and maps JSON.
pub(super) const FIRST: &str = r"
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
pub(super) const SECOND: &str = r"
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
pub(super) const CONVERSATIONS: &str = r"
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
pub(super) const RELEASES: &str = r"
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
pub(super) const SESSIONS: &str = r"
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
pub(super) const DELETED: &str = r"
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

/// Feedback is found by the question that it was given on.
pub(super) const FEEDBACK_BY_QUESTION: &str =
    "CREATE INDEX feedback_by_question ON feedback (caller, question);";
