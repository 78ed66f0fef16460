//! The zip archive that PyTorch writes since version 1.6.
//!
//! ```text
//! NAME/data.pkl    the pickle
//! NAME/byteorder   "little", not in older files
//! NAME/data/0      the bytes of a storage, and so on
//! ```
//!
//! All entries are stored without compression, so that PyTorch can map them into memory. Only the
//! directory at the end of the archive is believed, and each part that is used has to lie in front
//! of it, without overlapping another.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use files::show;

use crate::error::{Error, Result};
use crate::source::{Place, Source, array, whole};

/// The limit on the number of entries: models have some hundreds.
const MOST_ENTRIES: u64 = 1 << 16;

/// The limit on the length of the directory, in bytes.
const LONGEST_DIRECTORY: u64 = 8 << 20;

/// The length of the record at the end of the archive, without its comment.
const END_BYTES: u64 = 22;

/// An entry of the directory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its local header begins.
    header: u64,
    bytes: u64,
    crc: u32,
    is_compressed: bool,
    is_encrypted: bool,
}

/// An archive whose directory has been read.
#[derive(Debug)]
pub(crate) struct ZipFile {
    /// The folder of `data.pkl`, with its slash.
    root: Vec<u8>,
    entries: HashMap<Vec<u8>, Entry>,
    /// Where the directory begins.
    directory: u64,
    /// The parts that have been used, by where they begin, with their ends and names.
    used: BTreeMap<u64, (u64, String)>,
}

impl ZipFile {
    /// Reads the directory of an archive of `length` bytes.
    pub(crate) fn open(source: &mut dyn Source, length: u64) -> Result<Self> {
        let Directory { place, count } = find_directory(source, length)?;
        for (what, got, limit) in [
            ("entries", count, MOST_ENTRIES),
            ("bytes in its directory", place.bytes, LONGEST_DIRECTORY),
        ] {
            if got > limit {
                return Err(Error::ZipLimit { what, got, limit });
            }
        }
        let bytes = whole(source, place, || "the zip directory".to_owned())?;
        let entries = read_directory(&bytes, count)?;
        let has = |suffix: &[u8]| {
            let mut roots = entries.keys().filter_map(|name| {
                let root = name.strip_suffix(suffix)?;
                let is_top = root.iter().filter(|&&byte| byte == b'/').count() <= 1;
                let is_folder = root.is_empty() || root.ends_with(b"/");
                (is_top && is_folder).then(|| root.to_vec())
            });
            (roots.next(), roots.next().is_some())
        };
        if let (Some(_), _) = has(b"constants.pkl") {
            return Err(Error::TorchScript);
        }
        let root = match has(b"data.pkl") {
            (Some(root), false) => root,
            (None, _) => return Err(Error::NotPyTorch),
            (Some(_), true) => return Err(damaged("it has several data.pkl")),
        };
        Ok(Self {
            root,
            entries,
            directory: place.offset,
            used: BTreeMap::new(),
        })
    }

    /// The place of the entry of this name beside `data.pkl`, and its name in full; `None` if there
    /// is none. Its bytes are compared with their sum.
    pub(crate) fn entry(&mut self, source: &mut dyn Source, name: &str) -> Result<Option<Place>> {
        let name = [&*self.root, name.as_bytes()].concat();
        let Some(&entry) = self.entries.get(&name) else {
            return Ok(None);
        };
        let shown = show::beginning(&show::bytes(&name), 100);
        let not_stored = |how| {
            Err(Error::NotStored {
                entry: shown.clone(),
                how,
            })
        };
        if entry.is_encrypted {
            return not_stored("encrypted");
        }
        if entry.is_compressed {
            return not_stored("compressed");
        }

        let room = Place {
            offset: 0,
            bytes: self.directory,
        };
        let local = room.part(entry.header, 30);
        let local = local.ok_or_else(|| damaged("an entry lies outside the file"))?;
        let header: [u8; 30] = array(source, local.offset)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(damaged("an entry has no header"));
        }
        let name_bytes = u64::from(word(&header, 26));
        let skipped = name_bytes + u64::from(word(&header, 28));
        let place = room.part(local.end().saturating_add(skipped), entry.bytes);
        let place = place.ok_or_else(|| damaged("an entry lies outside the file"))?;
        let named = Place {
            offset: local.end(),
            bytes: name_bytes,
        };
        if name_bytes != name.len() as u64 || whole(source, named, || shown.clone())? != name {
            return Err(damaged("an entry has another name in its header"));
        }
        self.occupy(entry.header, place.end(), &shown)?;
        // PyTorch can be told to leave the sums out.
        if entry.crc != 0 {
            check_sum(source, place, entry.crc, &shown)?;
        }
        Ok(Some(place))
    }

    /// Refuses a part that overlaps another one.
    fn occupy(&mut self, begin: u64, end: u64, name: &str) -> Result<()> {
        let before = self.used.range(..end).next_back();
        match before {
            Some((_, (other_end, other))) if *other_end > begin => Err(Error::Overlap {
                first: other.clone(),
                second: name.to_owned(),
            }),
            _ => {
                self.used.insert(begin, (end, name.to_owned()));
                Ok(())
            }
        }
    }
}

/// Where the directory is, and how many entries it has.
struct Directory {
    place: Place,
    count: u64,
}

/// Finds the directory through the records at the end of the archive.
fn find_directory(source: &mut dyn Source, length: u64) -> Result<Directory> {
    // The record is followed by a comment of at most 65,535 bytes.
    let tail = Place {
        offset: length.saturating_sub(END_BYTES + 0xffff),
        bytes: length.min(END_BYTES + 0xffff),
    };
    let bytes = whole(source, tail, || "the end of the zip archive".to_owned())?;
    let is_end = |at: &usize| {
        let rest = bytes.get(*at..).unwrap_or_default();
        rest.starts_with(b"PK\x05\x06")
            && rest.len() >= END_BYTES as usize
            && rest.len() == END_BYTES as usize + usize::from(word(rest, 20))
    };
    let at = (0..bytes.len()).rev().find(is_end);
    let at = at.ok_or_else(|| damaged("the record at its end is missing: is it truncated?"))?;
    let end = bytes.get(at..).unwrap_or_default();
    let mut limit = tail.offset.saturating_add(at as u64);
    let (mut disks, mut count) = (double(end, 4), u64::from(word(end, 10)));
    let (mut size, mut offset) = (u64::from(double(end, 12)), u64::from(double(end, 16)));

    // The 64-bit record, which PyTorch always writes.
    if let Some(locator) = limit.checked_sub(20) {
        let locator: [u8; 20] = array(source, locator)?;
        if locator.starts_with(b"PK\x06\x07") {
            let at = quad(&locator, 8);
            let before = Place {
                offset: 0,
                bytes: limit - 20,
            };
            if before.part(at, 56).is_none() {
                return Err(damaged("its 64-bit record lies outside the file"));
            }
            let record: [u8; 56] = array(source, at)?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(damaged("its 64-bit record is missing"));
            }
            limit = at;
            disks = double(&record, 16) | double(&record, 20);
            (count, size, offset) = (quad(&record, 32), quad(&record, 40), quad(&record, 48));
        }
    }
    if disks != 0 {
        return Err(damaged("it is one of several parts"));
    }
    let before = Place {
        offset: 0,
        bytes: limit,
    };
    let place = before.part(offset, size);
    let place = place.ok_or_else(|| damaged("its directory lies outside the file"))?;
    Ok(Directory { place, count })
}

/// The entries of a directory by name.
fn read_directory(bytes: &[u8], count: u64) -> Result<HashMap<Vec<u8>, Entry>> {
    let mut entries = HashMap::new();
    let mut rest = bytes;
    for _ in 0..count {
        let short = || damaged("its directory ends too early");
        let (header, behind) = rest.split_first_chunk::<46>().ok_or_else(short)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(damaged("its directory has a wrong entry"));
        }
        let lengths = [28, 30, 32].map(|at| usize::from(word(header, at)));
        let [name, extra, comment] = lengths;
        let (name, behind) = behind.split_at_checked(name).ok_or_else(short)?;
        let (extra, behind) = behind.split_at_checked(extra).ok_or_else(short)?;
        (_, rest) = behind.split_at_checked(comment).ok_or_else(short)?;

        let [compressed, plain, offset] = [20, 24, 42].map(|at| double(header, at));
        // Sizes of 64 bits are in the extra field, those that did not fit into 32 in this order.
        let mut wide = wide_sizes(extra);
        let mut size = |size: u32| match size {
            u32::MAX => wide
                .next()
                .ok_or_else(|| damaged("an entry has no 64-bit size")),
            size => Ok(u64::from(size)),
        };
        let (bytes, compressed, header_at) = (size(plain)?, size(compressed)?, size(offset)?);
        let entry = Entry {
            header: header_at,
            bytes,
            crc: double(header, 16),
            is_compressed: word(header, 10) != 0 || compressed != bytes,
            is_encrypted: word(header, 8) & 1 != 0,
        };
        if entries.insert(name.to_vec(), entry).is_some() {
            return Err(damaged("two entries have the same name"));
        }
    }
    match rest {
        [] => Ok(entries),
        _ => Err(damaged("its directory has more entries than it says")),
    }
}

/// The numbers of the extra field for 64-bit sizes.
fn wide_sizes(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut numbers: &[u8] = &[];
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let Some((data, rest)) = rest.split_at_checked(usize::from(word(head, 2))) else {
            break;
        };
        if word(head, 0) == 1 {
            numbers = data;
            break;
        }
        extra = rest;
    }
    let (numbers, _) = numbers.as_chunks::<8>();
    numbers.iter().map(|&number| u64::from_le_bytes(number))
}

/// Compares the sum of an entry's bytes with that in the directory.
fn check_sum(source: &mut dyn Source, place: Place, expected: u32, name: &str) -> Result<()> {
    let mut sum = crc32fast::Hasher::new();
    let mut reader = place.reader(source)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            count => sum.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    let got = sum.finalize();
    match got == expected {
        true => Ok(()),
        false => Err(Error::Checksum {
            entry: name.to_owned(),
            expected,
            got,
        }),
    }
}

fn damaged(reason: &'static str) -> Error {
    Error::Zip { reason }
}

/// The little-endian number of these bytes; 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u16 {
    number::<2>(bytes, at).map_or(0, u16::from_le_bytes)
}

fn double(bytes: &[u8], at: usize) -> u32 {
    number::<4>(bytes, at).map_or(0, u32::from_le_bytes)
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    number::<8>(bytes, at).map_or(0, u64::from_le_bytes)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied()
}
