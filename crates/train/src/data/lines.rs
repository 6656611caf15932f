//! The elements of a JSON array or of a file with an object a line, one at a time, with the lines where they begin.
//!
//! Only one element is in memory, whatever the file's size.

use std::io::{self, BufRead, Read as _};

/// Longest element, in bytes.
const LONGEST: usize = 64 << 20;

/// An element of a data file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its JSON, or why there is none.
    pub json: Result<Vec<u8>, String>,
}

/// Where the reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Lines,
    Array,
    End,
}

/// Reads elements.
pub(super) struct Elements<R> {
    reader: R,
    line: usize,
    place: Place,
}

impl<R: BufRead> Elements<R> {
    /// From a file's beginning.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: 1, place: Place::Start }
    }

    /// Whether the elements stand on lines of their own; known after the first.
    pub(super) fn is_lines(&self) -> bool {
        self.place == Place::Lines
    }

    /// The next element.
    pub(super) fn next(&mut self) -> io::Result<Option<Element>> {
        if self.place == Place::Start {
            self.start()?;
        }
        match self.place {
            Place::Lines => self.line(),
            Place::Array => self.element(),
            Place::Start | Place::End => Ok(None),
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    /// Skips white space, and commas where `commas`.
    fn skip(&mut self, commas: bool) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b'\n') => self.line += 1,
                Some(b' ' | b'\t' | b'\r') => {}
                Some(b',') if commas => {}
                other => return Ok(other),
            }
            self.reader.consume(1);
        }
    }

    fn start(&mut self) -> io::Result<()> {
        if self.reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        self.place = match self.skip(false)? {
            None => Place::End,
            Some(b'[') => {
                self.reader.consume(1);
                Place::Array
            }
            Some(_) => Place::Lines,
        };
        Ok(())
    }

    fn line(&mut self) -> io::Result<Option<Element>> {
        if self.skip(false)?.is_none() {
            return Ok(None);
        }
        let line = self.line;
        let mut bytes = Vec::new();
        (&mut self.reader).take(LONGEST as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            self.line += 1;
        } else if bytes.len() > LONGEST {
            loop {
                let buffer = self.reader.fill_buf()?;
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let (read, done) =
                    (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty());
                self.reader.consume(read);
                if done {
                    break;
                }
            }
            self.line += 1;
            return Ok(Some(Element { line, json: Err(too_long()) }));
        }
        Ok(Some(Element { line, json: Ok(bytes) }))
    }

    /// An array's next element: what stands between commas that are in no string and no bracket.
    fn element(&mut self) -> io::Result<Option<Element>> {
        let first = self.skip(true)?;
        let line = self.line;
        if first == Some(b']') {
            self.reader.consume(1);
            self.place = Place::End;
            let rest = self.skip(false)?;
            let line = self.line;
            return Ok(
                rest.map(|_| Element { line, json: Err("there is more after the array's end".to_owned()) })
            );
        }
        let (mut bytes, mut depth, mut text, mut escaped) = (Vec::new(), 0usize, false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                self.place = Place::End;
                let message = "the array has no end: the file was cut short".to_owned();
                return Ok(Some(Element { line, json: Err(message) }));
            }
            let (mut read, mut ended) = (0, false);
            for byte in buffer {
                if text {
                    text = escaped || *byte != b'"';
                    escaped = !escaped && *byte == b'\\';
                } else {
                    match byte {
                        b'"' => text = true,
                        b'{' | b'[' => depth += 1,
                        b',' | b']' if depth == 0 => ended = true,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
                if ended {
                    break;
                }
                self.line += usize::from(*byte == b'\n');
                bytes.push(*byte);
                read += 1;
            }
            self.reader.consume(read);
            if ended {
                return Ok(Some(Element { line, json: Ok(bytes) }));
            }
            if bytes.len() > LONGEST {
                self.place = Place::End;
                return Ok(Some(Element { line, json: Err(too_long()) }));
            }
        }
    }
}

fn too_long() -> String {
    format!("is longer than {} MiB; cut it into several", LONGEST >> 20)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn all(text: &str) -> Vec<(usize, Result<String, String>)> {
        // A small buffer, so that elements cross its border.
        let mut elements = Elements::new(io::BufReader::with_capacity(3, text.as_bytes()));
        let mut found = Vec::new();
        while let Some(Element { line, json }) = elements.next().unwrap() {
            found.push((line, json.map(|json| String::from_utf8(json).unwrap().trim().to_owned())));
        }
        found
    }

    fn good(found: &[(usize, Result<String, String>)]) -> Vec<(usize, &str)> {
        found.iter().map(|(line, json)| (*line, json.as_deref().unwrap())).collect()
    }

    #[test]
    fn lines_and_arrays_give_elements_with_their_lines() {
        let lines = all("\u{feff}\n{\"a\": 1}\r\n\n  {\"b\": [2]}\n{\"c\"");
        assert_eq!(good(&lines), [(2, "{\"a\": 1}"), (4, "{\"b\": [2]}"), (5, "{\"c\"")]);
        let array = all("[\n{\"a\": \"],}\\\"[\"},\n\n [1, 2],{\"b\":\n {}}\n]\n");
        assert_eq!(good(&array), [(2, "{\"a\": \"],}\\\"[\"}"), (4, "[1, 2]"), (4, "{\"b\":\n {}}")]);
        assert_eq!(all("[]"), []);
        assert_eq!(all(" \n"), []);
    }

    #[test]
    fn an_array_that_is_cut_short_or_goes_on_is_told() {
        let cut = all("[{\"a\": 1},\n{\"b\"");
        assert_eq!(cut[0].1.as_deref(), Ok("{\"a\": 1}"));
        assert_eq!(
            (cut[1].0, cut[1].1.as_ref().unwrap_err().as_str()),
            (2, "the array has no end: the file was cut short")
        );
        let more = all("[1]\n\n[2]");
        assert_eq!((more[1].0, more[1].1.is_err()), (3, true));
    }
}
