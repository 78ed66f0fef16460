//! Model files: reading returns what was written, and an invalid file is an error that says why.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "model_file/saving.rs"]
mod saving;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use nn_layers::{Error, FileError, Metadata, ModelFile, Params, Slot};
use serde_json::json;
use testkit::{random_array, to_f32};

/// Returns a convolution with its batch normalisation and counter.
fn model() -> ModelFile {
    let mut params = Params::new();
    for (index, (name, slot, shape)) in [
        ("conv1.weight", Slot::Weight, &[4, 3, 5, 2][..]),
        ("bn1.weight", Slot::Weight, &[4]),
        ("bn1.running_mean", Slot::Buffer, &[4]),
        ("bn1.running_var", Slot::Buffer, &[4]),
        ("empty", Slot::Weight, &[2, 0]),
        ("a.bias", Slot::Weight, &[3]),
    ]
    .into_iter()
    .enumerate()
    {
        let value = to_f32(random_array(shape, index as u64).view()).mapv(f32::abs);
        params.insert(name, slot, value);
    }
    let counter = ArrayD::from_elem(IxDyn(&[]), 1234.0);
    params.insert("bn1.num_batches_tracked", Slot::Counter, counter);
    let metadata = Metadata {
        architecture: "resnet18".into(),
        config: json!({"layers": [2, 2, 2, 2], "width": 64}),
        classes: vec!["tench".into(), "chat \"noir\"\n".into(), "猫".into()],
        preprocessing: json!({"crop": [224, 224], "mean": [0.485, 0.456, 0.406]}),
        input_size: Some([224, 192]),
    };
    ModelFile {
        metadata: Some(metadata),
        params,
    }
}

/// Returns a file with this header and `data` bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|i| i as u8));
    bytes
}

/// Returns a file of one tensor of this type.
fn single(name: &str, dtype: &str, data: &[u8]) -> ModelFile {
    let header = json!({name: {"dtype": dtype, "shape": [2], "data_offsets": [0, data.len()]}});
    let mut bytes = file(&header.to_string(), 0);
    bytes.extend(data);
    ModelFile::from_bytes(&bytes).unwrap()
}

fn numbers(model: &ModelFile, name: &str) -> (Slot, Vec<f32>) {
    let param = model.params.get(name).unwrap();
    (param.slot, param.value.iter().copied().collect())
}

#[test]
fn what_was_saved_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut model = model();
    for _ in 0..2 {
        model.save(&path).unwrap();
        assert_eq!(ModelFile::open(&path).unwrap(), model);
        assert_eq!(std::fs::read(&path).unwrap(), model.to_bytes().unwrap());
        // The next one is written without metadata, over the existing file.
        model.metadata = None;
    }
    // The folder contains nothing but the file.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let empty = ModelFile::default();
    assert_eq!(
        ModelFile::from_bytes(&empty.to_bytes().unwrap()).unwrap(),
        empty
    );
}

#[test]
fn the_same_model_has_the_same_bytes() {
    let model = model();
    // The same tensors inserted in another order, one of them in another memory order.
    let mut other = ModelFile {
        metadata: model.metadata.clone(),
        params: Params::new(),
    };
    let mut params: Vec<_> = model.params.iter().collect();
    params.reverse();
    for (name, param) in params {
        let reversed = param.value.t().as_standard_layout().into_owned();
        other
            .params
            .insert(name, param.slot, reversed.reversed_axes());
    }
    let weight = &other.params.get("conv1.weight").unwrap().value;
    assert!(!weight.is_standard_layout());
    assert_eq!(other.to_bytes().unwrap(), model.to_bytes().unwrap());
}

#[test]
fn the_file_is_laid_out_as_the_format_says() {
    let bytes = model().to_bytes().unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    assert_eq!(length % 8, 0);
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = header["__metadata__"].as_object().unwrap();
    let keys: Vec<_> = metadata.keys().collect();
    assert_eq!(keys, ["convoxide", "convoxide-sha256"]);
    let text = metadata["convoxide"].as_str().unwrap();
    let read: Metadata = serde_json::from_str(text).unwrap();
    assert_eq!(Some(read), model().metadata);

    // The counter comes first; after three f32 values it would not be aligned.
    let counter = &header["bn1.num_batches_tracked"];
    assert_eq!(
        counter,
        &json!({"dtype": "I64", "shape": [], "data_offsets": [0, 8]})
    );
    assert_eq!(bytes[8 + length..][..8], 1234i64.to_le_bytes());
    let weight = &header["conv1.weight"];
    assert_eq!(weight["dtype"], "F32");
    assert_eq!(weight["shape"], json!([4, 3, 5, 2]));
    let begin = weight["data_offsets"][0].as_u64().unwrap() as usize;
    let model = model();
    let first = model
        .params
        .get("conv1.weight")
        .unwrap()
        .value
        .first()
        .unwrap()
        .to_le_bytes();
    assert_eq!(bytes[8 + length + begin..][..4], first);
}

#[test]
fn numbers_of_every_type_are_read() {
    let cat = |pair: [&[u8]; 2]| pair.concat();
    let [a, b] = [1.5f32, -0.0];
    let model = single("w", "F32", &cat([&a.to_le_bytes(), &b.to_le_bytes()]));
    assert_eq!(numbers(&model, "w"), (Slot::Weight, vec![1.5, -0.0]));

    // A half that bfloat16 cannot represent, and the smallest one: both are exact in f32.
    let [a, b] = [f16::from_f32(1.000_976_6), f16::from_bits(1)];
    let model = single("w", "F16", &cat([&a.to_le_bytes(), &b.to_le_bytes()]));
    let expected = vec![1.000_976_6, 2f32.powi(-24)];
    assert_eq!(numbers(&model, "w"), (Slot::Weight, expected));

    let [a, b] = [bf16::from_f32(1e38), bf16::from_f32(-1.0)];
    let model = single("w", "BF16", &cat([&a.to_le_bytes(), &b.to_le_bytes()]));
    let (_, got) = numbers(&model, "w");
    // Eight bits of mantissa.
    assert!((got[0] - 1e38).abs() <= 1e38 / 256.0 && got[1] == -1.0);

    let [a, b] = [0.1f64, -1e38];
    let model = single("w", "F64", &cat([&a.to_le_bytes(), &b.to_le_bytes()]));
    assert_eq!(numbers(&model, "w"), (Slot::Weight, vec![0.1, -1e38]));

    for (dtype, data, expected) in [
        (
            "I64",
            cat([&7i64.to_le_bytes(), &(-1i64).to_le_bytes()]),
            [7.0, -1.0],
        ),
        (
            "I32",
            cat([&7i32.to_le_bytes(), &(-1i32).to_le_bytes()]),
            [7.0, -1.0],
        ),
        (
            "I16",
            cat([&7i16.to_le_bytes(), &(-1i16).to_le_bytes()]),
            [7.0, -1.0],
        ),
        (
            "I8",
            cat([&7i8.to_le_bytes(), &(-1i8).to_le_bytes()]),
            [7.0, -1.0],
        ),
        (
            "U64",
            cat([&7u64.to_le_bytes(), &1u64.to_le_bytes()]),
            [7.0, 1.0],
        ),
        (
            "U32",
            cat([&7u32.to_le_bytes(), &1u32.to_le_bytes()]),
            [7.0, 1.0],
        ),
        (
            "U16",
            cat([&7u16.to_le_bytes(), &1u16.to_le_bytes()]),
            [7.0, 1.0],
        ),
        ("U8", vec![7, 1], [7.0, 1.0]),
    ] {
        let model = single("steps", dtype, &data);
        let expected = (Slot::Counter, expected.to_vec());
        assert_eq!(numbers(&model, "steps"), expected, "{dtype}");
    }
}

#[test]
fn names_tell_buffers_and_counters() {
    let data = [1.0f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat();
    for (name, slot) in [
        ("bn.running_mean", Slot::Buffer),
        ("running_var", Slot::Buffer),
        ("bn.num_batches_tracked", Slot::Counter),
        ("bn.running_meaning", Slot::Weight),
        ("running_mean.weight", Slot::Weight),
    ] {
        let model = single(name, "F32", &data);
        assert_eq!(numbers(&model, name), (slot, vec![1.0, 2.0]), "{name}");
    }
}

/// `.weights` files are refused for the same reasons.
#[test]
fn numbers_that_no_network_computes_with() {
    let read = |name: &str, numbers: [f32; 2]| {
        let header = json!({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}});
        let mut bytes = file(&header.to_string(), 0);
        bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        ModelFile::from_bytes(&bytes)
    };
    for (name, bad) in [
        ("conv.weight", f32::NAN),
        ("conv.weight", f32::NEG_INFINITY),
        ("bn.running_mean", f32::INFINITY),
        ("bn.running_var", f32::NAN),
        ("bn.running_var", -1e-30),
    ] {
        match read(name, [0.5, bad]) {
            Err(Error::File(FileError::TensorValue {
                tensor,
                index: 1,
                got,
                ..
            })) => {
                assert_eq!(tensor, name);
                assert_eq!((got as f32).to_bits(), bad.to_bits());
            }
            other => panic!("{name} {bad}: {other:?}"),
        }
    }
    assert!(read("bn.running_mean", [-1.0, -0.0]).is_ok());
    assert!(read("bn.running_var", [0.0, f32::MAX]).is_ok());
}

#[test]
fn a_counter_in_a_vector_of_one_is_the_scalar_it_is() {
    let header = json!({
        "bn.num_batches_tracked": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "steps": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
    });
    let mut bytes = file(&header.to_string(), 0);
    bytes.extend([7i64.to_le_bytes(), 8i64.to_le_bytes()].concat());
    let model = ModelFile::from_bytes(&bytes).unwrap();
    let shape = |name| model.params.get(name).unwrap().value.shape();
    assert!(shape("bn.num_batches_tracked").is_empty());
    assert_eq!(shape("steps"), [1]);
    assert_eq!(numbers(&model, "bn.num_batches_tracked").1, [7.0]);
}

#[test]
fn a_flipped_bit_is_found() {
    let good = model();
    let bytes = good.to_bytes().unwrap();
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match ModelFile::from_bytes(&bytes) {
                // The flip changed the key of the digest, so the file has none.
                Ok(model) => assert!(at < data && model == good, "{at} {bit}"),
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

/// Reads a file whose header declares this digest.
fn with_digest(digest: &str) -> Result<ModelFile, Error> {
    let header = json!({"__metadata__": {"convoxide-sha256": digest}});
    ModelFile::from_bytes(&file(&header.to_string(), 0))
}

#[test]
fn digests_that_cannot_be() {
    let zeros = "0".repeat(64);
    match with_digest(&zeros) {
        Err(Error::File(FileError::Digest { expected, got })) => {
            assert_eq!(expected, zeros);
            assert!(got.len() == 64 && with_digest(&got).is_ok(), "{got}");
        }
        other => panic!("{other:?}"),
    }
    for digest in ["", "0", &"A".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
        let error = with_digest(digest).unwrap_err();
        assert!(
            matches!(error, Error::File(FileError::Header { .. })),
            "{error}"
        );
    }
    // Formatted differently from our own files.
    let header = format!(r#"{{"__metadata__": {{"convoxide-sha256": "{zeros}"}}}}"#);
    let error = ModelFile::from_bytes(&file(&header, 0)).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::Header { .. })),
        "{error}"
    );
}

/// The reader that PyTorch's users have.
#[test]
fn the_formats_own_reader_reads_it() {
    let model = model();
    let bytes = model.to_bytes().unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), model.params.len());
    let weight = read.tensor("conv1.weight").unwrap();
    assert_eq!(weight.shape(), [4, 3, 5, 2]);
    let first = model.params.get("conv1.weight").unwrap().value[[0, 0, 0, 0]];
    assert_eq!(weight.data()[..4], first.to_le_bytes());
}

#[cfg(unix)]
#[test]
fn a_link_is_read_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [path, link] = ["model", "link"].map(|name| folder.path().join(name));
    model().save(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(ModelFile::open(&link).unwrap(), model());
    match ModelFile::default().save(&link) {
        Err(Error::InFile { error, .. }) => {
            let what = "a symbolic link";
            assert_eq!(*error, Error::File(FileError::NotAFile { what }));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ModelFile::open(&path).unwrap(), model());
}

#[test]
fn a_file_of_another_program_has_no_metadata() {
    for header in [
        r#"{}"#,
        r#"{"__metadata__": null}"#,
        r#"{"__metadata__": {"format": "pt"}}"#,
        "{}      ",
    ] {
        let model = ModelFile::from_bytes(&file(header, 0)).unwrap();
        assert_eq!(model, ModelFile::default(), "{header}");
    }
}

#[test]
fn tensors_may_lie_in_any_order() {
    let header = r#"{"b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
                     "none": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]},
                     "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}"#;
    let mut bytes = file(header, 0);
    bytes.extend([1.0f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat());
    let model = ModelFile::from_bytes(&bytes).unwrap();
    assert_eq!(numbers(&model, "a").1, [1.0]);
    assert_eq!(numbers(&model, "b").1, [2.0]);
    assert_eq!(numbers(&model, "none").1, [0.0; 0]);
}

#[test]
fn metadata_that_is_not_understood_says_so() {
    let deep = format!(
        r#"{{"architecture": "a", "config": {}"#,
        "[".repeat(100_000)
    );
    for (text, part) in [
        (r#"{"architecture": "a", "quantised": true}"#, "quantised"),
        (r#"{"classes": []}"#, "architecture"),
        (r#"{"architecture": 3}"#, "expected a string"),
        (r#"{"architecture": "a", "architecture": "b"}"#, "duplicate"),
        (
            r#"{"architecture": "a", "input_size": [224, 0]}"#,
            "the input size is 0",
        ),
        (r#"{"architecture": "a", "input_size": [224]}"#, "length 1"),
        ("resnet18", "expected value"),
        (&deep, "recursion limit"),
    ] {
        let header = json!({"__metadata__": {"convoxide": text}}).to_string();
        let error = ModelFile::from_bytes(&file(&header, 0)).unwrap_err();
        let line = error.to_string();
        assert!(
            matches!(error, Error::File(FileError::Metadata { .. })),
            "{line}"
        );
        assert!(
            line.contains(part) && line.contains("newer version"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
    // Everything optional is left out.
    let header = json!({"__metadata__": {"convoxide": r#"{"architecture": "a"}"#}}).to_string();
    let model = ModelFile::from_bytes(&file(&header, 0)).unwrap();
    let expected = Metadata {
        architecture: "a".into(),
        ..Metadata::default()
    };
    assert_eq!(model.metadata, Some(expected));
}
