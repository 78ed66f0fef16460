//! Model files that are damaged, truncated or of another kind: each causes a one-line error.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::ErrorKind;

use ndarray::ArrayD;
use nn_layers::{Error, FileError, Metadata, ModelFile, Params, Slot};
use proptest::prelude::*;

/// Returns a file with this header, this header length, and `data` bytes of data.
fn file(header: &[u8], claimed: u64, data: usize) -> Vec<u8> {
    let mut bytes = claimed.to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(std::iter::repeat_n(0, data));
    bytes
}

/// Returns the error for a file with this header and `data` bytes of data.
fn refuse(header: &str, data: usize) -> Error {
    refuse_bytes(&file(header.as_bytes(), header.len() as u64, data))
}

fn refuse_bytes(bytes: &[u8]) -> Error {
    let error = ModelFile::from_bytes(bytes).unwrap_err();
    let line = error.to_string();
    assert!(line.lines().count() == 1 && line.len() < 700, "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    error
}

/// Returns `"name": {...}`.
fn tensor(name: &str, dtype: &str, shape: &str, [begin, end]: [u64; 2]) -> String {
    format!(
        r#""{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{begin}, {end}]}}"#
    )
}

#[test]
fn files_of_another_kind_are_named() {
    for (bytes, part) in [
        (&b""[..], "is an empty file, not a .safetensors file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"\n\n <HTML><head><title>Sign in</title></head>", "HTML"),
        (b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error/>", "HTML"),
        (
            b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl",
            "is a zip archive, not a .safetensors file: if it contains PyTorch weights",
        ),
        (
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
            "is a PyTorch file in the format before 1.6, not a .safetensors file: if it contains",
        ),
        (b"\x80\x02}q\x00.", "is a Python pickle"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a",
            "git lfs pull",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG picture"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is a gzip file"),
    ] {
        let error = refuse_bytes(bytes);
        assert!(
            matches!(error, Error::File(FileError::NotSafetensors { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
    for bytes in [
        &b"[net]\nbatch=1\nsubdivisions=1\n"[..],
        &[0xff; 100],
        &u64::MAX.to_le_bytes(),
        &(9u64 << 20).to_le_bytes(),
    ] {
        let error = refuse_bytes(bytes);
        assert!(
            matches!(error, Error::File(FileError::HeaderTooLarge { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_file_in_the_place_of_a_file_is_named_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.safetensors");
    std::fs::write(&path, "<html>").unwrap();
    let error = ModelFile::open(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: is an HTML page, not a .safetensors file: the download failed or was redirected",
            path.display()
        )
    );
    let inner = |path| match ModelFile::open(path) {
        Err(Error::InFile { error, .. }) => *error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        inner(path),
        Error::File(FileError::NotSafetensors { .. })
    ));
    let what = "a folder";
    assert_eq!(
        inner(folder.path().to_owned()),
        Error::File(FileError::NotAFile { what })
    );
    let missing = inner(folder.path().join("missing"));
    assert!(matches!(
        missing,
        Error::File(FileError::Io {
            kind: ErrorKind::NotFound,
            ..
        })
    ));
}

#[test]
fn files_that_were_cut_or_padded() {
    // The header is truncated: 8 bytes are needed, or as many as it declares.
    for (bytes, expected) in [
        (vec![1], 8),
        (vec![0; 7], 8),
        (file(b"{}", 3, 0), 11),
        (file(b"{\"a\": ", 1000, 0), 1008),
        (file(b"", 8 << 20, 0), 8 + (8 << 20)),
    ] {
        let error = refuse_bytes(&bytes);
        let got = bytes.len() as u64;
        assert_eq!(error, Error::File(FileError::Length { expected, got }));
    }
    // The data is truncated or too long.
    let header = format!("{{{}}}", tensor("a", "F32", "[5, 2]", [0, 40]));
    let head = 8 + header.len() as u64;
    for (data, words) in [
        (39, ": 1 missing at its end"),
        (0, ": 40 missing at its end"),
        (41, ": 1 left over at its end"),
        (4000, ": 3960 left over at its end"),
    ] {
        let error = refuse(&header, data);
        assert!(error.to_string().ends_with(words), "{error}");
        let expected = Error::File(FileError::Length {
            expected: head + 40,
            got: head + data as u64,
        });
        assert_eq!(error, expected);
    }
    assert!(matches!(
        refuse("{}", 1),
        Error::File(FileError::Length { .. })
    ));
}

#[test]
fn headers_that_cannot_be_read() {
    let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
    let deep_objects = "{\"a\": ".repeat(100_000);
    let long_text = format!(r#"{{"a": {{"dtype": "{}"}}}}"#, "\\n".repeat(100_000));
    for (header, part) in [
        ("", "'{'"),
        ("[]", "'{'"),
        (" {}", "'{'"),
        ("{", "EOF"),
        ("{}}", "trailing"),
        ("{} x", "trailing"),
        ("{\"a\": 3}", "tensor \"a\": invalid type"),
        (
            "{\"__metadata__\": {\"convoxide\": 3}}",
            "expected a string",
        ),
        ("{\"__metadata__\": []}", "expected a map"),
        (
            r#"{"a": {"shape": [1], "data_offsets": [0, 4]}}"#,
            "missing field `dtype`",
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}"#,
            "length 1",
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#,
            "integer `-1`",
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [0.5], "data_offsets": [0, 4]}}"#,
            "0.5",
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [18446744073709551616], "data_offsets": [0, 4]}}"#,
            "1.8446744073709552e+19",
        ),
        (
            r#"{"a": {"dtype": "F128", "shape": [1], "data_offsets": [0, 16]}}"#,
            "`F128`",
        ),
        (r#"{"a": {"dtype": "F32", "dtype": "F64"}}"#, "duplicate"),
        (&long_text, "unknown variant"),
        (&deep, "tensor \"a\""),
        (&deep_objects, "tensor \"a\""),
    ] {
        let error = refuse(header, 4);
        assert!(
            matches!(error, Error::File(FileError::Header { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = refuse_bytes(&file(b"{\"\xff\": 3}", 8, 0));
    assert_eq!(
        error.to_string(),
        "the header is damaged: byte 2 is not UTF-8"
    );
}

#[test]
fn tensors_that_cannot_be() {
    let one = |dtype, shape, offsets, data| {
        refuse(
            &format!("{{{}}}", tensor("fc.weight", dtype, shape, offsets)),
            data,
        )
    };
    let error = one("F32", "[10, 3]", [0, 124], 124);
    assert_eq!(
        error.to_string(),
        "tensor \"fc.weight\": the data end at byte 124, expected 120 for shape 10x3 of F32"
    );
    assert!(matches!(
        error,
        Error::File(FileError::TensorSize {
            expected: Some(120),
            end: 124,
            ..
        })
    ));

    // 2^63 elements, whose bytes exceed 64 bits; the same hidden by a factor of 0; and a size that
    // fits into 64 bits but exceeds the file.
    for shape in [
        "[9223372036854775808]",
        "[2147483648, 4294967296]",
        "[18446744073709551615, 18446744073709551615]",
        "[0, 4294967296, 4294967296]",
    ] {
        let error = one("F32", shape, [0, 4], 4);
        assert!(
            matches!(
                error,
                Error::File(FileError::TensorSize { expected: None, .. })
            ),
            "{error}"
        );
    }
    let error = one("F32", "[288230376151711744]", [0, 1 << 60], 4);
    assert!(
        matches!(error, Error::File(FileError::Length { .. })),
        "{error}"
    );
    let error = one("F32", "[1]", [8, 4], 4);
    assert!(
        matches!(
            error,
            Error::File(FileError::TensorOffset {
                expected: 0,
                got: 8,
                ..
            })
        ),
        "{error}"
    );
    let error = one("F32", "[1]", [u64::MAX - 3, u64::MAX], 4);
    assert!(
        matches!(error, Error::File(FileError::TensorOffset { .. })),
        "{error}"
    );
    let error = one("F32", "[1,1,1,1,1,1,1,1,1]", [0, 4], 4);
    assert!(
        matches!(
            error,
            Error::File(FileError::TensorRank {
                got: 9,
                limit: 8,
                ..
            })
        ),
        "{error}"
    );

    for dtype in ["BOOL", "C64", "F8_E4M3", "F4"] {
        let error = one(dtype, "[8]", [0, 4], 4);
        assert!(
            matches!(error, Error::File(FileError::TensorType { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(dtype), "{error}");
    }
    let header = format!("{{{}}}", tensor("bn.running_var", "I32", "[1]", [0, 4]));
    let error = refuse(&header, 4);
    assert!(
        matches!(error, Error::File(FileError::TensorType { .. })),
        "{error}"
    );
}

#[test]
fn tensors_that_overlap_leave_gaps_or_share_a_name() {
    let pair = |left: [u64; 2], right: [u64; 2]| {
        let [left, right] = [("left", left), ("right", right)].map(|(name, offsets)| {
            let count = (offsets[1] - offsets[0]) / 4;
            tensor(name, "F32", &format!("[{count}]"), offsets)
        });
        refuse(&format!("{{{left}, {right}}}"), 16)
    };
    for (left, right, expected, words) in [
        ([0, 12], [8, 16], 12, "tensors overlap"),
        ([0, 16], [0, 16], 16, "tensors overlap"),
        ([0, 4], [8, 16], 4, "there is a gap"),
    ] {
        let error = pair(left, right);
        let got = right[0] as usize;
        assert!(error.to_string().ends_with(words), "{error}");
        let tensor = "right".to_owned();
        assert_eq!(
            error,
            Error::File(FileError::TensorOffset {
                tensor,
                expected,
                got
            })
        );
    }

    let empty = |name: &str| tensor(name, "F32", "[0]", [0, 0]);
    let long = "x".repeat(1000);
    for header in [
        format!("{{{}, {}}}", empty("a"), empty("a")),
        format!("{{{}}}", empty("")),
        format!("{{{}}}", empty(r"a\nb")),
        format!("{{{}}}", empty(r"\u001b[2J")),
        format!("{{{}}}", empty(&long)),
    ] {
        let error = refuse(&header, 0);
        assert!(
            matches!(error, Error::File(FileError::TensorName { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_double_beyond_f32_is_an_error() {
    let header = format!("{{{}}}", tensor("w", "F64", "[2]", [0, 16]));
    let mut bytes = file(header.as_bytes(), header.len() as u64, 0);
    bytes.extend([1.0f64.to_le_bytes(), 1e39f64.to_le_bytes()].concat());
    let error = refuse_bytes(&bytes);
    assert!(
        matches!(
            error,
            Error::File(FileError::TensorValue {
                index: 1,
                got: 1e39,
                ..
            })
        ),
        "{error}"
    );
}

/// A sparse file can be as long as its header says without containing data.
#[cfg(target_os = "linux")]
#[test]
fn a_sparse_file_is_no_reason_to_take_its_length_in_memory() {
    // In memory, if possible, since not every disk can have files of this length.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("sparse");
    // As f32, four times as much, it would exceed the address space of a process.
    let bytes = 64u64 << 40;
    let header = format!(
        "{{{}}}",
        tensor("w", "U8", &format!("[{bytes}]"), [0, bytes])
    );
    std::fs::write(&path, file(header.as_bytes(), header.len() as u64, 0)).unwrap();
    let sparse = std::fs::File::options().write(true).open(&path).unwrap();
    if sparse.set_len(8 + header.len() as u64 + bytes).is_err() {
        println!("skipped: the file system has no file of 64 TiB");
        return;
    }
    match ModelFile::open(&path) {
        Err(Error::InFile { error, .. }) => {
            assert!(
                matches!(&*error, Error::OutOfMemory { bytes, .. } if *bytes as u64 == 4 * (64 << 40)),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Returns a file with two tensors, a counter and metadata.
fn small() -> Vec<u8> {
    let mut params = Params::new();
    params.insert("a.weight", Slot::Weight, ArrayD::from_elem(vec![2, 3], 0.5));
    params.insert("b", Slot::Weight, ArrayD::zeros(vec![1]));
    params.insert("n", Slot::Counter, ArrayD::zeros(vec![]));
    let metadata = Some(Metadata {
        architecture: "net".into(),
        ..Metadata::default()
    });
    without_digest(&ModelFile { metadata, params }.to_bytes().unwrap())
}

/// Returns the file as an older version wrote it, so that no digest detects damage.
fn without_digest(bytes: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let (header, data) = bytes[8..].split_at(length);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let texts = header["__metadata__"].as_object_mut().unwrap();
    texts.remove("convoxide-sha256").unwrap();
    let header = header.to_string();
    let mut file = file(header.as_bytes(), header.len() as u64, 0);
    file.extend(data);
    file
}

/// A change to a file: a byte is replaced, a piece is removed, or a piece is repeated.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        // Digits and punctuation, so that the JSON is more often still valid.
        4 => (at(), prop::sample::select(b"0123456789[]{},:\" -".to_vec()))
            .prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (at(), 1usize..20).prop_map(|(at, len)| Change::Cut(at, len)),
        1 => (at(), 1usize..20).prop_map(|(at, len)| Change::Double(at, len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Every changed file yields a one-line error, or a model that can be written and read again.
    #[test]
    fn changed_files_are_results_not_panics(changes in prop::collection::vec(changes(), 1..5)) {
        let mut bytes = small();
        for change in changes {
            if bytes.is_empty() {
                break;
            }
            let (Change::Set(at, _) | Change::Cut(at, _) | Change::Double(at, _)) = &change;
            let at = at.index(bytes.len());
            match change {
                Change::Set(_, byte) => bytes[at] = byte,
                Change::Cut(_, len) => drop(bytes.drain(at..bytes.len().min(at + len))),
                Change::Double(_, len) => {
                    bytes.extend_from_within(at..bytes.len().min(at + len));
                }
            }
        }
        match ModelFile::from_bytes(&bytes) {
            Ok(model) => {
                let again = model.to_bytes().unwrap();
                prop_assert_eq!(ModelFile::from_bytes(&again).unwrap(), model);
            }
            Err(error) => {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control) && line.len() < 700, "{}", line);
            }
        }
    }
}
