//! Checkpoints are written whole and read exactly; damaged ones are refused with the reason.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod folder;
mod fuzz;
mod hostile;
#[cfg(unix)]
mod kill;

use ndarray::ArrayD;
use nn_layers::{
    Best, Checkpoint, Element, EpochTotals, Error, FileError, ModelFile, OptimiserState, Params,
    ParamsError, Position, RunningMean, Slot,
};
use serde_json::json;
use testkit::random_array;

/// Returns a weight, statistics and a counter, or only what is trained if `all` is false.
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
            moments: [
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
            trained: true,
        },
        seed: u64::MAX,
        recipe: json!({"text": "epochs = 15\n# \"quoted\"", "rate": 0.1}),
        data: json!({"classes": ["cat", "zebra"], "names": "c0ffee"}),
    }
}

fn refuse(bytes: &[u8]) -> Error {
    let error = Checkpoint::<f32>::from_bytes(bytes).unwrap_err();
    let line = error.to_string();
    assert!(line.lines().count() == 1 && line.len() < 700, "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    error
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

/// The moments keep the key that files of all versions use.
#[test]
fn the_moments_are_listed_under_the_key_of_the_format() {
    let bytes = checkpoint::<f32>().to_bytes().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(r#"\"slots\":[\"exp_avg\""#), "{text}");
    assert!(text.contains(r#""optimiser/exp_avg/"#), "{text}");
}

#[test]
fn numbers_are_of_the_type_that_is_trained_in() {
    let wide = checkpoint::<f64>().to_bytes().unwrap();
    let error = refuse(&wide);
    assert!(
        matches!(&error, Error::File(FileError::TensorType { got, .. }) if got == "F64"),
        "{error}"
    );
    let narrow = checkpoint::<f32>().to_bytes().unwrap();
    let error = Checkpoint::<f64>::from_bytes(&narrow).unwrap_err();
    assert!(
        matches!(&error, Error::File(FileError::TensorType { got, .. }) if got == "F32"),
        "{error}"
    );
}

#[test]
fn a_model_is_no_checkpoint_and_a_checkpoint_no_model() {
    let checkpoint = checkpoint::<f32>();
    let error = ModelFile::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "is a checkpoint of a training run, not a model file: use best.safetensors or \
         last.safetensors beside it"
    );
    assert!(
        matches!(error, Error::File(FileError::OtherFile { .. })),
        "{error}"
    );
    for metadata in [None, Some(nn_layers::Metadata::default())] {
        let model = ModelFile {
            metadata,
            params: checkpoint.params.clone(),
        };
        let got = match &model.metadata {
            None => "a file of weights",
            Some(_) => "a model file",
        };
        let error = refuse(&model.to_bytes().unwrap());
        assert!(
            matches!(&error, Error::File(FileError::OtherFile { got: named, .. }) if *named == got),
            "{error}"
        );
    }
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
            Err(Error::InFile { error, .. }) => {
                assert!(
                    matches!(*error, Error::File(FileError::Metadata { .. })),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Checkpoint::open(&path), Ok(good));
}
