//! Combining four pictures to one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SampleKey, check_range};
use crate::box_map::BoxMap;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::picture::Picture;
use crate::preprocessing::Preprocessing;
use crate::random::{Purpose, keyed};

/// Replaces a picture by a mosaic: its own upper left part, the upper right part of a second picture, and the
/// lower parts of a third and a fourth one, drawn from the dataset. All have been changed by the steps before.
/// The parts meet at a point whose coordinates are uniform in the middle 60 % of the input. Boxes are clipped
/// by their part.
///
/// Objects appear in other surroundings and near an edge, and a batch has more of them.
///
/// Reference: A. Bochkovskiy et al., "YOLOv4: Optimal Speed and Accuracy of Object Detection" (2020), section
/// 3.3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mosaic {
    /// The share of pictures that become mosaics, from 0 to 1. Default 0.5.
    pub probability: f64,
}

impl Default for Mosaic {
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

/// The part of the input, along each axis, in which the parts meet.
const MIDDLE: [f64; 2] = [0.2, 0.8];

/// A mosaic's plan: the samples of its second to fourth part, and where the parts meet `[y, x]`.
pub(crate) struct Plan {
    pub(crate) others: [usize; 3],
    meet: [usize; 2],
}

impl Mosaic {
    pub(super) fn check(&self, preprocessing: &Preprocessing) -> Result<()> {
        let range = [0.0, 1.0];
        check_range("mosaic", "probability", self.probability, range, "0 to 1")?;
        match preprocessing.fixed_size() {
            Some(_) => Ok(()),
            None => Err(Error::Option {
                what: "mosaic",
                field: "size",
                got: "unknown".to_owned(),
                expected: "a crop or a resize to one size in the preprocessing",
            }),
        }
    }

    /// Draws whether a sample becomes a mosaic, of a dataset with `len` samples.
    pub(crate) fn plan(&self, key: SampleKey, size: [usize; 2], len: usize) -> Option<Plan> {
        let random = &mut keyed(Purpose::Mosaic, [key.seed, key.epoch, key.sample]);
        random.chance(self.probability).then(|| Plan {
            others: [(); 3].map(|()| random.below(len)),
            meet: size.map(|side| (random.uniform(MIDDLE) * side as f64).round() as usize),
        })
    }
}

impl Plan {
    /// Puts a part of `from` into `picture`, which is of the same size: part 1 is the upper right one, 2 the
    /// lower left one, 3 the lower right one.
    pub(crate) fn put(&self, part: usize, from: &Picture, picture: &mut Picture) {
        let width = 3 * picture.width();
        let [[y1, y2], [x1, x2]] = self.part(part, picture.size());
        let rows = picture.rgb_mut().chunks_exact_mut(width);
        let rows = rows.zip(from.rgb().chunks_exact(width));
        for (to, from) in rows.skip(y1).take(y2 - y1) {
            to[3 * x1..3 * x2].copy_from_slice(&from[3 * x1..3 * x2]);
        }
    }

    /// The label of what remains of a picture in a part, 0 for the upper left one.
    pub(crate) fn label<L: Label>(&self, part: usize, label: L, size: [usize; 2]) -> L {
        let [[y1, y2], [x1, x2]] = self.part(part, size);
        let start = [y1, x1].map(|start| start as f64);
        let clipped = label.moved(&BoxMap::window(start), [y2 - y1, x2 - x1]);
        clipped.moved(&BoxMap::window(start.map(|start| -start)), size)
    }

    /// The rows and the columns of a part.
    fn part(&self, part: usize, [height, width]: [usize; 2]) -> [[usize; 2]; 2] {
        let [y, x] = self.meet;
        let rows = if part < 2 { [0, y] } else { [y, height] };
        let columns = if part.is_multiple_of(2) {
            [0, x]
        } else {
            [x, width]
        };
        [rows, columns]
    }
}

impl fmt::Display for Mosaic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mosaic {}", self.probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bbox::BBox;
    use crate::label::ObjectBox;

    #[test]
    fn each_part_shows_its_picture_and_keeps_its_boxes() {
        let plan = Plan {
            others: [0; 3],
            meet: [4, 6],
        };
        let size = [10, 12];
        let grey = |grey| Picture::new(12, 10, vec![grey; 360]).unwrap();
        let mut picture = grey(0);
        for part in 1..4 {
            plan.put(part, &grey(part as u8), &mut picture);
        }
        let at = |y: usize, x: usize| picture.rgb()[3 * (12 * y + x)];
        for (y, x, part) in [
            (0, 0, 0),
            (3, 5, 0),
            (3, 6, 1),
            (0, 11, 1),
            (4, 5, 2),
            (9, 0, 2),
            (4, 6, 3),
            (9, 11, 3),
        ] {
            assert_eq!(at(y, x), part, "{y} {x}");
        }
        // In the middle, and in the corner of the fourth part.
        let boxes = |bbox| vec![ObjectBox::new(1, bbox)];
        let middle = BBox::from_xyxy(5.0, 3.0, 9.0, 7.0);
        let expected = [
            // 1 of 16 pixels is too little.
            None,
            Some((6.0, 3.0, 9.0, 4.0)),
            Some((5.0, 4.0, 6.0, 7.0)),
            Some((6.0, 4.0, 9.0, 7.0)),
        ];
        for (part, expected) in expected.into_iter().enumerate() {
            let got = plan.label(part, boxes(middle), size);
            let expected = expected.map(|(x1, y1, x2, y2)| boxes(BBox::from_xyxy(x1, y1, x2, y2)));
            assert_eq!(got, expected.unwrap_or_default(), "{part}");
        }
        let corner = boxes(BBox::from_xyxy(10.0, 8.0, 12.0, 10.0));
        assert_eq!(plan.label(3, corner.clone(), size), corner);
        assert!(plan.label(0, corner, size).is_empty());
    }

    #[test]
    fn plans_depend_on_the_key_alone_and_keep_to_the_middle() {
        let key = |sample| SampleKey {
            sample,
            ..SampleKey::default()
        };
        let mosaic = Mosaic::default();
        let plan = |sample| mosaic.plan(key(sample), [100, 200], 7);
        let plans: Vec<Plan> = (0..1000).filter_map(plan).collect();
        // Five standard deviations of a thousand fair coins.
        assert!((420..580).contains(&plans.len()), "{}", plans.len());
        for plan in &plans {
            assert!((20..=80).contains(&plan.meet[0]) && (40..=160).contains(&plan.meet[1]));
            assert!(plan.others.iter().all(|&other| other < 7));
        }
        assert!((0..7).all(|sample| plans.iter().any(|plan| plan.others.contains(&sample))));
        assert_eq!(plan(3).map(|plan| plan.meet), plan(3).map(|plan| plan.meet));
        let never = Mosaic { probability: 0.0 };
        assert!((0..100).all(|sample| never.plan(key(sample), [9, 9], 2).is_none()));
    }
}
