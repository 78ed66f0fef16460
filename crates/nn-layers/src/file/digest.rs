//! The digest of a file, which shows whether the file is still as it was written.
//!
//! It is the SHA-256 of the header's text, with 64 zeros in place of the digest itself, followed by
//! the data.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, Result},
    file::error::FileError,
};

/// The digest's key, beside the key of this crate's metadata.
pub(super) const KEY: &str = "convoxide-sha256";

/// The placeholder in a header until its digest is known.
pub(super) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The SHA-256 of the bytes written to it.
pub(super) struct Sum(Sha256);

impl Sum {
    /// The sum of a header that contains this digest, ready for the data, and the digest's position
    /// in the header.
    pub(super) fn of_header(text: &[u8], digest: &str) -> Result<(Self, usize)> {
        let damaged = |reason: &str| {
            Error::File(FileError::Header {
                reason: reason.to_owned(),
            })
        };
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digest.len() != BLANK.len() || !digest.as_bytes().iter().all(is_hex) {
            return Err(damaged(
                "its digest is not 64 lower-case hexadecimal digits",
            ));
        }
        // Quotes inside a JSON string are escaped, so no other text in the header matches.
        let entry = format!("\"{KEY}\":\"{digest}\"");
        let at = text
            .windows(entry.len())
            .position(|part| part == entry.as_bytes())
            .ok_or_else(|| damaged("its digest is not in the form that this program writes"))?
            + (entry.len() - digest.len() - 1);
        let (before, rest) = text.split_at(at);
        let mut sum = Sha256::new();
        for part in [before, BLANK.as_bytes(), &rest[digest.len()..]] {
            sum.update(part);
        }
        Ok((Self(sum), at))
    }

    /// The digest in hexadecimal.
    pub(super) fn hex(self) -> String {
        let bytes = self.0.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A source whose bytes are hashed as they are read, if there is a digest to compare with.
pub(super) struct Summed<R> {
    source: R,
    /// The sum so far, and the expected digest.
    sum: Option<(Sum, String)>,
}

impl<R> Summed<R> {
    pub(super) fn new(source: R, sum: Option<(Sum, String)>) -> Self {
        Self { source, sum }
    }

    /// Compares the sum with the expected digest, once everything has been read.
    pub(super) fn check(self) -> Result<()> {
        let Some((sum, expected)) = self.sum else {
            return Ok(());
        };
        let got = sum.hex();
        match got == expected {
            true => Ok(()),
            false => Err(FileError::Digest { expected, got }.into()),
        }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Some((sum, _)) = &mut self.sum {
            sum.0.update(&buffer[..count]);
        }
        Ok(count)
    }
}
