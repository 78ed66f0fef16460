//! `YOLOv3`-tiny with its author's pretrained weights, compared with darknet and between executors.
//!
//! The model's files and one photo come from the cache that `cargo xtask fetch` fills. We may not
//! distribute the other photos. If `CONVOXIDE_PICTURES` names the folder that
//! `goldens/make_pictures.py` wrote, they are compared, too. The tests name each file that is
//! missing.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's helpers may fail the test, and say what they skip"
)]

mod common;

use std::path::{Path, PathBuf};

use common::reference::{
    Criterion, OTHER_DECODER, SAME_PIXELS, compare, detector, heads_are_those_of_the_f64_run,
    recorded_synthetic, sha256, synthetic,
};
use engine::{Isa, Options, Plan};
use image_data::{Letterbox, Limits, Picture};
use ndarray::ArrayD;
use nn_layers::{Graph, Params, Shape};
use serde_json::Value;
use testkit::{Run, Sums, assert_executors_agree, assert_layers_agree, on_threads, run_by};
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights};

/// Returns the cache's folder, by the rule of `cargo xtask fetch` on Linux; elsewhere
/// `CONVOXIDE_HOME` names it.
fn cache() -> Option<PathBuf> {
    let folder = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = folder("CONVOXIDE_HOME")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("convoxide")))
        .or_else(|| Some(folder("HOME")?.join(".cache/convoxide")))?;
    home.join("models/yolov3-tiny/yolov3-tiny.weights")
        .exists()
        .then_some(home)
}

/// Returns the network, its parameters and the cache's folder, or `None` after printing a message.
fn pretrained() -> Option<(Network, Params<f32>, PathBuf)> {
    let Some(home) = cache() else {
        println!("skipped: no pretrained files; `cargo xtask fetch` gets them");
        return None;
    };
    let folder = home.join("models/yolov3-tiny");
    let network = Network::new(&Cfg::open(folder.join("yolov3-tiny.cfg")).unwrap()).unwrap();
    let weights = Weights::open(folder.join("yolov3-tiny.weights"), &network).unwrap();
    Some((network, weights.params, home))
}

/// Returns the picture of a record: generated, from the cache, or from the folder of photos.
fn picture(recorded: &Value, home: &Path, photos: Option<&Path>) -> Option<Picture> {
    let name = recorded["name"].as_str().unwrap();
    if let Some(picture) = recorded_synthetic(recorded) {
        return Some(picture);
    }
    let cached = home.join("pictures").join(name);
    let path = if cached.exists() {
        cached
    } else {
        photos?.join(name)
    };
    let picture = Picture::open(&path, &Limits::default()).unwrap();
    let hash = if name.ends_with(".png") {
        sha256(picture.rgb())
    } else {
        sha256(&std::fs::read(&path).unwrap())
    };
    assert_eq!(
        recorded["sha256"], hash,
        "{name}: another picture than was recorded"
    );
    Some(picture)
}

/// Compares every available picture. Returns the numbers of pictures and of darknet's detections
/// that need a match.
fn compare_all(
    network: &Network,
    params: &Params<f32>,
    home: &Path,
    suffix: &str,
    golden: &str,
    criterion: Criterion,
) -> (usize, usize) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let photos =
        std::env::var_os("CONVOXIDE_PICTURES").map(|folder| Path::new(&folder).join(suffix));
    let mut detector = detector(network, params);
    let (mut pictures, mut found) = (0, 0);
    let records = golden["pictures"].as_array().unwrap();
    for recorded in records {
        if let Some(picture) = picture(recorded, home, photos.as_deref()) {
            pictures += 1;
            found += compare(&mut detector, &picture, recorded, criterion);
        }
    }
    println!(
        "{suffix}: {found} detections on {pictures} of {} pictures",
        records.len()
    );
    if photos.is_some() {
        assert_eq!(pictures, records.len());
    } else {
        println!("skipped: the photos; CONVOXIDE_PICTURES names no folder");
    }
    (pictures, found)
}

#[test]
fn finds_what_darknet_finds() {
    let Some((network, params, home)) = pretrained() else {
        return;
    };
    let golden = include_str!("goldens/yolov3-tiny-png.json");
    let (pictures, found) = compare_all(&network, &params, &home, "png", golden, SAME_PIXELS);
    if pictures > 30 {
        assert!(found >= 40, "{found}");
    } else {
        // The synthetic pictures contain no known object, the photo contains a cup.
        assert!(pictures >= 5 && found <= 1, "{found} on {pictures}");
    }
}

#[test]
fn finds_in_jpeg_what_darknet_finds() {
    let Some((network, params, home)) = pretrained() else {
        return;
    };
    let golden = include_str!("goldens/yolov3-tiny-jpg.json");
    let (pictures, found) = compare_all(&network, &params, &home, "jpg", golden, OTHER_DECODER);
    assert!(pictures == 0 || found >= 30, "{found} on {pictures}");
}

/// The other two models, on the photos that are available.
#[test]
fn random_models_find_on_photos_what_darknet_finds() {
    if std::env::var_os("CONVOXIDE_PICTURES").is_none() {
        println!("skipped: the photos; CONVOXIDE_PICTURES names no folder");
        return;
    }
    for (cfg, scale_score, scale_box, golden) in [
        (
            common::YOLOV2_TINY,
            7.5,
            2.0,
            include_str!("goldens/yolov2-tiny-png.json"),
        ),
        (
            common::YOLOV2,
            6.0,
            1.5,
            include_str!("goldens/yolov2-png.json"),
        ),
    ] {
        let network = common::network(cfg);
        let random = common::RandomWeights {
            scale_score,
            scale_box,
            ..common::RandomWeights::default()
        };
        let params = random.make(&network).params;
        let (_, found) = compare_all(
            &network,
            &params,
            Path::new("."),
            "png",
            golden,
            SAME_PIXELS,
        );
        assert!(found >= 50, "{found}");
    }
}

#[test]
fn heads_are_within_1e_4_of_the_f64_run() {
    let Some((network, params, _)) = pretrained() else {
        return;
    };
    let recorded = serde_json::from_str(include_str!("goldens/yolov3-tiny-heads.json")).unwrap();
    heads_are_those_of_the_f64_run(&network, &params, &recorded, &Isa::available());
}

fn engine_on(isa: Isa) -> impl Fn(&Graph, Params<f32>, &[Shape]) -> Run {
    move |graph, params, shapes| {
        let plan = Plan::compile(
            graph,
            params,
            &Options {
                isa: Some(isa),
                ..Options::default()
            },
        )
        .unwrap();
        run_by(plan.session(shapes).unwrap())
    }
}

/// Plain loops in f64 and f32, and the engine on every instruction set: each layer alone, and the
/// heads within 1e-4 of their largest element.
#[test]
fn three_executions_agree() {
    let Some((network, params, _)) = pretrained() else {
        return;
    };
    let [channels, height, width] = network.input();
    let picture = synthetic(640, 427, 2);
    let letterbox = Letterbox::new(picture.size(), [height, width]).unwrap();
    let input = letterbox.apply(&picture).unwrap();
    let input = ArrayD::from_shape_vec(vec![1, channels, height, width], input).unwrap();
    let inputs = std::slice::from_ref(&input);
    for isa in Isa::available() {
        assert_layers_agree(
            network.graph(),
            &params,
            inputs,
            Sums::Winograd,
            &engine_on(isa),
        );
        assert_executors_agree(network.graph(), &params, inputs, 1e-4, &engine_on(isa));
    }
}

/// Results for 1, 2 and 4 threads have the same bits.
#[test]
fn threads_do_not_change_a_bit() {
    let Some((network, params, _)) = pretrained() else {
        return;
    };
    let picture = synthetic(301, 500, 3);
    let on = |threads| {
        on_threads(threads, || {
            let [channels, height, width] = network.input();
            let letterbox = Letterbox::new(picture.size(), [height, width]).unwrap();
            let input = letterbox.apply(&picture).unwrap();
            let input = ArrayD::from_shape_vec(vec![1, channels, height, width], input).unwrap();
            let shapes = [Shape::from([1, channels, height, width])];
            let mut run = engine_on(Isa::best())(network.graph(), params.clone(), &shapes);
            let outputs = run(std::slice::from_ref(&input));
            outputs
                .iter()
                .map(|head| head.mapv(f32::to_bits))
                .collect::<Vec<_>>()
        })
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(4));
}
