//! Darknet's detections and the heads of an f64 run, as recorded in the files in `goldens`, and the
//! comparison with them.

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

/// Returns a synthetic picture by the formula of `goldens/portable.py`.
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

/// Returns a detector whose threshold is below those of the comparison.
pub fn detector(network: &Network, params: &Params<f32>) -> Detector {
    let options = DetectorOptions {
        threshold: 0.2,
        ..DetectorOptions::default()
    };
    Detector::new(network.clone(), params.clone(), None, options).unwrap()
}

/// When two detections match, and which detections must have a match.
#[derive(Clone, Copy)]
pub struct Criterion {
    /// Detections with at least this score need a match ...
    pub sure: f32,
    /// ... that has at least this score,
    pub partner: f32,
    /// whose score differs by at most this,
    pub score: f32,
    /// and which overlaps with at least this intersection over union.
    pub iou: f32,
}

/// For two programs that read the same pixels.
pub const SAME_PIXELS: Criterion = Criterion {
    sure: 0.27,
    partner: 0.23,
    score: 0.005,
    iou: 0.99,
};

/// For pixels from two different JPEG decoders.
pub const OTHER_DECODER: Criterion = Criterion {
    sure: 0.38,
    partner: 0.25,
    score: 0.1,
    iou: 0.9,
};

/// A class, a score and a box in darknet's pixels, which are counted from 1.
pub type Found = (u64, f32, BBox);

/// Asserts that each of `these` with a score of at least `sure` has a match among `those`. Returns
/// their number.
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

/// Returns what darknet printed for a picture.
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
        // Darknet also prints boxes outside the picture, with their edges in the wrong order.
        .filter(|(_, _, bbox)| !bbox.is_empty())
        .collect()
}

/// Returns our detections as darknet would print them.
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
        // A box that is only in the last row or column is empty in darknet's pixels.
        .filter(|(_, _, bbox)| !bbox.is_empty())
        .collect()
}

/// Detects objects in a picture and compares them with the record, both ways. Returns the number of
/// darknet's detections that need a match.
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

/// Returns the record's picture if it is a synthetic one.
pub fn recorded_synthetic(recorded: &Value) -> Option<Picture> {
    let name = recorded["name"].as_str().unwrap();
    let (_, seed) = SEEDS.iter().find(|(synthetic, _)| *synthetic == name)?;
    let size = |key: &str| recorded[key].as_u64().unwrap() as usize;
    let picture = synthetic(size("width"), size("height"), *seed);
    assert_eq!(recorded["sha256"], sha256(picture.rgb()), "{name}");
    Some(picture)
}

/// Asserts that on each of these instruction sets, the heads are within 1e-4 of the tensor's
/// largest element.
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
