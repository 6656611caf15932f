//! How much memory the process takes.

use std::fs;

/// The most memory that this process ever had, in bytes (`VmHWM` of proc(5)); `None` where the system does not say.
pub(super) fn peak_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM")
}

/// Memory that it has now, in bytes.
pub(super) fn resident() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS")
}

/// Starts [`peak_memory`] anew; where the system does not let it, the peak is that of the whole life.
pub(super) fn forget_peak() {
    // 5: "reset the peak resident set size" (proc(5)). A refusal is no harm: batches that are tried grow.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Bytes that could still be taken: what the machine has free, or what the control group allows where that is less.
pub(super) fn available() -> Option<u64> {
    let machine = kilobytes("/proc/meminfo", "MemAvailable");
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let most = number("/sys/fs/cgroup/memory.max");
    let group = most.zip(number("/sys/fs/cgroup/memory.current")).map(|(most, now)| most.saturating_sub(now));
    machine.into_iter().chain(group).min()
}

/// Bytes in the line `key` of a file of proc(5) that counts in kB.
fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
