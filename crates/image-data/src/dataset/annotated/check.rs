//! From a label as its file states it to a box in the picture, or a fault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Faulty;
use super::fault::{LabelFault, LabelProblem};
use crate::bbox::BBox;
use crate::decode::Turn;
use crate::label::{Boxes, ObjectBox, ObjectKind};
use crate::lint::Severity;

/// The labels of one picture, as a file states them.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    /// The file's name in messages.
    pub(super) file: String,
    /// The picture's `[h, w]` according to the file.
    pub(super) size: Option<[usize; 2]>,
    pub(super) objects: Vec<StatedObject>,
}

/// One label, as a file states it.
#[derive(Clone, Debug)]
pub(super) struct StatedObject {
    pub(super) line: usize,
    /// Its name in the file, where the line does not tell it.
    pub(super) name: Option<String>,
    pub(super) class: usize,
    pub(super) place: StatedBox,
    pub(super) kind: ObjectKind,
    pub(super) area: Option<f64>,
}

/// A box in the unit of its format.
#[derive(Clone, Copy, Debug)]
pub(super) enum StatedBox {
    /// `x1, y1, x2, y2` in pixels.
    Pixels([f64; 4]),
    /// `x1, y1, x2, y2` as shares of the picture's width and height.
    Shares([f64; 4]),
}

/// How far a box may reach beyond the picture without being called a fault, in pixels: edges are often
/// rounded, to whole pixels or to a few digits of a share.
const TOLERANCE: f64 = 1.0;

impl Stated {
    /// The boxes that can be used in a picture of `size`, `[h, w]`. What is wrong with the others is added
    /// to `faults`.
    pub(super) fn boxes(
        &self,
        size: [usize; 2],
        faulty: Faulty,
        faults: &mut Vec<LabelFault>,
    ) -> Boxes {
        let mut boxes = Boxes::new();
        // The line of each label that was used.
        let mut lines: HashMap<LabelKey, usize> = HashMap::new();
        for object in &self.objects {
            let mut fault = |problem| {
                faults.push(LabelFault {
                    file: self.file.clone(),
                    line: Some(object.line),
                    object: object.name.clone(),
                    problem,
                });
            };
            let bbox = match object.place.checked(size) {
                Ok(bbox) => bbox,
                Err((problem, clipped)) => {
                    fault(problem);
                    match (faulty, clipped) {
                        (Faulty::Clip, Some(bbox)) => bbox,
                        (Faulty::Clip | Faulty::Drop | Faulty::Refuse, _) => continue,
                    }
                }
            };
            let found = ObjectBox {
                class: object.class,
                bbox,
                kind: object.kind,
                area: object.area,
            };
            match lines.entry(key(&found)) {
                Entry::Occupied(first) => fault(LabelProblem::Duplicate {
                    first: *first.get(),
                }),
                Entry::Vacant(line) => {
                    line.insert(object.line);
                    boxes.push(found);
                }
            }
        }
        boxes
    }
}

/// What makes two labels of a picture the same.
type LabelKey = (usize, [u32; 4], ObjectKind, Option<u64>);

fn key(object: &ObjectBox) -> LabelKey {
    let BBox { x1, y1, x2, y2 } = object.bbox;
    let edges = [x1, y1, x2, y2].map(f32::to_bits);
    (
        object.class,
        edges,
        object.kind,
        object.area.map(f64::to_bits),
    )
}

impl StatedBox {
    /// The box in pixels, clipped to the picture; or what is wrong with it, and what is left of it inside
    /// the picture.
    fn checked(self, size: [usize; 2]) -> Result<BBox, (LabelProblem, Option<BBox>)> {
        let [h, w] = size.map(|side| side as f64);
        let [x1, y1, x2, y2] = match self {
            Self::Pixels(edges) => edges,
            Self::Shares([x1, y1, x2, y2]) => [x1 * w, y1 * h, x2 * w, y2 * h],
        };
        // Not `x2 <= x1`, so that NaN has no area either.
        if !(x2 > x1 && y2 > y1) {
            let [width, height] = [x2 - x1, y2 - y1].map(shown);
            return Err((LabelProblem::NoArea { width, height }, None));
        }
        let bbox = Box::new([x1, y1, x2, y2].map(shown));
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|edge| edge as f32);
        let clipped = BBox { x1, y1, x2, y2 }.clip(size);
        if clipped.is_empty() {
            return Err((LabelProblem::Outside { bbox, size }, None));
        }
        let inside = f64::from(x1) >= -TOLERANCE
            && f64::from(y1) >= -TOLERANCE
            && f64::from(x2) <= w + TOLERANCE
            && f64::from(y2) <= h + TOLERANCE;
        match inside {
            true => Ok(clipped),
            false => Err((LabelProblem::PartlyOutside { bbox, size }, Some(clipped))),
        }
    }
}

/// A number of pixels with at most two decimals.
fn shown(pixels: f64) -> String {
    let rounded = (pixels * 100.0).round() / 100.0;
    // Not "-0".
    format!("{}", rounded + 0.0)
}

/// Compares the size that labels state with that of the upright picture.
pub(super) fn size_problem(
    stated: Option<[usize; 2]>,
    actual: [usize; 2],
    turn: Turn,
) -> Option<LabelProblem> {
    let [h, w] = actual;
    // Whether the stated size shows that the labels are for the upright picture.
    let is_upright = match turn {
        Turn::None => true,
        Turn::SidesKept => false,
        Turn::SidesExchanged => stated.is_some() && h != w,
    };
    match stated {
        Some(stated) if stated != actual => {
            Some(if turn == Turn::SidesExchanged && stated == [w, h] {
                LabelProblem::NotUpright { stated, actual }
            } else {
                LabelProblem::SizeDiffers { stated, actual }
            })
        }
        Some(_) | None if is_upright => None,
        Some(_) | None => Some(LabelProblem::MayNotBeUpright),
    }
}

/// Whether the labels of a picture with such a problem can be used.
pub(super) fn is_usable(problem: &LabelProblem) -> bool {
    let fault = LabelFault {
        file: String::new(),
        line: None,
        object: None,
        problem: problem.clone(),
    };
    fault.severity() < Severity::Error
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [50, 100];

    fn boxes(places: &[StatedBox], faulty: Faulty) -> (Vec<[f32; 4]>, Vec<LabelProblem>) {
        let object = |(index, &place): (usize, &StatedBox)| StatedObject {
            line: index + 1,
            name: None,
            class: 0,
            place,
            kind: ObjectKind::Plain,
            area: None,
        };
        let stated = Stated {
            file: "a.txt".to_owned(),
            size: None,
            objects: places.iter().enumerate().map(object).collect(),
        };
        let mut faults = Vec::new();
        let boxes = stated.boxes(SIZE, faulty, &mut faults);
        let edges = boxes
            .iter()
            .map(|o| [o.bbox.x1, o.bbox.y1, o.bbox.x2, o.bbox.y2]);
        (
            edges.collect(),
            faults.into_iter().map(|fault| fault.problem).collect(),
        )
    }

    #[test]
    fn each_fault_is_found_and_clipped_or_dropped() {
        use StatedBox::{Pixels, Shares};
        let text = |edges: [&str; 4]| Box::new(edges.map(str::to_owned));
        let size = SIZE;
        let no_area = |width: &str, height: &str| LabelProblem::NoArea {
            width: width.to_owned(),
            height: height.to_owned(),
        };
        let cases = [
            (
                Pixels([10.0, 5.0, 30.0, 25.0]),
                None,
                Some([10.0, 5.0, 30.0, 25.0]),
            ),
            // To the edge, and less than a pixel beyond it.
            (
                Pixels([0.0, 0.0, 100.0, 50.0]),
                None,
                Some([0.0, 0.0, 100.0, 50.0]),
            ),
            (
                Pixels([-1.0, -0.5, 101.0, 50.9]),
                None,
                Some([0.0, 0.0, 100.0, 50.0]),
            ),
            (
                Shares([0.25, 0.5, 1.000_001, 1.0]),
                None,
                Some([25.0, 25.0, 100.0, 50.0]),
            ),
            (
                Pixels([-2.0, 0.0, 30.0, 25.0]),
                Some(LabelProblem::PartlyOutside {
                    bbox: text(["-2", "0", "30", "25"]),
                    size,
                }),
                Some([0.0, 0.0, 30.0, 25.0]),
            ),
            (
                Pixels([10.0, 5.0, 30.0, 51.25]),
                Some(LabelProblem::PartlyOutside {
                    bbox: text(["10", "5", "30", "51.25"]),
                    size,
                }),
                Some([10.0, 5.0, 30.0, 50.0]),
            ),
            (
                Pixels([100.0, 5.0, 130.0, 25.0]),
                Some(LabelProblem::Outside {
                    bbox: text(["100", "5", "130", "25"]),
                    size,
                }),
                None,
            ),
            (
                Pixels([10.0, 5.0, 10.0, 25.0]),
                Some(no_area("0", "20")),
                None,
            ),
            (
                Pixels([10.0, 25.0, 30.0, 5.0]),
                Some(no_area("20", "-20")),
                None,
            ),
            (
                Pixels([f64::NAN, 5.0, 30.0, 25.0]),
                Some(no_area("NaN", "20")),
                None,
            ),
            (
                Pixels([0.0, 0.0, f64::INFINITY, 25.0]),
                Some(LabelProblem::PartlyOutside {
                    bbox: text(["0", "0", "inf", "25"]),
                    size,
                }),
                Some([0.0, 0.0, 100.0, 25.0]),
            ),
        ];
        for (place, problem, clipped) in cases {
            let expected = Vec::from_iter(problem.clone());
            let (kept, problems) = boxes(&[place], Faulty::Clip);
            assert_eq!(problems, expected, "{place:?}");
            assert_eq!(kept, Vec::from_iter(clipped), "{place:?}");
            let (kept, problems) = boxes(&[place], Faulty::Drop);
            assert_eq!(problems, expected, "{place:?}");
            let untouched = clipped.filter(|_| problem.is_none());
            assert_eq!(kept, Vec::from_iter(untouched), "{place:?}");
        }
    }

    #[test]
    fn a_second_label_like_the_first_is_dropped() {
        let place = StatedBox::Pixels([10.0, 5.0, 30.0, 25.0]);
        let other = StatedBox::Pixels([10.0, 5.0, 30.0, 26.0]);
        let (kept, problems) = boxes(&[place, other, place], Faulty::Refuse);
        assert_eq!(kept.len(), 2);
        assert_eq!(problems, [LabelProblem::Duplicate { first: 1 }]);
    }

    #[test]
    fn sizes_are_compared_upright() {
        use Turn::{None as No, SidesExchanged, SidesKept};
        let actual = [20, 30];
        let stated = [30, 20];
        let differs = LabelProblem::SizeDiffers { stated, actual };
        let not_upright = LabelProblem::NotUpright { stated, actual };
        let may_not = LabelProblem::MayNotBeUpright;
        for (stated, turn, expected) in [
            (Some(actual), No, None),
            (None, No, None),
            (Some(stated), No, Some(differs.clone())),
            (Some(actual), SidesExchanged, None),
            (None, SidesExchanged, Some(may_not.clone())),
            (Some(stated), SidesExchanged, Some(not_upright)),
            (Some(actual), SidesKept, Some(may_not.clone())),
            (None, SidesKept, Some(may_not.clone())),
            (Some(stated), SidesKept, Some(differs.clone())),
        ] {
            let found = size_problem(stated, actual, turn);
            assert_eq!(found, expected, "{stated:?} {turn:?}");
        }
        // A square does not show it.
        let square = size_problem(Some([20, 20]), [20, 20], SidesExchanged);
        assert_eq!(square, Some(may_not.clone()));
        assert!(!is_usable(&differs) && is_usable(&may_not));
    }
}
