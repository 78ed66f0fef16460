//! The file that is fetched.

use model_zoo::{Check, Download, KnownFile, Licence, Role, Source};

/// The SHA-256 of [`content`].
pub(crate) const SHA256: &str = "d692f48fc3ffc2b6c62328c00e85461264189b6951b80e756297068924bd1ef7";

/// The file: 100,000 bytes that look like nothing in particular.
pub(crate) fn content() -> Vec<u8> {
    (0..100_000_u64)
        .map(|i| (i * i / 7 + 31 * i) as u8)
        .collect()
}

/// The file at an address.
pub(crate) fn download(address: &str, check: Check) -> Download {
    let file = KnownFile {
        path: "models/m/m.pth",
        role: Role::Weights,
        from: format!("{address}/m.pth").leak(),
        check,
    };
    Download {
        name: "m",
        source: Source::Addresses,
        files: vec![file].leak(),
        licence: Licence {
            spdx: None,
            notes: &[],
        },
    }
}

pub(crate) fn verified() -> Check {
    Check::Verified {
        sha256: SHA256,
        bytes: 100_000,
    }
}
