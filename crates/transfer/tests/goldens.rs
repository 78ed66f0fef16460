//! Files that PyTorch wrote: the values of every format, type and layout, and a network's logits.
//!
//! The golden files are those of `tests/goldens/pytorch_files.py`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, LoadReport, Metadata, ModelFile, Padding,
    Params, Plain, Slot, random_params,
};
use testkit::{Golden, pictures, to_f32};
use transfer::{Error, Format, Prefixes, ReadOptions, Weights};

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "goldens", name]
        .iter()
        .collect()
}

fn open(name: &str) -> Weights {
    Weights::open(path(name)).unwrap()
}

/// The network of the script.
fn tiny() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 9, 6]).unwrap();
    let conv = Conv2d::new(4, [3, 2])
        .stride([2, 2])
        .padding(Padding::all(1));
    let x = b.conv2d("conv", x, conv.without_bias()).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.relu("relu", x).unwrap();
    let x = b.global_avg_pool2d("pool", x).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.linear("fc", x, Linear::new(5)).unwrap();
    b.finish(&[x]).unwrap()
}

/// The state dict of the script.
fn expected() -> Params<f32> {
    let mut params = random_params(&tiny(), 1).unwrap();
    params.insert(
        "bn.num_batches_tracked",
        Slot::Counter,
        ArrayD::zeros(vec![]),
    );
    params
}

/// The same with every value rounded by `round`.
fn rounded(round: impl Fn(f32) -> f32) -> Params<f32> {
    let mut params = expected();
    let names: Vec<String> = params.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        params.get_mut(&name).unwrap().value.mapv_inplace(&round);
    }
    params
}

#[test]
fn every_format_and_protocol_has_the_values() {
    for (name, format) in [
        ("zip.pth", Format::PyTorchZip),
        ("zip_protocol4.pth", Format::PyTorchZip),
        ("without_sums.pth", Format::PyTorchZip),
        ("legacy.pth", Format::PyTorchLegacy),
        ("legacy_protocol3.pth", Format::PyTorchLegacy),
        ("legacy_protocol4.pth", Format::PyTorchLegacy),
        ("plain.safetensors", Format::Safetensors),
    ] {
        let weights = open(name);
        assert_eq!(weights.params, expected(), "{name}");
        assert_eq!(weights.report.format, format, "{name}");
        assert_eq!(weights.report.key, None);
        assert_eq!(weights.report.prefix, None);
        assert!(weights.report.unused.is_empty());
        LoadReport::new(&weights.params, &tiny(), [])
            .strict()
            .unwrap();
        // Only the content counts.
        let bytes = std::fs::read(path(name)).unwrap();
        let options = ReadOptions::default();
        assert_eq!(Weights::from_bytes(&bytes, &options).unwrap(), weights);
    }
}

#[test]
fn every_type_of_float_becomes_f32() {
    let f16 = rounded(|x| f16::from_f32(x).to_f32());
    let bf16 = rounded(|x| bf16::from_f32(x).to_f32());
    for (names, expected) in [
        (&["f16.pth", "f16.safetensors"][..], f16),
        (&["bf16.pth", "bf16.safetensors"], bf16),
        (
            &["f64.pth", "f64_legacy.pth", "f64.safetensors"],
            expected(),
        ),
    ] {
        for name in names {
            assert_eq!(open(name).params, expected, "{name}");
        }
    }
}

#[test]
fn views_of_shared_storages_have_their_values() {
    let mut expected = expected();
    let mut add = |name: &str, shape: &[usize], values: &[f32]| {
        let value = ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap();
        expected.insert(name, Slot::Weight, value);
    };
    add("expanded", &[2, 3], &[0.25; 6]);
    add("empty", &[0, 3], &[]);
    add("scalar", &[], &[2.5]);
    for name in ["views.pth", "views_legacy.pth"] {
        assert_eq!(open(name).params, expected, "{name}");
    }
}

#[test]
fn a_state_dict_is_found_in_a_checkpoint() {
    let weights = open("checkpoint.pth");
    assert_eq!(weights.params, expected());
    let report = &weights.report;
    assert_eq!(report.key.as_deref(), Some("state_dict"));
    assert_eq!(report.other_keys, [""]);
    let prefix = report.prefix.clone().unwrap();
    assert_eq!((&*prefix.prefix, prefix.names), ("module.", 8));

    let options = ReadOptions {
        prefixes: Prefixes::Keep,
        ..ReadOptions::default()
    };
    let kept = Weights::open_with(path("checkpoint.pth"), &options).unwrap();
    assert!(
        kept.params
            .iter()
            .all(|(name, _)| name.starts_with("module."))
    );
    assert_eq!(kept.report.prefix, None);

    // Deeper, with the parameters as such instead of plain tensors.
    let nested = open("nested.pth");
    assert_eq!(nested.params, expected());
    assert_eq!(nested.report.key.as_deref(), Some("model.state_dict"));
    assert_eq!(nested.report.other_keys, ["", "ema"]);
    let with_key = |key: &str| {
        let options = ReadOptions {
            key: Some(key.to_owned()),
            ..ReadOptions::default()
        };
        Weights::open_with(path("nested.pth"), &options)
    };
    let ema = with_key("ema").unwrap();
    assert!(ema.params.iter().all(|(_, param)| param.value.sum() == 0.0));
    assert_eq!(ema.report.other_keys, ["", "model.state_dict"]);
    let Err(Error::InFile { error, .. }) = with_key("model") else {
        panic!("it is not a state dict");
    };
    assert!(
        matches!(&*error, Error::MissingKey { key, found } if key == "model" && found.len() == 3),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "has no dictionary of tensors under \"model\"; it has the file itself, ema, \
         model.state_dict"
    );
}

#[test]
fn what_is_not_a_parameter_is_reported() {
    let weights = open("others.pth");
    assert_eq!(weights.params, expected());
    let unused: Vec<String> = weights
        .report
        .unused
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        unused,
        ["anchors (int64)", "mask (bool)", "version (a text)"]
    );
    assert_eq!(
        weights.report.to_string(),
        "format        PyTorch, zip archive\n\
         unused        3: anchors (int64), mask (bool), version (a text)"
    );
}

#[test]
fn whole_modules_are_refused() {
    for (name, expected) in [
        ("module.pth", "torch.nn.modules.container.Sequential"),
        ("module_in_checkpoint.pth", "__main__.Tiny"),
    ] {
        let Err(Error::InFile { error, .. }) = Weights::open(path(name)) else {
            panic!("{name} holds a module");
        };
        assert!(
            matches!(&*error, Error::WholeModule { class } if class == expected),
            "{error}"
        );
        assert!(error.to_string().contains("model.state_dict()"), "{error}");
    }
}

#[test]
fn the_network_computes_what_it_computes_in_pytorch() {
    let graph = tiny();
    for case in Golden::open(path("logits.json")).cases() {
        let expected = case.tensor("logits");
        let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let x = to_f32(pictures(2, case.sizes("size"), case.number("seed") as u64).view());
        for name in ["zip.pth", "legacy.pth", "plain.safetensors", "views.pth"] {
            let plain = Plain::new(&graph, open(name).params).unwrap();
            let logits = plain.run(&[x.view()]).unwrap();
            for (&got, &expected) in logits[0].iter().zip(&expected) {
                let error = (f64::from(got) - expected).abs();
                assert!(
                    error <= 1e-4 * largest,
                    "{name}: {got} instead of {expected}"
                );
            }
        }
    }
}

#[test]
fn the_folder_of_a_run_stands_for_its_best_model() {
    let folder = tempfile::tempdir().unwrap();
    let inner = |result: transfer::Result<Weights>| match result {
        Err(Error::InFile { error, .. }) => *error,
        other => panic!("{other:?}"),
    };
    assert_eq!(inner(Weights::open(folder.path())), Error::Folder);

    let save = |name: &str, value: f32| {
        let mut params = Params::new();
        // A graph's own names are kept, even those that look like a wrapper's.
        params.insert(
            "backbone.w",
            Slot::Weight,
            ArrayD::from_elem(vec![1], value),
        );
        let metadata = Some(Metadata::default());
        let model = ModelFile { metadata, params };
        model.save(folder.path().join(name)).unwrap();
    };
    for (name, value) in [("last.safetensors", 1.0), ("best.safetensors", 2.0)] {
        save(name, value);
        let weights = Weights::open(folder.path()).unwrap();
        assert_eq!(weights.params.get("backbone.w").unwrap().value[[0]], value);
        assert_eq!(weights.report.format, Format::ModelFile);
        assert_eq!(weights.report.file, Some(folder.path().join(name)));
        assert_eq!(weights.metadata, Some(Metadata::default()));
    }
}
