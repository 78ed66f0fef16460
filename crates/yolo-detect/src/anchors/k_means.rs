//! Anchors for a dataset: k-means over the sizes of its boxes, with 1 - IoU as the distance.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Anchor, AnchorUnit};
use crate::cfg::limits::MAX_ANCHORS;
use crate::error::{Error, Result};

/// How anchors are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeansOptions {
    /// How often the search begins anew, from other boxes; the best result counts; default 10.
    pub restarts: usize,
    /// The most iterations of one search, which ends before if nothing improves; default 300.
    pub max_iterations: usize,
    /// The seed of the random numbers, which choose the boxes to begin from; default 0. Equal boxes, options
    /// and seeds give equal anchors.
    pub seed: u64,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        Self {
            restarts: 10,
            max_iterations: 300,
            seed: 0,
        }
    }
}

/// Anchors, and how well they fit a set of boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorClusters {
    /// The anchors in pixels of the network's input; those of [`k_means`](Self::k_means) by rising area.
    /// [`Anchor::in_unit`] gives them in a head's unit.
    pub anchors: Vec<Anchor>,
    /// The mean over all boxes of the IoU with the nearest anchor, from 0 to 1.
    pub average_iou: f64,
    /// For each anchor, the number of boxes that it is nearest to; of equally near ones, the first counts.
    pub counts: Vec<usize>,
}

impl AnchorClusters {
    /// Finds `count` anchors for boxes `(width, height)` in pixels of the network's input, by k-means.
    ///
    /// The distance of a box and an anchor is `1 - IoU` of both, centred at one point, so that small and
    /// large boxes count alike. One search begins from boxes that are drawn one after another, each with a
    /// probability proportional to its distance from the nearest one drawn before (k-means++). An iteration
    /// assigns each box to its nearest anchor, then moves each anchor to the mean or to the median of the
    /// widths and heights of its boxes, whichever has the greater mean IoU with them, or leaves it where
    /// neither is better. So the average IoU never falls, unlike with the mean alone, which minimises
    /// another distance. An anchor without boxes moves to the box that fits its own anchor worst.
    ///
    /// The order of the boxes does not matter.
    ///
    /// ```
    /// use yolo_detect::{AnchorClusters, KMeansOptions};
    ///
    /// let boxes = [(10.0, 20.0), (12.0, 20.0), (100.0, 50.0), (100.0, 50.0)];
    /// let found = AnchorClusters::k_means(boxes, 2, &KMeansOptions::default())?;
    /// assert_eq!(found.anchors[1].width, 100.0);
    /// assert_eq!(found.counts, [2, 2]);
    /// # Ok::<(), yolo_detect::Error>(())
    /// ```
    ///
    /// Reference: J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger", 2016, section 2
    /// ("Dimension Clusters"); D. Arthur and S. Vassilvitskii, "k-means++: The Advantages of Careful
    /// Seeding", 2007, section 2.2.
    ///
    /// # Errors
    ///
    /// [`Error::BoxSize`] for a width or height that is NaN, infinite or not above 0;
    /// [`Error::TooFewBoxes`] for fewer different sizes than anchors; [`Error::Option`] for no anchors or
    /// more than a head can have, and for no restarts.
    pub fn k_means(
        boxes: impl IntoIterator<Item = (f32, f32)>,
        count: usize,
        options: &KMeansOptions,
    ) -> Result<Self> {
        if !(1..=MAX_ANCHORS).contains(&count) {
            return Err(Error::Option {
                option: "anchors",
                got: count.to_string(),
                expected: "1 to 1024",
            });
        }
        if options.restarts == 0 {
            return Err(Error::Option {
                option: "restarts",
                got: "0".to_owned(),
                expected: "at least 1",
            });
        }
        let mut boxes = sizes(boxes)?;
        // The draws depend on the order, the result should not. With the area first, a box and the same
        // one on its side are in the same place.
        boxes.sort_by(Size::compare);
        let mut different = boxes.clone();
        different.dedup();
        if different.len() < count {
            return Err(Error::TooFewBoxes {
                distinct: different.len(),
                anchors: count,
            });
        }
        let mut best: Option<Search<'_>> = None;
        for restart in 0..options.restarts {
            let mut search = Search::begin(&boxes, count, &mut stream(options.seed, restart))?;
            search.run(options.max_iterations);
            if best.as_ref().is_none_or(|best| search.sum() > best.sum()) {
                best = Some(search);
            }
        }
        let best = best.ok_or(Error::Internal {
            broken: "there is at least one restart",
        })?;
        let rounded = |one: &Size| Anchor::network_pixels(one.width as f32, one.height as f32);
        let mut anchors: Vec<Anchor> = best.anchors.iter().map(rounded).collect();
        let by_area = |a: &Anchor, b: &Anchor| a.area().total_cmp(&b.area());
        anchors.sort_by(|a, b| by_area(a, b).then(a.width.total_cmp(&b.width)));
        Self::evaluate(&anchors, &boxes)
    }

    /// Measures how well these anchors, in pixels of the network's input, fit boxes `(width, height)` in the
    /// same pixels.
    ///
    /// # Errors
    ///
    /// [`Error::BoxSize`]; [`Error::TooFewBoxes`] for none; [`Error::Option`] for no anchors, for one in grid
    /// cells, and for one whose width or height is NaN, infinite or not above 0.
    pub fn of(anchors: &[Anchor], boxes: impl IntoIterator<Item = (f32, f32)>) -> Result<Self> {
        let boxes = sizes(boxes)?;
        if boxes.is_empty() {
            return Err(Error::TooFewBoxes {
                distinct: 0,
                anchors: 1,
            });
        }
        Self::evaluate(anchors, &boxes)
    }

    fn evaluate(anchors: &[Anchor], boxes: &[Size]) -> Result<Self> {
        let fault = |got: String| Error::Option {
            option: "anchors",
            got,
            expected: "at least one, in pixels, with finite sides above 0",
        };
        if anchors.is_empty() {
            return Err(fault("none".to_owned()));
        }
        let size = |anchor: &Anchor| match anchor.unit {
            AnchorUnit::GridCells => Err(fault("in grid cells".to_owned())),
            AnchorUnit::NetworkPixels => Size::new(anchor.width, anchor.height)
                .ok_or_else(|| fault(format!("{} x {}", anchor.width, anchor.height))),
        };
        let sizes = anchors.iter().map(size).collect::<Result<Vec<_>>>()?;
        let mut counts = vec![0; sizes.len()];
        let mut sum = 0.0;
        for one in boxes {
            let (nearest, iou) = one.nearest(&sizes);
            sum += iou;
            if let Some(count) = counts.get_mut(nearest) {
                *count += 1;
            }
        }
        Ok(Self {
            anchors: anchors.to_vec(),
            average_iou: sum / boxes.len() as f64,
            counts,
        })
    }
}

/// A width and a height in pixels, both finite and above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Size {
    width: f64,
    height: f64,
}

impl Size {
    fn new(width: f32, height: f32) -> Option<Self> {
        let is_side = |side: f32| side.is_finite() && side > 0.0;
        (is_side(width) && is_side(height)).then(|| Self {
            width: width.into(),
            height: height.into(),
        })
    }

    fn area(self) -> f64 {
        self.width * self.height
    }

    /// By area, then by width.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let by_area = self.area().total_cmp(&other.area());
        by_area.then(self.width.total_cmp(&other.width))
    }

    /// Intersection over union of two boxes with the same centre.
    fn iou(self, other: Self) -> f64 {
        let intersection = self.width.min(other.width) * self.height.min(other.height);
        intersection / (self.area() + other.area() - intersection)
    }

    /// The index of the nearest anchor, the first of equally near ones, and the IoU with it.
    fn nearest(self, anchors: &[Self]) -> (usize, f64) {
        let mut nearest = (0, f64::NEG_INFINITY);
        for (index, &anchor) in anchors.iter().enumerate() {
            let iou = self.iou(anchor);
            if iou > nearest.1 {
                nearest = (index, iou);
            }
        }
        nearest
    }
}

fn sizes(boxes: impl IntoIterator<Item = (f32, f32)>) -> Result<Vec<Size>> {
    let size = |(index, (width, height))| {
        Size::new(width, height).ok_or(Error::BoxSize {
            index,
            width,
            height,
        })
    };
    boxes.into_iter().enumerate().map(size).collect()
}

/// One search: anchors, and each box's nearest one.
#[derive(Debug)]
struct Search<'a> {
    boxes: &'a [Size],
    anchors: Vec<Size>,
    /// For each box, the index of its anchor and the IoU with it.
    assigned: Vec<(usize, f64)>,
}

impl<'a> Search<'a> {
    /// Draws the first anchors.
    fn begin(boxes: &'a [Size], count: usize, random: &mut ChaCha8Rng) -> Result<Self> {
        let mut anchors: Vec<Size> = Vec::with_capacity(count);
        let mut distances = vec![1.0; boxes.len()];
        while anchors.len() < count {
            let drawn = draw(&distances, random);
            let &anchor = drawn
                .and_then(|index| boxes.get(index))
                .ok_or(Error::Internal {
                    broken: "there are more box sizes than anchors that have been drawn",
                })?;
            for (distance, one) in distances.iter_mut().zip(boxes) {
                *distance = f64::min(*distance, 1.0 - one.iou(anchor));
            }
            anchors.push(anchor);
        }
        let mut search = Self {
            boxes,
            anchors,
            assigned: Vec::new(),
        };
        search.assign();
        Ok(search)
    }

    fn run(&mut self, max_iterations: usize) {
        for _ in 0..max_iterations {
            if !self.iterate() {
                return;
            }
        }
    }

    /// Moves the anchors and assigns the boxes anew; whether any anchor has moved.
    fn iterate(&mut self) -> bool {
        let has_moved = self.move_anchors();
        if has_moved {
            self.assign();
        }
        has_moved
    }

    /// The sum of the IoU of each box with its anchor.
    fn sum(&self) -> f64 {
        self.assigned.iter().map(|&(_, iou)| iou).sum()
    }

    fn assign(&mut self) {
        let nearest = |one: &Size| one.nearest(&self.anchors);
        self.assigned = self.boxes.iter().map(nearest).collect();
        self.fill_empty();
    }

    /// Moves each anchor without boxes to the box with the least IoU among those that share their anchor.
    fn fill_empty(&mut self) {
        let mut counts = vec![0_usize; self.anchors.len()];
        for &(anchor, _) in &self.assigned {
            counts[anchor] += 1;
        }
        while let Some(empty) = counts.iter().position(|&count| count == 0) {
            let shared = self.assigned.iter().enumerate();
            let shared = shared.filter(|(_, (anchor, _))| counts[*anchor] > 1);
            let worst = shared.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
            // With more boxes than anchors there is one.
            let Some((index, &(former, _))) = worst else {
                return;
            };
            self.anchors[empty] = self.boxes[index];
            self.assigned[index] = (empty, 1.0);
            counts[former] -= 1;
            counts[empty] = 1;
        }
    }

    /// Moves each anchor to the mean or median of its boxes where that is nearer to them; whether any has
    /// moved.
    fn move_anchors(&mut self) -> bool {
        let mut members: Vec<Vec<Size>> = vec![Vec::new(); self.anchors.len()];
        for (&one, &(anchor, _)) in self.boxes.iter().zip(&self.assigned) {
            members[anchor].push(one);
        }
        let mut has_moved = false;
        for (anchor, members) in self.anchors.iter_mut().zip(&members) {
            let sum = |at: Size| members.iter().map(|one| one.iou(at)).sum::<f64>();
            let mut best = sum(*anchor);
            for candidate in [mean(members), median(members)].into_iter().flatten() {
                let candidate_sum = sum(candidate);
                if candidate_sum > best {
                    (*anchor, best) = (candidate, candidate_sum);
                    has_moved = true;
                }
            }
        }
        has_moved
    }
}

/// The mean width and the mean height; `None` of no boxes.
fn mean(boxes: &[Size]) -> Option<Size> {
    let count = boxes.len() as f64;
    (!boxes.is_empty()).then(|| Size {
        width: boxes.iter().map(|one| one.width).sum::<f64>() / count,
        height: boxes.iter().map(|one| one.height).sum::<f64>() / count,
    })
}

/// The median width and the median height; `None` of no boxes.
fn median(boxes: &[Size]) -> Option<Size> {
    let middle = |side: fn(&Size) -> f64| {
        let mut sides: Vec<f64> = boxes.iter().map(side).collect();
        sides.sort_unstable_by(f64::total_cmp);
        let half = sides.len() / 2;
        let upper = sides.get(half)?;
        let lower = sides.get((sides.len() - 1) / 2)?;
        Some((lower + upper) / 2.0)
    };
    Some(Size {
        width: middle(|one| one.width)?,
        height: middle(|one| one.height)?,
    })
}

/// Draws an index with a probability proportional to its weight; `None` if all weights are 0.
fn draw(weights: &[f64], random: &mut ChaCha8Rng) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    let mut rest = total * random.random::<f64>();
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            if rest < weight {
                return Some(index);
            }
            rest -= weight;
            last = Some(index);
        }
    }
    // The subtractions are rounded.
    last
}

/// The random numbers of one search.
fn stream(seed: u64, restart: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(restart as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests;
