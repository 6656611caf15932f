//! Progress of long work: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Plain lines come at most this often, and the first one after this time: short work says nothing.
const LINE_EVERY: Duration = Duration::from_secs(2);

static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
static QUIET: AtomicBool = AtomicBool::new(false);

/// Says whether progress is shown at all.
pub fn init(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Writes a line to stderr without tearing a bar apart.
pub fn stderr_line(text: &str) {
    // Where stderr is gone there is nobody to tell.
    BARS.suspend(|| {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    });
}

/// Tells a person something that is no result; nothing when quiet.
pub fn say(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        stderr_line(text);
    }
}

/// Where log lines go: stderr, above the bars.
#[derive(Debug, Default)]
pub struct LogWriter;

impl std::io::Write for LogWriter {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().lock().write(buf))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things of this name.
    Count(&'static str),
    /// Bytes.
    Bytes,
}

/// One piece of long work.
#[derive(Debug)]
pub struct Progress {
    label: String,
    unit: Unit,
    show: Show,
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines(Mutex<Instant>),
    Nothing,
}

impl Progress {
    /// Starts showing `label`; the bar appears with the first [`Progress::set`].
    pub fn new(label: &str, unit: Unit) -> Self {
        let show = if QUIET.load(Ordering::Relaxed) {
            Show::Nothing
        } else if std::io::stderr().is_terminal() {
            let counts = match unit {
                Unit::Count(_) => "{human_pos} of {human_len}",
                Unit::Bytes => "{decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}",
            };
            let template = format!("{{prefix}} {{bar:28}} {counts}  {{wide_msg}}");
            let style =
                ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = BARS.add(ProgressBar::new(0).with_style(style).with_prefix(label.to_owned()));
            Show::Bar(bar)
        } else {
            Show::Lines(Mutex::new(Instant::now()))
        };
        Self { label: label.to_owned(), unit, show }
    }

    /// Whether it is a bar, which tells more than its lines would.
    pub fn is_bar(&self) -> bool {
        matches!(self.show, Show::Bar(_))
    }

    /// Says how far it is.
    pub fn set(&self, done: u64, total: u64) {
        self.set_with(done, total, "");
    }

    /// Says how far it is and what is being done now.
    pub fn set_with(&self, done: u64, total: u64, now: &str) {
        match &self.show {
            // Where there is nothing to do, no bar flashes up.
            Show::Bar(_) if (done, total) == (0, 0) => {}
            Show::Nothing => {}
            Show::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(now.to_owned());
            }
            Show::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    stderr_line(&line(&self.label, self.unit, done, total));
                }
            }
        }
    }

    /// Takes the bar away and leaves `summary`, if it says anything.
    pub fn finish(self, summary: &str) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
        if !summary.is_empty() {
            say(summary);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}

fn line(label: &str, unit: Unit, done: u64, total: u64) -> String {
    match (unit, total) {
        (Unit::Count(name), 0) => format!("{label}: {done} {name}"),
        (Unit::Count(name), _) => format!("{label}: {done} of {total} {name}"),
        (Unit::Bytes, 0) => format!("{label}: {:.1} MB", done as f64 / 1e6),
        (Unit::Bytes, _) => format!("{label}: {:.1} of {:.1} MB", done as f64 / 1e6, total as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines() {
        assert_eq!(line("embedding", Unit::Count("chunks"), 3, 9), "embedding: 3 of 9 chunks");
        assert_eq!(line("fetching", Unit::Bytes, 1_500_000, 90_000_000), "fetching: 1.5 of 90.0 MB");
        assert_eq!(line("reading", Unit::Count("files"), 4, 0), "reading: 4 files");
    }
}
