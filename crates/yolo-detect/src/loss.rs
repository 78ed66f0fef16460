//! What a detector minimises in training: the losses of YOLOv2 (`[region]`) and YOLOv3 (`[yolo]`).
//!
//! The loss of a batch of `N` pictures is the sum of these terms over all heads and pictures, divided by
//! `N`. Let `s = logistic`, `sum_obj` the sum over the responsible anchors and `sum_bg` that over the
//! background (`assignment.rs` has the rules), `k = 2 - w h` with the object's size as shares of
//! the network's input, `I` the IoU of the predicted box and its object, and `e` the error of a
//! probability:
//!
//! ```text
//! centre      coord_scale    sum_obj k (e(tx, x) + e(ty, y))
//! size        coord_scale    sum_obj k ((tw - ln(w / pw))^2 + (th - ln(h / ph))^2) / 2
//! objectness  object_scale   sum_obj e(to, 1), or e(to, I) with rescore
//! no_object   noobject_scale sum_bg e(to, 0)
//! class       class_scale    sum_obj the cross-entropy of the softmax, or
//!                            sum_obj sum_c the cross-entropy of s(t_c), if classes are independent
//! prior       prior_scale    the sum over all but responsible anchors of
//!                            e(tx, 1/2) + e(ty, 1/2) + tw^2 / 2 + th^2 / 2     [region], early
//! ciou        ciou_scale     sum_obj (1 - IoU + rho^2 / c^2 + alpha v), instead of centre and size
//!
//! [region]    e(z, t) = (s(z) - t)^2 / 2
//! [yolo]      e(z, t) = -t ln s(z) - (1 - t) ln(1 - s(z)), less its least value for this t
//! ```
//!
//! Here `x` and `y` are the distance of the object's centre from its cell's corner in cells, and `pw` and
//! `ph` the anchor's size. The assignment, `I` and `alpha` are computed from the outputs, and then treated
//! as constants.
//!
//! Darknet computes no loss but its negative gradient, the array `delta` (`src/region_layer.c`,
//! `src/yolo_layer.c`; the cost that it prints is the squared norm of that array). The
//! terms are such that their gradients are these arrays. For `[region]`, darknet's
//! `backward_region_layer_gpu` multiplies the deltas of `tx`, `ty` and `to` by the slope of the logistic
//! function, which makes the errors squared ones. The function for CPUs does nothing. For `[yolo]`, they
//! stay as they are, which makes the errors cross-entropies.
//!
//! Sources: J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once", 2016, section 2.2;
//! J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger", 2016, section 2, and "YOLOv3: An
//! Incremental Improvement", 2018, sections 2.1 and 2.2.

mod assignment;
mod centre_box;
mod ciou;
mod grid;
mod head_loss;
mod options;
mod pointwise;
mod region;
mod targets;
mod terms;
mod yolo;

use ndarray::{ArrayBase, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4, IxDyn, RawData};
use nn_layers::{Element, Objective, Terms};

pub use assignment::{Assignment, Responsible, Role};
pub use grid::Place;
pub(crate) use options::is_at_least_0;
pub use options::{BoxLoss, Matching, RegionLossOptions, YoloLossOptions};
pub use targets::DetectionTargets;
pub use terms::{LossTerm, objects_in};

use crate::cfg::{Cfg, Layer};
use crate::error::{Error, Result};
use crate::network::Network;
use assignment::{HeadAssignment, assign};
use grid::{Grid, wide};
use head_loss::{HeadLoss, Rule};
use terms::Sums;

/// The loss of a darknet detector: an [`Objective`] for a [`Trainer`](nn_layers::Trainer), with one output
/// per head.
///
/// [`Terms::parts`] has each term summed over the pictures, so that `total` is their sum over the number of
/// pictures: `centre`, `size`, `objectness`, `no_object`, `class`, for YOLOv2 also `prior`; with
/// [`BoxLoss::Ciou`], `ciou` replaces the first two. Two further parts are not terms: `objects` is the
/// number of anchors that were trained for an object, `iou` the sum of their IoUs, so that `iou / objects`
/// is the mean IoU that darknet prints.
///
/// ```
/// use image_data::{BBox, ObjectBox};
/// use ndarray::ArrayD;
/// use nn_layers::Objective;
/// use yolo_detect::{DetectionLoss, DetectionTargets, Network, cfg::Cfg, objects_in};
///
/// // A grid of one cell with one anchor, and one class.
/// let cfg = Cfg::parse(
///     "[net]
///      width=32
///      height=32
///      channels=3
///      [convolutional]
///      filters=6
///      size=1
///      stride=32
///      activation=linear
///      [yolo]
///      classes=1
///      num=1
///      anchors=16,16",
/// )?;
/// let loss = DetectionLoss::new(&cfg, &Network::new(&cfg)?)?;
///
/// // With all numbers 0, the predicted box is the object's, and all probabilities are a half.
/// let boxes = [[ObjectBox::new(0, BBox::from_xyxy(8.0, 8.0, 24.0, 24.0))]];
/// let targets = DetectionTargets::new(&boxes, [32, 32], 0)?;
/// let output = ArrayD::<f64>::zeros(vec![1, 6, 1, 1]);
/// let mut grads = [output.clone()];
/// let terms = loss.eval(&targets, &[output.view()], &mut grads)?;
/// assert_eq!(objects_in(&terms)?, 1);
/// assert!((terms.total - 2.0 * 2f64.ln()).abs() < 1e-15); // objectness and class
/// assert_eq!(grads[0].as_slice(), Some(&[0.0, 0.0, 0.0, 0.0, -0.5, -0.5][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionLoss {
    heads: Vec<HeadLoss>,
}

impl DetectionLoss {
    /// The loss of `network`, which was built from `cfg`. Its options are those of the cfg's heads
    /// ([`Region::loss`](crate::cfg::Region::loss), [`Yolo::loss`](crate::cfg::Yolo::loss)).
    ///
    /// # Errors
    ///
    /// [`Error::NoHead`] for a network without heads, [`Error::Option`] for a weight or threshold that is
    /// negative or not finite.
    pub fn new(cfg: &Cfg, network: &Network) -> Result<Self> {
        let mut heads = Vec::with_capacity(network.heads().len());
        for head in network.heads() {
            let section = cfg.layers.get(head.layer);
            let rule = match section.map(|section| &section.layer) {
                Some(Layer::Region(region)) => {
                    region.loss.check()?;
                    Rule::Region(region.loss)
                }
                Some(Layer::Yolo(yolo)) => {
                    yolo.loss.check()?;
                    let shape = |anchor: &crate::Anchor| [anchor.height, anchor.width];
                    let shapes = yolo.anchors.iter().map(shape);
                    Rule::Yolo {
                        options: yolo.loss,
                        shapes: shapes.map(|shape| shape.map(f64::from)).collect(),
                        mask: yolo.mask.clone(),
                    }
                }
                Some(_) | None => {
                    return Err(Error::Internal {
                        broken: "a network's heads are layers of its cfg",
                    });
                }
            };
            heads.push(HeadLoss {
                head: head.clone(),
                rule,
            });
        }
        match heads.is_empty() {
            true => Err(Error::NoHead),
            false => Ok(Self { heads }),
        }
    }

    /// Decides what each anchor of each cell is trained for.
    ///
    /// # Errors
    ///
    /// [`Error::LossHeads`] and [`Error::LossShape`] for outputs that are not the heads' for these targets,
    /// [`Error::OutputNotFinite`] for one with NaN or infinity, [`Error::TargetClass`] for a class that
    /// a head does not have.
    pub fn assign<T: Element>(
        &self,
        targets: &DetectionTargets,
        outputs: &[ArrayViewD<'_, T>],
    ) -> Result<Assignment> {
        self.check_count("outputs", outputs.len())?;
        let mut heads = Vec::with_capacity(self.heads.len());
        for (head, output) in self.heads.iter().zip(outputs) {
            targets.check_classes(head.head.classes)?;
            let output = head.view(output, targets)?;
            if let Some(&value) = output.iter().find(|value| !value.is_finite()) {
                let (layer, value) = (head.head.layer, wide(value) as f32);
                return Err(Error::OutputNotFinite { layer, value });
            }
            let (_, _, rows, columns) = output.dim();
            let grid = Grid::new(&head.head, [rows, columns], targets.size());
            let pictures = targets.objects_by_picture().iter();
            let pictures = pictures
                .zip(output.outer_iter())
                .map(|(objects, output)| assign(head, &grid, objects, &output));
            heads.push(HeadAssignment {
                pictures: pictures.collect(),
                has_prior: targets.seen_with_these() < head.prior_pictures(),
                grid,
            });
        }
        Ok(Assignment { heads })
    }

    /// Computes the loss and its gradient for a given assignment.
    ///
    /// `grads` has to contain zeros in the shapes of `outputs`; it is set to `d total / d output`. As the
    /// assignment is constant, this is the function whose gradient a difference quotient finds.
    ///
    /// # Errors
    ///
    /// [`Error::LossHeads`] and [`Error::LossShape`] for outputs or gradients in other shapes than those of
    /// the assignment, [`Error::LossNotFinite`] with the term that is NaN or infinite.
    pub fn eval_assigned<T: Element>(
        &self,
        assignment: &Assignment,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> Result<Terms> {
        self.check_count("outputs", outputs.len())?;
        self.check_count("gradients", grads.len())?;
        self.check_count("assignments", assignment.heads.len())?;
        let mut sums = Sums::default();
        let mut pictures = 0.0;
        let heads = self.heads.iter().zip(&assignment.heads);
        for ((head, assigned), (output, grad)) in heads.zip(outputs.iter().zip(grads)) {
            let layer = head.head.layer;
            let output = assigned.four_axes(layer, "output", output.view())?;
            let mut grad = assigned.four_axes(layer, "gradient", grad.view_mut())?;
            pictures = assigned.pictures.len() as f64;
            let mut of_head = Sums::default();
            for (index, picture) in assigned.pictures.iter().enumerate() {
                of_head.add_all(&head.evaluate(
                    &assigned.grid,
                    assigned.has_prior,
                    picture,
                    &output.index_axis(Axis(0), index),
                    1.0 / pictures,
                    grad.index_axis_mut(Axis(0), index),
                ));
            }
            of_head.check(layer)?;
            sums.add_all(&of_head);
        }
        let has = |term| self.heads.iter().any(|head| head.has(term));
        Ok(sums.into_terms(pictures, has))
    }

    fn check_count(&self, what: &'static str, got: usize) -> Result<()> {
        let heads = self.heads.len();
        match got == heads {
            true => Ok(()),
            false => Err(Error::LossHeads { what, heads, got }),
        }
    }
}

impl<T: Element> Objective<T> for DetectionLoss {
    type Targets = DetectionTargets;

    /// [`assign`](DetectionLoss::assign), then [`eval_assigned`](DetectionLoss::eval_assigned). Their
    /// errors are in [`nn_layers::Error::Other`].
    fn eval(
        &self,
        targets: &DetectionTargets,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> nn_layers::Result<Terms> {
        self.assign(targets, outputs)
            .and_then(|assignment| self.eval_assigned(&assignment, outputs, grads))
            .map_err(nn_layers::Error::other)
    }
}

impl HeadLoss {
    /// The output as four axes, if it has as many pictures as the targets, the head's channels, and its
    /// grid for pictures of the targets' size. This size may be another than the cfg's; where it is no
    /// multiple of the stride, the grid may be rounded up or down.
    fn view<'a, T>(
        &self,
        output: &'a ArrayViewD<'_, T>,
        targets: &DetectionTargets,
    ) -> Result<ArrayView4<'a, T>> {
        let head = &self.head;
        let sized = |axis: usize| targets.size()[axis].saturating_mul(head.grid[axis]);
        let cells = |axis: usize| sized(axis).checked_div(head.network[axis]).unwrap_or(0);
        // An empty batch has no loss.
        let pictures = targets.pictures().max(1);
        let expected = [pictures, head.shape()[0], cells(0), cells(1)];
        let is_near = |axis: usize, cells: usize| {
            let got = cells.saturating_mul(head.network[axis]);
            cells > 0 && got.abs_diff(sized(axis)) < head.network[axis]
        };
        let fits = match *output.shape() {
            [n, channels, rows, columns] => {
                [n, channels] == expected[..2] && is_near(0, rows) && is_near(1, columns)
            }
            _ => false,
        };
        let view = output.view().into_dimensionality::<Ix4>().ok();
        view.filter(|_| fits).ok_or_else(|| Error::LossShape {
            layer: head.layer,
            what: "output",
            expected,
            got: output.shape().to_vec(),
        })
    }
}

impl HeadAssignment {
    /// An output or a gradient as four axes, if its shape is that of the output from which the assignment
    /// was made.
    fn four_axes<S: RawData>(
        &self,
        layer: usize,
        what: &'static str,
        tensor: ArrayBase<S, IxDyn>,
    ) -> Result<ArrayBase<S, Ix4>> {
        let [rows, columns] = self.grid.cells;
        let expected = [self.pictures.len(), self.grid.channels(), rows, columns];
        let got = tensor.shape().to_vec();
        let four = tensor.into_dimensionality::<Ix4>().ok();
        four.filter(|_| got == expected).ok_or(Error::LossShape {
            layer,
            what,
            expected,
            got,
        })
    }
}
