//! The threads that share a decoder's products.
//!
//! A decoder's step is some hundred products of ten to a hundred microseconds each, too short to wake a thread for. So
//! the members of the team look for work for a while before they sleep. A piece of work never waits for a member that
//! has not begun on it: where another process has the member's core, the others do its share, and only a member that
//! was stopped in the middle of a part is waited for.

use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;

/// Parts that each thread takes of a large count, about: small ones even out what threads get, and each costs an
/// atomic addition.
const PARTS: usize = 32;
/// Looks for work before a member sleeps; about a tenth of a millisecond.
const LOOKS: u32 = 4_000;
/// Looks at whether the others are done before the thread offers its core to them.
const PATIENCE: u32 = 2_000;

/// Set while members may begin on the work.
const OPEN: u64 = 1 << 31;
/// One member at work.
const MEMBER: u64 = 1;
/// One more piece of work.
const EPOCH: u64 = 1 << 32;
/// Members at work.
const MEMBERS: u64 = OPEN - 1;

thread_local! {
    static IS_MEMBER: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` over parts of `0..count` on all threads; small counts, and calls from within, run here.
pub(crate) fn for_chunks(count: usize, work: impl Fn(Range<usize>) + Sync) {
    static TEAM: OnceLock<Team> = OnceLock::new();
    if count <= 1 || IS_MEMBER.get() {
        return work(0..count);
    }
    TEAM.get_or_init(|| Team::new(threads())).run(count, &work);
}

/// As [`for_chunks`], for about `products` multiplications in all: few of them are done sooner than threads are called
/// together.
pub(crate) fn for_chunks_of(products: usize, count: usize, work: impl Fn(Range<usize>) + Sync) {
    const FEW: usize = 100_000;
    if products < FEW {
        work(0..count);
    } else {
        for_chunks(count, work);
    }
}

/// Runs `work` over pieces of `piece` values of `out`, with the place of each piece's first value, on all threads.
pub(crate) fn for_pieces<T: Send>(out: &mut [T], piece: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= piece {
        return work(0, out);
    }
    let pieces: Vec<_> = out.chunks_mut(piece.max(1)).map(Mutex::new).collect();
    for_chunks(pieces.len(), |range| {
        for index in range {
            // Each is taken once; the lock only hands it over.
            if let Ok(mut out) = pieces[index].lock() {
                work(index * piece, &mut out);
            }
        }
    });
}

/// Threads of the process's kernels: `RAYON_NUM_THREADS`, which the encoders obey too, else one per core.
fn threads() -> usize {
    let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.filter(|count| *count > 0).unwrap_or_else(cores)
}

struct Team {
    shared: &'static Shared,
    members: Vec<Thread>,
    /// One piece of work at a time.
    turn: Mutex<()>,
}

struct Shared {
    /// The number of the piece of work, whether it is [`OPEN`], and how many members are at it.
    state: AtomicU64,
    work: UnsafeCell<Option<Work>>,
    next: AtomicUsize,
    /// Members that sleep or are about to.
    asleep: AtomicUsize,
    panicked: AtomicBool,
}

#[allow(unsafe_code, reason = "the work is written while no member may look at it")]
// SAFETY: `work` is written by the one who holds `turn`, while the state is closed and no member is at work; members
// read it between joining and leaving an open state.
unsafe impl Sync for Shared {}

/// A closure whose lifetime the team guards.
#[derive(Clone, Copy)]
struct Work {
    run: *const (dyn Fn(Range<usize>) + Sync),
    count: usize,
    part: usize,
}

impl Team {
    fn new(threads: usize) -> Self {
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        }));
        let members = (1..threads).filter_map(|index| {
            let thread = std::thread::Builder::new().name(format!("team-{index}"));
            // A thread that cannot be started is missed by nobody but the clock.
            thread.spawn(|| shared.member()).ok().map(|handle| handle.thread().clone())
        });
        Self { shared, members: members.collect(), turn: Mutex::new(()) }
    }

    fn run(&self, count: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            // A panic in an earlier piece of work was passed on to whoever asked for it.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            // Another engine has the team, or this is a call from within.
            Err(TryLockError::WouldBlock) => return work(0..count),
        };
        let shared = self.shared;
        let part = (count / ((self.members.len() + 1) * PARTS)).max(1);
        #[allow(unsafe_code, reason = "the closure outlives the work: this call waits for the members")]
        // SAFETY: the state is closed and empty, so nobody reads `work`; the lifetime is given back before `close`
        // returns, also when the closure panics.
        unsafe {
            let run = std::mem::transmute::<
                *const (dyn Fn(Range<usize>) + Sync + '_),
                *const (dyn Fn(Range<usize>) + Sync + 'static),
            >(std::ptr::from_ref(work));
            *shared.work.get() = Some(Work { run, count, part });
        }
        shared.next.store(0, Ordering::Relaxed);
        // What a member left here in a piece of work whose caller panicked too.
        shared.panicked.store(false, Ordering::Relaxed);
        let epoch = shared.state.load(Ordering::Relaxed) & !(OPEN | MEMBERS);
        shared.state.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            self.members.iter().for_each(Thread::unpark);
        }
        let closing = Closing(shared);
        shared.take_parts(work, count, part);
        drop(closing);
        assert!(!shared.panicked.load(Ordering::Relaxed), "a kernel panicked on another thread");
    }
}

/// Ends a piece of work: no member may begin, and those at it are waited for.
struct Closing(&'static Shared);

impl Drop for Closing {
    fn drop(&mut self) {
        let shared = self.0;
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while shared.state.load(Ordering::Acquire) & MEMBERS != 0 {
            looks += 1;
            if looks < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

impl Shared {
    fn take_parts(&self, work: &(dyn Fn(Range<usize>) + Sync), count: usize, part: usize) {
        loop {
            let start = self.next.fetch_add(part, Ordering::Relaxed);
            if start >= count {
                return;
            }
            work(start..count.min(start + part));
        }
    }

    fn member(&self) {
        IS_MEMBER.set(true);
        let mut done = 0;
        loop {
            let state = self.wait(done);
            let joined =
                self.state.compare_exchange(state, state + MEMBER, Ordering::AcqRel, Ordering::Relaxed);
            if joined.is_err() {
                continue; // closed, or another member was quicker: look again
            }
            done = state & !(OPEN | MEMBERS);
            #[allow(unsafe_code, reason = "reads what whoever opened the state wrote")]
            // SAFETY: the state was open and now counts this member, so the work stays until it leaves.
            let work = unsafe { *self.work.get() };
            if let Some(work) = work {
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    #[allow(unsafe_code, reason = "the closure lives until this member leaves")]
                    // SAFETY: as above.
                    let run = unsafe { &*work.run };
                    self.take_parts(run, work.count, work.part);
                }));
                if outcome.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            }
            self.state.fetch_sub(MEMBER, Ordering::AcqRel);
        }
    }

    /// The state once it is open for another piece of work than `done`.
    fn wait(&self, done: u64) -> u64 {
        let fresh = |state: u64| state & OPEN != 0 && state & !(OPEN | MEMBERS) != done;
        let mut looks = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if fresh(state) {
                return state;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            self.asleep.fetch_add(1, Ordering::SeqCst);
            // Whoever opens the state looks at `asleep` after: one of the two sees the other.
            if !fresh(self.state.load(Ordering::SeqCst)) {
                std::thread::park();
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            looks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_part_is_done_once_by_any_number_of_callers() {
        let team = Team::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for count in 2..600 {
                        let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                        team.run(count, &|range| {
                            for index in range {
                                done[index].fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1), "{count}");
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_of_all_threads_is_not_told_to_the_next_caller() {
        let team = Team::new(3);
        for _ in 0..50 {
            let everywhere = AtomicUsize::new(0);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                team.run(300, &|_| {
                    // All threads are at it before one panics.
                    everywhere.fetch_add(1, Ordering::Relaxed);
                    while everywhere.load(Ordering::Relaxed) < 3 {
                        std::thread::yield_now();
                    }
                    panic!("everywhere");
                });
            }));
            assert!(outcome.is_err());
            team.run(300, &|_| {});
        }
    }

    #[test]
    fn a_panic_reaches_whoever_asked_and_the_team_goes_on() {
        let team = Team::new(2);
        let panics = || catch_unwind(AssertUnwindSafe(|| team.run(64, &|range| assert!(range.start < 40))));
        assert!(panics().is_err() && panics().is_err());
        let sum = AtomicUsize::new(0);
        team.run(64, &|range| {
            sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 63 * 64 / 2);
    }
}
