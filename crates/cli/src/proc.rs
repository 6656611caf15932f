//! Figures of Linux: of /proc, and of the control group that this process is in.

use std::path::Path;

/// Where the limits of this process's control group are (cgroup v2).
const GROUP: &str = "/sys/fs/cgroup";

/// Bytes in the line `key` of a file of proc(5) that counts in kB; `None` where the system does not say.
pub fn bytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// Bytes of memory that can still be had: what the machine has, or what the control group allows where that is less;
/// `None` where neither is told.
pub fn available() -> Option<u64> {
    bytes("/proc/meminfo", "MemAvailable").into_iter().chain(of_group(Path::new(GROUP))).min()
}

/// What a control group may still take; pages of files that it holds can be given back.
fn of_group(folder: &Path) -> Option<u64> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    // `max` where there is no limit.
    let (most, now) = (number("memory.max")?, number("memory.current")?);
    let stat = read("memory.stat").unwrap_or_default();
    let files = |key: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|line| line.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let held = now.saturating_sub(files("inactive_file") + files("active_file"));
    Some(most.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_control_group_leaves_what_it_does_not_hold_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        assert_eq!(of_group(folder.path()), None);
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        assert_eq!(of_group(folder.path()), Some(300));
        write("memory.stat", "anon 100\ninactive_file 350\nactive_file 50\n");
        assert_eq!(of_group(folder.path()), Some(700));
        write("memory.max", "max\n");
        assert_eq!(of_group(folder.path()), None);
    }
}
