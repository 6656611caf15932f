//! Undoes the filters of streams within a budget: a few bytes can stand for gigabytes.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};
use lopdf::filters::png;
use lopdf::{Dictionary, Object, Stream, dictionary};

use super::ParseError;

/// Bytes read between two looks at the budget.
const STEP: usize = 64 << 10;

/// The bytes that the streams of a document may still expand to.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { left: limit, limit }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), ParseError> {
        self.left =
            self.left.checked_sub(bytes as u64).ok_or(ParseError::ArchiveBomb { limit: self.limit })?;
        Ok(())
    }

    /// The content of `stream` with all filters undone; `None` where one of them is unknown or its parameters are absurd.
    ///
    /// # Errors
    /// [`ParseError::ArchiveBomb`] where the budget is spent.
    pub(super) fn decode(&mut self, stream: &Stream) -> Result<Option<Vec<u8>>, ParseError> {
        let Ok(filters) = stream.filters() else {
            self.spend(stream.content.len())?;
            return Ok(Some(stream.content.clone()));
        };
        let mut data = Cow::Borrowed(stream.content.as_slice());
        for filter in filters {
            let output = match filter {
                b"FlateDecode" => self.inflate(&data)?,
                b"LZWDecode" => self.lzw(&data, early_change(&stream.dict))?,
                b"ASCII85Decode" => match self.ascii85(data.into_owned())? {
                    Some(output) => {
                        data = Cow::Owned(output);
                        continue;
                    }
                    None => return Ok(None),
                },
                _ => return Ok(None),
            };
            let Some(output) = self.unpredict(output, &stream.dict)? else { return Ok(None) };
            data = Cow::Owned(output);
        }
        Ok(Some(data.into_owned()))
    }

    /// Counts what `stream` expands to; whether it can be decoded.
    ///
    /// # Errors
    /// As for [`Budget::decode`].
    pub(super) fn measure(&mut self, stream: &Stream) -> Result<bool, ParseError> {
        // The usual cases keep nothing.
        if stream.filters().is_err() {
            return self.spend(stream.content.len()).map(|()| true);
        }
        if stream.filters().is_ok_and(|f| f == [b"FlateDecode"]) && !has_predictor(&stream.dict) {
            let mut reader = ZlibDecoder::new(stream.content.as_slice());
            let mut buffer = vec![0; STEP];
            let mut any = false;
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                any = true;
                self.spend(read)?;
            }
            return if any { Ok(true) } else { self.decode(stream).map(|d| d.is_some()) };
        }
        self.decode(stream).map(|decoded| decoded.is_some())
    }

    /// Damage ends the data; where nothing came at all, the header is passed over, as lenient readers do.
    fn inflate(&mut self, data: &[u8]) -> Result<Vec<u8>, ParseError> {
        let mut out = Vec::new();
        self.read(ZlibDecoder::new(data), &mut out)?;
        if out.is_empty() && data.len() > 2 {
            self.read(DeflateDecoder::new(&data[2..]), &mut out)?;
        }
        Ok(out)
    }

    fn read(&mut self, mut from: impl Read, out: &mut Vec<u8>) -> Result<(), ParseError> {
        loop {
            let before = out.len();
            // What came before an error counts.
            let ended = from.by_ref().take(STEP as u64).read_to_end(out).is_err();
            self.spend(out.len() - before)?;
            if ended || out.len() == before {
                return Ok(());
            }
        }
    }

    /// LZW of ISO 32000-1, 7.4.4: codes of 9 to 12 bits, 256 clears the table, 257 ends the data.
    fn lzw(&mut self, data: &[u8], early: bool) -> Result<Vec<u8>, ParseError> {
        let mut out: Vec<u8> = Vec::new();
        // Where in the output the string of each code from 258 on stands.
        let mut table: Vec<(usize, usize)> = Vec::with_capacity(4096);
        let mut last: Option<(usize, usize)> = None;
        let (mut bits, mut have) = (0u32, 0u32);
        let mut counted = 0;
        for byte in data {
            bits = bits << 8 | u32::from(*byte);
            have += 8;
            let width = match table.len() + 258 + usize::from(early) + usize::from(last.is_some()) {
                0..=512 => 9,
                513..=1024 => 10,
                1025..=2048 => 11,
                _ => 12,
            };
            if have < width {
                continue;
            }
            have -= width;
            let code = (bits >> have & ((1 << width) - 1)) as usize;
            if code == 257 {
                break;
            }
            if code == 256 {
                table.clear();
                last = None;
                continue;
            }
            let start = out.len();
            // The string before and the first byte of this one become a new entry: they stand next to each other.
            if let Some((at, len)) = last
                && table.len() < 4096 - 258
            {
                table.push((at, len + 1));
            }
            match code.checked_sub(258) {
                None => out.push(code as u8),
                Some(index) => {
                    let Some(&(at, len)) = table.get(index) else { break };
                    for i in at..at + len {
                        let Some(&byte) = out.get(i) else { break };
                        out.push(byte);
                    }
                }
            }
            last = Some((start, out.len() - start));
            if out.len() - counted >= STEP {
                self.spend(out.len() - counted)?;
                counted = out.len();
            }
        }
        self.spend(out.len() - counted)?;
        Ok(out)
    }

    fn ascii85(&mut self, data: Vec<u8>) -> Result<Option<Vec<u8>>, ParseError> {
        // `z` stands for four zeros.
        self.spend(data.len() + 4 * data.iter().filter(|b| **b == b'z').count())?;
        let stream = Stream::new(dictionary! { "Filter" => "ASCII85Decode" }, data);
        Ok(stream.decompressed_content().ok())
    }

    /// Undoes a PNG predictor (7.4.4.4); `None` where the rows are longer than the data.
    fn unpredict(&mut self, data: Vec<u8>, dict: &Dictionary) -> Result<Option<Vec<u8>>, ParseError> {
        if !has_predictor(dict) {
            return Ok(Some(data));
        }
        let Some((pixel, columns)) = row(dict) else { return Ok(None) };
        if data.is_empty() {
            return Ok(Some(data));
        }
        if pixel.checked_mul(columns).is_none_or(|bytes| bytes > data.len()) {
            return Ok(None);
        }
        self.spend(data.len())?;
        Ok(png::decode_frame(&data, pixel, columns).ok())
    }
}

/// Whether the parameters of `stream` ask for rows that no data could fill; a reader makes room for two of them.
pub(super) fn has_absurd_rows(stream: &Stream) -> bool {
    /// More than any sheet of paper has.
    const MOST_ROW_BYTES: usize = 16 << 20;
    has_predictor(&stream.dict)
        && row(&stream.dict)
            .and_then(|(pixel, columns)| pixel.checked_mul(columns))
            .is_none_or(|bytes| bytes > MOST_ROW_BYTES)
}

fn parameter(dict: &Dictionary, key: &[u8]) -> Option<i64> {
    dict.get(b"DecodeParms").and_then(Object::as_dict).ok()?.get(key).and_then(Object::as_i64).ok()
}

fn early_change(dict: &Dictionary) -> bool {
    parameter(dict, b"EarlyChange") != Some(0)
}

fn has_predictor(dict: &Dictionary) -> bool {
    parameter(dict, b"Predictor").is_some_and(|p| (10..=15).contains(&p))
}

/// Bytes of a pixel, and pixels of a row; `None` where they are too large for a number.
fn row(dict: &Dictionary) -> Option<(usize, usize)> {
    let value = |key: &[u8], least: i64| usize::try_from(parameter(dict, key).unwrap_or(1).max(least)).ok();
    let bits = value(b"BitsPerComponent", 8)?;
    Some((value(b"Colors", 1)?.checked_mul(bits)? / 8, value(b"Columns", 1)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn lzw_as_in_the_standard() {
        // The example of 7.4.4.2.
        let data = vec![0x80, 0x0B, 0x60, 0x50, 0x22, 0x0C, 0x0C, 0x85, 0x01];
        let stream = Stream::new(dictionary! { "Filter" => "LZWDecode" }, data);
        let plain = Budget::new(100).decode(&stream).unwrap().unwrap();
        assert_eq!(plain, [45, 45, 45, 45, 45, 65, 45, 45, 45, 66]);
        assert_eq!(plain, stream.decompressed_content().unwrap());
    }

    /// Codes of a run of one byte: each is the entry that it makes, the longest that codes can say.
    fn lzw_run(cycles: usize) -> Vec<u8> {
        let (mut out, mut bits, mut have) = (Vec::new(), 0u32, 0u32);
        let mut put = |code: u32, width: u32| {
            bits = bits << width | code;
            have += width;
            while have >= 8 {
                have -= 8;
                out.push((bits >> have) as u8);
                bits &= (1 << have) - 1;
            }
        };
        for _ in 0..cycles {
            put(256, 9);
            put(32, 9);
            for code in 258..4094u32 {
                put(
                    code,
                    if code < 511 {
                        9
                    } else if code < 1023 {
                        10
                    } else if code < 2047 {
                        11
                    } else {
                        12
                    },
                );
            }
            // Clear while the codes have twelve bits.
            put(256, 12);
        }
        put(257, 9);
        put(0, 7);
        out
    }

    #[test]
    fn lzw_agrees_with_lopdf_at_every_width() {
        let stream = Stream::new(dictionary! { "Filter" => "LZWDecode" }, lzw_run(1));
        let plain = Budget::new(1 << 30).decode(&stream).unwrap().unwrap();
        assert!(plain.iter().all(|b| *b == 32) && plain.len() > 7_000_000, "{}", plain.len());
        assert_eq!(plain.len(), stream.decompressed_content().unwrap().len());
    }

    #[test]
    fn budgets_hold_for_every_filter() {
        let over = |stream: &Stream| {
            matches!(Budget::new(1 << 20).decode(stream), Err(ParseError::ArchiveBomb { .. }))
                && matches!(Budget::new(1 << 20).measure(stream), Err(ParseError::ArchiveBomb { .. }))
        };
        let mut flate = Stream::new(Dictionary::new(), vec![b' '; 4 << 20]);
        flate.compress().unwrap();
        assert!(over(&flate));
        assert!(over(&Stream::new(dictionary! { "Filter" => "LZWDecode" }, lzw_run(1))));
        assert!(over(&Stream::new(dictionary! { "Filter" => "ASCII85Decode" }, vec![b'z'; 1 << 19])));
        assert!(over(&Stream::new(Dictionary::new(), vec![b' '; 4 << 20])));
    }

    #[test]
    fn rows_longer_than_the_data_are_not_made_room_for() {
        let rows = |columns: i64| {
            let parameters = dictionary! { "Predictor" => 12, "Columns" => columns, "Colors" => 4 };
            let mut stream = Stream::new(dictionary! { "DecodeParms" => parameters }, vec![0; 5_000]);
            stream.compress().unwrap();
            stream
        };
        assert_eq!(Budget::new(1 << 20).decode(&rows(1 << 60)).unwrap(), None);
        assert_eq!(Budget::new(1 << 20).decode(&rows(100_000_000)).unwrap(), None);
        assert!(has_absurd_rows(&rows(100_000_000)) && has_absurd_rows(&rows(i64::MAX)));
        assert!(Budget::new(1 << 20).decode(&rows(1)).unwrap().is_some() && !has_absurd_rows(&rows(1)));
    }
}
