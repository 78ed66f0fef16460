//! Darknet's detections and the heads of an f64 run, as the files in `goldens` hold them, and what
//! is compared with them.

use engine::{Isa, Options, Plan};
use image_data::{BBox, Letterbox, Picture};
use ndarray::ArrayD;
use nn_layers::{Infer, Outputs, Params, Shape};
use serde_json::Value;
use sha2::{Digest, Sha256};
use yolo_detect::{Detection, Detector, DetectorOptions, Network};

use super::word;

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A synthetic picture by the formula of `goldens/portable.py`.
pub fn synthetic(width: usize, height: usize, seed: u64) -> Picture {
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
pub const SEEDS: [(&str, u64); 5] = [
    ("synthetic_square.png", 1),
    ("synthetic_wide.png", 2),
    ("synthetic_tall.png", 3),
    ("synthetic_small.png", 4),
    ("synthetic_large.png", 5),
];

/// A detector that keeps more than is compared.
pub fn detector(network: &Network, params: &Params<f32>) -> Detector {
    let options = DetectorOptions {
        threshold: 0.2,
        ..DetectorOptions::default()
    };
    Detector::new(network.clone(), params.clone(), None, options).unwrap()
}

/// When two detections count as the same one, and which have to have such a partner.
#[derive(Clone, Copy)]
pub struct Criterion {
    /// Detections of this score or more need a partner ...
    pub sure: f32,
    /// ... that scores at least this,
    pub partner: f32,
    /// differs in score by at most this,
    pub score: f32,
    /// and overlaps with at least this intersection over union.
    pub iou: f32,
}

/// Both programs read the same pixels.
pub const SAME_PIXELS: Criterion = Criterion {
    sure: 0.27,
    partner: 0.23,
    score: 0.005,
    iou: 0.99,
};

/// Two JPEG decoders made the pixels.
pub const OTHER_DECODER: Criterion = Criterion {
    sure: 0.38,
    partner: 0.25,
    score: 0.1,
    iou: 0.9,
};

/// A class, a score and a box in darknet's pixels, which count from 1.
pub type Found = (u64, f32, BBox);

/// Each of `these` that is sure has a partner among `those`. The count of the sure ones.
pub fn assert_covered(
    picture: &str,
    these: &[Found],
    those: &[Found],
    criterion: Criterion,
) -> usize {
    let sure: Vec<&Found> = these
        .iter()
        .filter(|(_, score, _)| *score >= criterion.sure)
        .collect();
    for (class, score, bbox) in &sure {
        let is_same = |(other_class, other_score, other): &Found| {
            class == other_class
                && *other_score >= criterion.partner
                && (score - other_score).abs() <= criterion.score
                && bbox.iou(*other) >= criterion.iou
        };
        assert!(
            those.iter().any(is_same),
            "{picture}: {class} {score} {bbox:?}"
        );
    }
    sure.len()
}

/// What darknet printed of a picture.
pub fn darknets(recorded: &Value) -> Vec<Found> {
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    let found = recorded["detections"].as_array().unwrap().iter();
    found
        .map(|found| {
            let [x1, y1, x2, y2] = std::array::from_fn(|i| number(&found["box"][i]));
            let class = found["class"].as_u64().unwrap();
            (
                class,
                number(&found["score"]),
                BBox::from_xyxy(x1, y1, x2, y2),
            )
        })
        // Darknet prints boxes beside the picture too, with their edges in the wrong order.
        .filter(|(_, _, bbox)| !bbox.is_empty())
        .collect()
}

/// Our detections as darknet would print them.
pub fn ours(picture: &Picture, detections: Vec<Detection>) -> Vec<Found> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    detections
        .into_iter()
        .map(|found| {
            let BBox { x1, y1, x2, y2 } = found.bbox;
            let (x2, y2) = ((x2 + 1.0).min(width), (y2 + 1.0).min(height));
            let bbox = BBox::from_xyxy(x1 + 1.0, y1 + 1.0, x2, y2);
            (found.class as u64, found.score, bbox)
        })
        // A box in the last row or column only is nothing in darknet's pixels.
        .filter(|(_, _, bbox)| !bbox.is_empty())
        .collect()
}

/// Detects on a picture and compares with the record, both ways. The count of darknet's sure ones.
pub fn compare(
    detector: &mut Detector,
    picture: &Picture,
    recorded: &Value,
    criterion: Criterion,
) -> usize {
    let name = recorded["name"].as_str().unwrap();
    let theirs = darknets(recorded);
    let ours = ours(picture, detector.detect(picture).unwrap());
    assert_covered(name, &ours, &theirs, criterion);
    assert_covered(name, &theirs, &ours, criterion)
}

/// A synthetic picture of the record, if it is one.
pub fn recorded_synthetic(recorded: &Value) -> Option<Picture> {
    let name = recorded["name"].as_str().unwrap();
    let (_, seed) = SEEDS.iter().find(|(synthetic, _)| *synthetic == name)?;
    let size = |key: &str| recorded[key].as_u64().unwrap() as usize;
    let picture = synthetic(size("width"), size("height"), *seed);
    assert_eq!(recorded["sha256"], sha256(picture.rgb()), "{name}");
    Some(picture)
}

/// On each of these instruction sets, within 1e-4 of the tensor's largest element.
pub fn heads_are_those_of_the_f64_run(
    network: &Network,
    params: &Params<f32>,
    recorded: &Value,
    instruction_sets: &[Isa],
) {
    let graph = network.graph();
    let [channels, height, width] = network.input();
    let shape = Shape::from([1, channels, height, width]);
    for &isa in instruction_sets {
        let options = Options {
            isa: Some(isa),
            ..Options::default()
        };
        let plan = Plan::compile(graph, params.clone(), &options).unwrap();
        let mut session = plan.session(std::slice::from_ref(&shape)).unwrap();
        let mut outputs = Outputs::new();
        for recorded in recorded["pictures"].as_array().unwrap() {
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
