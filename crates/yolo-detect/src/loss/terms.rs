//! The terms of a loss: their names, their sums, and whether they are numbers.

use std::fmt;

use nn_layers::Terms;

use crate::error::{Error, Result};

/// A term of a detection loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossTerm {
    /// The centres of responsible anchors' boxes.
    Centre,
    /// The sizes of responsible anchors' boxes.
    Size,
    /// The complete IoU of responsible anchors' boxes, instead of both.
    Ciou,
    /// The objectness of responsible anchors.
    Objectness,
    /// The objectness of the background.
    NoObject,
    /// The classes of responsible anchors.
    Class,
    /// All other boxes' distance from their anchors, early in the training of YOLOv2.
    Prior,
}

/// All terms, in the order of their variants.
const ALL: [LossTerm; 7] = [
    LossTerm::Centre,
    LossTerm::Size,
    LossTerm::Ciou,
    LossTerm::Objectness,
    LossTerm::NoObject,
    LossTerm::Class,
    LossTerm::Prior,
];

/// The part with the number of anchors that were trained for an object.
const OBJECTS: &str = "objects";

/// The part with the sum of their IoUs.
const IOU: &str = "iou";

impl LossTerm {
    /// The name in [`Terms::parts`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::Size => "size",
            Self::Ciou => "ciou",
            Self::Objectness => "objectness",
            Self::NoObject => "no_object",
            Self::Class => "class",
            Self::Prior => "prior",
        }
    }
}

impl fmt::Display for LossTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number of objects that a batch was trained on, from the terms of its [`DetectionLoss`].
///
/// It is 0 if the batch has no objects. All terms but `no_object` and `prior` are then 0, and that is
/// fine: the network learns what background is. Darknet prints `nan` for the means over no objects,
/// which looks like divergence; real divergence is an error here.
///
/// ```
/// use nn_layers::Terms;
/// use yolo_detect::{Error, LossTerm, objects_in};
///
/// let part = |name: &str, value: f64| (name.to_owned(), value);
/// let mut terms = Terms {
///     total: 0.25,
///     parts: vec![part("size", 0.0), part("no_object", 0.25), part("objects", 0.0)],
/// };
/// assert_eq!(objects_in(&terms)?, 0);
///
/// terms.parts[0].1 = f64::NAN;
/// assert!(matches!(objects_in(&terms), Err(Error::LossNotFinite { term: LossTerm::Size, .. })));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// [`Error::LossNotFinite`], which names the first term that is NaN or infinite, and [`Error::NoTerms`]
/// for terms of another loss.
///
/// [`DetectionLoss`]: super::DetectionLoss
pub fn objects_in(terms: &Terms) -> Result<u64> {
    let part = |name: &str| terms.parts.iter().find(|(known, _)| known == name);
    for term in ALL {
        if let Some(&(_, value)) = part(term.name()) {
            check(term, value, None)?;
        }
    }
    match part(OBJECTS) {
        Some(&(_, objects)) => Ok(objects as u64),
        None => Err(Error::NoTerms),
    }
}

fn check(term: LossTerm, value: f64, layer: Option<usize>) -> Result<()> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(Error::LossNotFinite { layer, term, value }),
    }
}

/// Sums over pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    terms: [f64; ALL.len()],
    objects: u64,
    iou: f64,
}

impl Sums {
    pub(super) fn add(&mut self, term: LossTerm, value: f64) {
        self.terms[term as usize] += value;
    }

    /// Counts an anchor that was trained for an object.
    pub(super) fn add_object(&mut self, iou: f64) {
        self.objects += 1;
        self.iou += iou;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (sum, value) in self.terms.iter_mut().zip(other.terms) {
            *sum += value;
        }
        self.objects += other.objects;
        self.iou += other.iou;
    }

    /// Refuses NaN and infinity in the sums of one head.
    pub(super) fn check(&self, layer: usize) -> Result<()> {
        ALL.into_iter()
            .zip(self.terms)
            .try_for_each(|(term, value)| check(term, value, Some(layer)))
    }

    /// The parts that `has` selects, and the total over `pictures` pictures.
    pub(super) fn into_terms(self, pictures: f64, has: impl Fn(LossTerm) -> bool) -> Terms {
        let selected = ALL.into_iter().zip(self.terms);
        let selected = selected.filter(|&(term, _)| has(term));
        let mut parts: Vec<(String, f64)> = selected
            .map(|(term, value)| (term.name().to_owned(), value))
            .collect();
        let total = parts.iter().map(|(_, value)| value).sum::<f64>() / pictures;
        parts.push((OBJECTS.to_owned(), self.objects as f64));
        parts.push((IOU.to_owned(), self.iou));
        Terms { total, parts }
    }
}
