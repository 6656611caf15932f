//! Connections: one writer per process behind a mutex, and a bounded pool of readers.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::schema;
use crate::error::{IndexError, Result};

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(30);
/// Most connections that read at once in this process; further readers wait.
const READERS: usize = 8;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// When a write is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// When the call returns (`synchronous=FULL`: the log is synced at each commit).
    Full,
    /// Soon: it survives the process, and may be lost with the machine's power. For what can be made again.
    Soon,
}

/// The database of one catalog.
pub(super) struct Db {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Readers>,
    returned: Condvar,
}

struct Readers {
    idle: Vec<Connection>,
    open: usize,
}

/// A read connection that goes back to the pool.
struct Reader<'a> {
    db: &'a Db,
    connection: Option<Connection>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut readers = lock(&self.db.readers);
        match self.connection.take() {
            Some(connection) => readers.idle.push(connection),
            None => readers.open -= 1,
        }
        drop(readers);
        self.db.returned.notify_one();
    }
}

/// Locks a mutex whose data stays valid when a holder panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Db {
    /// Opens or makes the database at `path` and migrates it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let writer = Self::open_writer(path).map_err(|error| explain(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Readers { idle: Vec::new(), open: 0 }),
            returned: Condvar::new(),
        })
    }

    fn open_writer(path: &Path) -> Result<Connection> {
        let mut connection = Connection::open(path)?;
        configure(&connection)?;
        // Asked first, because the change to WAL wants the file for itself even where nothing is to be done.
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Deleted text is overwritten: deletion is also asked for by law.
        connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
        connection.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
        schema::migrate(&mut connection)?;
        Ok(connection)
    }

    fn open_reader(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    fn reader(&self) -> Result<Reader<'_>> {
        let mut readers = lock(&self.readers);
        loop {
            if let Some(connection) = readers.idle.pop() {
                return Ok(Reader { db: self, connection: Some(connection) });
            }
            if readers.open < READERS {
                readers.open += 1;
                drop(readers);
                // Where opening fails, dropping the empty reader gives its place back.
                let mut reader = Reader { db: self, connection: None };
                reader.connection = Some(self.open_reader()?);
                return Ok(reader);
            }
            readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads from one consistent state of the database.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let run = || {
            let reader = self.reader()?;
            let Some(connection) = reader.connection.as_ref() else {
                return Err(IndexError::Cancelled);
            };
            let transaction = connection.unchecked_transaction()?;
            let out = work(&transaction)?;
            transaction.commit()?;
            Ok(out)
        };
        run().map_err(|error| explain(&self.path, error))
    }

    /// Writes in one transaction, which takes the write lock at its start; an error rolls everything back.
    pub(super) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut writer = lock(&self.writer);
        write_with(&mut writer, durability, work).map_err(|error| explain(&self.path, error))
    }

    /// Writes as [`Db::write`] with [`Durability::Soon`], unless anybody else is writing: then it does nothing.
    pub(super) fn try_write(&self, work: impl FnOnce(&Transaction<'_>) -> Result<()>) -> Result<()> {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return Ok(()),
        };
        writer.busy_timeout(Duration::ZERO)?;
        let outcome = write_with(&mut writer, Durability::Soon, work);
        writer.busy_timeout(BUSY)?;
        match outcome {
            Err(IndexError::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(())
            }
            other => other.map_err(|error| explain(&self.path, error)),
        }
    }

    /// Runs outside of a transaction on the writer, for pragmas and checks.
    pub(super) fn with_writer<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let writer = lock(&self.writer);
        work(&writer).map_err(|error| explain(&self.path, error))
    }
}

fn write_with<T>(
    writer: &mut Connection,
    durability: Durability,
    work: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    if durability == Durability::Soon {
        writer.pragma_update(None, "synchronous", "NORMAL")?;
    }
    let run = || {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let out = work(&transaction)?;
        transaction.commit()?;
        Ok(out)
    };
    let outcome = run();
    if durability == Durability::Soon {
        writer.pragma_update(None, "synchronous", "FULL")?;
    }
    outcome
}

fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    Ok(())
}

/// Turns SQLite's errors that have a meaning for the caller into ours.
fn explain(path: &Path, error: IndexError) -> IndexError {
    let IndexError::Sqlite(cause) = error else { return error };
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => IndexError::DiskFull { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            IndexError::Damaged(format!("{}: {cause}", path.display()))
        }
        _ => IndexError::Sqlite(cause),
    }
}

/// A write transaction of the catalog, with what is to be done after it.
pub(super) struct Write<'a> {
    transaction: &'a Transaction<'a>,
    /// The time of this transaction in microseconds.
    pub(super) now: i64,
    /// Whether an original became unreferenced, so that the files must be swept after the commit.
    pub(super) sweep: std::cell::Cell<bool>,
}

impl<'a> Write<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>, now: i64) -> Self {
        Self { transaction, now, sweep: std::cell::Cell::new(false) }
    }
}

impl<'a> Deref for Write<'a> {
    type Target = Transaction<'a>;
    fn deref(&self) -> &Transaction<'a> {
        self.transaction
    }
}
