//! Sizes in bytes, formatted for people.

/// Formats a number of bytes: `624 bytes`, `1.9 KiB`, `33.8 MiB`.
///
/// ```
/// assert_eq!(model_zoo::size(35_434_956), "33.8 MiB");
/// ```
#[must_use]
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        ..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        MIB.. => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(624), "624 bytes");
        assert_eq!(size(1_914), "1.9 KiB");
        assert_eq!(size(35_434_956), "33.8 MiB");
    }
}
