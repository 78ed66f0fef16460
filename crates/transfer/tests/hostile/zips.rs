//! Zip archives whose directory is wrong.

use transfer::Error;

use crate::forge::{Entry, Tensor, end_zip, entries, one, values, zip_of, zip_one};
use crate::{assert_refused, read};

/// The good file with one of its entries changed: 0 is the pickle, 1 the byte order, 2 the storage.
fn with(index: usize, change: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut entries = entries(&one(&Tensor::default()), &[("0", values())]);
    change(&mut entries[index]);
    zip_of(&entries)
}

#[test]
fn entries_that_are_not_stored_bytes() {
    assert_refused! {
        "a zip bomb in the pickle", with(0, |entry| {
            entry.method = 8;
            entry.size = Some(u32::MAX - 1);
        }) => Error::NotStored { entry, how: "compressed" } if entry == "m/data.pkl",
        "a zip bomb in a storage", with(2, |entry| {
            entry.method = 8;
            entry.stored = Some(10);
        }) => Error::NotStored { entry, how: "compressed" } if entry == "m/data/0",
        "stored, but of two lengths", with(2, |entry| entry.stored = Some(3)) =>
            Error::NotStored { how: "compressed", .. },
        "encrypted", with(0, |entry| entry.flags = 1) => Error::NotStored { how: "encrypted", .. },
    }
}

#[test]
fn entries_with_false_places_and_lengths() {
    let outside = Error::Zip {
        reason: "an entry lies outside the file",
    };
    let long = |entry: &mut Entry| {
        entry.size = Some(1 << 30);
        entry.stored = Some(1 << 30);
    };
    for (name, bytes) in [
        ("too long", with(0, long)),
        (
            "far too long",
            with(2, |entry| {
                // 2^63 bytes, by the extra field.
                entry.size = Some(u32::MAX);
                entry.stored = Some(u32::MAX);
                entry.extra = [&[1, 0, 16, 0][..], &[0, 0, 0, 0, 0, 0, 0, 0x80].repeat(2)].concat();
            }),
        ),
        ("behind the end", with(2, |entry| entry.at = Some(1 << 30))),
    ] {
        assert_refused! { name, bytes => error if error == outside, }
    }
    let (ours, theirs) = (crc32fast::hash(&values()), crc32fast::hash(&[]));
    let mut flipped = zip_one(&Tensor::default());
    let at = flipped
        .windows(16)
        .position(|part| part == values())
        .unwrap();
    flipped[at] ^= 1;
    assert_refused! {
        "no header", with(2, |entry| entry.at = Some(7)) =>
            Error::Zip { reason: "an entry has no header" },
        "the header of another", with(2, |entry| entry.at = Some(0)) =>
            Error::Zip { reason: "an entry has another name in its header" },
        "another name", with(2, |entry| entry.local_name = Some("m/data/1".into())) =>
            Error::Zip { reason: "an entry has another name in its header" },
        "no 64-bit size", with(2, |entry| entry.size = Some(u32::MAX)) =>
            Error::Zip { reason: "an entry has no 64-bit size" },
        "another sum", with(2, |entry| entry.crc = Some(ours ^ 1)) =>
            Error::Checksum { expected, got, .. } if (expected, got) == (ours ^ 1, ours),
        "a flipped bit", flipped => Error::Checksum { expected, .. } if expected == ours,
    }
    // The sum of nothing is 0, which also says that there is none.
    assert_eq!(theirs, 0);
    read(&with(2, |entry| entry.crc = Some(0)));
    // 64-bit sizes that are true.
    read(&with(2, |entry| {
        let size = u64::from(entry.data.len() as u32).to_le_bytes();
        (entry.size, entry.stored) = (Some(u32::MAX), Some(u32::MAX));
        entry.extra = [&[0x77, 0, 2, 0, 9, 9, 1, 0, 16, 0][..], &size, &size].concat();
    }));
}

/// One entry inside of another: the pickle is a part of the storage.
#[test]
fn entries_that_overlap() {
    let pickled = one(&Tensor {
        count: 200,
        ..Tensor::default()
    });
    let inner = zip_of(&[Entry::new("m/data.pkl", &*pickled)]);
    let mut outer = inner[..inner.iter().rposition(|&byte| byte == b'.').unwrap() + 1].to_vec();
    outer.resize(800, 0);
    let mut entries = vec![Entry::new("m/data/0", outer)];
    // The local header of the inner entry is behind that of the outer one and its name.
    let mut second = Entry::new("m/data.pkl", &*pickled);
    second.at = Some(30 + "m/data/0".len() as u32);
    entries.push(second);
    let (mut bytes, whole) = (Vec::new(), zip_of(&entries));
    bytes.extend(whole);
    assert_refused! { "overlap", bytes =>
    Error::Overlap { first, second } if (&*first, &*second) == ("m/data.pkl", "m/data/0"), }
}

#[test]
fn directories_that_are_wrong() {
    let good = zip_one(&Tensor::default());
    let tail = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        let at = bytes.len() - at;
        bytes[at] = byte;
        bytes
    };
    let twice = |name: &str| {
        let mut entries = entries(&one(&Tensor::default()), &[("0", values())]);
        entries.push(Entry::new(name, "x"));
        zip_of(&entries)
    };
    let damaged = |bytes: Vec<u8>, expected: &str| {
        assert_refused! { expected, bytes => Error::Zip { reason } if reason == expected, }
    };
    damaged(
        [&*good, b"\0"].concat(),
        "the record at its end is missing: is it truncated?",
    );
    // The records from the end: 22 bytes, the locator's 20, and the 64-bit record's 56.
    damaged(tail(22 + 20 - 8, 1), "its 64-bit record is missing");
    damaged(
        tail(22 + 20 - 15, 1),
        "its 64-bit record lies outside the file",
    );
    damaged(tail(98 - 16, 1), "it is one of several parts");
    damaged(
        tail(98 - 32, 2),
        "its directory has more entries than it says",
    );
    damaged(tail(98 - 32, 9), "its directory ends too early");
    damaged(tail(98 - 48, 0xff), "its directory lies outside the file");
    damaged(tail(98 - 55, 1), "its directory lies outside the file");
    damaged(twice("m/data/0"), "two entries have the same name");
    damaged(twice("data.pkl"), "it has several data.pkl");
    let mut entry = good.clone();
    let at = entry
        .windows(4)
        .rposition(|part| part == b"PK\x01\x02")
        .unwrap();
    entry[at] = 0;
    damaged(entry, "its directory has a wrong entry");

    // The count and the directory's length are compared with limits before anything is read.
    let names = |count: u64| {
        let entry = |n| Entry::new(&format!("m/data/x{n}"), "");
        (0..count).map(entry)
    };
    let mut many = entries(&one(&Tensor::default()), &[("0", values())]);
    many.extend(names(60_000));
    assert_eq!(read(&zip_of(&many)).params.len(), 1);
    many.extend(names(100_000).skip(60_000));
    let filler = end_zip(b"PK\x03\x04".to_vec(), &vec![0; 9 << 20], 1);
    assert_refused! {
        "100,000 tiny entries", zip_of(&many) =>
            Error::ZipLimit { what: "entries", got: 100_003, limit: 65_536 },
        "a count without entries", tail(98 - 38, 1) => Error::ZipLimit { what: "entries", .. },
        "a long directory", filler => Error::ZipLimit { what: "bytes in its directory", .. },
        "big-endian", with(1, |entry| entry.data = b"big".to_vec()) => Error::BigEndian,
    }
}
