//! How much memory a piece of work takes, as the system counts it.
//!
//! A counting allocator would need `unsafe`. Linux keeps the most that a process ever had resident,
//! and lets it forget that.

/// The start of a measurement.
pub(super) struct Peak {
    before: u64,
}

impl Peak {
    /// Starts measuring; `None` on a system that does not tell.
    pub(super) fn start() -> Option<Self> {
        // proc(5): 5 sets the peak to what is resident now.
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        peak().map(|before| Self { before })
    }

    /// By how many bytes the resident memory of the process rose at most since the start.
    pub(super) fn bytes(self) -> Option<u64> {
        Some(peak()?.saturating_sub(self.before))
    }
}

/// The most resident memory in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim();
    kibibytes.parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_counts_and_is_forgotten() {
        // Fuzz targets measure the same process.
        let _turn = super::super::TURN.lock().unwrap();
        let used = |bytes: usize| {
            let peak = Peak::start().unwrap();
            assert!(vec![1_u8; bytes].iter().all(|&byte| byte == 1));
            peak.bytes().unwrap()
        };
        // Other tests of this process take little.
        assert!(used(128 << 20) >= 127 << 20);
        assert!(used(1) < 100 << 20);
    }
}
