//! Random problems: a head or two, their options, a batch's objects and the network's outputs.

use image_data::{BBox, ObjectBox};
use ndarray::{ArrayD, ArrayViewD};
use proptest::prelude::*;
use testkit::random_array;
use yolo_detect::cfg::{Cfg, Layer};
use yolo_detect::{DetectionLoss, DetectionTargets, Network, RegionLossOptions, YoloLossOptions};

/// The pixels of a cell of the coarsest grid.
pub(crate) const STRIDE: usize = 16;

/// A loss and everything that it depends on.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) rule: Rule,
    /// The cells `[h, w]` of the coarsest grid.
    pub(crate) cells: [usize; 2],
    pub(crate) classes: usize,
    /// Width and height, in cells for a region head, in pixels for yolo heads.
    pub(crate) anchors: Vec<[f32; 2]>,
    /// Each picture's objects.
    pub(crate) boxes: Vec<Vec<ObjectBox>>,
    pub(crate) seen: u64,
    /// For the outputs.
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Region {
        options: RegionLossOptions,
        softmax: bool,
    },
    /// Two heads: one on the coarsest grid, the other on one of twice as many cells in each direction.
    /// The masks say which anchors each has.
    Yolo {
        options: YoloLossOptions,
        masks: [Vec<usize>; 2],
    },
}

impl Problem {
    /// The network's input in pixels, `[h, w]`.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.cells.map(|cells| cells * STRIDE)
    }

    /// The cells `[h, w]` of each head's grid.
    pub(crate) fn grids(&self) -> Vec<[usize; 2]> {
        match &self.rule {
            Rule::Region { .. } => vec![self.cells],
            Rule::Yolo { .. } => vec![self.cells.map(|cells| 2 * cells), self.cells],
        }
    }

    /// The numbers of each head's anchors.
    pub(crate) fn masks(&self) -> Vec<Vec<usize>> {
        match &self.rule {
            Rule::Region { .. } => vec![(0..self.anchors.len()).collect()],
            Rule::Yolo { masks, .. } => masks.to_vec(),
        }
    }

    pub(crate) fn targets(&self) -> DetectionTargets {
        DetectionTargets::new(&self.boxes, self.size(), self.seen).unwrap()
    }

    /// Logits from -2 to 2, one tensor per head.
    pub(crate) fn outputs(&self) -> Vec<ArrayD<f64>> {
        let heads = self.grids().into_iter().zip(self.masks()).enumerate();
        heads
            .map(|(head, ([rows, columns], mask))| {
                let channels = mask.len() * (5 + self.classes);
                let shape = [self.boxes.len(), channels, rows, columns];
                random_array(&shape, self.seed + head as u64) * 2.0
            })
            .collect()
    }

    pub(crate) fn loss(&self) -> DetectionLoss {
        let [height, width] = self.size();
        let list = |numbers: Vec<String>| numbers.join(",");
        let anchors = self.anchors.iter().flatten().map(f32::to_string).collect();
        let common = format!(
            "classes={}\nnum={}\nanchors={}\n",
            self.classes,
            self.anchors.len(),
            list(anchors)
        );
        let conv = |filters: usize, stride: usize| {
            format!("[conv]\nfilters={filters}\nsize=1\nstride={stride}\nactivation=linear\n")
        };
        let filters = |mask: &[usize]| mask.len() * (5 + self.classes);
        let layers = match &self.rule {
            Rule::Region { softmax, .. } => {
                let filters = self.anchors.len() * (5 + self.classes);
                let softmax = u8::from(*softmax);
                conv(filters, STRIDE) + &format!("[region]\nsoftmax={softmax}\n{common}")
            }
            Rule::Yolo { masks, .. } => {
                let yolo = |mask: &[usize]| {
                    let mask = mask.iter().map(usize::to_string).collect();
                    format!("[yolo]\nmask={}\n{common}", list(mask))
                };
                [
                    conv(1, STRIDE / 2),
                    conv(filters(&masks[0]), 1),
                    yolo(&masks[0]),
                    "[route]\nlayers=0\n".to_owned(),
                    conv(filters(&masks[1]), 2),
                    yolo(&masks[1]),
                ]
                .concat()
            }
        };
        let net = format!("[net]\nheight={height}\nwidth={width}\nchannels=1\n");
        let mut cfg = Cfg::parse(&(net + &layers)).unwrap();
        for section in &mut cfg.layers {
            match (&mut section.layer, &self.rule) {
                (Layer::Region(region), Rule::Region { options, .. }) => region.loss = *options,
                (Layer::Yolo(yolo), Rule::Yolo { options, .. }) => yolo.loss = *options,
                _ => {}
            }
        }
        DetectionLoss::new(&cfg, &Network::new(&cfg).unwrap()).unwrap()
    }
}

pub(crate) fn views(outputs: &[ArrayD<f64>]) -> Vec<ArrayViewD<'_, f64>> {
    outputs.iter().map(|output| output.view()).collect()
}

pub(crate) fn zeros(outputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
    outputs
        .iter()
        .map(|output| ArrayD::zeros(output.raw_dim()))
        .collect()
}

/// Objects that are often in the same cell, and as often alike.
fn boxes(size: [usize; 2], classes: usize) -> impl Strategy<Value = Vec<ObjectBox>> {
    let [height, width] = size.map(|side| side as f32);
    let span = |side: f32| {
        (0.0..0.9f32, 0.05..1.0f32).prop_map(move |(start, share)| {
            let end = start + share * (1.0 - start);
            [start * side, (end * side).min(side)]
        })
    };
    let object = (span(width), span(height), 0..classes).prop_map(|([x1, x2], [y1, y2], class)| {
        ObjectBox::new(class, BBox::from_xyxy(x1, y1, x2, y2))
    });
    prop::collection::vec(object, 0..5)
}

type Sizes = ([usize; 2], usize, Vec<[f32; 2]>);

/// Problems with any values of the rule's options, for an anchor unit of `unit` pixels.
fn problems(
    rule: impl Fn(usize) -> BoxedStrategy<Rule>,
    anchors: usize,
    unit: f32,
) -> impl Strategy<Value = Problem> {
    let cells = || 1..4usize;
    let side = || (2.0 / unit)..(48.0 / unit);
    let anchor = (side(), side()).prop_map(|(width, height)| [width, height]);
    let anchors = prop::collection::vec(anchor, 2..=anchors);
    let sizes = ([cells(), cells()], 1..5usize, anchors);
    sizes.prop_flat_map(move |(cells, classes, anchors): Sizes| {
        let size = cells.map(|cells| cells * STRIDE);
        (
            rule(anchors.len()),
            prop::collection::vec(boxes(size, classes), 1..4),
            prop_oneof![Just(0u64), Just(12_790), 12_795..12_802u64, Just(1 << 40)],
            any::<u32>(),
        )
            .prop_map(move |(rule, boxes, seen, seed)| Problem {
                rule,
                cells,
                classes,
                anchors: anchors.clone(),
                boxes,
                seen,
                seed: seed.into(),
            })
    })
}

fn scale() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), Just(5.0), 0.1..3.0f64]
}

pub(crate) fn region_problems() -> impl Strategy<Value = Problem> {
    let scales = || [scale(), scale(), scale(), scale()];
    let rule = move |_| {
        (scales(), 0.0..0.8f64, any::<[bool; 3]>())
            .prop_map(
                |(scales, ignore_threshold, [rescore, by_anchor, softmax])| {
                    let [object_scale, noobject_scale, class_scale, coord_scale] = scales;
                    let matching = match by_anchor {
                        true => yolo_detect::Matching::Anchors,
                        false => yolo_detect::Matching::Predictions,
                    };
                    let options = RegionLossOptions {
                        object_scale,
                        noobject_scale,
                        class_scale,
                        coord_scale,
                        ignore_threshold,
                        rescore,
                        matching,
                        ..RegionLossOptions::default()
                    };
                    Rule::Region { options, softmax }
                },
            )
            .boxed()
    };
    problems(rule, 5, STRIDE as f32)
}

pub(crate) fn yolo_problems() -> impl Strategy<Value = Problem> {
    let rule = |anchors: usize| {
        let truth_threshold = prop_oneof![Just(1.0), 0.1..0.8f64];
        (0.0..0.8f64, truth_threshold, 1..anchors)
            .prop_map(move |(ignore_threshold, truth_threshold, split)| {
                let options = YoloLossOptions {
                    ignore_threshold,
                    truth_threshold,
                    ..YoloLossOptions::default()
                };
                let masks = [(split..anchors).collect(), (0..split).collect()];
                Rule::Yolo { options, masks }
            })
            .boxed()
    };
    problems(rule, 6, 1.0)
}
