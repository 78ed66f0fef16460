//! Files that lie, stop early or are something else.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A file's header as JSON, and its data.
fn parts(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let text = header.to_string();
    [&(text.len() as u64).to_le_bytes(), text.as_bytes(), data].concat()
}

/// A file whose metadata were changed.
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
            Error::FileLength { .. } | Error::NotSafetensors { .. }
        );
        assert!(named, "{length}: {error}");
    }
    let padded = [&bytes[..], b"\0"].concat();
    assert!(matches!(refuse(&padded), Error::FileLength { .. }));
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
    assert!(matches!(error, Error::TensorOffset { .. }), "{error}");
    let error =
        changed(&|header| header["best/conv.weight"]["shape"] = json!([1u64 << 40, 1u64 << 40]));
    assert!(
        matches!(error, Error::TensorSize { expected: None, .. }),
        "{error}"
    );
    let error = changed(&|header| header["best/conv.weight"]["shape"] = json!([7]));
    assert!(matches!(error, Error::TensorSize { .. }), "{error}");
    // The same numbers in another shape: the best is no longer what is trained.
    let error = changed(&|header| header["best/conv.weight"]["shape"] = json!([6]));
    assert!(matches!(error, Error::Params(_)), "{error}");
    // Four times as many numbers in the same bytes.
    let error = changed(&|header| {
        header["best/conv.weight"]["dtype"] = "U8".into();
        header["best/conv.weight"]["shape"] = json!([24]);
    });
    assert!(matches!(error, Error::TensorType { .. }), "{error}");
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
        assert!(matches!(error, Error::TensorName { .. }), "{error}");
    }
    let error = changed(&|header| {
        let tensor = header.remove("best/bn.bias").unwrap();
        header.insert("best/other".to_owned(), tensor);
    });
    assert!(matches!(error, Error::Params(_)), "{error}");
    let error = changed(&|header| {
        let tensor = header.remove("params/bn.bias").unwrap();
        header.insert("params/other".to_owned(), tensor);
    });
    assert!(matches!(error, Error::Params(_)), "{error}");
    let error = changed(&|header| {
        let tensor = header.remove("optimiser/exp_avg/bn.bias").unwrap();
        header.insert("best/other".to_owned(), tensor);
    });
    assert!(matches!(error, Error::UnknownParam { .. }), "{error}");
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
        assert!(matches!(error, Error::FileLength { .. }), "{error}");
    }
    let mut long = (9u64 << 20).to_le_bytes().to_vec();
    long.extend(vec![b' '; 100]);
    assert!(matches!(refuse(&long), Error::HeaderTooLarge { .. }));
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
        assert!(matches!(error, Error::Metadata { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    // The best without its description.
    let error = refuse(&with_text(|text| text["checkpoint"]["best"] = Value::Null));
    assert!(matches!(error, Error::TensorName { .. }), "{error}");
    let same = with_text(|_| ());
    assert_eq!(Checkpoint::from_bytes(&same), Ok(checkpoint::<f32>()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever happens to a file, it is an error on one line or a checkpoint that can be written
    /// and read again.
    #[test]
    fn changed_files_are_results_not_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut bytes = checkpoint::<f32>().to_bytes().unwrap();
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
                // NaN may have come in, so compare what is written.
                match checkpoint.to_bytes() {
                    Ok(again) => {
                        let read = Checkpoint::<f32>::from_bytes(&again).unwrap();
                        prop_assert_eq!(read.to_bytes().unwrap(), again);
                    }
                    Err(error) => prop_assert!(matches!(error, Error::TensorValue { .. }), "{}", error),
                }
            }
            Err(error) => {
                let line = error.to_string();
                prop_assert!(!line.contains(char::is_control) && line.len() < 700, "{}", line);
            }
        }
    }
}
