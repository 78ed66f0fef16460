//! Trains a detector on a dataset with boxes, or on drawn shapes, and prints its losses and its accuracy.
//!
//! ```sh
//! cargo run --release -p yolo-detect --example train -- DATASET|shapes [KEY=VALUE...]
//! ```
//!
//! Keys: `network` (`nano`, `yolov2-tiny`, `yolov3-tiny`), `width` (of nano), `size`, `epochs`, `batch`,
//! `method` (`sgd` or `adam`), `rate`, `burn_in` (steps), `decay`, `clip`, `mosaic`, `multi_scale` (0 or 1), `seed`, `pictures` (of shapes),
//! `weights` (a darknet file of the same network, for COCO), `out` (a model file).

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use engine::{Options, TrainingSession};
use image_data::{
    AnnotationOptions, Augmentation, Boxes, Cached, Dataset, Loader, LoaderOptions, Mosaic,
    MultiScale, Preprocessing, ResizeTo, ShapeScenes, ShapesOptions, Splits,
};
use nn_layers::{
    Adam, BoxedError, Clip, EpochReport, Evaluation, Method, Observer, OptimiserOptions, Params,
    Policy, Schedule, Sgd, TrainSpec, Trainer, TrainerOptions, WarmUp, WeightDecay,
};
use yolo_detect::cfg::Cfg;
use yolo_detect::networks::{Nano, YoloV2Tiny, YoloV3Tiny};
use yolo_detect::{
    AnchorClusters, ClassNames, DetectionLoss, Detector, DetectorOptions, EvaluatorOptions, Fit,
    KMeansOptions, Model, Network, Weights, box_sizes, evaluate, train_batches,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("expected a dataset")?;
    let keys: HashMap<String, String> = arguments
        .filter_map(|argument| {
            let (key, value) = argument.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    let number = |key: &str, default: f64| -> Result<f64, Box<dyn Error>> {
        Ok(keys.get(key).map_or(Ok(default), |value| value.parse())?)
    };
    let [size, epochs, batch, seed] = [
        number("size", 416.0)? as usize,
        number("epochs", 36.0)? as usize,
        number("batch", 8.0)? as usize,
        number("seed", 1.0)? as usize,
    ];

    let splits = match &*data {
        "shapes" => {
            let options = ShapesOptions {
                len: number("pictures", 10_000.0)? as usize,
                size: [size; 2],
                max_objects: 5,
                ..ShapesOptions::default()
            };
            ShapeScenes::splits(options, 500)?
        }
        path => Splits::annotated(path, &AnnotationOptions::default())?,
    };
    println!("{}", splits.contents);
    let train: Arc<dyn Dataset<Boxes>> = Arc::new(Cached::new(splits.train));
    let valid = splits.valid.ok_or("expected a part for validation")?;

    let network = keys.get("network").map_or("nano", String::as_str);
    let two_scales = network != "yolov2-tiny";
    let count = if two_scales { 6 } else { 5 };
    let clusters = AnchorClusters::k_means(
        box_sizes(&*train, [size; 2], Fit::Letterbox)?,
        count,
        &KMeansOptions::default(),
    )?;
    println!(
        "anchors: average IoU {:.3}, {:?}",
        clusters.average_iou, clusters.anchors
    );
    let classes = train.classes().len();
    let (input, anchors) = ([size; 2], clusters.anchors);
    let cfg = |classes, anchors| -> Result<Cfg, yolo_detect::Error> {
        match network {
            "yolov2-tiny" => YoloV2Tiny {
                input,
                classes,
                anchors,
                ..YoloV2Tiny::default()
            }
            .cfg(),
            "yolov3-tiny" => YoloV3Tiny {
                input,
                classes,
                anchors,
            }
            .cfg(),
            _ => {
                let width = number("width", 1.0).unwrap_or(1.0) as f32;
                Nano {
                    input,
                    classes,
                    anchors,
                    width,
                }
                .cfg()
            }
        }
    };
    let coco = cfg(80, anchors.clone())?;
    let cfg = cfg(classes, anchors)?;
    let network = Network::new(&cfg)?;
    let mut params = network.init(seed as u64)?;
    if let Some(path) = keys.get("weights") {
        let coco = Network::new(&coco)?;
        let weights = Weights::open(path, &coco)?;
        let report;
        (params, report) = weights.params.warm_start(network.graph(), params, [])?;
        println!("{report}");
    }

    let mut session = TrainingSession::new(
        network.graph(),
        params,
        TrainSpec::default(),
        &Options::default(),
    )?;
    let mosaic = number("mosaic", 0.0)?;
    let loader = Loader::new(
        Arc::clone(&train),
        Preprocessing::detection(ResizeTo::Letterbox(input)),
        LoaderOptions {
            batch_size: batch,
            seed: seed as u64,
            augmentation: Augmentation {
                mosaic: (mosaic > 0.0).then_some(Mosaic {
                    probability: mosaic,
                }),
                ..Augmentation::detection()
            },
            multi_scale: (number("multi_scale", 0.0)? > 0.0).then(MultiScale::default),
            ..LoaderOptions::default()
        },
    )?;
    let steps = (epochs * loader.batches()) as u64;
    let burn_in = number("burn_in", 100.0)? as u64;
    let schedule = Schedule {
        rate: number("rate", 1e-3)?,
        policy: Policy::Cosine {
            steps: steps.saturating_sub(burn_in).max(1),
            last: 0.0,
        },
        warm_up: WarmUp {
            steps: burn_in,
            ..WarmUp::default()
        },
    };
    let options = TrainerOptions {
        optimiser: OptimiserOptions {
            method: match keys.get("method").map(String::as_str) {
                Some("adam") => Method::Adam(Adam::default()),
                _ => Method::Sgd(Sgd {
                    momentum: 0.9,
                    nesterov: false,
                }),
            },
            weight_decay: match keys.get("method").map(String::as_str) {
                Some("adam") => WeightDecay::Decoupled(number("decay", 1e-2)?),
                _ => WeightDecay::L2(number("decay", 5e-4)?),
            },
            clip: (number("clip", 0.0)? > 0.0).then_some(Clip::Norm(number("clip", 0.0)?)),
            ..OptimiserOptions::default()
        },
        seed: seed as u64,
        ..TrainerOptions::new(epochs as u64, schedule)
    };
    let names = ClassNames::new(train.classes().to_vec())?;
    let model = |params: &Params<f32>| Model::new(cfg.clone(), params.clone(), names.clone());
    let every = number("evaluate", 1.0)? as u64;
    let mut trainer = Trainer::new(options, &session)?;
    trainer.run(
        &mut session,
        &DetectionLoss::new(&cfg, &network)?,
        |epoch, first| train_batches(&loader, epoch, first),
        |params, epoch| {
            if (epoch + 1) % every != 0 && epoch + 1 != epochs as u64 {
                return Ok(None);
            }
            let options = DetectorOptions {
                threshold: 0.001,
                ..DetectorOptions::default()
            };
            let mut detector = Detector::from_model(model(params)?, options)?;
            let found = evaluate(&mut detector, &*valid, EvaluatorOptions::default(), |_| ())?;
            let of_class = found.per_class.iter();
            let parts = of_class.map(|class| (class.name.clone(), class.ap50.unwrap_or(f64::NAN)));
            let parts: Vec<(String, f64)> = parts
                .chain([("map".to_owned(), found.coco.map.unwrap_or(f64::NAN))])
                .collect();
            let score = found.coco.map50.unwrap_or(0.0);
            Ok(Some(Evaluation { score, parts }))
        },
        &mut Lines(Instant::now()),
        &AtomicBool::new(false),
    )?;
    if let Some(path) = keys.get("out") {
        use nn_layers::TrainBackend;
        model(&session.export())?.into_file()?.save(path)?;
    }
    Ok(())
}

/// Prints a line for each epoch.
struct Lines(Instant);

impl Observer<f32> for Lines {
    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        let pictures = report.pictures as f64;
        let parts = report.parts.iter();
        let parts = parts.map(|(name, sum)| format!("{name} {:.3}", sum / pictures));
        print!(
            "epoch {} {:.0} s loss {:.3}: {}",
            report.epoch + 1,
            self.0.elapsed().as_secs_f64(),
            report.loss,
            parts.collect::<Vec<_>>().join(", ")
        );
        if let Some(Evaluation { score, parts }) = &report.evaluation {
            let parts = parts
                .iter()
                .map(|(name, value)| format!("{name} {value:.3}"));
            print!(
                "; map50 {score:.4} ({})",
                parts.collect::<Vec<_>>().join(", ")
            );
        }
        println!();
        Ok(())
    }
}
