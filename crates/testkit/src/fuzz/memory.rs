//! The memory that a piece of work uses, as measured by the system.
//!
//! A counting allocator would need `unsafe`. Linux records the peak resident memory of a process,
//! and can reset it.

/// A measurement of a process's peak memory.
#[derive(Debug)]
pub struct Peak {
    before: u64,
}

impl Peak {
    /// Starts measuring; returns `None` on a system that does not report it.
    #[must_use]
    pub fn start() -> Option<Self> {
        // proc(5): writing 5 resets the peak to the current resident memory.
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        peak().map(|before| Self { before })
    }

    /// Returns by how many bytes the peak resident memory has risen since the start.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        Some(peak()?.saturating_sub(self.before))
    }
}

/// Returns the peak resident memory in bytes.
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
        // Other tests of this process use little memory.
        assert!(used(128 << 20) >= 127 << 20);
        assert!(used(1) < 100 << 20);
    }
}
