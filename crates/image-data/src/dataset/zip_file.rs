//! The files of a zip archive (PKWARE, "APPNOTE.TXT - .ZIP File Format Specification" 6.3.10), stored
//! or deflated.
//!
//! The directory at the archive's end is read entry by entry, so that each one's claims are compared
//! with the limit before any of it is kept.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use files::show::{bytes, shorten};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::archive::{read_entry, read_error};
use super::contents::Reason;
use super::tree::{Builder, Content, inside};
use crate::error::{Error, Result};

/// The lengths of the records' fixed parts.
const END: usize = 22;
const END_64: usize = 56;
const LOCATOR_64: usize = 20;
const ENTRY: usize = 46;
const LOCAL: usize = 30;

/// Reads a zip's entries in the order of its directory. They unpack to at most `limit` bytes.
pub(super) fn read(builder: &mut Builder, mut file: File, limit: u64) -> Result<()> {
    let end = End::find(&mut file)?;
    let mut left = limit;
    take(&mut left, end.directory_len, limit)?;
    file.seek(SeekFrom::Start(end.directory_start))?;
    let directory = read_entry("zip", &mut file, end.directory_len)?;
    let mut directory = directory.as_slice();
    for _ in 0..end.entries {
        let entry = Entry::parse(&mut directory)?;
        let parts = match (inside(entry.path), entry.refused()) {
            (Ok(parts), None) => parts,
            (Err(reason), _) | (Ok(_), Some(reason)) => {
                builder.leave_out_path(entry.path, reason)?;
                continue;
            }
        };
        if entry.path.ends_with(b"/") {
            builder.folder_at(&parts)?;
            continue;
        }
        let Some((name, folders)) = parts.split_last() else {
            continue;
        };
        let Some(folder) = builder.folder_at(folders)? else {
            continue;
        };
        take(&mut left, entry.len, limit)?;
        let content = entry.content(&mut file, end.archive_start)?;
        builder.file(folder, name, Content::Memory(Arc::new(content)))?;
    }
    Ok(())
}

/// The contents of the record at the end.
struct End {
    entries: u64,
    directory_start: u64,
    directory_len: u64,
    /// The origin of all offsets: there may be a program before the archive.
    archive_start: u64,
}

impl End {
    fn find(file: &mut File) -> Result<Self> {
        // A comment of at most 65535 bytes follows the record.
        let len = file.seek(SeekFrom::End(0))?;
        let tail_start = len.saturating_sub((END + LOCATOR_64 + 0xffff) as u64);
        file.seek(SeekFrom::Start(tail_start))?;
        let mut tail = Vec::new();
        file.by_ref()
            .take(len - tail_start)
            .read_to_end(&mut tail)?;
        let fits = |at: usize| {
            let record = tail.get(at..)?.first_chunk::<END>()?;
            let comment = usize::from(u16_at(record, 20));
            (record.starts_with(b"PK\x05\x06") && at + END + comment <= tail.len())
                .then_some((at, *record))
        };
        let found = (0..tail.len()).rev().find_map(fits);
        let (at, record) = found.ok_or_else(|| broken("it has no directory: it is cut short"))?;

        let mut end = tail_start + at as u64;
        let mut entries = u64::from(u16_at(&record, 10));
        let mut directory_len = u64::from(u32_at(&record, 12));
        let mut directory_start = u64::from(u32_at(&record, 16));
        let locator = at
            .checked_sub(LOCATOR_64)
            .and_then(|at| tail.get(at..)?.first_chunk::<LOCATOR_64>())
            .filter(|locator| locator.starts_with(b"PK\x06\x07"));
        if let Some(locator) = locator {
            file.seek(SeekFrom::Start(u64_at(locator, 8)))
                .map_err(|_| broken("its 64-bit directory is past its end"))?;
            let record: [u8; END_64] = read_array(file)?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(broken("its 64-bit directory is not at its stated place"));
            }
            end = u64_at(locator, 8);
            entries = u64_at(&record, 32);
            directory_len = u64_at(&record, 40);
            directory_start = u64_at(&record, 48);
        }
        let archive_start = end
            .checked_sub(directory_len)
            .and_then(|start| start.checked_sub(directory_start))
            .ok_or_else(|| broken("its directory does not fit into the archive"))?;
        Ok(Self {
            entries,
            directory_start: archive_start + directory_start,
            directory_len,
            archive_start,
        })
    }
}

/// The directory's data about an entry.
struct Entry<'a> {
    path: &'a [u8],
    encrypted: bool,
    method: u16,
    checksum: u32,
    packed_len: u64,
    len: u64,
    /// The offset of its local header in the archive.
    offset: u64,
    /// The mode as in `stat`, if the archive was written on Unix.
    mode: u32,
}

impl<'a> Entry<'a> {
    /// Reads an entry from the directory.
    fn parse(directory: &mut &'a [u8]) -> Result<Self> {
        let cut = || broken("its directory is cut short");
        let (fixed, rest) = directory.split_first_chunk::<ENTRY>().ok_or_else(cut)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(broken(
                "its directory contains something other than an entry",
            ));
        }
        let mut rest = rest;
        let mut next = |at: usize| {
            let (part, after) = rest.split_at_checked(usize::from(u16_at(fixed, at)))?;
            rest = after;
            Some(part)
        };
        let [path, extra, _comment] = [next(28), next(30), next(32)];
        let (path, extra) = path.zip(extra).ok_or_else(cut)?;
        *directory = rest;
        let is_unix = fixed[5] == 3;
        let mut entry = Self {
            path,
            encrypted: u16_at(fixed, 8) & 1 == 1,
            method: u16_at(fixed, 10),
            checksum: u32_at(fixed, 16),
            packed_len: u32_at(fixed, 20).into(),
            len: u32_at(fixed, 24).into(),
            offset: u32_at(fixed, 42).into(),
            mode: if is_unix { u32_at(fixed, 38) >> 16 } else { 0 },
        };
        entry.read_extra(extra);
        Ok(entry)
    }

    /// Values of more than 32 bits are stored in an extra field, in this order.
    fn read_extra(&mut self, mut extra: &[u8]) {
        while let Some((head, rest)) = extra.split_first_chunk::<4>() {
            let Some((mut field, rest)) = rest.split_at_checked(u16_at(head, 2).into()) else {
                return;
            };
            if u16_at(head, 0) == 1 {
                for number in [&mut self.len, &mut self.packed_len, &mut self.offset] {
                    if *number == u64::from(u32::MAX)
                        && let Some((value, rest)) = field.split_first_chunk::<8>()
                    {
                        *number = u64::from_le_bytes(*value);
                        field = rest;
                    }
                }
            }
            extra = rest;
        }
    }

    /// Why it is neither a file nor a folder.
    fn refused(&self) -> Option<Reason> {
        match self.mode & 0o170_000 {
            0o120_000 => Some(Reason::SymbolicLink),
            // No type, or that of a file or folder.
            0 | 0o100_000 | 0o040_000 => None,
            _ => Some(Reason::Device),
        }
    }

    /// Its bytes, after checking the checksum.
    fn content(&self, file: &mut File, archive_start: u64) -> Result<Vec<u8>> {
        let wrong = |what: &str| broken(&format!("{} {what}", shorten(&bytes(self.path), 200)));
        if self.encrypted {
            return Err(wrong("is encrypted"));
        }
        let start = archive_start.saturating_add(self.offset);
        file.seek(SeekFrom::Start(start))
            .map_err(|_| wrong("is past the archive's end"))?;
        let local: [u8; LOCAL] = read_array(file)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(wrong("is not where the directory says"));
        }
        let names = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        file.seek_relative(names as i64)?;
        let packed = BufReader::new(file.take(self.packed_len));
        let content = match self.method {
            0 => self.unpack(packed),
            8 => self.unpack(DeflateDecoder::new(packed)),
            method => {
                return Err(wrong(&format!(
                    "is packed by method {method}, not deflated"
                )));
            }
        }?;
        let mut checksum = Crc::new();
        checksum.update(&content);
        if checksum.sum() != self.checksum {
            return Err(wrong("is damaged: its checksum does not match"));
        }
        Ok(content)
    }

    fn unpack(&self, mut unpacked: impl Read) -> Result<Vec<u8>> {
        let content = read_entry("zip", &mut unpacked, self.len)?;
        let more = unpacked
            .read(&mut [0])
            .map_err(|error| read_error("zip", error))?;
        if more > 0 {
            return Err(broken(&format!(
                "{} contains more than its {} bytes",
                shorten(&bytes(self.path), 200),
                self.len
            )));
        }
        Ok(content)
    }
}

fn read_array<const N: usize>(file: &mut File) -> Result<[u8; N]> {
    let mut array = [0; N];
    file.read_exact(&mut array)
        .map_err(|error| read_error("zip", error))?;
    Ok(array)
}

/// Subtracts bytes from the rest of a limit.
fn take(left: &mut u64, bytes: u64, limit: u64) -> Result<()> {
    *left = left.checked_sub(bytes).ok_or(Error::OverLimit {
        what: "the number of unpacked bytes",
        got: (limit - *left).saturating_add(bytes),
        limit,
    })?;
    Ok(())
}

fn broken(reason: &str) -> Error {
    Error::Decode {
        format: "zip",
        reason: reason.to_owned(),
    }
}

fn u16_at<const N: usize>(record: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes(array_at(record, at))
}

fn u32_at<const N: usize>(record: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(array_at(record, at))
}

fn u64_at<const N: usize>(record: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(array_at(record, at))
}

/// The bytes at a constant offset in a record.
fn array_at<const N: usize, const M: usize>(record: &[u8; N], at: usize) -> [u8; M] {
    std::array::from_fn(|index| record[at + index])
}
