//! The time of the losses: assignment, terms and gradients of a batch of four.
//!
//! `cargo bench -p yolo-detect` times YOLOv2's loss on 13 x 13 cells with 5 anchors and 20 classes, and
//! YOLOv3's on three grids with 80 classes, each with eight objects per picture.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark stops on failure"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use image_data::{BBox, ObjectBox};
use ndarray::ArrayD;
use nn_layers::Objective;
use testkit::{random_array, to_f32};
use yolo_detect::cfg::Cfg;
use yolo_detect::{DetectionLoss, DetectionTargets, Network};

const BATCH: usize = 4;

const REGION: &str = "[conv]\nfilters=125\nsize=1\nstride=32\nactivation=linear\n\
    [region]\nclasses=20\nnum=5\nsoftmax=1\nobject_scale=5\nthresh=.6\nrescore=1\nbias_match=1\n\
    anchors=1.3221,1.73145,3.19275,4.00944,5.05587,8.09892,9.47112,4.84053,11.2364,10.0071\n";

/// A head of YOLOv3 on a grid of cells of `stride` pixels.
fn yolo(stride: usize, mask: &str) -> String {
    format!(
        "[conv]\nfilters=255\nsize=1\nstride={stride}\nactivation=linear\n\
         [yolo]\nclasses=80\nnum=9\nmask={mask}\nignore_thresh=.7\n\
         anchors=10,13,16,30,33,23,30,61,62,45,59,119,116,90,156,198,373,326\n"
    )
}

fn bench(criterion: &mut Criterion, name: &str, layers: &str) {
    let net = "[net]\nheight=416\nwidth=416\nchannels=3\n";
    let cfg = Cfg::parse(&(net.to_owned() + layers)).unwrap();
    let network = Network::new(&cfg).unwrap();
    let loss = DetectionLoss::new(&cfg, &network).unwrap();
    let boxes: Vec<Vec<ObjectBox>> = (0..BATCH)
        .map(|picture| {
            let numbers = random_array(&[8, 4], picture as u64) * 0.5 + 0.5;
            let object = |row: ndarray::ArrayView1<'_, f64>| {
                let [x, y, w, h] = std::array::from_fn(|i| row[i] as f32);
                let bbox =
                    BBox::from_xywh(x * 200.0, y * 200.0, 10.0 + w * 200.0, 10.0 + h * 200.0);
                ObjectBox::new(picture, bbox)
            };
            let numbers = numbers.into_dimensionality::<ndarray::Ix2>().unwrap();
            numbers.outer_iter().map(object).collect()
        })
        .collect();
    let targets = DetectionTargets::new(&boxes, [416, 416], 1 << 20).unwrap();
    let outputs: Vec<ArrayD<f32>> = network
        .heads()
        .iter()
        .map(|head| {
            let [channels, h, w] = head.shape();
            to_f32(random_array(&[BATCH, channels, h, w], 7).view())
        })
        .collect();
    let views: Vec<_> = outputs.iter().map(|output| output.view()).collect();
    let mut grads: Vec<ArrayD<f32>> = outputs.iter().map(|x| ArrayD::zeros(x.raw_dim())).collect();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            for grad in &mut grads {
                grad.fill(0.0);
            }
            black_box(loss.eval(&targets, &views, &mut grads).unwrap())
        });
    });
}

fn losses(criterion: &mut Criterion) {
    bench(criterion, "region, 4 x 13 x 13 x 5, 20 classes", REGION);
    let route = "[route]\nlayers=0\n";
    // Each head reads the first layer, a picture of 52 x 52.
    let first = "[conv]\nfilters=8\nsize=1\nstride=8\nactivation=linear\n";
    let yolo = [
        first.to_owned(),
        yolo(1, "0,1,2"),
        route.to_owned(),
        yolo(2, "3,4,5"),
        route.to_owned(),
        yolo(4, "6,7,8"),
    ];
    bench(criterion, "yolo, 4 x 416 x 416, 80 classes", &yolo.concat());
}

criterion_group!(benches, losses);
criterion_main!(benches);
