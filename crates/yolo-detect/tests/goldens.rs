//! YOLOv2 and YOLOv2-tiny with random weights, on synthetic pictures: detections against darknet's
//! own, and the heads' tensors against an f64 run of another implementation.
//!
//! Weights and pictures are generated here by the formulas of the scripts in `goldens`, and their
//! hashes are compared with the recorded ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use std::sync::LazyLock;

use common::reference::{
    SAME_PIXELS, compare, detector, heads_are_those_of_the_f64_run, recorded_synthetic, sha256,
};
use common::{RandomWeights, YOLOV2, YOLOV2_TINY, network};
use engine::Isa;
use serde_json::Value;
use yolo_detect::{Network, Weights};

/// A model, and the values recorded for it.
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

fn detections_are_darknets(model: &Model) {
    let mut detector = detector(&model.network, &model.weights.params);
    let mut count = 0;
    for recorded in model.detections["pictures"].as_array().unwrap() {
        // The photos among them are compared in `pretrained.rs`, where their files exist.
        if let Some(picture) = recorded_synthetic(recorded) {
            count += compare(&mut detector, &picture, recorded, SAME_PIXELS);
        }
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

#[test]
fn heads_of_yolov2_tiny_are_those_of_the_f64_run() {
    let model = &MODEL_YOLOV2_TINY;
    let params = &model.weights.params;
    heads_are_those_of_the_f64_run(&model.network, params, &model.heads, &Isa::available());
}

#[test]
fn heads_of_yolov2_are_those_of_the_f64_run() {
    // On the other sets this large network would take long and show nothing that the small one does
    // not.
    let model = &MODEL_YOLOV2;
    let params = &model.weights.params;
    heads_are_those_of_the_f64_run(&model.network, params, &model.heads, &[Isa::best()]);
}
