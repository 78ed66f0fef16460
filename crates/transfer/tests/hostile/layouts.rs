//! Tensors whose shape, strides, offset, type, values or names are wrong.

use nn_layers::{Error as LayersError, FileError};
use transfer::Error;

use crate::forge::{Tensor, dict, legacy_one, one, pickle, values, zip, zip_one};
use crate::{assert_refused, read, refuse};

/// Both formats with a tensor over four values.
fn both(tensor: &Tensor<'_>) -> [Vec<u8>; 2] {
    [zip_one(tensor), legacy_one(tensor)]
}

/// The good tensor with another layout.
fn layout<'a>(offset: i64, shape: &'a [i64], strides: &'a [i64]) -> Tensor<'a> {
    Tensor {
        offset,
        shape,
        strides,
        ..Tensor::default()
    }
}

#[test]
fn every_layout_within_the_storage_is_read() {
    for (tensor, expected) in [
        (layout(0, &[4], &[1]), &[1.0, 2.0, 3.0, 4.0][..]),
        (layout(0, &[2, 2], &[1, 2]), &[1.0, 3.0, 2.0, 4.0]),
        (layout(1, &[2], &[2]), &[2.0, 4.0]),
        (layout(3, &[], &[]), &[4.0]),
        (layout(2, &[2, 1], &[0, 99]), &[3.0, 3.0]),
        // Windows that overlap.
        (layout(0, &[3, 2], &[1, 1]), &[1.0, 2.0, 2.0, 3.0, 3.0, 4.0]),
        (layout(4, &[0, 7], &[9, 9]), &[]),
        (layout(0, &[1, 4, 1], &[5, 1, 7]), &[1.0, 2.0, 3.0, 4.0]),
    ] {
        for bytes in both(&tensor) {
            let weights = read(&bytes);
            let value = &weights.params.get("w").unwrap().value;
            assert_eq!(value.iter().copied().collect::<Vec<_>>(), expected);
            let shape: Vec<i64> = value.shape().iter().map(|&size| size as i64).collect();
            assert_eq!(shape, tensor.shape);
        }
    }
}

#[test]
fn tensors_that_reach_beyond_their_storage() {
    for (tensor, expected) in [
        (layout(0, &[5], &[1]), 5),
        (layout(1, &[4], &[1]), 5),
        (layout(0, &[2, 2], &[4, 1]), 6),
        (layout(5, &[0], &[1]), 5),
        (layout(i64::MAX, &[1], &[1]), i64::MAX as u64 + 1),
        (layout(0, &[2], &[i64::MAX]), i64::MAX as u64 + 1),
        (layout(0, &[4, 4], &[i64::MAX, i64::MAX]), u64::MAX),
    ] {
        for bytes in both(&tensor) {
            let error = refuse(&bytes);
            assert!(
                matches!(&error, Error::OutOfStorage { tensor, end, got: 4 }
                    if tensor == "w" && *end == expected),
                "{error}"
            );
        }
    }
}

#[test]
fn layouts_that_no_tensor_has() {
    let huge = [1 << 32, 1 << 32];
    let many = [1; 9];
    for bytes in both(&layout(0, &huge, &[0, 0])) {
        assert_refused! { "huge", bytes => Error::Layout { .. }, }
    }
    for bytes in both(&layout(0, &many, &many)) {
        assert_refused! { "many axes", bytes => Error::Layout { shape, .. } if shape.len() == 9, }
    }
    for (tensor, expected) in [
        (layout(-1, &[1], &[1]), "a tensor with a negative offset"),
        (layout(0, &[-1], &[1]), "a negative size or stride"),
        (layout(3, &[4], &[-1]), "a negative size or stride"),
        (
            layout(0, &[1, 1], &[1]),
            "a tensor with another number of sizes than of strides",
        ),
        (
            layout(0, &[1; 65], &[1; 65]),
            "a tensor with more than 64 axes",
        ),
    ] {
        for bytes in both(&tensor) {
            let error = refuse(&bytes);
            assert!(
                matches!(error, Error::Pickle { reason, .. } if reason == expected),
                "{error}"
            );
        }
    }
}

#[test]
fn storages_of_another_length_than_their_type_says() {
    for (class, count, expected) in [
        ("DoubleStorage", 4, 32),
        ("HalfStorage", 4, 8),
        ("FloatStorage", 3, 12),
        ("FloatStorage", 1 << 40, 1 << 42),
        ("FloatStorage", i64::MAX, u64::MAX),
    ] {
        let tensor = Tensor {
            class,
            count,
            shape: &[1],
            strides: &[1],
            ..Tensor::default()
        };
        let error = refuse(&zip_one(&tensor));
        assert!(
            matches!(error, Error::StorageLength { expected: e, got: 16, .. } if e == expected),
            "{error}"
        );
    }
    let negative = Tensor {
        count: -4,
        ..Tensor::default()
    };
    assert_refused! {
        "negative", zip_one(&negative) => Error::Pickle { reason: "a storage of negative length", .. },
        "missing", zip(&one(&Tensor::default()), &[]) => Error::MissingStorage { .. },
        "a path", zip_one(&Tensor { key: "../../../etc/passwd", ..Tensor::default() }) =>
            Error::MissingStorage { storage } if storage == "../../../etc/passwd",
        "another type", zip_one(&Tensor { class: "FloatingStorage", ..Tensor::default() }) =>
            Error::Global { name } if name == "torch.FloatingStorage",
    }
    // A type without a use here is left out, and its storage is not looked at.
    let complex = Tensor {
        class: "ComplexFloatStorage",
        key: "none",
        ..Tensor::default()
    };
    let pickled = pickle(&dict(&[
        ("w", Tensor::default().pickle()),
        ("c", complex.pickle()),
    ]));
    let weights = read(&zip(&pickled, &[("0", values())]));
    assert_eq!(weights.report.unused[0].to_string(), "c (complex64)");
}

#[test]
fn values_that_no_network_can_use() {
    let with = |class, name: &str, data: Vec<u8>| {
        let tensor = Tensor {
            class,
            count: 1,
            shape: &[1],
            strides: &[1],
            ..Tensor::default()
        };
        zip(&pickle(&dict(&[(name, tensor.pickle())])), &[("0", data)])
    };
    let f32 = |x: f32| x.to_le_bytes().to_vec();
    let f64 = |x: f64| x.to_le_bytes().to_vec();
    for bytes in [
        with("DoubleStorage", "w", f64(1e39)),
        with("DoubleStorage", "w", f64(f64::NEG_INFINITY)),
        with("FloatStorage", "w", f32(f32::NAN)),
        with("FloatStorage", "bn.running_var", f32(-1.0)),
        with("HalfStorage", "w", vec![0, 0x7c]),
    ] {
        assert_refused! { "a value", bytes =>
        Error::Tensors(LayersError::File(FileError::TensorValue { index: 0, .. })), }
    }
    // Rounded, to zero if need be.
    let tiny = read(&with("DoubleStorage", "w", f64(1e-60)));
    assert_eq!(tiny.params.get("w").unwrap().value[[0]], 0.0);
    // A counter in a vector becomes a scalar.
    let counter = with(
        "LongStorage",
        "bn.num_batches_tracked",
        7_i64.to_le_bytes().to_vec(),
    );
    let counter = read(&counter);
    let value = &counter.params.get("bn.num_batches_tracked").unwrap().value;
    assert_eq!((value.shape(), value.sum()), (&[][..], 7.0));
}

#[test]
fn names_that_a_model_file_could_not_have() {
    let tensor = Tensor::default().pickle();
    let named = |names: &[&str]| {
        let entries: Vec<_> = names.iter().map(|&name| (name, tensor.clone())).collect();
        zip(&pickle(&dict(&entries)), &[("0", values())])
    };
    let long = "n".repeat(513);
    for names in [
        &[""][..],
        &["a\u{1b}[31m"],
        &["a", "a"],
        &[&*long],
        &["__metadata__"],
    ] {
        assert_refused! { names[0], named(names) => Error::Name { .. }, }
    }
    let number = [b"}K\x07", &tensor[..], b"s"].concat();
    assert_refused! { "a number", zip(&pickle(&number), &[("0", values())]) => Error::Name { .. }, }
    // A prefix is kept if without it two names would be one.
    let weights = read(&named(&["model.a", "model.b", "a"]));
    assert_eq!((weights.params.len(), weights.report.prefix), (3, None));
}
