//! YOLOv2 and YOLOv2-tiny with random weights, on synthetic pictures: detections against darknet's
//! own, and the heads' tensors against an f64 run of another implementation.
//!
//! Weights and pictures are made here by the formulas of the scripts in `goldens`, and their hashes
//! compared with the recorded ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use std::sync::LazyLock;

use common::{RandomWeights, YOLOV2, YOLOV2_TINY, network, word};
use engine::{Isa, Options, Plan};
use image_data::{BBox, Letterbox, Picture};
use ndarray::ArrayD;
use nn_layers::{Infer, Outputs, Shape};
use serde_json::Value;
use sha2::{Digest, Sha256};
use yolo_detect::{Detector, DetectorOptions, Network, Weights};

/// A model, and what was recorded of it.
struct Model {
    network: Network,
    weights: Weights,
    detections: Value,
    heads: Value,
}

/// Made once for all tests.
static MODEL_YOLOV2_TINY: LazyLock<Model> = LazyLock::new(|| {
    let detections = include_str!("goldens/yolov2-tiny-png.json");
    let heads = include_str!("goldens/yolov2-tiny-heads.json");
    Model::new(YOLOV2_TINY, [7.5, 2.0], detections, heads)
});

static MODEL_YOLOV2: LazyLock<Model> = LazyLock::new(|| {
    let detections = include_str!("goldens/yolov2-png.json");
    let heads = include_str!("goldens/yolov2-heads.json");
    Model::new(YOLOV2, [6.0, 1.5], detections, heads)
});

impl Model {
    fn new(cfg: &str, [scale_score, scale_box]: [f64; 2], detections: &str, heads: &str) -> Self {
        let network = network(cfg);
        let random = RandomWeights {
            scale_score,
            scale_box,
            ..RandomWeights::default()
        };
        let weights = random.make(&network);
        let mut bytes = Vec::new();
        weights.write(&mut bytes, &network).unwrap();
        let sha256 = sha256(&bytes);
        let [detections, heads] = [detections, heads].map(|text| {
            let golden: Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                golden["weights_sha256"], sha256,
                "{}",
                golden["weights_made_by"]
            );
            golden
        });
        Self {
            network,
            weights,
            detections,
            heads,
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A synthetic picture by the formula of `goldens/portable.py`.
fn synthetic(width: usize, height: usize, seed: u64) -> Picture {
    let byte = |stream, index: usize| word(seed, stream, index as u64) >> 56;
    let mut bytes = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let coarse = byte("coarse", ((y >> 6) * 1024 + (x >> 6)) * 3 + c);
                let fine = byte("fine", ((y >> 3) * 1024 + (x >> 3)) * 3 + c);
                let noise = byte("noise", (y * width + x) * 3 + c);
                let gradient = match c {
                    0 => 255 * x / (width - 1),
                    1 => 255 * y / (height - 1),
                    _ => 255 * (x + y) / (width + height - 2),
                };
                let value = 8 * coarse + 4 * fine + 3 * gradient as u64 + noise;
                bytes.push((value / 16) as u8);
            }
        }
    }
    Picture::from_rgb(width, height, 3 * width, &bytes).unwrap()
}

/// The recorded seeds of the synthetic pictures.
const SEEDS: [(&str, u64); 5] = [
    ("synthetic_square.png", 1),
    ("synthetic_wide.png", 2),
    ("synthetic_tall.png", 3),
    ("synthetic_small.png", 4),
    ("synthetic_large.png", 5),
];

/// A class, a score and a box in darknet's pixels, which count from 1.
type Found = (u64, f32, BBox);

/// Each of `these` that scores 0.27 or more has one of `those` that scores 0.23 or more, of the
/// same class, with an intersection over union of 0.99 and a score within 0.005. The count.
fn assert_covered(picture: &str, these: &[Found], those: &[Found]) -> usize {
    let sure = these.iter().filter(|(_, score, _)| *score >= 0.27);
    let mut count = 0;
    for (class, score, bbox) in sure {
        let is_same = |(other_class, other_score, other): &Found| {
            class == other_class
                && *other_score >= 0.23
                && (score - other_score).abs() <= 0.005
                && bbox.iou(*other) >= 0.99
        };
        assert!(
            those.iter().any(is_same),
            "{picture}: {class} {score} {bbox:?}"
        );
        count += 1;
    }
    count
}

fn detections_are_darknets(model: &Model) {
    let options = DetectorOptions {
        threshold: 0.2,
        ..DetectorOptions::default()
    };
    let mut detector = Detector::new(
        model.network.clone(),
        model.weights.params.clone(),
        None,
        options,
    )
    .unwrap();
    let mut count = 0;
    for recorded in model.detections["pictures"].as_array().unwrap() {
        let name = recorded["name"].as_str().unwrap();
        let Some((_, seed)) = SEEDS.iter().find(|(synthetic, _)| *synthetic == name) else {
            continue; // A photo.
        };
        let size = |key: &str| recorded[key].as_u64().unwrap() as usize;
        let picture = synthetic(size("width"), size("height"), *seed);
        assert_eq!(recorded["sha256"], sha256(picture.rgb()), "{name}");

        let theirs: Vec<Found> = recorded["detections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| {
                let number = |value: &Value| value.as_f64().unwrap() as f32;
                let [x1, y1, x2, y2] = std::array::from_fn(|i| number(&found["box"][i]));
                let bbox = BBox::from_xyxy(x1, y1, x2, y2);
                (
                    found["class"].as_u64().unwrap(),
                    number(&found["score"]),
                    bbox,
                )
            })
            // Darknet prints boxes beside the picture too, with their edges in the wrong order.
            .filter(|(_, _, bbox)| !bbox.is_empty())
            .collect();
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let ours: Vec<Found> = detector
            .detect(&picture)
            .unwrap()
            .into_iter()
            .map(|found| {
                let BBox { x1, y1, x2, y2 } = found.bbox;
                let (x2, y2) = ((x2 + 1.0).min(width), (y2 + 1.0).min(height));
                let bbox = BBox::from_xyxy(x1 + 1.0, y1 + 1.0, x2, y2);
                (found.class as u64, found.score, bbox)
            })
            // A box in the last row or column only is nothing in darknet's pixels.
            .filter(|(_, _, bbox)| !bbox.is_empty())
            .collect();
        count += assert_covered(name, &theirs, &ours);
        assert_covered(name, &ours, &theirs);
    }
    assert!(count >= 50, "{count}");
}

#[test]
fn yolov2_tiny_finds_what_darknet_finds() {
    detections_are_darknets(&MODEL_YOLOV2_TINY);
}

#[test]
fn yolov2_finds_what_darknet_finds() {
    detections_are_darknets(&MODEL_YOLOV2);
}

/// On each of these instruction sets, within 1e-4 of the tensor's largest element.
fn heads_are_those_of_the_f64_run(model: &Model, instruction_sets: &[Isa]) {
    let graph = model.network.graph();
    let [channels, height, width] = model.network.input();
    let shape = Shape::from([1, channels, height, width]);
    for &isa in instruction_sets {
        let options = Options { isa: Some(isa) };
        let plan = Plan::compile(graph, model.weights.params.clone(), &options).unwrap();
        let mut session = plan.session(std::slice::from_ref(&shape)).unwrap();
        let mut outputs = Outputs::new();
        for recorded in model.heads["pictures"].as_array().unwrap() {
            let number = |key: &str| recorded[key].as_u64().unwrap();
            let size = [number("height") as usize, number("width") as usize];
            let picture = synthetic(size[1], size[0], number("seed"));
            let input = Letterbox::new(size, [height, width])
                .unwrap()
                .apply(&picture)
                .unwrap();
            let input = ArrayD::from_shape_vec(shape.to_vec(), input).unwrap();
            session.run(&[input.view()], &mut outputs).unwrap();

            let heads = recorded["heads"].as_array().unwrap();
            assert_eq!(heads.len(), outputs.tensors.len());
            for (head, output) in heads.iter().zip(&outputs.tensors) {
                let largest = head["max_abs"].as_f64().unwrap();
                let flat: Vec<f32> = output.iter().copied().collect();
                let values = head["values"].as_array().unwrap();
                assert_eq!(values.len(), 500);
                for (k, value) in values.iter().enumerate() {
                    let at = (word(0, "sample", k as u64) % flat.len() as u64) as usize;
                    let error = (f64::from(flat[at]) - value.as_f64().unwrap()).abs();
                    assert!(
                        error <= 1e-4 * largest,
                        "{isa:?}: [{at}] {} {value}",
                        flat[at]
                    );
                }
                let got = flat.iter().fold(0f32, |most, value| most.max(value.abs()));
                assert!((f64::from(got) - largest).abs() <= 1e-4 * largest);
            }
        }
    }
}

#[test]
fn heads_of_yolov2_tiny_are_those_of_the_f64_run() {
    heads_are_those_of_the_f64_run(&MODEL_YOLOV2_TINY, &Isa::available());
}

#[test]
fn heads_of_yolov2_are_those_of_the_f64_run() {
    // On the others this large network would take long, and says nothing that the small one does not.
    heads_are_those_of_the_f64_run(&MODEL_YOLOV2, &[Isa::best()]);
}
