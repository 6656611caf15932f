//! Zip archives of Office files, read with limits on what they expand to.

use std::io::{BufReader, Cursor, Read};

use lore_core::{Format, Limits};
use zip::result::ZipError;

use super::ParseError;

/// Office files have a few hundred parts.
const MOST_ENTRIES: usize = 20_000;

/// Deflate reaches 1,032 at its limit; real parts stay far below, but for small ones.
const MOST_RATIO: u64 = 250;

/// Archives that expand to less than this may have any ratio.
const RATIO_FREE: u64 = 32 << 20;

/// An Office archive.
pub(crate) struct Archive<'a> {
    zip: zip::ZipArchive<Cursor<&'a [u8]>>,
    format: Format,
    limit: u64,
}

impl<'a> Archive<'a> {
    /// Opens `bytes`; the sizes that its directory declares are checked, and that no two entries share bytes.
    pub(crate) fn open(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<Self, ParseError> {
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| zip_error(format, e))?;
        let limit = limits.archive_bytes.min((bytes.len() as u64).saturating_mul(MOST_RATIO).max(RATIO_FREE));
        let bomb = ParseError::ArchiveBomb { limit };
        // Entries written as a stream do not declare a size; what comes out of them is counted anyway.
        let declared = zip.decompressed_size().unwrap_or(0);
        if zip.len() > MOST_ENTRIES || declared > u128::from(limit) {
            return Err(bomb);
        }
        if zip.has_overlapping_entries().unwrap_or(false) {
            return Err(bomb);
        }
        for index in 0..zip.len() {
            if zip.by_index_raw(index).map_err(|e| zip_error(format, e))?.encrypted() {
                return Err(ParseError::Encrypted { format });
            }
        }
        Ok(Self { zip, format, limit })
    }

    /// Expands everything once into nothing, so that a parser without limits of its own may read it.
    pub(crate) fn check_expansion(&mut self) -> Result<(), ParseError> {
        let mut total = 0u64;
        for index in 0..self.zip.len() {
            let entry = self.zip.by_index(index).map_err(|e| zip_error(self.format, e))?;
            let room = self.limit.saturating_sub(total) + 1;
            // A damaged entry is the parser's to report, where it needs it.
            total += std::io::copy(&mut entry.take(room), &mut std::io::sink()).unwrap_or(0);
            if total > self.limit {
                return Err(ParseError::ArchiveBomb { limit: self.limit });
            }
        }
        Ok(())
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip.file_names().flatten().map(|name| name.into_owned()).collect()
    }

    /// The bytes that come out of the part called `name`; 0 where there is none.
    pub(crate) fn expanded_size(&mut self, name: &str) -> Result<u64, ParseError> {
        let Some(mut part) = self.part(name)? else { return Ok(0) };
        // What a damaged entry gives before it fails.
        let mut size = 0;
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = part.read(&mut buffer) {
            size += read as u64;
        }
        Ok(size)
    }

    /// A reader of the part called `name`, without a leading slash; `None` where there is none.
    pub(crate) fn part(&mut self, name: &str) -> Result<Option<BufReader<Part<'_>>>, ParseError> {
        let name = name.trim_start_matches('/');
        let index = self.zip.index_for_name(name).or_else(|| {
            // Some writers differ in case between the relationship and the entry.
            let names = self.names();
            let found = names.iter().find(|n| n.eq_ignore_ascii_case(name))?;
            self.zip.index_for_name(found)
        });
        let Some(index) = index else { return Ok(None) };
        let entry = self.zip.by_index(index).map_err(|e| zip_error(self.format, e))?;
        let inner: Box<dyn Read + '_> = Box::new(entry);
        Ok(Some(BufReader::new(Part { inner, left: self.limit })))
    }
}

/// The bytes of a part; an error where there are more than the limit.
pub(crate) struct Part<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other("the part expands beyond the limit"))?;
        Ok(read)
    }
}

fn zip_error(format: Format, error: ZipError) -> ParseError {
    match error {
        ZipError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ParseError::truncated(format, "an entry of the archive ends early")
        }
        ZipError::InvalidArchive(detail) => ParseError::truncated(format, detail),
        ZipError::UnsupportedArchive(detail) if detail.to_ascii_lowercase().contains("password") => {
            ParseError::Encrypted { format }
        }
        other => ParseError::corrupt(format, other),
    }
}
