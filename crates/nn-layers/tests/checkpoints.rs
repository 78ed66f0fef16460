//! Checkpoints: written whole, read exactly, and refused by name where they are damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use ndarray::ArrayD;
use nn_layers::{
    Best, Checkpoint, CheckpointFolder, Element, EpochTotals, Error, ModelFile, OptimiserState,
    Params, Position, RunningMean, Slot,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::random_array;

/// A weight, statistics and a counter; those that are learnt where there is no `all`.
fn params<T: Element>(seed: u64, all: bool) -> Params<T> {
    let mut params = Params::new();
    let mut insert = |name: &str, slot, shape: &[usize]| {
        let numbers = random_array(shape, seed).mapv(|x| T::from_f64(x / 3.0));
        params.insert(name, slot, numbers);
    };
    insert("conv.weight", Slot::Weight, &[2, 1, 1, 3]);
    insert("bn.bias", Slot::Weight, &[2]);
    if all {
        insert("bn.running_mean", Slot::Buffer, &[2]);
        let count = ArrayD::from_elem(vec![], T::from_f64(seed as f64));
        params.insert("bn.num_batches_tracked", Slot::Counter, count);
    }
    params
}

fn checkpoint<T: Element>() -> Checkpoint<T> {
    let mut loss = RunningMean::default();
    loss.add(0.1, 128.0);
    Checkpoint {
        params: params(1, true),
        optimiser: OptimiserState {
            method: "adam".into(),
            steps: [("bn.bias".into(), 11), ("conv.weight".into(), 12)].into(),
            slots: [
                ("exp_avg".into(), params(2, false)),
                ("exp_avg_sq".into(), params(3, false)),
            ]
            .into(),
        },
        best: Some(Best {
            epoch: 1,
            step: 10,
            score: 0.1 + 0.2,
            params: params(4, true),
        }),
        position: Position {
            epoch: 2,
            batch: 3,
            step: 12,
            batches: 24,
        },
        epoch: EpochTotals {
            loss,
            parts: vec![("correct".into(), 17.0)],
            pictures: 128,
            dropped: 1,
            batch_size: Some(64),
        },
        seed: u64::MAX,
        recipe: json!({"text": "epochs = 15\n# \"quoted\"", "rate": 0.1}),
    }
}

fn refuse(bytes: &[u8]) -> Error {
    let error = Checkpoint::<f32>::from_bytes(bytes).unwrap_err();
    let line = error.to_string();
    assert!(line.lines().count() == 1 && line.len() < 700, "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    error
}

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
fn what_was_saved_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let mut narrow = checkpoint::<f32>();
    let wide = checkpoint::<f64>();
    wide.save(&path).unwrap();
    assert_eq!(Checkpoint::open(&path).as_ref(), Ok(&wide));
    narrow.save(&path).unwrap();
    assert_eq!(Checkpoint::open(&path).as_ref(), Ok(&narrow));
    assert_eq!(std::fs::read(&path).unwrap(), narrow.to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    narrow.best = None;
    narrow.optimiser = OptimiserState::default();
    assert_eq!(
        Checkpoint::from_bytes(&narrow.to_bytes().unwrap()),
        Ok(narrow)
    );
}

#[test]
fn numbers_are_of_the_type_that_is_trained_in() {
    let wide = checkpoint::<f64>().to_bytes().unwrap();
    let error = refuse(&wide);
    assert!(
        matches!(&error, Error::TensorType { got, .. } if got == "F64"),
        "{error}"
    );
    let narrow = checkpoint::<f32>().to_bytes().unwrap();
    let error = Checkpoint::<f64>::from_bytes(&narrow).unwrap_err();
    assert!(
        matches!(&error, Error::TensorType { got, .. } if got == "F32"),
        "{error}"
    );
}

#[test]
fn a_model_is_no_checkpoint_and_a_checkpoint_no_model() {
    let checkpoint = checkpoint::<f32>();
    let error = ModelFile::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Metadata { .. }), "{error}");
    for metadata in [None, Some(nn_layers::Metadata::default())] {
        let model = ModelFile {
            metadata,
            params: checkpoint.params.clone(),
        };
        let error = refuse(&model.to_bytes().unwrap());
        assert!(matches!(error, Error::Metadata { .. }), "{error}");
    }
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
    let changes: [(Change, &str); 15] = [
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

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let good = checkpoint::<f32>();
    good.save(&path).unwrap();
    let changes: [fn(&mut Checkpoint<f32>); 3] = [
        |bad| bad.best.as_mut().unwrap().score = f64::NAN,
        |bad| bad.epoch.parts[0].1 = f64::INFINITY,
        |bad| bad.position.step = u64::MAX,
    ];
    for change in changes {
        let mut bad = good.clone();
        change(&mut bad);
        match bad.save(&path) {
            Err(Error::File { error, .. }) => {
                assert!(matches!(*error, Error::Metadata { .. }), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Checkpoint::open(&path), Ok(good));
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A checkpoint of this step.
fn at(step: u64, best: u64) -> Checkpoint<f32> {
    let mut checkpoint = checkpoint();
    checkpoint.position.step = step;
    checkpoint.best.as_mut().unwrap().step = best;
    checkpoint
}

#[test]
fn a_folder_keeps_the_last_ones_and_the_best() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("runs").join("1");
    let mut folder = CheckpointFolder::new(&path, 3);
    assert_eq!(folder.latest::<f32>(), Ok(None));
    for step in 1..=7 {
        folder.save(&at(step * 100, 200)).unwrap();
    }
    let expected = [
        "last.ckpt",
        "step-000200.ckpt",
        "step-000500.ckpt",
        "step-000600.ckpt",
    ];
    assert_eq!(names(&path), expected);
    // The same step again, then one after a process that was killed while it wrote.
    folder.save(&at(700, 300)).unwrap();
    assert_eq!(
        names(&path),
        ["last.ckpt", "step-000500.ckpt", "step-000600.ckpt"]
    );
    std::fs::write(path.join(".convoxide-abc"), "half").unwrap();
    let mut folder = CheckpointFolder::new(&path, 1);
    folder.save(&at(1_234_567, 700)).unwrap();
    assert_eq!(names(&path), ["last.ckpt", "step-000700.ckpt"]);
    // What is newer, or called otherwise, is not this folder's.
    for name in [
        "step-9.ckpt",
        "step-x.ckpt",
        "step-00000000009.ckpt",
        "model.safetensors",
    ] {
        std::fs::write(path.join(name), "").unwrap();
    }
    std::fs::write(path.join("step-9999999.ckpt"), "").unwrap();
    folder.save(&at(1_234_568, 0)).unwrap();
    let expected = [
        "last.ckpt",
        "model.safetensors",
        "step-00000000009.ckpt",
        "step-9.ckpt",
        "step-9999999.ckpt",
        "step-x.ckpt",
    ];
    assert_eq!(names(&path), expected);
    let restored = folder.latest::<f32>().unwrap().unwrap();
    assert_eq!(restored.checkpoint, at(1_234_568, 0));
    assert_eq!(restored.path, path.join("last.ckpt"));
    assert!(restored.damaged.is_empty());
}

#[test]
fn a_damaged_checkpoint_gives_way_to_an_older_one() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path();
    let mut folder = CheckpointFolder::new(path, 3);
    for step in [100, 200, 300] {
        folder.save(&at(step, 0)).unwrap();
    }
    let last = path.join("last.ckpt");
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() - 5]).unwrap();
    let restored = folder.latest::<f32>().unwrap().unwrap();
    assert_eq!(restored.checkpoint.position.step, 200);
    assert_eq!(restored.path, path.join("step-000200.ckpt"));
    match &restored.damaged[..] {
        [Error::File { path, error }] => {
            assert_eq!(path, &last);
            assert!(matches!(**error, Error::FileLength { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Going on from there, the damaged one is replaced and not kept.
    folder.save(&at(250, 0)).unwrap();
    assert_eq!(
        names(path),
        ["last.ckpt", "step-000100.ckpt", "step-000200.ckpt"]
    );
    // Killed between the two renames.
    std::fs::remove_file(&last).unwrap();
    let restored = CheckpointFolder::new(path, 3)
        .latest::<f32>()
        .unwrap()
        .unwrap();
    assert_eq!(
        (restored.checkpoint.position.step, restored.damaged),
        (200, vec![])
    );

    for name in ["step-000100.ckpt", "step-000200.ckpt"] {
        std::fs::write(path.join(name), "<html>").unwrap();
    }
    match folder.latest::<f32>() {
        Err(Error::File { path, .. }) => assert!(path.ends_with("step-000200.ckpt"), "{path:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_that_is_a_file() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("file");
    std::fs::write(&path, "").unwrap();
    let mut folder = CheckpointFolder::new(&path, 3);
    for result in [
        folder.save(&at(1, 0)).map(|_| ()),
        folder.latest::<f32>().map(|_| ()),
    ] {
        match result {
            Err(Error::File { error, .. }) => {
                assert!(matches!(*error, Error::Io { .. }), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
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
