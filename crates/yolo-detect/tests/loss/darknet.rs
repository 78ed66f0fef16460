//! Darknet's `delta` arrays by plain loops, in darknet's order of statements.
//!
//! What `forward_region_layer` (`src/region_layer.c`) and `forward_yolo_layer` (`src/yolo_layer.c`) compute
//! for the options that the losses have, in f64, followed by the layers' backward functions for GPUs. So
//! the results are negative gradients by the numbers that enter the layer, not divided by the batch.

use ndarray::{Array4, ArrayD, Ix4};
use yolo_detect::{Matching, RegionLossOptions, YoloLossOptions};

use crate::problem::{Problem, Rule};

#[derive(Clone, Copy)]
struct Truth {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
    class: usize,
}

fn overlap(x1: f64, w1: f64, x2: f64, w2: f64) -> f64 {
    let left = f64::max(x1 - w1 / 2.0, x2 - w2 / 2.0);
    let right = f64::min(x1 + w1 / 2.0, x2 + w2 / 2.0);
    right - left
}

/// The IoU of boxes `[x, y, w, h]`.
fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let (w, h) = (
        overlap(a[0], a[2], b[0], b[2]),
        overlap(a[1], a[3], b[1], b[3]),
    );
    let common = if w < 0.0 || h < 0.0 { 0.0 } else { w * h };
    common / (a[2] * a[3] + b[2] * b[3] - common)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The state of a layer: its output after the activation functions, its deltas, and its anchors as shares of
/// the network's input.
struct Layer {
    output: Array4<f64>,
    delta: Array4<f64>,
    /// Of all heads, `[w, h]`.
    anchors: Vec<[f64; 2]>,
    mask: Vec<usize>,
    classes: usize,
}

impl Layer {
    fn channel(&self, n: usize, entry: usize) -> usize {
        n * (5 + self.classes) + entry
    }

    fn predicted(&self, b: usize, n: usize, j: usize, i: usize) -> [f64; 4] {
        let (.., h, w) = self.output.dim();
        let [anchor_w, anchor_h] = self.anchors[self.mask[n]];
        let x = |entry| self.output[[b, self.channel(n, entry), j, i]];
        [
            (i as f64 + x(0)) / w as f64,
            (j as f64 + x(1)) / h as f64,
            x(2).exp() * anchor_w,
            x(3).exp() * anchor_h,
        ]
    }

    fn delta_box(
        &mut self,
        truth: Truth,
        b: usize,
        n: usize,
        j: usize,
        i: usize,
        scale: f64,
    ) -> f64 {
        let (.., h, w) = self.output.dim();
        let [anchor_w, anchor_h] = self.anchors[self.mask[n]];
        let iou = iou(
            self.predicted(b, n, j, i),
            [truth.x, truth.y, truth.w, truth.h],
        );
        let should_be = [
            truth.x * w as f64 - i as f64,
            truth.y * h as f64 - j as f64,
            (truth.w / anchor_w).ln(),
            (truth.h / anchor_h).ln(),
        ];
        for (entry, t) in should_be.into_iter().enumerate() {
            let channel = self.channel(n, entry);
            self.delta[[b, channel, j, i]] = scale * (t - self.output[[b, channel, j, i]]);
        }
        iou
    }

    /// `keeps` is whether classes that were set before stay.
    fn delta_class(&mut self, class: usize, at: [usize; 4], scale: f64, keeps: bool) {
        let [b, n, j, i] = at;
        let first = self.channel(n, 5);
        if self.delta[[b, first, j, i]] != 0.0 && keeps {
            let p = self.output[[b, first + class, j, i]];
            self.delta[[b, first + class, j, i]] = scale * (1.0 - p);
            return;
        }
        for c in 0..self.classes {
            let t = if c == class { 1.0 } else { 0.0 };
            let p = self.output[[b, first + c, j, i]];
            self.delta[[b, first + c, j, i]] = scale * (t - p);
        }
    }
}

fn truths(problem: &Problem, b: usize) -> Vec<Truth> {
    let [height, width] = problem.size().map(|side| side as f64);
    let objects = problem.boxes[b].iter();
    objects
        .map(|object| {
            let [x1, y1, x2, y2] = [
                object.bbox.x1,
                object.bbox.y1,
                object.bbox.x2,
                object.bbox.y2,
            ]
            .map(f64::from);
            Truth {
                x: (x1 + x2) / 2.0 / width,
                y: (y1 + y2) / 2.0 / height,
                w: (x2 - x1) / width,
                h: (y2 - y1) / height,
                class: object.class,
            }
        })
        .collect()
}

/// The negative gradients for each head.
pub(crate) fn deltas(problem: &Problem, outputs: &[ArrayD<f64>]) -> Vec<Array4<f64>> {
    let heads = outputs.iter().zip(problem.masks()).zip(problem.grids());
    heads
        .map(|((output, mask), grid)| {
            let unit = match &problem.rule {
                Rule::Region { .. } => grid,
                Rule::Yolo { .. } => problem.size(),
            };
            let [unit_h, unit_w] = unit.map(|side| side as f64);
            let anchor = |&[w, h]: &[f32; 2]| [f64::from(w) / unit_w, f64::from(h) / unit_h];
            let output = output.clone().into_dimensionality::<Ix4>().unwrap();
            let layer = Layer {
                delta: Array4::zeros(output.dim()),
                output,
                anchors: problem.anchors.iter().map(anchor).collect(),
                mask,
                classes: problem.classes,
            };
            match &problem.rule {
                Rule::Region { options, softmax } => region(problem, layer, options, *softmax),
                Rule::Yolo { options, .. } => yolo(problem, layer, options),
            }
        })
        .collect()
}

fn region(
    problem: &Problem,
    mut l: Layer,
    options: &RegionLossOptions,
    softmax: bool,
) -> Array4<f64> {
    let (batch, _, height, width) = l.output.dim();
    let anchors = l.mask.len();
    for b in 0..batch {
        for (n, j, i) in places(anchors, height, width) {
            for entry in [0, 1, 4] {
                let channel = l.channel(n, entry);
                l.output[[b, channel, j, i]] = logistic(l.output[[b, channel, j, i]]);
            }
            let first = l.channel(n, 5);
            if softmax {
                let sum: f64 = (0..l.classes)
                    .map(|c| l.output[[b, first + c, j, i]].exp())
                    .sum();
                for c in 0..l.classes {
                    l.output[[b, first + c, j, i]] = l.output[[b, first + c, j, i]].exp() / sum;
                }
            } else {
                for c in 0..l.classes {
                    l.output[[b, first + c, j, i]] = logistic(l.output[[b, first + c, j, i]]);
                }
            }
        }
    }
    let seen = problem.seen + batch as u64;
    for b in 0..batch {
        let truths = truths(problem, b);
        for (n, j, i) in places(anchors, height, width) {
            let predicted = l.predicted(b, n, j, i);
            let mut best_iou = 0.0;
            for truth in &truths {
                best_iou = f64::max(
                    best_iou,
                    iou(predicted, [truth.x, truth.y, truth.w, truth.h]),
                );
            }
            let objectness = l.channel(n, 4);
            l.delta[[b, objectness, j, i]] =
                options.noobject_scale * (0.0 - l.output[[b, objectness, j, i]]);
            if best_iou > options.ignore_threshold {
                l.delta[[b, objectness, j, i]] = 0.0;
            }
            if seen < 12_800 {
                let [w, h] = l.anchors[n];
                let prior = Truth {
                    x: (i as f64 + 0.5) / width as f64,
                    y: (j as f64 + 0.5) / height as f64,
                    w,
                    h,
                    class: 0,
                };
                l.delta_box(prior, b, n, j, i, 0.01);
            }
        }
        for truth in truths {
            let (i, j) = (
                (truth.x * width as f64) as usize,
                (truth.y * height as f64) as usize,
            );
            let (mut best_iou, mut best_n) = (0.0, 0);
            for n in 0..anchors {
                let mut shape = l.predicted(b, n, j, i);
                if options.matching == Matching::Anchors {
                    [shape[2], shape[3]] = l.anchors[n];
                }
                let iou = iou([0.0, 0.0, shape[2], shape[3]], [0.0, 0.0, truth.w, truth.h]);
                if iou > best_iou {
                    (best_iou, best_n) = (iou, n);
                }
            }
            let scale = options.coord_scale * (2.0 - truth.w * truth.h);
            let iou = l.delta_box(truth, b, best_n, j, i, scale);
            let objectness = l.channel(best_n, 4);
            let t = if options.rescore { iou } else { 1.0 };
            l.delta[[b, objectness, j, i]] =
                options.object_scale * (t - l.output[[b, objectness, j, i]]);
            l.delta_class(
                truth.class,
                [b, best_n, j, i],
                options.class_scale,
                !softmax,
            );
        }
        // The backward function.
        for (n, j, i) in places(anchors, height, width) {
            for entry in [0, 1, 4] {
                let at = [b, l.channel(n, entry), j, i];
                l.delta[at] *= (1.0 - l.output[at]) * l.output[at];
            }
        }
    }
    l.delta
}

fn yolo(problem: &Problem, mut l: Layer, options: &YoloLossOptions) -> Array4<f64> {
    let (batch, _, height, width) = l.output.dim();
    let own = l.mask.len();
    for b in 0..batch {
        for (n, j, i) in places(own, height, width) {
            for entry in (0..5 + l.classes).filter(|entry| ![2, 3].contains(entry)) {
                let at = [b, l.channel(n, entry), j, i];
                l.output[at] = logistic(l.output[at]);
            }
        }
    }
    for b in 0..batch {
        let truths = truths(problem, b);
        for (n, j, i) in places(own, height, width) {
            let predicted = l.predicted(b, n, j, i);
            let (mut best_iou, mut best_t) = (0.0, 0);
            for (t, truth) in truths.iter().enumerate() {
                let iou = iou(predicted, [truth.x, truth.y, truth.w, truth.h]);
                if iou > best_iou {
                    (best_iou, best_t) = (iou, t);
                }
            }
            let objectness = [b, l.channel(n, 4), j, i];
            l.delta[objectness] = 0.0 - l.output[objectness];
            if best_iou > options.ignore_threshold {
                l.delta[objectness] = 0.0;
            }
            if best_iou > options.truth_threshold {
                l.delta[objectness] = 1.0 - l.output[objectness];
                let truth = truths[best_t];
                l.delta_class(truth.class, [b, n, j, i], 1.0, true);
                l.delta_box(truth, b, n, j, i, 2.0 - truth.w * truth.h);
            }
        }
        for truth in truths {
            let (i, j) = (
                (truth.x * width as f64) as usize,
                (truth.y * height as f64) as usize,
            );
            let (mut best_iou, mut best_n) = (0.0, 0);
            for (n, anchor) in l.anchors.iter().enumerate() {
                let iou = iou(
                    [0.0, 0.0, anchor[0], anchor[1]],
                    [0.0, 0.0, truth.w, truth.h],
                );
                if iou > best_iou {
                    (best_iou, best_n) = (iou, n);
                }
            }
            if let Some(n) = l.mask.iter().position(|&anchor| anchor == best_n) {
                l.delta_box(truth, b, n, j, i, 2.0 - truth.w * truth.h);
                let objectness = [b, l.channel(n, 4), j, i];
                l.delta[objectness] = 1.0 - l.output[objectness];
                l.delta_class(truth.class, [b, n, j, i], 1.0, true);
            }
        }
    }
    l.delta
}

fn places(
    anchors: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..height)
        .flat_map(move |j| (0..width).flat_map(move |i| (0..anchors).map(move |n| (n, j, i))))
}
