//! The bytes of a pickle, read once and in order.

use std::io::{self, Read};

use crate::error::{Error, Result};

/// The longest line, which is a name of a module or a class.
const LONGEST_LINE: usize = 512;

/// Bytes that end at a known position.
#[derive(Debug)]
pub(crate) struct Input<R> {
    reader: R,
    at: u64,
    end: u64,
}

impl<R: Read> Input<R> {
    /// The next `end` bytes of a reader.
    pub(crate) fn new(reader: R, end: u64) -> Self {
        Self { reader, at: 0, end }
    }

    /// The number of bytes that have been read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.advance(N as u64)?;
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next bytes, as many as the file claims: memory is allocated only if the file has them.
    pub(crate) fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.advance(count)?;
        let mut bytes = Vec::new();
        self.reader.by_ref().take(count).read_to_end(&mut bytes)?;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            // The file has been shortened since its length was read.
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Leaves out the next bytes.
    pub(crate) fn skip(&mut self, count: u64) -> Result<()> {
        self.advance(count)?;
        io::copy(&mut self.reader.by_ref().take(count), &mut io::sink())?;
        Ok(())
    }

    /// The text up to the end of the line.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return self.text(line),
                _ if line.len() == LONGEST_LINE => return Err(self.fault("a name is too long")),
                byte => line.push(byte),
            }
        }
    }

    /// These bytes as text.
    pub(crate) fn text(&self, bytes: Vec<u8>) -> Result<String> {
        String::from_utf8(bytes).map_err(|_| self.fault("a text is not UTF-8"))
    }

    /// The error for a fault before the next byte.
    pub(crate) fn fault(&self, reason: &'static str) -> Error {
        Error::Pickle {
            at: self.at,
            reason,
        }
    }

    fn advance(&mut self, count: u64) -> Result<()> {
        let end = self.at.saturating_add(count);
        if end > self.end {
            return Err(Error::Truncated {
                what: "the pickle",
                expected: end,
                got: self.end,
            });
        }
        self.at = end;
        Ok(())
    }
}
