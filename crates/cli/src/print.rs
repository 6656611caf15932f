//! Results: text for people, JSON for programs; on stdout, or in a file of JSON lines.

use std::io::{IsTerminal as _, Write as _};

use lore_core::{AnswerEvent, AnswerSummary, Citation, Verdict};
use serde::Serialize;

/// Widest column of text, so that lines stay readable on wide terminals.
const MAX_WIDTH: usize = 100;

/// Writes a line to stdout.
///
/// # Errors
/// Fails where stdout is gone.
pub fn line(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Writes `value` as one line of JSON.
///
/// # Errors
/// Fails where stdout is gone.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Writes each of `values` into `file` as a line of JSON.
///
/// # Errors
/// Fails where the file cannot be written.
pub fn json_lines(file: impl std::io::Write, values: &[impl Serialize]) -> anyhow::Result<()> {
    let mut lines = std::io::BufWriter::new(file);
    for value in values {
        serde_json::to_writer(&mut lines, value)?;
        lines.write_all(b"\n")?;
    }
    Ok(lines.flush()?)
}

/// Writes rows as columns under `head`; numbers look best in a last column.
///
/// # Errors
/// Fails where stdout is gone.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            std::iter::once(&head)
                .chain(rows)
                .filter_map(|row| row.get(column))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut out = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', wide.saturating_sub(width(cell)) + 2));
        }
        line(out.trim_end())?;
    }
    Ok(())
}

/// Writes what was measured: as one line of JSON, or its fields one a line.
///
/// # Errors
/// Fails where stdout is gone.
pub fn report(as_json: bool, value: &impl Serialize) -> anyhow::Result<()> {
    if as_json { json(value) } else { fields(value) }
}

/// Writes the fields of `value`, one a line; numbers with four decimals.
///
/// # Errors
/// Fails where stdout is gone.
pub fn fields(value: &impl Serialize) -> anyhow::Result<()> {
    let value = serde_json::to_value(value)?;
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(number) => format!("{number:.4}"),
                None => number.to_string(),
            },
            other => other.to_string(),
        };
        line(&format!("{key:18} {text}"))?;
    }
    Ok(())
}

/// An error with its causes, on one line. A cause that its error quotes already is not said twice, and of the layers of
/// an HTTP client only the innermost is.
pub fn chain(error: &anyhow::Error) -> String {
    let mut out = String::new();
    let from_http = error.chain().position(|cause| cause.is::<reqwest::Error>()).unwrap_or(usize::MAX);
    let last = error.chain().count().saturating_sub(1);
    for (_, cause) in error.chain().enumerate().filter(|(at, _)| *at < from_http || *at == last) {
        let text = cause.to_string();
        if out.is_empty() {
            out = text;
        } else if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
    }
    out.replace('\n', " ")
}

/// Whether the reader of stdout has gone, which is no failure (`lore documents list | head`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Columns of the terminal behind stdout; `None` where there is none.
pub fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    // A terminal that nobody told its size, such as one that `script` makes, says 0.
    Some(if columns == 0 { 80 } else { columns.clamp(40, MAX_WIDTH) })
}

/// Columns that a terminal gives to `text`: two for each East Asian wide character.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Breaks text that comes in pieces into lines, between words or Chinese characters.
#[derive(Debug)]
pub struct Wrapper {
    width: usize,
    indent: usize,
    column: usize,
    word: String,
    space: bool,
}

impl Wrapper {
    /// Lines of at most `width` columns, each but the first indented by `indent`.
    pub fn new(width: usize, indent: usize) -> Self {
        Self { width, indent, column: 0, word: String::new(), space: false }
    }

    /// Takes a piece and gives what can be written already.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            if c == '\n' {
                self.flush(&mut out);
                self.break_line(&mut out);
                self.space = false;
            } else if c.is_whitespace() {
                self.flush(&mut out);
                self.space = true;
            } else if char_width(c) == 2 {
                // A line does not start with closing punctuation: that stays with the character before.
                if !matches!(c, '，' | '。' | '、' | '；' | '：' | '！' | '？' | '）' | '》' | '”' | '」')
                {
                    self.flush(&mut out);
                }
                self.word.push(c);
            } else {
                if self.word.chars().next_back().is_some_and(|last| char_width(last) == 2) {
                    self.flush(&mut out);
                }
                self.word.push(c);
            }
        }
        out
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.flush(&mut out);
        out
    }

    fn flush(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let wide = width(&self.word);
        let space = usize::from(self.space && self.column > self.indent);
        if self.column > self.indent && self.column + space + wide > self.width {
            self.break_line(out);
        } else if space == 1 {
            out.push(' ');
            self.column += 1;
        }
        out.push_str(&self.word);
        self.column += wide;
        self.word.clear();
        self.space = false;
    }

    fn break_line(&mut self, out: &mut String) {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', self.indent));
        self.column = self.indent;
    }
}

/// `text` in lines of at most `width` columns, all indented by `indent`; unchanged but for the indent without a width.
pub fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let mut wrapper = Wrapper::new(width.unwrap_or(usize::MAX), indent);
    wrapper.column = indent;
    let mut out = " ".repeat(indent);
    out.push_str(&wrapper.push(text));
    out.push_str(&wrapper.finish());
    out
}

/// Prints an answer while it comes.
#[derive(Debug)]
pub struct AnswerPrinter {
    wrapper: Wrapper,
    width: Option<usize>,
    /// Whether a line is begun and not ended.
    open: bool,
}

impl AnswerPrinter {
    /// A printer for the terminal, or for a pipe.
    pub fn new() -> Self {
        let width = terminal_width();
        Self { wrapper: Wrapper::new(width.unwrap_or(usize::MAX), 0), width, open: false }
    }

    /// Prints what `event` adds.
    ///
    /// # Errors
    /// Fails where stdout is gone.
    pub fn event(&mut self, event: &AnswerEvent) -> anyhow::Result<()> {
        let out = match event {
            AnswerEvent::Token { text } => self.wrapper.push(text),
            AnswerEvent::Citation { citation } => self.wrapper.push(&format!(" {}", mark(citation))),
            AnswerEvent::Done(summary) => {
                let mut out = self.wrapper.finish();
                out.push('\n');
                out.push_str(&doubts(summary, self.width));
                out.push_str(&sources(summary, self.width));
                out
            }
            AnswerEvent::Sources { .. } | AnswerEvent::Error { .. } => return Ok(()),
        };
        self.open = !matches!(event, AnswerEvent::Done(_));
        self.write(&out)
    }

    /// Ends the line of an answer that breaks off, so that what is said of it has one of its own.
    ///
    /// # Errors
    /// Fails where stdout is gone.
    pub fn cut(&mut self) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.open, false) {
            return Ok(());
        }
        let out = self.wrapper.finish() + "\n";
        self.write(&out)
    }

    fn write(&self, out: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

/// The mark of a citation; one whose passage does not support the statement has a question mark.
fn mark(citation: &Citation) -> String {
    match citation.verdict {
        Verdict::Supported => format!("[{}]", citation.marker),
        Verdict::Unsupported => format!("[{}?]", citation.marker),
    }
}

/// What the documents do not support of an answer, if anything; where that is all of it, the answer says so itself.
fn doubts(summary: &AnswerSummary, width: Option<usize>) -> String {
    let Some(first) = summary.unsupported.first() else { return String::new() };
    let at_its_start = summary.answer.chars().take(first.start).all(char::is_whitespace);
    if !summary.answered && at_its_start {
        return String::new();
    }
    let mut out = "\nThe documents do not support:\n".to_owned();
    for span in &summary.unsupported {
        out.push_str(&wrapped(span.slice(&summary.answer).unwrap_or_default().trim(), width, 2));
        out.push('\n');
    }
    out
}

/// The citations of an answer: number, document, place, quote. Of an answer that was not found: the nearest documents.
pub fn sources(summary: &AnswerSummary, width: Option<usize>) -> String {
    let mut out = String::new();
    let mut before: Option<(u32, String)> = None;
    let mut citations: Vec<&Citation> = summary.citations.iter().collect();
    citations.sort_by_key(|c| c.marker);
    for citation in citations {
        let place = place(&citation.name, citation.page, &citation.headings);
        if before.as_ref() != Some(&(citation.marker, place.clone())) {
            out.push_str(&format!("\n[{}] {place}\n", citation.marker));
            before = Some((citation.marker, place));
        }
        out.push_str(&wrapped(&format!("\"{}\"", citation.quote.trim()), width, 4));
        out.push('\n');
    }
    for near in &summary.nearest {
        // The answer names their titles already.
        out.push_str(&format!("\n- {}", near.name));
    }
    if !summary.nearest.is_empty() {
        out.push('\n');
    }
    out
}

/// Where a passage stands: file, page, headings.
pub fn place(name: &str, page: Option<u32>, headings: &[String]) -> String {
    let mut out = name.to_owned();
    if let Some(page) = page {
        out.push_str(&format!(", page {page}"));
    }
    if !headings.is_empty() {
        out.push_str(&format!(", {}", headings.join(" > ")));
    }
    out
}

#[cfg(test)]
#[path = "print_tests.rs"]
mod tests;
