//! From a head's tensor to boxes.
//!
//! A head divides the network's input into a grid. For each cell and each of its anchors, the
//! network computes `5 + classes` numbers. Their order along the channels is:
//!
//! ```text
//! tx  ty  tw  th  to  t_0 ... t_(classes-1)      (the first anchor)
//! tx  ty  tw  th  to  t_0 ... t_(classes-1)      (the second anchor)
//! ...
//! ```
//!
//! For cell `(i, j)` (column, row) of a grid of `W x H` cells, and an anchor of `pw x ph`:
//!
//! ```text
//! x = (i + logistic(tx)) / W          the box's centre,
//! y = (j + logistic(ty)) / H          as a share of the network's input
//! w = exp(tw) * pw / whole_w          its size; `whole` is the input's size in the
//! h = exp(th) * ph / whole_h          anchor's unit: grid cells (v2) or pixels (v3)
//! objectness = logistic(to)
//! class probability = logistic(t_c), or softmax over all t_c (v2 with softmax=1)
//! ```
//!
//! `exp` and `logistic` are computed in f64 and rounded to f32 where darknet does so, and operations
//! are in darknet's order, so that scores and boxes agree with darknet's to the last bits.
//!
//! Textbooks often have the order `P, x, y, h, w, classes` along the last axis, `[19, 19, 5, 85]`.
//! Darknet's order is `x, y, w, h, P, classes` along the channels, `[425, 19, 19]`.

mod region;
mod yolo;

use image_data::BBox;
use ndarray::ArrayView3;

use crate::anchors::Anchor;
use crate::error::{Error, Result};

/// The numbers in front of the class scores: `tx ty tw th to`.
pub(crate) const BOX_ENTRIES: usize = 5;

/// How class scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassActivation {
    /// Each class by itself: a box may be both a woman and a person.
    Logistic,
    /// All classes together: their probabilities sum to 1.
    Softmax,
}

/// A detection head: how to read the tensor that enters a `[region]` or `[yolo]` layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Darknet's number of the layer.
    pub layer: usize,
    /// The head's own anchors, in the order of its channels.
    pub anchors: Vec<Anchor>,
    /// The number of classes.
    pub classes: usize,
    /// How class scores become probabilities.
    pub class_activation: ClassActivation,
    /// The grid's cells `[h, w]`.
    pub grid: [usize; 2],
    /// The network's input `[h, w]` in pixels.
    pub network: [usize; 2],
}

/// What a head predicts for one anchor of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The box, in pixels of the network's input; it may extend beyond the edges.
    pub bbox: BBox,
    /// The estimated probability that the box contains an object.
    pub objectness: f32,
    /// For each class, the estimated probability that an object here is of that class.
    pub class_probabilities: Vec<f32>,
}

impl Head {
    /// The shape `[channels, h, w]` of the head's tensor for one picture.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        let channels = self
            .anchors
            .len()
            .saturating_mul(self.classes.saturating_add(BOX_ENTRIES));
        [channels, self.grid[0], self.grid[1]]
    }

    /// The head's stride `[h, w]`: a cell's size in pixels of the network's input.
    #[must_use]
    pub fn stride(&self) -> [usize; 2] {
        std::array::from_fn(|axis| self.network[axis].checked_div(self.grid[axis]).unwrap_or(0))
    }

    /// Decodes one picture's tensor `output` (`[channels, h, w]`, as it enters darknet's layer):
    /// all predictions whose objectness is greater than `threshold`, by row, column and anchor.
    ///
    /// ```
    /// use ndarray::Array3;
    /// use yolo_detect::{Anchor, ClassActivation, Head};
    ///
    /// let head = Head {
    ///     layer: 0,
    ///     anchors: vec![Anchor::network_pixels(16.0, 24.0)],
    ///     classes: 2,
    ///     class_activation: ClassActivation::Logistic,
    ///     grid: [1, 1],
    ///     network: [32, 32],
    /// };
    /// // All numbers 0: the cell's middle, the anchor's size, every logistic a half.
    /// let predictions = head.decode(Array3::zeros(head.shape()).view(), 0.25)?;
    /// let bbox = predictions[0].bbox;
    /// assert_eq!([bbox.x1, bbox.y1, bbox.x2, bbox.y2], [8.0, 4.0, 24.0, 28.0]);
    /// assert_eq!(predictions[0].objectness, 0.5);
    /// # Ok::<(), yolo_detect::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::HeadShape`] for a tensor of another shape, [`Error::OutputNotFinite`] for one with
    /// NaN.
    pub fn decode(&self, output: ArrayView3<'_, f32>, threshold: f32) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::new();
        self.for_each_prediction(output, threshold, |prediction| predictions.push(prediction))?;
        Ok(predictions)
    }

    /// [`decode`](Self::decode), one prediction at a time: together they take several times the
    /// memory of the tensor.
    pub(crate) fn for_each_prediction(
        &self,
        output: ArrayView3<'_, f32>,
        threshold: f32,
        mut take: impl FnMut(Prediction),
    ) -> Result<()> {
        if output.shape() != self.shape() {
            let (layer, expected, got) = (self.layer, self.shape(), output.shape().to_vec());
            return Err(Error::HeadShape {
                layer,
                expected,
                got,
            });
        }
        if let Some(&value) = output.iter().find(|value| value.is_nan()) {
            let layer = self.layer;
            return Err(Error::OutputNotFinite { layer, value });
        }
        for row in 0..self.grid[0] {
            for column in 0..self.grid[1] {
                for (index, anchor) in self.anchors.iter().enumerate() {
                    let first = index * (BOX_ENTRIES + self.classes);
                    let entry = |entry: usize| output[[first + entry, row, column]];
                    let objectness = logistic(entry(4));
                    if objectness <= threshold {
                        continue;
                    }
                    let scores = (0..self.classes).map(|class| entry(BOX_ENTRIES + class));
                    take(Prediction {
                        bbox: self.bbox(anchor, [row, column], std::array::from_fn(entry)),
                        objectness,
                        class_probabilities: match self.class_activation {
                            ClassActivation::Logistic => scores.map(logistic).collect(),
                            ClassActivation::Softmax => softmax(scores.collect()),
                        },
                    });
                }
            }
        }
        Ok(())
    }

    /// The box of `anchor` in cell `[row, column]`, from the numbers `tx ty tw th`.
    fn bbox(&self, anchor: &Anchor, cell: [usize; 2], [tx, ty, tw, th]: [f32; 4]) -> BBox {
        let [grid_h, grid_w] = self.grid.map(|size| size as f32);
        let [whole_h, whole_w] = anchor.whole(self.grid, self.network);
        let [network_h, network_w] = self.network.map(|size| size as f32);
        let cx = (cell[1] as f32 + logistic(tx)) / grid_w;
        let cy = (cell[0] as f32 + logistic(ty)) / grid_h;
        let w = (f64::from(tw).exp() * f64::from(anchor.width) / whole_w) as f32;
        let h = (f64::from(th).exp() * f64::from(anchor.height) / whole_h) as f32;
        BBox::from_cxcywh(cx * network_w, cy * network_h, w * network_w, h * network_h)
    }
}

/// `1 / (1 + exp(-x))`, in f64 and rounded to f32.
fn logistic(x: f32) -> f32 {
    (1.0 / (1.0 + f64::from(-x).exp())) as f32
}

/// `exp(x_i - m) / sum_j exp(x_j - m)` with the largest `m`: `exp` in f64, the sum in f32.
fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let largest = scores.iter().copied().fold(-f32::MAX, f32::max);
    let mut sum = 0.0;
    for score in &mut scores {
        *score = f64::from(*score - largest).exp() as f32;
        sum += *score;
    }
    for score in &mut scores {
        *score /= sum;
    }
    scores
}
