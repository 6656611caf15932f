//! An allocator that counts, for tests of what stays in memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes that are allocated and not freed.
struct Counted;

/// Bytes that are allocated and not freed now.
pub fn live_bytes() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// The most bytes that were so at any time in `work`, beyond those before it; nothing else may run meanwhile.
#[allow(dead_code, reason = "some tests ask what stays only")]
pub fn peak_bytes(work: impl FnOnce()) -> isize {
    let before = live_bytes();
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn more(bytes: usize) {
    let bytes = bytes as isize;
    PEAK.fetch_max(LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

#[allow(unsafe_code, reason = "an allocator that counts")]
// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(at, layout) }
    }
}
