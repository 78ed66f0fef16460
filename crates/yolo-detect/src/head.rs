//! From a head's tensor to boxes.
//!
//! A head divides the network's input into a grid. For each cell and each of its anchors the
//! network gives `5 + classes` numbers, which lie in this order along the channels:
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
//! `exp` and `logistic` are computed in f64 and rounded to f32 where darknet does so, in the same
//! order of operations, so that scores and boxes agree with darknet's to the last bits.
//!
//! Textbooks often order the numbers `P, x, y, h, w, classes` along the last axis, `[19, 19, 5,
//! 85]`; darknet's order is `x, y, w, h, P, classes` along the channels, `[425, 19, 19]`.

mod region;
mod yolo;

use image_data::BBox;
use ndarray::ArrayView3;

use crate::anchors::Anchor;
use crate::error::{Error, Result};

/// The numbers in front of the class scores: `tx ty tw th to`.
const BOX_ENTRIES: usize = 5;

/// How class scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassActivation {
    /// Each by itself: a box may be a woman and a person.
    Logistic,
    /// All together: the classes compete and sum to one.
    Softmax,
}

/// One detection head: how to read the tensor that enters a `[region]` or `[yolo]` layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Darknet's number of the layer.
    pub layer: usize,
    /// The head's own anchors, in the order of its channels.
    pub anchors: Vec<Anchor>,
    /// How many classes it tells apart.
    pub classes: usize,
    /// How class scores become probabilities.
    pub class_activation: ClassActivation,
    /// Cells `[h, w]`.
    pub grid: [usize; 2],
    /// The network's input `[h, w]` in pixels.
    pub network: [usize; 2],
}

/// What a head says about one anchor in one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The box, in pixels of the network's input; it may reach over the edge.
    pub bbox: BBox,
    /// How sure the network is that the box holds an object, from 0 to 1.
    pub objectness: f32,
    /// For each class, how sure it is that an object here is of that class, from 0 to 1.
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

    /// The head's stride `[h, w]`: how many pixels of the network's input one cell covers.
    #[must_use]
    pub fn stride(&self) -> [usize; 2] {
        std::array::from_fn(|axis| self.network[axis].checked_div(self.grid[axis]).unwrap_or(0))
    }

    /// Reads the tensor `output` (`[channels, h, w]`, as it enters darknet's layer) of one
    /// picture: all predictions whose objectness is over `threshold`, by row, column and anchor.
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
    /// [`Error::HeadShape`] for a tensor of another shape, [`Error::OutputNaN`] for one with NaN.
    pub fn decode(&self, output: ArrayView3<'_, f32>, threshold: f32) -> Result<Vec<Prediction>> {
        if output.shape() != self.shape() {
            let (layer, expected, got) = (self.layer, self.shape(), output.shape().to_vec());
            return Err(Error::HeadShape {
                layer,
                expected,
                got,
            });
        }
        if output.iter().any(|value| value.is_nan()) {
            return Err(Error::OutputNaN { layer: self.layer });
        }
        let mut predictions = Vec::new();
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
                    predictions.push(Prediction {
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
        Ok(predictions)
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
