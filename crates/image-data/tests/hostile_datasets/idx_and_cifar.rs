//! IDX and CIFAR files that are damaged or of the wrong size: the error that each one causes.

use super::*;

fn idx(images: &[u8], labels: &[u8]) -> Result<Idx> {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["images", "labels"].map(|name| folder.path().join(name));
    fs::write(&paths[0], images).unwrap();
    fs::write(&paths[1], labels).unwrap();
    Idx::open(&paths[0], &paths[1], None, &limits())
}

/// Returns whether an error is the expected one for a file.
type Check = fn(&Error) -> bool;

#[test]
fn broken_idx_files_are_named() {
    let images = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04";
    let labels = b"\0\0\x08\x01\0\0\0\x02\x05\x06";
    assert_eq!(idx(images, labels).unwrap().len(), 2);
    let change = |at: usize, to: u8| {
        let mut bytes = images.to_vec();
        bytes[at] = to;
        bytes
    };
    let cases: [(Vec<u8>, Check); 9] = [
        (Vec::new(), |e| {
            matches!(e, Error::Truncated { format: "IDX" })
        }),
        (images[..10].to_vec(), |e| {
            matches!(e, Error::Truncated { format: "IDX" })
        }),
        (images[..19].to_vec(), |e| {
            matches!(e, Error::Truncated { format: "IDX" })
        }),
        ([images, &b"\0"[..]].concat(), |e| {
            matches!(
                e,
                Error::Format {
                    what: "the length",
                    ..
                }
            )
        }),
        (change(2, 0x0d), |e| {
            matches!(
                e,
                Error::Format {
                    what: "the beginning",
                    ..
                }
            )
        }),
        (change(3, 4), |e| {
            matches!(
                e,
                Error::Format {
                    what: "the beginning",
                    ..
                }
            )
        }),
        (change(11, 0), |e| {
            matches!(
                e,
                Error::NoPixels {
                    width: 2,
                    height: 0
                }
            )
        }),
        (change(4, 0x10), |e| matches!(e, Error::OverLimit { .. })),
        (b"<!DOCTYPE html>".to_vec(), |e| {
            matches!(
                e,
                Error::Format {
                    what: "the beginning",
                    ..
                }
            )
        }),
    ];
    for (bytes, check) in cases {
        let error = reason(idx(&bytes, labels));
        assert!(check(&error), "{error:?}");
    }
    let one = b"\0\0\x08\x01\0\0\0\x01\x05";
    assert!(matches!(
        reason(idx(images, one)),
        Error::Format {
            what: "the number of labels",
            ..
        }
    ));
    let none = b"\0\0\x08\x03\0\0\0\0\0\0\0\x01\0\0\0\x02";
    assert!(matches!(
        reason(idx(none, b"\0\0\x08\x01\0\0\0\0")),
        Error::NoPictures
    ));
}

#[test]
fn broken_cifar_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data_batch_1.bin");
    let open = |bytes: &[u8], labels| {
        fs::write(&path, bytes).unwrap();
        Cifar::open(&[&path], labels, &limits())
    };
    let record = [9; 3073];
    assert_eq!(open(&record.repeat(3), CifarLabels::Ten).unwrap().len(), 3);
    let error = reason(open(&record.repeat(3)[..9000], CifarLabels::Ten));
    assert_eq!(
        error.to_string(),
        "broken CIFAR: the last record's length in bytes is 2854, expected 3073 for Ten"
    );
    let error = reason(open(&[10; 3073], CifarLabels::Ten));
    assert_eq!(
        error.to_string(),
        "broken CIFAR: a label is 10 in record 0, expected less than 10 for Ten"
    );
    for (labels, label) in [
        (CifarLabels::Fine, [0, 100]),
        (CifarLabels::Coarse, [20, 0]),
    ] {
        let bytes = [&label[..], &[0; 3072]].concat();
        assert!(matches!(
            reason(open(&bytes, labels)),
            Error::Format {
                what: "a label",
                ..
            }
        ));
    }
    assert!(matches!(
        open(b"", CifarLabels::Ten),
        Err(Error::NoPictures)
    ));
    let large = record.repeat(MIB as usize / 3073 + 1);
    assert!(matches!(
        reason(open(&large, CifarLabels::Ten)),
        Error::OverLimit { .. }
    ));
}
