//! Fuzz target for weight files. Any bytes yield parameters that can be written and read again, or
//! a one-line error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forge;

use nn_layers::ModelFile;
use testkit::Fuzz;
use transfer::{Prefixes, ReadOptions, Weights};

use forge::{Tensor, dict, legacy, legacy_one, pickle, values, zip, zip_one};

/// Returns whether the bytes were accepted.
fn is_accepted(bytes: &[u8]) -> bool {
    let options = ReadOptions {
        prefixes: Prefixes::Keep,
        ..ReadOptions::default()
    };
    match Weights::from_bytes(bytes, &options) {
        Ok(weights) => {
            let report = weights.report.to_string();
            let is_shown = |line: &str| !line.contains(char::is_control);
            assert!(report.lines().all(is_shown), "{report:?}");
            let Weights { params, .. } = weights;
            let model = ModelFile {
                metadata: None,
                params,
            };
            let again = Weights::from_bytes(&model.to_bytes().unwrap(), &options).unwrap();
            assert_eq!(again.params, model.params);
            true
        }
        Err(error) => {
            let line = error.to_string();
            assert!(
                line.len() < 1500 && !line.contains(char::is_control),
                "{line:?}"
            );
            false
        }
    }
}

#[test]
fn fuzz_weight_file() {
    let tensor = Tensor::default();
    let view = Tensor {
        offset: 1,
        shape: &[3, 1],
        strides: &[1, 9],
        ..tensor
    };
    let two = pickle(&dict(&[
        (
            "state_dict",
            dict(&[("module.a", tensor.pickle()), ("module.b", view.pickle())]),
        ),
        ("epoch", b"K\x07".to_vec()),
    ]));
    let good = [
        zip_one(&tensor),
        legacy_one(&tensor),
        zip(&two, &[("0", values())]),
        legacy(&two, &[("0", 4, values())]),
    ];
    // Archives with their sums left out, so that a mutation gets behind them.
    let without_sums = good
        .iter()
        .filter(|bytes| bytes.starts_with(b"PK"))
        .map(|bytes| {
            let mut bytes = bytes.clone();
            let headers: Vec<usize> = (0..bytes.len())
                .filter(|&at| bytes[at..].starts_with(b"PK\x01\x02"))
                .collect();
            for at in headers {
                bytes[at + 16..at + 20].fill(0);
            }
            bytes
        });
    let good: Vec<Vec<u8>> = good.iter().cloned().chain(without_sums).collect();
    Fuzz::new("weight_file", good)
        .corpus_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens"))
        .dictionary([
            &b"ctorch._utils\n_rebuild_tensor_v2\n"[..],
            b"ctorch._utils\n_rebuild_parameter\n",
            b"ctorch\nDoubleStorage\n",
            b"ctorch\nUntypedStorage\n",
            b"ccollections\nOrderedDict\n",
            b"cposix\nsystem\n",
            b"PK\x01\x02",
            b"PK\x03\x04",
            b"PK\x05\x06",
            b"PK\x06\x06",
            b"\x80\x04\x95",
            b"(((((((((((((((((",
            b"]]]]]]]]]]]]]]]]]",
            b"\x94",
            b"\x93",
            b"\x8d\xff\xff\xff\xff\0\0\0\0",
            b"module.",
            b"num_batches_tracked",
        ])
        .inputs(10_000)
        .max_memory(48 << 20)
        .run(is_accepted);
}
