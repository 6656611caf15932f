//! Runs a parser where it can do no harm: on a thread of its own with a large stack, its panics caught and silent, its
//! time limited.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::time::{Duration, Instant};

use lore_core::Format;

use super::ParseError;

/// Nested structures are walked recursively by some parsers.
const STACK_BYTES: usize = 64 << 20;

/// Threads that outlived their time limit; while there are this many, new parsers wait.
const MOST_ABANDONED: usize = 8;

/// How many there are, and the bell that rings when one ends.
static ABANDONED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

fn abandoned() -> MutexGuard<'static, usize> {
    // A count cannot be left half changed.
    ABANDONED.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one_ended() {
    *abandoned() -= 1;
    ABANDONED.1.notify_all();
}

/// Waits for a thread that ran out of time to end where there are too many; most find out soon.
fn wait_for_slot(limit: Duration) -> Result<(), ParseError> {
    let full = |count: &mut usize| *count >= MOST_ABANDONED;
    let (count, _) =
        ABANDONED.1.wait_timeout_while(abandoned(), limit, full).unwrap_or_else(PoisonError::into_inner);
    if *count >= MOST_ABANDONED { Err(ParseError::Busy { abandoned: *count }) } else { Ok(()) }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether this parser's time is over; parsers that loop ask now and then.
pub(crate) fn overdue() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline)
}

/// Runs `parser` on its own thread for at most `seconds`.
///
/// # Errors
/// The parser's own, [`ParseError::Panicked`], [`ParseError::TimedOut`] (the thread is left to end by itself), or
/// [`ParseError::Busy`] where no slot came free in the time that the parser may take.
pub(crate) fn run<T: Send + 'static>(
    format: Format,
    seconds: u64,
    parser: impl FnOnce() -> Result<T, ParseError> + Send + 'static,
) -> Result<T, ParseError> {
    quiet_panics();
    let limit = Duration::from_secs(seconds.max(1));
    wait_for_slot(limit)?;
    let (reply, answer) = mpsc::sync_channel(1);
    let ended = Arc::new(AtomicBool::new(false));
    let ended_there = ended.clone();
    let body = move || {
        QUIET.set(true);
        DEADLINE.set(Some(Instant::now() + limit));
        let result = caught(parser).unwrap_or_else(|detail| Err(ParseError::Panicked { format, detail }));
        // The caller may have gone; then its count is taken back below.
        let _ = reply.send(result);
        if ended_there.swap(true, Ordering::AcqRel) {
            one_ended();
        }
    };
    let thread =
        std::thread::Builder::new().name(format!("parse-{}", format.extension())).stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(body) {
        return Err(ParseError::corrupt(format, format!("no thread to parse it on: {error}")));
    }
    match answer.recv_timeout(limit) {
        Ok(Err(ParseError::TimedOut { .. })) => Err(ParseError::TimedOut { seconds }),
        Ok(result) => result,
        Err(_) => {
            *abandoned() += 1;
            if ended.swap(true, Ordering::AcqRel) {
                // It ended just now.
                one_ended();
            }
            Err(ParseError::TimedOut { seconds })
        }
    }
}

/// Runs `f`; a panic becomes its message. Silent on parser threads.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown fault".to_owned());
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(120).collect()
}

/// Keeps the default report of panics for all threads but the parsers'.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                report(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_errors() {
        let result: Result<(), _> = run(Format::Pdf, 5, || panic!("unexpected {}", "stream"));
        assert_eq!(
            result,
            Err(ParseError::Panicked { format: Format::Pdf, detail: "unexpected stream".into() })
        );
    }

    #[test]
    fn time_is_limited() {
        let started = Instant::now();
        let result: Result<(), _> = run(Format::Txt, 1, move || {
            while !overdue() || started.elapsed() < Duration::from_millis(1500) {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            Ok(())
        });
        assert_eq!(result, Err(ParseError::TimedOut { seconds: 1 }));
    }

    #[test]
    fn a_parser_waits_where_too_many_are_abandoned() {
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let stuck = || {
            let gate = gate.clone();
            run(Format::Txt, 1, move || {
                // Ends when the other side is dropped.
                let _ = gate.lock().map(|gate| gate.recv());
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..MOST_ABANDONED).map(|_| scope.spawn(stuck)).collect();
            for thread in all {
                assert!(matches!(thread.join(), Ok(Err(ParseError::TimedOut { .. }))));
            }
            let waiting = scope.spawn(|| run(Format::Txt, 60, || Ok(7)));
            drop(open);
            assert!(matches!(waiting.join(), Ok(Ok(7))));
        });
    }
}
