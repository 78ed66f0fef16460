//! The loss of one head for one picture, given what its anchors are trained for.

use ndarray::{ArrayView3, ArrayViewMut3};
use nn_layers::Element;

use super::assignment::{PictureAssignment, Responsible, Role};
use super::ciou::ciou;
use super::grid::{Grid, Place, logistic, wide};
use super::options::{BoxLoss, RegionLossOptions, YoloLossOptions};
use super::pointwise::{Pointwise, half_square};
use super::region::{softmax_cross_entropy, squared_error};
use super::terms::{LossTerm, Sums};
use super::yolo::cross_entropy;
use crate::head::{BOX_ENTRIES, ClassActivation, Head};

/// A head and how it is trained.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeadLoss {
    pub(super) head: Head,
    pub(super) rule: Rule,
}

/// What the two kinds of head do not share.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// YOLOv2.
    Region(RegionLossOptions),
    /// YOLOv3.
    Yolo {
        options: YoloLossOptions,
        /// The `[h, w]` of the anchors of all heads, in pixels of the network's input.
        shapes: Vec<[f64; 2]>,
        /// The numbers of the head's own anchors.
        mask: Vec<usize>,
    },
}

/// The weights of the terms, which both kinds of head have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scales {
    object: f64,
    noobject: f64,
    class: f64,
    coord: f64,
    ciou: f64,
    pub(super) box_loss: BoxLoss,
}

/// The entry of the objectness.
const OBJECTNESS: usize = 4;

impl HeadLoss {
    pub(super) fn scales(&self) -> Scales {
        match &self.rule {
            Rule::Region(options) => Scales {
                object: options.object_scale,
                noobject: options.noobject_scale,
                class: options.class_scale,
                coord: options.coord_scale,
                ciou: options.ciou_scale,
                box_loss: options.box_loss,
            },
            Rule::Yolo { options, .. } => Scales {
                object: options.object_scale,
                noobject: options.noobject_scale,
                class: options.class_scale,
                coord: options.coord_scale,
                ciou: options.ciou_scale,
                box_loss: options.box_loss,
            },
        }
    }

    pub(super) fn ignore_threshold(&self) -> f64 {
        match &self.rule {
            Rule::Region(options) => options.ignore_threshold,
            Rule::Yolo { options, .. } => options.ignore_threshold,
        }
    }

    /// The IoU above which any prediction is trained for an object.
    pub(super) fn truth_threshold(&self) -> f64 {
        match &self.rule {
            Rule::Region(_) => f64::INFINITY,
            Rule::Yolo { options, .. } => options.truth_threshold,
        }
    }

    pub(super) fn rescores(&self) -> bool {
        match &self.rule {
            Rule::Region(options) => options.rescore,
            Rule::Yolo { .. } => false,
        }
    }

    /// The number of pictures that the prior acts on.
    pub(super) fn prior_pictures(&self) -> u64 {
        match &self.rule {
            Rule::Region(options) => options.prior_pictures,
            Rule::Yolo { .. } => 0,
        }
    }

    /// Whether the loss of this head has such a term.
    pub(super) fn has(&self, term: LossTerm) -> bool {
        let box_loss = self.scales().box_loss;
        match term {
            LossTerm::Centre | LossTerm::Size => box_loss == BoxLoss::CentreAndSize,
            LossTerm::Ciou => box_loss == BoxLoss::Ciou,
            LossTerm::Objectness | LossTerm::NoObject | LossTerm::Class => true,
            LossTerm::Prior => matches!(self.rule, Rule::Region(_)),
        }
    }

    /// The error of `logistic(x)` for a target: squared or entropic.
    fn logistic_error(&self, x: f64, target: f64) -> Pointwise {
        match &self.rule {
            Rule::Region(_) => squared_error(x, target),
            Rule::Yolo { .. } => cross_entropy(x, target),
        }
    }

    /// The sums of one picture's terms. Writes the slopes, times `factor`, to `grad`, where there are
    /// zeros.
    pub(super) fn evaluate<T: Element>(
        &self,
        grid: &Grid,
        has_prior: bool,
        assignment: &PictureAssignment,
        output: &ArrayView3<'_, T>,
        factor: f64,
        grad: ArrayViewMut3<'_, T>,
    ) -> Sums {
        let scales = self.scales();
        let mut terms = PictureTerms {
            grid,
            output,
            factor,
            grad,
            sums: Sums::default(),
        };
        for ((anchor, row, column), role) in assignment.roles.indexed_iter() {
            let place = Place {
                anchor,
                row,
                column,
            };
            if *role == Role::Background {
                terms.add(
                    LossTerm::NoObject,
                    place,
                    OBJECTNESS,
                    scales.noobject,
                    |x| self.logistic_error(x, 0.0),
                );
            }
            if has_prior && *role != Role::Responsible {
                self.add_prior(place, &mut terms);
            }
        }
        for responsible in &assignment.responsible {
            terms.sums.add_object(responsible.iou);
            let place = responsible.place;
            match scales.box_loss {
                BoxLoss::CentreAndSize => self.add_box(responsible, scales.coord, &mut terms),
                BoxLoss::Ciou => terms.add_ciou(responsible, scales.ciou),
            }
            terms.add(
                LossTerm::Objectness,
                place,
                OBJECTNESS,
                scales.object,
                |x| self.logistic_error(x, responsible.objectness),
            );
            match self.head.class_activation {
                ClassActivation::Softmax => terms.add_softmax(responsible, scales.class),
                ClassActivation::Logistic => terms.add_independent(responsible, scales.class),
            }
        }
        terms.sums
    }

    /// Centre and size.
    fn add_box<T: Element>(
        &self,
        responsible: &Responsible,
        coord_scale: f64,
        terms: &mut PictureTerms<'_, T>,
    ) {
        let [x, y, w, h] = responsible.target;
        let scale = coord_scale * responsible.scale;
        let place = responsible.place;
        for (entry, target) in [(0, x), (1, y)] {
            terms.add(LossTerm::Centre, place, entry, scale, |x| {
                self.logistic_error(x, target)
            });
        }
        for (entry, target) in [(2, w), (3, h)] {
            terms.add(LossTerm::Size, place, entry, scale, |x| {
                half_square(x, target)
            });
        }
    }

    /// The distance from the cell's centre and the anchor's size.
    fn add_prior<T: Element>(&self, place: Place, terms: &mut PictureTerms<'_, T>) {
        let Rule::Region(options) = &self.rule else {
            return;
        };
        for entry in [0, 1] {
            terms.add(LossTerm::Prior, place, entry, options.prior_scale, |x| {
                squared_error(x, 0.5)
            });
        }
        for entry in [2, 3] {
            terms.add(LossTerm::Prior, place, entry, options.prior_scale, |x| {
                half_square(x, 0.0)
            });
        }
    }
}

/// A picture's terms while they are added up.
struct PictureTerms<'a, T> {
    grid: &'a Grid,
    output: &'a ArrayView3<'a, T>,
    factor: f64,
    grad: ArrayViewMut3<'a, T>,
    sums: Sums,
}

impl<T: Element> PictureTerms<'_, T> {
    /// Adds `scale` times the error of one number.
    fn add(
        &mut self,
        term: LossTerm,
        place: Place,
        entry: usize,
        scale: f64,
        error: impl Fn(f64) -> Pointwise,
    ) {
        let Pointwise { value, slope } = error(self.grid.logit(self.output, place, entry));
        self.sums.add(term, scale * value);
        self.set_slope(term, place, entry, scale * slope);
    }

    /// Sets the derivative of a term by one number. Each number is in one term only.
    fn set_slope(&mut self, term: LossTerm, place: Place, entry: usize, slope: f64) {
        let slope = T::from_f64(self.factor * slope);
        if !slope.is_finite() {
            // A slope can overflow where its term does not. Training has diverged then, too.
            self.sums.add(term, wide(slope));
        }
        let channel = self.grid.channel(place.anchor, entry);
        self.grad[[channel, place.row, place.column]] = slope;
    }

    fn add_ciou(&mut self, responsible: &Responsible, scale: f64) {
        let (grid, place) = (self.grid, responsible.place);
        let predicted = grid.predicted(self.output, place).scaled(grid.pixels);
        let ciou = ciou(
            predicted,
            responsible.bbox.scaled(grid.pixels),
            responsible.alpha,
        );
        self.sums.add(LossTerm::Ciou, scale * ciou.loss);

        // The derivatives of centre and size, in pixels, by tx, ty, tw and th.
        let [grid_h, grid_w] = grid.cells_f64();
        let [pixels_h, pixels_w] = grid.pixels;
        let spread = |entry| {
            let p = logistic(grid.logit(self.output, place, entry));
            p * (1.0 - p)
        };
        let inner = [
            spread(0) * pixels_w / grid_w,
            spread(1) * pixels_h / grid_h,
            predicted.w,
            predicted.h,
        ];
        for (entry, (outer, inner)) in ciou.slopes.into_iter().zip(inner).enumerate() {
            self.set_slope(LossTerm::Ciou, place, entry, scale * outer * inner);
        }
    }

    fn add_softmax(&mut self, responsible: &Responsible, scale: f64) {
        let place = responsible.place;
        let entries = (0..self.grid.classes).map(|class| BOX_ENTRIES + class);
        let logits = entries.map(|entry| self.grid.logit(self.output, place, entry));
        let mut logits: Vec<f64> = logits.collect();
        // The classes exclude each other, so there is one.
        let Some(&class) = responsible.classes.first() else {
            return;
        };
        let value = softmax_cross_entropy(&mut logits, class);
        self.sums.add(LossTerm::Class, scale * value);
        for (class, slope) in logits.into_iter().enumerate() {
            self.set_slope(LossTerm::Class, place, BOX_ENTRIES + class, scale * slope);
        }
    }

    fn add_independent(&mut self, responsible: &Responsible, scale: f64) {
        for class in 0..self.grid.classes {
            let is_own = responsible.classes.binary_search(&class).is_ok();
            let (place, entry) = (responsible.place, BOX_ENTRIES + class);
            self.add(LossTerm::Class, place, entry, scale, |x| {
                cross_entropy(x, f64::from(u8::from(is_own)))
            });
        }
    }
}
