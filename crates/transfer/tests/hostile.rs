//! Files that are hostile, damaged or of another kind: each causes a one-line error of its own
//! variant, executes nothing and takes little memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod forge;
#[path = "hostile/layouts.rs"]
mod layouts;
#[path = "hostile/memory.rs"]
mod memory;
#[path = "hostile/pickles.rs"]
mod pickles;
#[path = "hostile/zips.rs"]
mod zips;

use std::io::ErrorKind;

use files::Kind;
use nn_layers::{FileError, ModelFile, Params, Slot};
use transfer::{Error, ReadOptions, Weights};

/// Reads a file that must be accepted.
fn read(bytes: &[u8]) -> Weights {
    Weights::from_bytes(bytes, &ReadOptions::default()).unwrap()
}

/// Returns the error of a file that must be refused. It is one line that a terminal can show.
fn refuse(bytes: &[u8]) -> Error {
    let error = Weights::from_bytes(bytes, &ReadOptions::default()).unwrap_err();
    let line = error.to_string();
    assert!(line.len() < 1500, "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    error
}

/// Asserts that each file causes the error that its function recognises.
macro_rules! assert_refused {
    ($($name:expr, $bytes:expr => $pattern:pat $(if $guard:expr)?,)*) => {$(
        match $crate::refuse(&$bytes) {
            $pattern $(if $guard)? => {}
            other => panic!("{}: {other:?}", $name),
        }
    )*};
}
pub(crate) use assert_refused;

#[test]
fn files_of_another_kind_are_named() {
    for (bytes, kind) in [
        (&b""[..], Kind::Empty),
        (b"<!DOCTYPE html><html>404</html>", Kind::Html),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            Kind::GitLfsPointer,
        ),
        (b"\x80\x04\x95\x01\0\0\0\0\0\0\0}.", Kind::Pickle),
        (b"\x80\x02}q\x00.", Kind::Pickle),
        (b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
        (b"\x1f\x8b\x08\0", Kind::Gzip),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Kind::Png),
        (b"\x93NUMPY\x01\0", Kind::Npy),
    ] {
        assert_eq!(refuse(bytes), Error::OtherKind { kind });
    }
    for bytes in [&b"[net]\nwidth=416\n"[..], b"\0\0\0\0\x02\0\0\0\x05\0\0\0"] {
        assert_eq!(refuse(bytes), Error::UnknownKind);
    }
    // A zip archive that is not PyTorch's, and one that is TorchScript's.
    let zip = |name: &str| forge::zip_of(&[forge::Entry::new(name, "x")]);
    assert_eq!(refuse(&zip("arr_0.npy")), Error::NotPyTorch);
    assert_eq!(refuse(&zip("a/b/data.pkl")), Error::NotPyTorch);
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    assert_eq!(refuse(&empty), Error::NotPyTorch);
    assert_eq!(refuse(&zip("m/constants.pkl")), Error::TorchScript);
}

#[test]
fn paths_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pth");
    let Err(Error::InFile { path, error }) = Weights::open(&missing) else {
        panic!("there is no such file");
    };
    assert_eq!(path, missing);
    assert!(matches!(
        *error,
        Error::Io {
            kind: ErrorKind::NotFound,
            ..
        }
    ));
    #[cfg(unix)]
    {
        let Err(Error::InFile { error, .. }) = Weights::open("/dev/null") else {
            panic!("it is a device");
        };
        assert_eq!(*error, Error::NotAFile { what: "a device" });
    }
}

#[test]
fn safetensors_are_checked_by_their_reader() {
    let mut params = Params::new();
    params.insert("w", Slot::Weight, ndarray::ArrayD::zeros(vec![3]));
    let bytes = ModelFile {
        metadata: None,
        params,
    }
    .to_bytes()
    .unwrap();
    assert_refused! {
        "truncated", &bytes[..bytes.len() - 1] =>
            Error::Tensors(nn_layers::Error::File(FileError::Length { .. })),
    }
    let options = ReadOptions {
        key: Some("model".into()),
        ..ReadOptions::default()
    };
    let error = Weights::from_bytes(&bytes, &options).unwrap_err();
    assert!(matches!(error, Error::MissingKey { .. }));
    // A checkpoint of a training run is named.
    let header = r#"{"__metadata__":{"convoxide":"{\"checkpoint\":{}}"}}"#;
    let checkpoint = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let error = refuse(&checkpoint);
    assert!(matches!(
        error,
        Error::Tensors(nn_layers::Error::File(FileError::OtherFile { .. }))
    ));
    assert!(error.to_string().contains("best.safetensors"), "{error}");
}

/// Every tenth of the length, and every byte of the last thirty.
#[test]
fn truncated_files_are_errors() {
    let tensor = forge::Tensor::default();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");
    let golden = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
    for (name, bytes) in [
        ("zip", forge::zip_one(&tensor)),
        ("legacy", forge::legacy_one(&tensor)),
        ("views.pth", golden("views.pth")),
        ("legacy.pth", golden("legacy.pth")),
        ("legacy_protocol4.pth", golden("legacy_protocol4.pth")),
        ("checkpoint.pth", golden("checkpoint.pth")),
        ("plain.safetensors", golden("plain.safetensors")),
    ] {
        read(&bytes);
        let tenths = (0..10).map(|tenth| bytes.len() * tenth / 10);
        for length in tenths.chain(bytes.len() - 30..bytes.len()) {
            match refuse(&bytes[..length]) {
                Error::OtherKind { kind: Kind::Empty } if length == 0 => {}
                Error::Truncated { .. } | Error::Zip { .. } if name != "plain.safetensors" => {}
                Error::Tensors(nn_layers::Error::File(FileError::Length { .. }))
                    if name == "plain.safetensors" => {}
                other => panic!("{name} cut to {length} bytes: {other:?}"),
            }
        }
    }
}
