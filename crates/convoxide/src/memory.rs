//! The memory use of the program.

/// The peak memory use, in MiB; `None` if the system does not report it.
///
/// On Linux this is the line `VmHWM` of `/proc/self/status`: resident memory, including code.
pub(crate) fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(high_water_mark_kib(&status)? as f64 / 1024.0)
}

fn high_water_mark_kib(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_others() {
        let status = "Name:\tconvoxide\nVmPeak:\t  99000 kB\nVmHWM:\t   12288 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(high_water_mark_kib(status), Some(12288));
        for other in ["", "VmHWM:\t12288\n", "VmHWM:\tmuch kB\n"] {
            assert_eq!(high_water_mark_kib(other), None);
        }
    }
}
