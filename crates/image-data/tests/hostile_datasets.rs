//! Archives and binary files that are damaged, truncated or endless: each causes an error that says
//! so, within the memory limit, and never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile_datasets/idx_and_cifar.rs"]
mod idx_and_cifar;

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzEncoder as GzReader;
use flate2::write::GzEncoder;
use image_data::{
    Cifar, CifarLabels, ClassFolders, Dataset, DatasetLimits, Error, Idx, Reason, Result, Splits,
};
use proptest::prelude::*;
use tar::{EntryType, Header};

/// A limit that is small enough for a small bomb to exceed.
const MIB: u64 = 1 << 20;

fn limits() -> DatasetLimits {
    DatasetLimits {
        max_archive_bytes: MIB,
        ..DatasetLimits::default()
    }
}

/// The inflated size of a bomb: more memory than this process may use.
const BOMB: u64 = 256 << 20;

/// Returns the reason of an error about a file, which must be one line.
fn reason<T>(result: Result<T>) -> Error {
    match result {
        Err(error @ Error::File { .. }) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            let Error::File { reason, .. } = error else {
                unreachable!()
            };
            *reason
        }
        Err(error) => panic!("no file is named: {error}"),
        Ok(_) => panic!("this was accepted"),
    }
}

fn opened(bytes: &[u8]) -> Result<Splits> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, bytes).unwrap();
    Splits::open(path, &limits())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compresses some bytes followed by many zeros.
fn bomb(start: &[u8], zeros: u64) -> Vec<u8> {
    let mut file = Vec::new();
    GzReader::new(start.chain(io::repeat(0).take(zeros)), Compression::fast())
        .read_to_end(&mut file)
        .unwrap();
    file
}

/// Returns an entry with this header.
fn entry(path: &str, kind: EntryType, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    if kind.is_symlink() || kind.is_hard_link() {
        header.set_link_name("/etc/hostname").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A one-pixel picture.
const PGM: &[u8] = b"P5 1 1 255\n\x07";

fn good() -> Vec<u8> {
    entry("cat/1.pgm", EntryType::Regular, PGM.len() as u64, PGM)
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    entry(path, EntryType::Regular, content.len() as u64, content)
}

#[test]
fn what_a_tar_may_not_hold_is_skipped_and_named() {
    let mut tar = good();
    for (path, kind) in [
        ("../out.pgm", EntryType::Regular),
        ("cat/../../out.pgm", EntryType::Regular),
        ("/out.pgm", EntryType::Regular),
        ("cat/link.pgm", EntryType::Symlink),
        ("cat/hard.pgm", EntryType::Link),
        ("cat/pipe.pgm", EntryType::Fifo),
        ("cat/disk.pgm", EntryType::Block),
        ("cat/tty.pgm", EntryType::Char),
        ("cat/sparse.pgm", EntryType::GNUSparse),
        ("cat/odd.pgm", EntryType::new(b'Q')),
    ] {
        tar.extend(entry(path, kind, 0, b""));
    }
    // A pax record may declare that the next file is sparse, or that it has another size.
    for record in ["25 GNU.sparse.major=1\n", "22 size=9999999999999\n"] {
        let record = format!("{}{}", record.len(), &record[2..]);
        tar.extend(entry(
            "x",
            EntryType::XHeader,
            record.len() as u64,
            record.as_bytes(),
        ));
        tar.extend(file("cat/pax.pgm", PGM));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tar");
    fs::write(&path, tar).unwrap();
    let Splits {
        train: dataset,
        contents,
        ..
    } = Splits::open(&path, &limits()).unwrap();
    assert_eq!(
        (dataset.len(), dataset.picture(0).unwrap().rgb()),
        (1, [7; 3].as_slice())
    );
    let left_out: Vec<(String, Reason)> = contents
        .left_out
        .into_iter()
        .map(|left_out| {
            let name = Path::new(&left_out.name);
            let name = name.strip_prefix(&path).unwrap_or(name);
            (name.display().to_string(), left_out.reason)
        })
        .collect();
    for expected in [
        ("../out.pgm", Reason::Outside),
        ("cat/../../out.pgm", Reason::Outside),
        ("out.pgm", Reason::Outside),
        ("cat/link.pgm", Reason::SymbolicLink),
        ("cat/hard.pgm", Reason::LostLink),
        ("cat/pipe.pgm", Reason::Device),
        ("cat/disk.pgm", Reason::Device),
        ("cat/tty.pgm", Reason::Device),
        ("cat/sparse.pgm", Reason::Sparse),
        ("cat/pax.pgm", Reason::Sparse),
        ("cat/odd.pgm", Reason::UnknownEntry),
    ] {
        let expected = (expected.0.to_owned(), expected.1);
        assert!(left_out.contains(&expected), "{expected:?} {left_out:?}");
    }
    assert_eq!(left_out.len(), 12);
}

#[test]
fn a_tar_whose_first_name_begins_like_a_picture_is_a_tar() {
    // The oldest kind of header, which has no magic number.
    let mut header = Header::new_old();
    header.as_old_mut().name[..9].copy_from_slice(b"BMW/1.pgm");
    header.set_size(PGM.len() as u64);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    let mut tar = [header.as_bytes().as_slice(), PGM].concat();
    tar.resize(1024, 0);
    for bytes in [tar.clone(), gzip(&tar)] {
        assert_eq!(opened(&bytes).unwrap().train.classes(), ["BMW"]);
    }
}

#[test]
fn hard_links_are_files() {
    let link = |path: &str, target: &str| {
        let mut header = Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_entry_type(EntryType::Link);
        header.set_link_name(target).unwrap();
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let long = format!("cat/{}.pgm", "n".repeat(150));
    let mut tar = [
        file("cat/1.pgm", PGM),
        link("dog/1.pgm", "./cat/1.pgm"),
        link("dog/2.pgm", "dog/1.pgm"),
        link("dog/3.pgm", "dog/3.pgm"),
        link("dog/4.pgm", "dog/5.pgm"),
        link("dog/5.pgm", "cat/1.pgm"),
        link("dog/6.pgm", "cat/none.pgm"),
        link("dog/7.pgm", "../cat/1.pgm"),
    ]
    .concat();
    for (kind, name) in [
        (EntryType::GNULongName, &long),
        (EntryType::GNULongLink, &"cat/1.pgm".to_owned()),
    ] {
        tar.extend(entry(
            "././@LongLink",
            kind,
            name.len() as u64,
            name.as_bytes(),
        ));
    }
    tar.extend(link("short", "nowhere"));
    let splits = opened(&tar).unwrap();
    assert_eq!(splits.train.len(), 5);
    assert!((0..5).all(|n| splits.train.picture(n).unwrap().rgb() == [7; 3]));
    // A link may only point to an earlier entry.
    let lost: Vec<char> = splits
        .contents
        .left_out
        .iter()
        .map(|left_out| {
            assert_eq!(left_out.reason, Reason::LostLink);
            left_out.name.chars().rev().nth(4).unwrap()
        })
        .collect();
    assert_eq!(lost, ['3', '4', '6', '7']);
}

#[test]
fn folders_count_as_much_as_files() {
    // Thirty new folders per entry: names of a few bytes, but records of thousands.
    let many: Vec<u8> = (0..200)
        .flat_map(|n| file(&format!("{n}/{}", "a/".repeat(30)), b""))
        .collect();
    let error = reason(opened(&many));
    assert!(
        matches!(
            error,
            Error::OverLimit {
                what: "the memory in bytes for the names of files",
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn names_come_from_every_place_that_a_tar_has_for_them() {
    let long = format!("cat/{}.pgm", "n".repeat(200));
    let pax = format!("path={long}\n");
    let pax = format!("{} {pax}", pax.len() + 4);
    let tar = [
        entry(
            "././@LongLink",
            EntryType::GNULongName,
            long.len() as u64 + 1,
            format!("{long}\0").as_bytes(),
        ),
        entry("g", EntryType::XGlobalHeader, 0, b""),
        file("short", PGM),
        entry("x", EntryType::XHeader, pax.len() as u64, pax.as_bytes()),
        file("dog/short", PGM),
        entry("./dog//./", EntryType::Directory, 0, b""),
        file("dog/2.pgm", PGM),
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tar");
    fs::write(&path, tar).unwrap();
    let dataset = ClassFolders::open(&path, &limits()).unwrap();
    assert_eq!(dataset.classes(), ["cat", "dog"]);
    // The second one replaces the first, since both have one name, and the contents say so.
    assert_eq!(dataset.len(), 2);
    let contents = Splits::open(&path, &limits()).unwrap().contents;
    let [left_out] = &contents.left_out[..] else {
        panic!("{contents}");
    };
    assert_eq!(left_out.reason, Reason::Replaced);
    assert_eq!(
        Path::new(&dataset.name(0)).strip_prefix(&path).unwrap(),
        Path::new(&long)
    );
}

#[test]
fn broken_tars_are_named() {
    let mut checksum = good();
    checksum[0] ^= 1;
    // Found by `lying_headers_never_panic`: the message quotes this field.
    let mut lines = good();
    lines[148..156].copy_from_slice(b"\xffa\nb\rc\nd");
    let beyond = entry("cat/1.pgm", EntryType::Regular, u64::MAX / 2, PGM);
    let name = |kind, len: u64| [entry("x", kind, len, &vec![b'a'; len as usize]), good()].concat();
    for (bytes, expected) in [
        (checksum, "tar"),
        (lines, "tar"),
        (
            b"this is no archive at all, but some text".repeat(30),
            "tar",
        ),
        (beyond, "cut short"),
        (good()[..600].to_vec(), "EOF"),
        (good()[..300].to_vec(), "tar"),
        (name(EntryType::GNULongName, 1 << 17), "name's record"),
        (name(EntryType::XHeader, 1 << 17), "name's record"),
        (name(EntryType::XHeader, 40), "tar"),
        (file("cat/1.pgm", &vec![0; MIB as usize]), "unpacked bytes"),
        (Vec::new(), "the file is empty"),
        (file("cat/note.txt", b"x"), "no pictures"),
    ] {
        for bytes in [bytes.clone(), gzip(&bytes)] {
            let error = reason(opened(&bytes));
            assert!(
                matches!(
                    error,
                    Error::Decode { format: "tar", .. }
                        | Error::Truncated { format: "tar" }
                        | Error::OverLimit { .. }
                        | Error::NoDataset { .. }
                        | Error::NoPictures
                        | Error::Empty
                ) && error.to_string().contains(expected),
                "{expected}: {error:?}"
            );
        }
    }
}

#[test]
fn what_inflates_without_end_is_stopped() {
    let idx = b"\0\0\x08\x03\0\0\xff\xff\0\0\0\x01\0\0\0\x01";
    let long = entry("x", EntryType::GNULongName, BOMB, b"")[..512].to_vec();
    let large = entry("cat/1.pgm", EntryType::Regular, BOMB, b"")[..512].to_vec();
    for start in [&large[..], &good(), &long, b""] {
        let error = reason(opened(&bomb(start, BOMB)));
        assert!(matches!(error, Error::OverLimit { .. }), "{error:?}");
    }
    // Many files without content; each one needs memory for its name.
    let many: Vec<u8> = (0..3000)
        .flat_map(|n| file(&format!("cat/{n}.pgm"), b""))
        .collect();
    assert!(matches!(
        reason(opened(&gzip(&many))),
        Error::OverLimit { limit: MIB, .. }
    ));

    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let open = || Idx::open(&images, &images, None, &limits());
    fs::write(&images, bomb(idx, BOMB)).unwrap();
    assert!(matches!(
        reason(open()),
        Error::Format {
            format: "IDX",
            what: "the length",
            ..
        }
    ));
    let claims = b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    fs::write(&images, bomb(claims, BOMB)).unwrap();
    assert!(matches!(
        reason(open()),
        Error::OverLimit {
            got: u64::MAX,
            limit: MIB,
            ..
        }
    ));
    fs::write(&images, bomb(b"", BOMB)).unwrap();
    let cifar = Cifar::open(&[&images], CifarLabels::Ten, &limits());
    assert!(matches!(reason(cifar), Error::OverLimit { .. }));

    // None of the bombs was kept in memory.
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < BOMB >> 11, "{kib} KiB");
    }
}

#[test]
fn broken_gzip_is_named() {
    let whole = gzip(&[good(), vec![0; 1024]].concat());
    assert_eq!(opened(&whole).unwrap().train.len(), 1);
    for len in 3..whole.len() {
        let error = reason(opened(&whole[..len]));
        assert!(
            matches!(error, Error::Truncated { .. } | Error::Decode { .. }),
            "{len}: {error:?}"
        );
    }
    // The checksum is at the end, after everything that a tar reader would read.
    let mut wrong = whole.clone();
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    assert!(matches!(reason(opened(&wrong)), Error::Decode { .. }));
}

/// Returns a small archive of each kind.
fn archives() -> Vec<Vec<u8>> {
    let idx = [
        file(
            "train-images-idx3-ubyte",
            b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x02\x01\x02",
        ),
        file("train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x05"),
    ];
    let folders = [good(), file("cat/b/2.pgm", PGM), file("dog/1.pgm", PGM)];
    let cifar = file("train.bin", &[3; 3074]);
    vec![idx.concat(), folders.concat(), cifar]
}

#[test]
fn the_small_archives_are_good() {
    for archive in archives() {
        for bytes in [archive.clone(), gzip(&archive)] {
            let train = opened(&bytes).unwrap().train;
            assert!((0..train.len()).all(|index| train.picture(index).is_ok()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Damage at any position, with and without gzip: a one-line error, or a dataset in which every
    /// sample can be requested.
    #[test]
    fn damaged_archives_never_panic(
        which in 0..3usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        packed in 0..3,
    ) {
        let mut bytes = archives().swap_remove(which);
        if packed == 1 {
            bytes = gzip(&bytes);
        }
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if packed == 2 {
            bytes = gzip(&bytes);
        }
        match opened(&bytes) {
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error),
            Ok(splits) => {
                for index in 0..=splits.train.len() {
                    let _ = splits.train.picture(index);
                    prop_assert!(!splits.train.name(index).is_empty());
                    let label = splits.train.label(index);
                    prop_assert_eq!(label < splits.train.classes().len(), index < splits.train.len());
                }
            }
        }
    }

    /// In the test above, a checksum hides most damage to a header. Here, each field is false but
    /// the checksum is correct.
    #[test]
    fn lying_headers_never_panic(
        kind: u8,
        size in prop_oneof![0u64..2000, any::<u64>()],
        name in prop::collection::vec(any::<u8>(), 0..100),
        content in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(&name);
        header.set_entry_type(EntryType::new(kind));
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(good());
        if let Err(error) = opened(&bytes) {
            prop_assert_eq!(error.to_string().lines().count(), 1, "{}", error);
        }
    }
}
