//! Files that are damaged, truncated or of another kind.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Returns a file's header as JSON, without its digest so that changes are not detected by it, and
/// its data.
fn parts(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let texts = header["__metadata__"].as_object_mut().unwrap();
    texts.remove("convoxide-sha256").unwrap();
    (header, bytes[8 + length..].to_vec())
}

fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let text = header.to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), data].concat()
}

/// Returns a file with changed metadata.
fn with_text(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut header, data) = parts(&checkpoint::<f32>().to_bytes().unwrap());
    let text = &mut header["__metadata__"]["convoxide"];
    let mut inner: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    change(&mut inner);
    *text = inner.to_string().into();
    join(&header, &data)
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = checkpoint::<f32>().to_bytes().unwrap();
    for length in 0..bytes.len() {
        let error = refuse(&bytes[..length]);
        let named = matches!(
            error,
            Error::File(FileError::Length { .. } | FileError::NotSafetensors { .. })
        );
        assert!(named, "{length}: {error}");
    }
    let padded = [&bytes[..], b"\0"].concat();
    assert!(matches!(
        refuse(&padded),
        Error::File(FileError::Length { .. })
    ));
}

#[test]
fn tensors_that_lie() {
    let bytes = checkpoint::<f32>().to_bytes().unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let (mut header, data) = parts(&bytes);
        change(header.as_object_mut().unwrap());
        refuse(&join(&header, &data))
    };
    let error = changed(&|header| {
        let weight = header["params/conv.weight"]["data_offsets"].clone();
        header["best/conv.weight"]["data_offsets"] = weight;
    });
    assert!(
        matches!(error, Error::File(FileError::TensorOffset { .. })),
        "{error}"
    );
    let error =
        changed(&|header| header["best/conv.weight"]["shape"] = json!([1u64 << 40, 1u64 << 40]));
    assert!(
        matches!(
            error,
            Error::File(FileError::TensorSize { expected: None, .. })
        ),
        "{error}"
    );
    let error = changed(&|header| header["best/conv.weight"]["shape"] = json!([7]));
    assert!(
        matches!(error, Error::File(FileError::TensorSize { .. })),
        "{error}"
    );
    // The same values in another shape: the best parameters no longer match the trained ones.
    let error = changed(&|header| header["best/conv.weight"]["shape"] = json!([6]));
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(_))),
        "{error}"
    );
    // Four times as many values in the same bytes.
    let error = changed(&|header| {
        header["best/conv.weight"]["dtype"] = "U8".into();
        header["best/conv.weight"]["shape"] = json!([24]);
    });
    assert!(
        matches!(error, Error::File(FileError::TensorType { .. })),
        "{error}"
    );
    for (from, to) in [
        ("params/bn.bias", "bn.bias"),
        ("params/bn.bias", "other/bn.bias"),
        ("optimiser/exp_avg/bn.bias", "optimiser/bn.bias"),
        ("optimiser/exp_avg/bn.bias", "optimiser/max/bn.bias"),
    ] {
        let error = changed(&|header| {
            let tensor = header.remove(from).unwrap();
            header.insert(to.to_owned(), tensor);
        });
        assert!(
            matches!(error, Error::File(FileError::TensorName { .. })),
            "{error}"
        );
    }
    let error = changed(&|header| {
        let tensor = header.remove("best/bn.bias").unwrap();
        header.insert("best/other".to_owned(), tensor);
    });
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(_))),
        "{error}"
    );
    let error = changed(&|header| {
        let tensor = header.remove("params/bn.bias").unwrap();
        header.insert("params/other".to_owned(), tensor);
    });
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(_))),
        "{error}"
    );
    let error = changed(&|header| {
        let tensor = header.remove("optimiser/exp_avg/bn.bias").unwrap();
        header.insert("best/other".to_owned(), tensor);
    });
    assert!(
        matches!(error, Error::Params(ParamsError::UnknownParam { .. })),
        "{error}"
    );
}

#[test]
fn huge_claims_are_compared_with_the_length() {
    let text = json!({"checkpoint": {}}).to_string();
    for (bytes, length) in [(1u64 << 40, 100), (1 << 60, 100)] {
        let header = json!({
            "__metadata__": {"convoxide": text},
            "params/w": {"dtype": "F32", "shape": [bytes / 4], "data_offsets": [0, bytes]},
        });
        let error = refuse(&join(&header, &vec![0; length]));
        assert!(
            matches!(error, Error::File(FileError::Length { .. })),
            "{error}"
        );
    }
    let mut long = (9u64 << 20).to_le_bytes().to_vec();
    long.extend(vec![b' '; 100]);
    assert!(matches!(
        refuse(&long),
        Error::File(FileError::HeaderTooLarge { .. })
    ));
}

/// This includes the optimiser's state, which no other check covers.
#[test]
fn a_flipped_bit_is_found() {
    let good = checkpoint::<f32>();
    let bytes = good.to_bytes().unwrap();
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match Checkpoint::<f32>::from_bytes(&bytes) {
                // The flip changed the key of the digest, so the file has none.
                Ok(checkpoint) => assert!(at < data && checkpoint == good, "{at} {bit}"),
                Err(error) if at >= data => {
                    assert!(
                        matches!(error, Error::File(FileError::Digest { .. })),
                        "{at} {bit}: {error}"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

#[test]
fn parameters_that_are_not_finite() {
    for of_best in [false, true] {
        let mut bad = checkpoint::<f32>();
        let params = match (of_best, &mut bad.best) {
            (true, Some(best)) => &mut best.params,
            _ => &mut bad.params,
        };
        params.get_mut("bn.bias").unwrap().value[[1]] = f32::NAN;
        match bad.to_bytes() {
            Err(Error::File(FileError::TensorValue { tensor, index, .. })) => {
                assert_eq!((&*tensor, index), ("bn.bias", 1));
            }
            other => panic!("{other:?}"),
        }
    }
    // The same change in a file.
    for name in ["params/bn.bias", "best/bn.bias"] {
        let (header, mut data) = parts(&checkpoint::<f32>().to_bytes().unwrap());
        let at = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        data[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        match refuse(&join(&header, &data)) {
            Error::File(FileError::TensorValue { tensor, index, .. }) => {
                assert_eq!((&*tensor, index), ("bn.bias", 0), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
    }
}

/// A sparse file can be as long as its header says without containing data.
#[cfg(target_os = "linux")]
#[test]
fn a_sparse_file_is_no_reason_to_take_its_length_in_memory() {
    // In memory, if possible, since not every disk can have files of this length.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("sparse.ckpt");
    // The whole address space of a process.
    let bytes = 128u64 << 40;
    let (mut header, _) = parts(&checkpoint::<f32>().to_bytes().unwrap());
    header
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name == "__metadata__");
    header["params/w"] = json!({"dtype": "F32", "shape": [bytes / 4], "data_offsets": [0, bytes]});
    let start = join(&header, &[]);
    std::fs::write(&path, &start).unwrap();
    let sparse = std::fs::File::options().write(true).open(&path).unwrap();
    if sparse.set_len(start.len() as u64 + bytes).is_err() {
        println!("skipped: the file system has no file of 128 TiB");
        return;
    }
    match Checkpoint::<f32>::open(&path) {
        Err(Error::InFile { error, .. }) => {
            assert!(matches!(*error, Error::OutOfMemory { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_that_say_something_else() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 17] = [
        (
            |text| text["checkpoint"]["colour"] = json!("red"),
            "unknown field `colour`",
        ),
        (|text| text["model"] = json!(1), "unknown field `model`"),
        (
            |text| text["checkpoint"]["position"]["hour"] = json!(1),
            "unknown field `hour`",
        ),
        (
            |text| text["checkpoint"]["version"] = json!(2),
            "version 2, expected 1",
        ),
        (|text| *text = json!([]), "expected struct"),
        (|text| text["checkpoint"] = json!(3), "invalid type"),
        (
            |text| text["checkpoint"]["seed"] = json!(-1),
            "integer `-1`",
        ),
        (|text| text["checkpoint"]["seed"] = json!(1e30), "1e+30"),
        (
            |text| text["checkpoint"]["position"]["step"] = json!(u64::MAX),
            "a count of",
        ),
        (
            |text| text["checkpoint"]["position"]["epoch"] = json!(1u64 << 60),
            "a count of",
        ),
        (
            |text| text["checkpoint"]["epoch"]["pictures"] = json!(u64::MAX),
            "a count of",
        ),
        (
            |text| text["checkpoint"]["epoch"]["pictures"] = json!(0),
            "contradict each other",
        ),
        (
            |text| text["checkpoint"]["epoch"]["loss"]["weight"] = json!(0.0),
            "contradict each other",
        ),
        (
            |text| text["checkpoint"]["best"]["step"] = json!(u64::MAX),
            "a count of",
        ),
        (
            |text| text["checkpoint"]["best"]["score"] = json!(null),
            "null",
        ),
        (
            |text| text["checkpoint"]["optimiser"]["steps"]["bn.bias"] = json!(u64::MAX),
            "a count of",
        ),
        (
            |text| {
                text["checkpoint"]
                    .as_object_mut()
                    .unwrap()
                    .retain(|key, _| key != "optimiser");
            },
            "missing field `optimiser`",
        ),
    ];
    for (change, part) in changes {
        let error = refuse(&with_text(change));
        assert!(
            matches!(error, Error::File(FileError::Metadata { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
    // The best parameters without their description.
    let error = refuse(&with_text(|text| text["checkpoint"]["best"] = Value::Null));
    assert!(
        matches!(error, Error::File(FileError::TensorName { .. })),
        "{error}"
    );
    let same = with_text(|_| ());
    assert_eq!(Checkpoint::from_bytes(&same), Ok(checkpoint::<f32>()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Every changed file yields a one-line error, or a checkpoint that can be written and read
    /// again.
    #[test]
    fn changed_files_are_results_not_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut bytes = with_text(|_| ());
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"0123456789[]{},:\" -"[usize::from(byte) % 19],
                _ => drop(bytes.remove(at)),
            }
        }
        match Checkpoint::<f32>::from_bytes(&bytes) {
            Ok(checkpoint) => {
                // It may contain NaN, so the written bytes are compared.
                match checkpoint.to_bytes() {
                    Ok(again) => {
                        let read = Checkpoint::<f32>::from_bytes(&again).unwrap();
                        prop_assert_eq!(read.to_bytes().unwrap(), again);
                    }
                    Err(error) => prop_assert!(matches!(error, Error::File(FileError::TensorValue { .. })), "{}", error),
                }
            }
            Err(error) => {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control) && line.len() < 700, "{}", line);
            }
        }
    }
}
