//! `convoxide grad`: it writes what the plain trainer computes.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    Classification, CrossEntropy, Params, PlainTrainer, Slot, StepKey, TrainBackend, TrainSpec,
};
use resnet::ResNet;

use crate::common::{Fixture, complaint, json_lines, save, save_resnet20, stdout};

/// Returns a `.npy`.
fn npy(descr: &str, shape: &[usize], numbers: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes})}}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.into_iter().flatten());
    bytes
}

fn pictures(batch: usize) -> ArrayD<f32> {
    let mut state = 1_u32;
    ArrayD::from_shape_simple_fn(IxDyn(&[batch, 3, 16, 16]), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Creates ResNet-20 with counters, `x.npy` and `y.npy`.
fn fixture() -> (Fixture, Params<f32>) {
    let fixture = Fixture::new();
    let params = save_resnet20(&fixture.path("m.safetensors"), 5);
    let x = pictures(3);
    let bytes = npy("<f4", x.shape(), x.iter().map(|x| x.to_le_bytes().to_vec()));
    fixture.write("x.npy", bytes);
    fixture.write("y.npy", npy("|u1", &[3], [vec![4, 0, 2]]));
    (fixture, params)
}

const GRAD: [&str; 10] = [
    "grad",
    "resnet20",
    "--weights",
    "m.safetensors",
    "--input",
    "x.npy",
    "--labels",
    "y.npy",
    "--output",
    "g.safetensors",
];

/// Runs `grad` with these additional arguments, which must succeed, and returns its standard
/// output.
fn grad(fixture: &Fixture, more: &[&str]) -> String {
    let output = fixture.command_with(&GRAD).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(&output).to_owned()
}

/// Returns what the trainer computes: the loss, the gradients, and all parameters afterwards.
fn expected(params: &Params<f32>, dropout: Option<u64>) -> (f64, Params<f64>, Params<f64>) {
    let model = ResNet {
        classes: 5,
        ..ResNet::named("resnet20").unwrap()
    };
    let graph = model.graph(model.input_size()).unwrap();
    let spec = TrainSpec {
        grad_input: true,
        dropout: dropout.is_some(),
        ..TrainSpec::default()
    };
    let mut trainer = PlainTrainer::new(&graph, params.cast(), spec).unwrap();
    let loss = Classification {
        labels: &[4, 0, 2],
        options: &CrossEntropy::default(),
        aux_weight: 0.0,
    };
    let input = pictures(3).mapv(f64::from);
    let key = StepKey::default();
    let loss = trainer.step(&[input.view()], &loss, key).unwrap().total;
    (loss, trainer.gradients(), trainer.export())
}

/// Reads the tensors of a file in f64, by the definition of the format.
fn read(path: &Path) -> Vec<(String, Vec<usize>, Vec<f64>)> {
    let bytes = std::fs::read(path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap());
    let (header, data) = rest.split_at(usize::try_from(length).unwrap());
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let sizes = |value: &serde_json::Value| -> Vec<usize> {
        serde_json::from_value(value.clone()).unwrap()
    };
    let tensor = |(name, info): (&String, &serde_json::Value)| {
        let offsets = sizes(&info["data_offsets"]);
        let bytes = &data[offsets[0]..offsets[1]];
        let numbers = match info["dtype"].as_str().unwrap() {
            "F64" => bytes
                .as_chunks()
                .0
                .iter()
                .map(|&x| f64::from_le_bytes(x))
                .collect(),
            "F32" => {
                let narrow = bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x));
                narrow.map(f64::from).collect()
            }
            other => panic!("{other}"),
        };
        (name.clone(), sizes(&info["shape"]), numbers)
    };
    header.as_object().unwrap().iter().map(tensor).collect()
}

#[test]
fn the_file_has_loss_gradients_and_statistics_to_the_bit() {
    let (fixture, params) = fixture();
    let text = grad(&fixture, &["--dtype", "f64"]);
    let (loss, gradients, after) = expected(&params, None);
    assert!(
        text.starts_with(&format!("loss {loss}, norm of all gradients ")),
        "{text}"
    );

    let tensors = read(&fixture.path("g.safetensors"));
    let statistics = after.iter().filter(|(_, param)| param.slot == Slot::Buffer);
    // The loss, the input's gradient, those of all trained parameters, and two statistics per batch
    // normalisation.
    assert_eq!(tensors.len(), 1 + gradients.len() + statistics.count());
    for (name, shape, numbers) in &tensors {
        let told = match name.as_str() {
            "loss" => ArrayD::from_elem(IxDyn(&[]), loss),
            name => {
                let param = gradients.get(name).or_else(|| after.get(name));
                param.unwrap().value.clone()
            }
        };
        assert_eq!(told.shape(), shape, "{name}");
        assert!(told.iter().eq(numbers), "{name}");
    }
    for (name, param) in params
        .iter()
        .filter(|(_, param)| param.slot == Slot::Buffer)
    {
        let (_, _, moved) = tensors.iter().find(|(other, ..)| other == name).unwrap();
        assert!(
            !param
                .value
                .iter()
                .map(|&x| f64::from(x))
                .eq(moved.iter().copied()),
            "{name}"
        );
    }

    // The same again: equal bytes, and JSON.
    let bytes = std::fs::read(fixture.path("g.safetensors")).unwrap();
    let output = fixture
        .command_with(&GRAD)
        .args(["--dtype", "f64", "--json", "--threads", "1"])
        .output()
        .unwrap();
    assert_eq!(json_lines(&output)[0]["loss"].as_f64(), Some(loss));
    assert_eq!(std::fs::read(fixture.path("g.safetensors")).unwrap(), bytes);
}

#[test]
fn f32_is_near_f64_by_plain_loops_and_by_the_engine() {
    for arguments in [&["--plain"][..], &[]] {
        check_f32(arguments);
    }
}

fn check_f32(arguments: &[&str]) {
    let (fixture, params) = fixture();
    grad(&fixture, arguments);
    let (loss, gradients, _) = expected(&params, None);
    for (name, _, numbers) in read(&fixture.path("g.safetensors")) {
        let Some(gradient) = gradients.get(&name) else {
            // The relative errors of twenty layers, a few roundings each.
            assert!(name != "loss" || (numbers[0] - loss).abs() < 1e-5);
            continue;
        };
        let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
        let norm = squares(&mut gradient.value.iter().copied());
        let error = squares(&mut gradient.value.iter().zip(&numbers).map(|(x, y)| x - y));
        assert!(
            error.sqrt() < 1e-3 * norm.sqrt(),
            "{name}: {error} of {norm}"
        );
    }
}

#[test]
fn what_cannot_be_computed_is_named() {
    let (fixture, params) = fixture();
    let refused = |arguments: &[&str], reason: &str| {
        let message = complaint(&fixture, arguments);
        assert!(message.contains(reason), "expected {reason:?} in {message}");
    };
    let with = |from: &str, to: &'static str| GRAD.map(|word| if word == from { to } else { word });
    let plain = |arguments: [&'static str; 10]| [&arguments[..], &["--plain"]].concat();

    let darknet = [
        "grad", "tiny.cfg", "--input", "x.npy", "--labels", "y.npy", "--output", "g",
    ];
    refused(&darknet, "a darknet network is not a classifier");

    fixture.write("short.npy", npy("|u1", &[2], [vec![4, 0]]));
    refused(&plain(with("y.npy", "short.npy")), "2");
    fixture.write("many.npy", npy("|u1", &[3], [vec![4, 5, 0]]));
    refused(
        &plain(with("y.npy", "many.npy")),
        "label 1 of the batch is class 5",
    );
    fixture.write("negative.npy", npy("|i1", &[3], [vec![4, 0xff, 0]]));
    refused(
        &plain(with("y.npy", "negative.npy")),
        "negative.npy: label 1 is -1",
    );
    refused(
        &plain(with("y.npy", "x.npy")),
        "x.npy: dtype \"<f4\", expected integers",
    );
    refused(
        &plain(with("x.npy", "y.npy")),
        "y.npy: dtype \"|u1\", expected float32",
    );

    let nan = std::iter::repeat_n(f32::NAN.to_le_bytes().to_vec(), 3 * 3 * 16 * 16);
    fixture.write("nan.npy", npy("<f4", &[3, 3, 16, 16], nan));
    refused(
        &plain(with("x.npy", "nan.npy")),
        "the input is NaN at index 0",
    );
    let grey = std::iter::repeat_n(vec![0; 4], 3 * 16 * 16);
    fixture.write("grey.npy", npy("<f4", &[3, 1, 16, 16], grey));
    refused(
        &plain(with("x.npy", "grey.npy")),
        "input channels (axis c) is 1, expected 3",
    );

    let nowhere = plain(with("g.safetensors", "no/such/folder/g.safetensors"));
    refused(&nowhere, "no/such/folder/g.safetensors");
    assert!(!fixture.path("g.safetensors").exists());

    // One picture, for which the last stage has one pixel.
    let dot = std::iter::repeat_n(vec![0; 4], 3 * 4 * 4);
    fixture.write("dot.npy", npy("<f4", &[1, 3, 4, 4], dot));
    fixture.write("one.npy", npy("|u1", &[1], [vec![4]]));
    let mut arguments = plain(with("x.npy", "dot.npy"));
    arguments[7] = "one.npy";
    refused(&arguments, "needs more than one value per channel");

    // Parameters for inference are sufficient for everything except training.
    let _ = params;
    let googlenet = inception::GoogLeNet {
        classes: 5,
        ..inception::GoogLeNet::default()
    };
    let mut params = googlenet.init(1).unwrap();
    for spec in googlenet.aux_params().unwrap() {
        params.remove(spec.name());
    }
    save(&fixture.path("inference.safetensors"), params, None);
    let mut arguments = plain(with("m.safetensors", "inference.safetensors"));
    arguments[1] = "googlenet";
    refused(&arguments, "aux1.conv.conv.weight is missing");
}
