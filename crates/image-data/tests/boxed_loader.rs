//! Boxes stay on their objects through augmentation, mosaics and changes of the input's size, and batches with
//! them are the same for any number of workers and after a resumption.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use image_data::{
    Augmentation, BBox, Batch, Boxes, Dataset, HorizontalFlip, HsvJitter, Loader, LoaderOptions,
    Mosaic, MultiScale, ObjectBox, Picture, Preprocessing, RandomPlacement, ResizeTo, Result,
    Transform,
};
use ndarray::ArrayView3;

/// Blue pictures with one or two red rectangles.
struct Red {
    classes: [String; 1],
}

const LEN: usize = 24;

impl Red {
    fn new() -> Self {
        Self {
            classes: ["red".to_owned()],
        }
    }
}

impl Dataset<Boxes> for Red {
    fn len(&self) -> usize {
        LEN
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Boxes {
        let at = index as f32;
        let first = BBox::from_xyxy(10.0 + at, 8.0, 50.0 + at, 40.0 + at);
        let second = BBox::from_xyxy(100.0, 50.0 + at, 140.0 + at, 110.0);
        let boxes = [first, second].map(|bbox| ObjectBox::new(0, bbox));
        boxes[..1 + index % 2].to_vec()
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let [h, w] = [120, 180];
        let boxes = self.label(index);
        let inside = |x: usize, y: usize| {
            let [x, y] = [x as f32 + 0.5, y as f32 + 0.5];
            boxes.iter().any(|ObjectBox { bbox: b, .. }| {
                (b.x1..b.x2).contains(&x) && (b.y1..b.y2).contains(&y)
            })
        };
        let mut rgb = Vec::new();
        for y in 0..h {
            for x in 0..w {
                rgb.extend(match inside(x, y) {
                    true => [255, 0, 0],
                    false => [0, 0, 255],
                });
            }
        }
        Picture::from_rgb(w, h, w * 3, &rgb)
    }

    fn name(&self, index: usize) -> String {
        format!("red #{index}")
    }
}

fn loader(options: LoaderOptions) -> Loader<Boxes> {
    let preprocessing = Preprocessing::detection(ResizeTo::Letterbox([128, 128]));
    Loader::new(Arc::new(Red::new()), preprocessing, options).unwrap()
}

fn options(steps: Vec<Transform>, mosaic: f64) -> LoaderOptions {
    LoaderOptions {
        batch_size: 4,
        seed: 7,
        augmentation: Augmentation {
            steps,
            mosaic: (mosaic > 0.0).then_some(Mosaic {
                probability: mosaic,
            }),
            ..Augmentation::default()
        },
        ..LoaderOptions::default()
    }
}

fn is_red(input: &ArrayView3<'_, f32>, y: usize, x: usize) -> bool {
    input[[0, y, x]] > 0.7 && input[[2, y, x]] < 0.3
}

/// Checks that each box is full of red; returns the number of red pixels, and of those in no box.
fn check(batch: &Batch<Boxes>) -> [usize; 2] {
    let (mut red, mut outside) = (0, 0);
    for (input, boxes) in batch.inputs.outer_iter().zip(&batch.labels) {
        let (_, h, w) = input.dim();
        // Resizing mixes the colours of pixels up to two pixels from an edge.
        let near = |b: BBox, x: f32, y: f32, by: f32| {
            x > b.x1 - by && x < b.x2 + by && y > b.y1 - by && y < b.y2 + by
        };
        for y in 0..h {
            for x in 0..w {
                let [px, py] = [x as f32 + 0.5, y as f32 + 0.5];
                let is_red = is_red(&input, y, x);
                for object in boxes {
                    let inner = near(object.bbox, px, py, -2.5);
                    assert!(!inner || is_red, "{x}, {y} of {h} x {w} in {object:?}");
                }
                let in_a_box = boxes.iter().any(|object| near(object.bbox, px, py, 2.5));
                red += usize::from(is_red);
                outside += usize::from(is_red && !in_a_box);
            }
        }
    }
    [red, outside]
}

#[test]
fn boxes_follow_what_happens_to_the_pixels() {
    let placement = || Transform::RandomPlacement(RandomPlacement::default());
    let flip = || Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 });
    for (steps, mosaic, scale) in [
        (vec![], 0.0, None),
        (vec![flip()], 0.0, None),
        (vec![placement()], 0.0, None),
        (vec![placement(), flip()], 0.0, Some(MultiScale::default())),
        (vec![flip()], 1.0, None),
        (
            vec![placement(), flip()],
            0.5,
            Some(MultiScale {
                every: 1,
                ..MultiScale::default()
            }),
        ),
    ] {
        let crops = mosaic > 0.0
            || steps
                .iter()
                .any(|step| matches!(step, Transform::RandomPlacement(_)));
        let options = LoaderOptions {
            multi_scale: scale,
            ..options(steps, mosaic)
        };
        let (mut red, mut outside) = (0, 0);
        for batch in loader(options.clone()).epochs(0..3) {
            let [all, out] = check(&batch.unwrap());
            red += all;
            outside += out;
        }
        assert!(red > 1000, "{options:?}");
        // A box of which less than a tenth is left is dropped; what is left of it stays.
        match crops {
            false => assert_eq!(outside, 0, "{options:?}"),
            true => assert!(outside * 50 < red, "{outside} of {red}: {options:?}"),
        }
    }
}

/// A loader with everything that is random.
fn everything(workers: usize) -> Loader<Boxes> {
    let steps = vec![
        Transform::RandomPlacement(RandomPlacement::default()),
        Transform::HsvJitter(HsvJitter::default()),
        Transform::HorizontalFlip(HorizontalFlip::default()),
    ];
    loader(LoaderOptions {
        workers,
        multi_scale: Some(MultiScale {
            every: 2,
            ..MultiScale::default()
        }),
        ..options(steps, 0.5)
    })
}

fn assert_same(a: &Batch<Boxes>, b: &Batch<Boxes>) {
    assert_eq!(a.samples, b.samples);
    assert_eq!(a.labels, b.labels);
    assert_eq!(a.inputs, b.inputs);
}

#[test]
fn batches_with_boxes_are_the_same_for_any_number_of_workers() {
    let all = |workers| -> Vec<Batch<Boxes>> {
        let loader = everything(workers);
        loader.epochs(0..2).map(Result::unwrap).collect()
    };
    let alone = all(0);
    assert_eq!(alone.len(), 2 * LEN / 4);
    for workers in [1, 4] {
        let found = all(workers);
        assert_eq!(found.len(), alone.len());
        for (a, b) in found.iter().zip(&alone) {
            assert_same(a, b);
        }
    }
}

#[test]
fn an_epoch_that_is_resumed_has_the_same_batches() {
    let whole: Vec<Batch<Boxes>> = everything(2)
        .epoch(1)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for first in 0..=whole.len() {
        let rest = everything(3)
            .epoch_from(1, first)
            .unwrap()
            .map(Result::unwrap);
        let rest: Vec<Batch<Boxes>> = rest.collect();
        assert_eq!(rest.len(), whole.len() - first);
        for (a, b) in rest.iter().zip(&whole[first..]) {
            assert_same(a, b);
        }
    }
}

#[test]
fn sizes_change_every_few_batches() {
    let sizes: Vec<[usize; 2]> = everything(2)
        .epochs(0..6)
        .map(|batch| {
            let (_, _, h, w) = batch.unwrap().inputs.dim();
            [h, w]
        })
        .collect();
    for pair in sizes.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let mut different = sizes.clone();
    different.sort_unstable();
    different.dedup();
    // 0.75 to 1.5 times 128, in steps of 32.
    assert_eq!(different, [[96, 96], [128, 128], [160, 160], [192, 192]]);
}

#[test]
fn a_mosaic_has_the_boxes_of_four_pictures() {
    let count = |mosaic: f64| -> f64 {
        let loader = loader(options(vec![], mosaic));
        let labels = loader.epochs(0..8).flat_map(|batch| batch.unwrap().labels);
        let counts: Vec<usize> = labels.map(|boxes| boxes.len()).collect();
        counts.iter().sum::<usize>() as f64 / counts.len() as f64
    };
    assert_eq!(count(0.0), 1.5);
    // Each part shows about a quarter of its picture.
    assert!(count(1.0) > 1.8, "{}", count(1.0));
}
