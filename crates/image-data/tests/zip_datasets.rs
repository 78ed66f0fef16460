//! Datasets in zip archives: they equal those in folders, and false claims are refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{Cursor, Write};

use flate2::Crc;
use flate2::write::DeflateEncoder;
use image_data::{Dataset, DatasetLimits, Error, Reason, Result, Splits};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const PGM: &[u8] = b"P5 1 1 255\n\x07";

/// An entry with headers of our own; every field that is not set is correct.
#[derive(Clone, Default)]
struct Entry {
    path: Vec<u8>,
    content: Vec<u8>,
    deflated: bool,
    /// The compression method, if it is not the usual one.
    method: Option<u16>,
    flags: u16,
    mode: u32,
    /// False claims.
    len: Option<u32>,
    packed_len: Option<u32>,
    checksum: Option<u32>,
    offset: Option<u32>,
    extra: Vec<u8>,
}

fn file(path: impl AsRef<[u8]>, content: &[u8]) -> Entry {
    Entry {
        path: path.as_ref().to_vec(),
        content: content.to_vec(),
        ..Entry::default()
    }
}

fn zip_of(entries: &[Entry]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut checksum = Crc::new();
        checksum.update(&entry.content);
        let packed = if entry.deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&entry.content).unwrap();
            encoder.finish().unwrap()
        } else {
            entry.content.clone()
        };
        let method = entry.method.unwrap_or(if entry.deflated { 8 } else { 0 });
        let mut shared = Vec::new();
        for number in [entry.flags, method, 0, 0] {
            shared.extend(number.to_le_bytes());
        }
        for number in [
            entry.checksum.unwrap_or(checksum.sum()),
            entry.packed_len.unwrap_or(packed.len() as u32),
            entry.len.unwrap_or(entry.content.len() as u32),
        ] {
            shared.extend(number.to_le_bytes());
        }
        shared.extend((entry.path.len() as u16).to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&shared);
        directory.extend((entry.extra.len() as u16).to_le_bytes());
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(entry.offset.unwrap_or(zip.len() as u32).to_le_bytes());
        directory.extend(&entry.path);
        directory.extend(&entry.extra);
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(&shared);
        zip.extend([0; 2]);
        zip.extend(&entry.path);
        zip.extend(packed);
    }
    let end = (directory.len() as u32, zip.len() as u32);
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    let count = (entries.len() as u16).to_le_bytes();
    zip.extend([count, count].concat());
    zip.extend(end.0.to_le_bytes());
    zip.extend(end.1.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

fn limits() -> DatasetLimits {
    DatasetLimits {
        max_archive_bytes: 1 << 20,
        ..DatasetLimits::default()
    }
}

fn open(bytes: &[u8]) -> Result<Splits> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.zip");
    fs::write(&path, bytes).unwrap();
    Splits::open(path, &limits())
}

/// Returns the reason of an error about the file, which must be one line.
fn reason(bytes: &[u8]) -> Error {
    match open(bytes) {
        Err(Error::File { reason, .. }) => {
            assert_eq!(reason.to_string().lines().count(), 1, "{reason}");
            *reason
        }
        Err(error) => panic!("no file is named: {error}"),
        Ok(splits) => panic!("{}", splits.contents),
    }
}

#[test]
fn a_zip_holds_what_a_folder_does() {
    let large: Vec<u8> = (0..30_000).map(|n| (n % 251) as u8).collect();
    let large = [b"P5 150 200 255\n".as_slice(), &large].concat();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        for comment in ["", "made by a test"] {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let options = SimpleFileOptions::default().compression_method(method);
            zip.add_directory("pets/Train/cat/", options).unwrap();
            for (path, bytes) in [
                ("pets/Train/cat/1.pgm", PGM),
                ("pets/Train/dog/犬.pgm", &large),
                ("pets/Test/dog/1.pgm", PGM),
                ("pets/Test/dog/1.heic", PGM),
                ("__MACOSX/pets/Train/cat/._1.pgm", PGM),
            ] {
                zip.start_file(path, options).unwrap();
                zip.write_all(bytes).unwrap();
            }
            zip.set_comment(comment).unwrap();
            let zip = zip.finish().unwrap().into_inner();
            let splits = open(&zip).unwrap();
            assert_eq!(splits.train.classes(), ["cat", "dog"]);
            assert_eq!(splits.train.picture(1).unwrap().size(), [200, 150]);
            assert!(splits.train.name(1).ends_with("dog/犬.pgm"));
            assert_eq!(splits.evaluation_title(), "test (pets/Test)");
            assert_eq!(splits.evaluation().len(), 1);
            let reasons = splits.contents.left_out.iter().map(|l| &l.reason);
            let expected = [Reason::HiddenFolder, Reason::Format("heic".to_owned())];
            assert_eq!(reasons.collect::<Vec<_>>(), expected.each_ref());
        }
    }
}

#[test]
fn numbers_of_64_bits_stand_in_the_extra_field_and_the_second_end() {
    let mut extra = [1u16.to_le_bytes(), 24u16.to_le_bytes()].concat();
    for number in [PGM.len() as u64, PGM.len() as u64, 0] {
        extra.extend(number.to_le_bytes());
    }
    let entry = Entry {
        len: Some(u32::MAX),
        packed_len: Some(u32::MAX),
        offset: Some(u32::MAX),
        extra,
        ..file("cat/1.pgm", PGM)
    };
    let zip = zip_of(&[entry]);
    assert_eq!(open(&zip).unwrap().train.len(), 1);

    // The same archive with a 64-bit end of the directory; in the old one, every field is filled
    // with ones.
    let (rest, old) = zip.split_at(zip.len() - 22);
    let [size, start] = [12, 16].map(|at| u32::from_le_bytes(old[at..at + 4].try_into().unwrap()));
    let mut zip = rest.to_vec();
    let end = zip.len() as u64;
    zip.extend(b"PK\x06\x06");
    zip.extend(44u64.to_le_bytes());
    zip.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [1, 1, size.into(), start.into()] {
        zip.extend(u64::to_le_bytes(number));
    }
    zip.extend(b"PK\x06\x07\0\0\0\0");
    zip.extend(end.to_le_bytes());
    zip.extend(1u32.to_le_bytes());
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([0xff; 12]);
    zip.extend([0; 2]);
    assert_eq!(open(&zip).unwrap().train.len(), 1);
}

#[test]
fn names_are_bytes_and_what_may_not_be_is_left_out() {
    let link = Entry {
        mode: 0o120_777,
        ..file("cat/link.pgm", b"/etc/hostname")
    };
    let pipe = Entry {
        mode: 0o010_644,
        ..file("cat/pipe.pgm", b"")
    };
    let zip = zip_of(&[
        file(b"\xc8\xcb/1.pgm", PGM),
        file(b"\xc8\xeb/1.pgm", PGM),
        file("cat/1.pgm", b"not this one"),
        file("cat/1.pgm", PGM),
        file("../out.pgm", PGM),
        file("/out.pgm", PGM),
        file("cat/\0.pgm", PGM),
        link,
        pipe,
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.zip");
    fs::write(&path, zip).unwrap();
    let splits = Splits::open(&path, &limits()).unwrap();
    let contents = splits.contents;
    assert_eq!(splits.train.classes(), ["\\xC8\\xCB", "\\xC8\\xEB", "cat"]);
    assert_eq!(splits.train.picture(2).unwrap().rgb(), [7; 3]);
    let groups: Vec<(Reason, usize)> = contents
        .by_reason()
        .into_iter()
        .map(|group| (group.reason, group.count))
        .collect();
    assert_eq!(
        groups,
        [
            (Reason::SymbolicLink, 1),
            (Reason::Outside, 2),
            (Reason::Name, 1),
            (Reason::Replaced, 1),
            (Reason::Device, 1),
        ]
    );
}

#[test]
fn entries_that_lie_are_errors_that_name_them() {
    let good = file("cat/1.pgm", PGM);
    let packed = Entry {
        content: vec![7; 5000],
        deflated: true,
        ..good.clone()
    };
    for (entry, expected) in [
        (
            Entry {
                flags: 1,
                ..good.clone()
            },
            "cat/1.pgm is encrypted",
        ),
        (
            Entry {
                method: Some(12),
                ..good.clone()
            },
            "cat/1.pgm is packed by method 12",
        ),
        (
            Entry {
                checksum: Some(1),
                ..packed.clone()
            },
            "cat/1.pgm is damaged",
        ),
        (
            Entry {
                checksum: Some(1),
                ..good.clone()
            },
            "cat/1.pgm is damaged",
        ),
        (
            Entry {
                len: Some(4999),
                ..packed.clone()
            },
            "cat/1.pgm contains more than its 4999 bytes",
        ),
        (
            Entry {
                len: Some(5001),
                ..packed.clone()
            },
            "the zip data is cut short",
        ),
        (
            Entry {
                packed_len: Some(5),
                ..packed.clone()
            },
            "the zip data is cut short",
        ),
        (
            Entry {
                len: Some(5),
                ..good.clone()
            },
            "cat/1.pgm contains more than its 5 bytes",
        ),
        (
            Entry {
                len: Some(u32::MAX),
                ..good.clone()
            },
            "over the limit of 1048576",
        ),
        (
            Entry {
                offset: Some(1),
                ..good.clone()
            },
            "is not where the directory says",
        ),
        (
            Entry {
                offset: Some(u32::MAX),
                ..good.clone()
            },
            "cut short",
        ),
        (
            Entry {
                method: Some(8),
                ..good
            },
            "zip",
        ),
        (
            file("a/".repeat(40) + "1.pgm", PGM),
            "nested folders is 40, over the limit of 32",
        ),
    ] {
        let error = reason(&zip_of(&[entry, file("dog/1.pgm", PGM)]));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_inflates_without_end_is_stopped() {
    let zeros = |len| Entry {
        content: vec![0; len],
        deflated: true,
        ..file("cat/1.pgm", b"")
    };
    let bomb = zip_of(&[zeros(64 << 20)]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    assert!(matches!(reason(&bomb), Error::OverLimit { .. }));
    // Each is within the limit, but their sum is not.
    let parts = vec![zeros(400 << 10); 3];
    assert!(matches!(reason(&zip_of(&parts)), Error::OverLimit { .. }));
    // Many entries share one compressed content.
    let shared = Entry {
        offset: Some(0),
        ..zeros(100 << 10)
    };
    assert!(matches!(
        reason(&zip_of(&vec![shared; 20])),
        Error::OverLimit { .. }
    ));
    // Many entries without content; each one needs memory for its name.
    let many: Vec<Entry> = (0..3000)
        .map(|n| file(format!("cat/{n}.pgm"), b""))
        .collect();
    assert!(matches!(reason(&zip_of(&many)), Error::OverLimit { .. }));
}

#[test]
fn a_zip_that_is_cut_short_is_an_error_wherever() {
    let whole = zip_of(&[file("cat/1.pgm", PGM), file("dog/1.pgm", PGM)]);
    assert_eq!(open(&whole).unwrap().train.len(), 2);
    for len in 1..whole.len() {
        let error = reason(&whole[..len]);
        assert!(
            matches!(error, Error::Decode { .. } | Error::Truncated { .. }),
            "{len}: {error:?}"
        );
    }
}

#[test]
fn what_is_no_archive_is_called_what_it_is() {
    for (bytes, expected) in [
        (
            &b"BZh91AY&SY"[..],
            "it is a bzip2 file, expected a folder, .tar, .tar.gz or .zip: unpack it first",
        ),
        (
            b"\xfd7zXZ\0\0\x04",
            "it is an xz file, expected a folder, .tar, .tar.gz or .zip: unpack it first",
        ),
        (
            b"7z\xbc\xaf\x27\x1c",
            "it is a 7-Zip archive, expected a folder, .tar, .tar.gz or .zip: unpack it first",
        ),
        (
            b"<!doctype html>",
            "it is an HTML page, expected a folder, .tar, .tar.gz or .zip",
        ),
        (
            b"\x89PNG\r\n\x1a\n",
            "it is a PNG picture, expected a folder, .tar, .tar.gz or .zip",
        ),
    ] {
        assert_eq!(reason(bytes).to_string(), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        let packed = expected.replace("it is ", "it is gzip of ");
        assert_eq!(reason(&gzip.finish().unwrap()).to_string(), packed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Damage at any position: a one-line error, or a dataset in which every sample can be
    /// requested.
    #[test]
    fn damaged_zips_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let packed = Entry { deflated: true, ..file("dog/b/2.pgm", PGM) };
        let mut bytes = zip_of(&[file("cat/1.pgm", PGM), packed, file("dog/", b"")]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match open(&bytes) {
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error),
            Ok(splits) => {
                for index in 0..=splits.train.len() {
                    let _ = splits.train.picture(index);
                }
            }
        }
    }
}
