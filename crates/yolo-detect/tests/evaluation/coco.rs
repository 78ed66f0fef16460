//! COCO's metrics: 1,000 random cases against pycocotools, and single rules by hand.

use image_data::{BBox, ObjectBox, ObjectKind};
use serde::Deserialize;
use yolo_detect::Detection;

use super::{Picture, detection, evaluate, object, of_kind};
use crate::common::word;

/// `goldens/coco_evaluation.json`.
#[derive(Deserialize)]
struct Goldens {
    /// The twelve numbers of each case.
    summaries: Vec<[Option<f64>; 12]>,
    /// AP50, AP75 and AP of each class, for the first cases.
    per_class: Vec<Vec<[Option<f64>; 3]>>,
}

/// The stream `evaluation` of `goldens/portable.py`, value by value.
struct Random {
    seed: u64,
    next: u64,
}

impl Random {
    /// The next value modulo `limit`.
    fn below(&mut self, limit: i32) -> i32 {
        let value = word(self.seed, "evaluation", self.next);
        self.next += 1;
        i32::try_from(value % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.below(N as i32) as usize]
    }

    fn one_in(&mut self, limit: i32) -> bool {
        self.below(limit) == 0
    }
}

/// An object whose edges are counted in units.
struct Drawn {
    class: i32,
    edges: [i32; 4],
    kind: ObjectKind,
    area_eighths: Option<i32>,
}

/// The number of classes and the pictures of a case, as in `goldens/coco_evaluation.py`.
fn case(seed: u64) -> (usize, Vec<Picture>) {
    let mut random = Random { seed, next: 0 };
    let classes = 1 + random.below(4);
    let pictures = 1 + random.below(5);
    let unit = random.pick([1, 1, 2, 4]);
    let levels = random.pick([4, 32, 1024, 65536]);
    let is_crowded = random.one_in(12);
    let pictures = (0..pictures).map(|_| {
        let objects: Vec<Drawn> = (0..random.below(9))
            .map(|_| draw_object(&mut random, classes, unit, seed % 2 == 1))
            .collect();
        let count = match is_crowded {
            true => 100 * classes + random.below(80),
            false => random.below(25),
        };
        let detections = (0..count)
            .map(|_| draw_detection(&mut random, classes, &objects, unit, levels))
            .collect();
        let truth = objects.iter().map(|object| {
            let [x1, y1, x2, y2] = object.edges.map(|edge| f64::from(edge) / f64::from(unit));
            let area = |eighths: i32| (x2 - x1) * (y2 - y1) * (f64::from(eighths) / 8.0);
            ObjectBox {
                class: object.class as usize,
                bbox: bbox(object.edges, unit),
                kind: object.kind,
                area: object.area_eighths.map(area),
            }
        });
        (truth.collect(), detections)
    });
    (classes as usize, pictures.collect())
}

fn bbox(edges: [i32; 4], unit: i32) -> BBox {
    let [x1, y1, x2, y2] = edges.map(|edge| edge as f32 / unit as f32);
    BBox::from_xyxy(x1, y1, x2, y2)
}

fn draw_object(random: &mut Random, classes: i32, unit: i32, with_difficult: bool) -> Drawn {
    const SIDES: [i32; 9] = [8, 24, 32, 40, 64, 96, 100, 160, 256];
    let class = random.below(classes);
    let (x, y) = (random.below(300), random.below(300));
    let (width, height) = (random.pick(SIDES), random.pick(SIDES));
    let kind = match random.below(8) {
        0 => ObjectKind::Crowd,
        1 if with_difficult => ObjectKind::Difficult,
        _ => ObjectKind::Plain,
    };
    let stated = random.below(12);
    Drawn {
        class,
        edges: [x, y, x + width * unit, y + height * unit],
        kind,
        area_eighths: (1..=4).contains(&stated).then_some(stated),
    }
}

fn draw_detection(
    random: &mut Random,
    classes: i32,
    objects: &[Drawn],
    unit: i32,
    levels: i32,
) -> Detection {
    let how = random.below(8);
    let (class, [x1, y1, x2, y2]) = if how < 7 && !objects.is_empty() {
        let target = &objects[random.below(objects.len() as i32) as usize];
        let [x1, y1, x2, y2] = target.edges;
        let (width, height) = (x2 - x1, y2 - y1);
        let class = match random.one_in(8) {
            true => random.below(classes),
            false => target.class,
        };
        let edges = match how {
            0 => target.edges,
            1 => {
                let (left, top) = (x1 + random.below(width), y1 + random.below(height));
                let right = left + random.below(width + 1);
                [left, top, right, top + random.below(height + 1)]
            }
            _ => {
                let share = random.pick([2, 4, 8, 16, 32]);
                let (across, down) = (width / share + 1, height / share + 1);
                let mut moved = |edge: i32, most: i32| edge + random.below(2 * most + 1) - most;
                [
                    moved(x1, across),
                    moved(y1, down),
                    moved(x2, across),
                    moved(y2, down),
                ]
            }
        };
        (class, edges)
    } else {
        let class = random.below(classes);
        let (x, y) = (random.below(300), random.below(300));
        let right = x + random.below(200 * unit);
        (class, [x, y, right, y + random.below(200 * unit)])
    };
    Detection {
        class: class as usize,
        score: (1 + random.below(levels)) as f32 / levels as f32,
        bbox: bbox([x1, y1, x1.max(x2), y1.max(y2)], unit),
    }
}

/// Asserts that two metrics are equal up to rounding: the golden values have 14 digits, and each is a
/// mean of at most 101 * 10 * 4 numbers up to 1.
#[track_caller]
fn assert_same(got: &[Option<f64>], expected: &[Option<f64>], what: &str) {
    let is_same = |(got, expected): (&Option<f64>, &Option<f64>)| match (got, expected) {
        (Some(got), Some(expected)) => (got - expected).abs() <= 1e-12,
        (None, None) => true,
        _ => false,
    };
    let same = got.len() == expected.len() && got.iter().zip(expected).all(is_same);
    assert!(same, "{what}: got {got:?}, expected {expected:?}");
}

#[test]
fn equals_pycocotools() {
    let file = include_str!("../goldens/coco_evaluation.json");
    let goldens: Goldens = serde_json::from_str(file).unwrap();
    assert_eq!(
        (goldens.summaries.len(), goldens.per_class.len()),
        (1000, 200)
    );
    let mut per_class = goldens.per_class.iter();
    for (seed, summary) in (0..).zip(&goldens.summaries) {
        let (classes, pictures) = case(seed);
        let evaluation = evaluate(classes, &pictures);
        let got = evaluation.coco.in_coco_order();
        assert_same(&got, summary, &format!("case {seed}"));
        if let Some(expected) = per_class.next() {
            let got = evaluation.per_class.iter();
            let got = got.flat_map(|class| [class.ap50, class.ap75, class.ap]);
            let got: Vec<Option<f64>> = got.collect();
            assert_same(
                &got,
                expected.as_flattened(),
                &format!("case {seed}, classes"),
            );
        }
    }
}

/// The AP50 of one picture with one class.
fn ap50(truth: Vec<ObjectBox>, detections: Vec<Detection>) -> Option<f64> {
    evaluate(1, &[(truth, detections)]).per_class[0].ap50
}

#[test]
fn a_detection_takes_another_object_if_its_best_is_taken() {
    // Both overlap the first object most; VOC would count the second one as false.
    let truth = vec![object(0, 0.0), object(0, 3.0)];
    let detections = vec![detection(0, 0.9, 0.0), detection(0, 0.8, 1.0)];
    assert_eq!(ap50(truth, detections), Some(1.0));
}

#[test]
fn a_difficult_object_takes_one_detection_and_a_crowd_any_number() {
    let three = || (0..3).map(|i| detection(0, 0.9 - 0.1 * i as f32, 50.0));
    let with = |kind| {
        let truth = vec![object(0, 0.0), of_kind(kind, object(0, 50.0))];
        ap50(truth, three().chain([detection(0, 0.1, 0.0)]).collect())
    };
    assert_eq!(with(ObjectKind::Crowd), Some(1.0));
    // Two false positives before the true one.
    assert_same(
        &[with(ObjectKind::Difficult)],
        &[Some(1.0 / 3.0)],
        "difficult",
    );
    // Precision 1 up to a recall of 1/2, then 2/4.
    let plain = (51.0 + 50.0 * 0.5) / 101.0;
    assert_same(&[with(ObjectKind::Plain)], &[Some(plain)], "plain");
}

#[test]
fn detections_inside_a_crowd_overlap_it_wholly() {
    // The crowd is 100 wide: the IoU of a detection with it is 0.1, its share inside is 1.
    let crowd = ObjectBox {
        kind: ObjectKind::Crowd,
        ..ObjectBox::new(0, BBox::from_xywh(50.0, 0.0, 100.0, 10.0))
    };
    let truth = vec![crowd, object(0, 0.0)];
    let detections = vec![detection(0, 0.9, 60.0), detection(0, 0.8, 0.0)];
    assert_eq!(ap50(truth, detections), Some(1.0));
}

#[test]
fn only_a_hundred_detections_of_a_class_in_a_picture_count() {
    let truth = vec![object(0, 0.0)];
    let after = |others: usize| {
        let others = std::iter::repeat_n(detection(0, 0.9, 50.0), others);
        ap50(
            truth.clone(),
            others.chain([detection(0, 0.8, 0.0)]).collect(),
        )
    };
    assert_same(&[after(99)], &[Some(0.01)], "the hundredth");
    assert_eq!(after(100), Some(0.0));
    // Another class has its own hundred.
    let other = std::iter::repeat_n(detection(1, 0.9, 0.0), 100);
    let detections = other.chain([detection(0, 0.8, 0.0)]).collect();
    let evaluation = evaluate(2, &[(truth, detections)]);
    assert_eq!(evaluation.per_class[0].ap50, Some(1.0));
}

#[test]
fn the_stated_area_decides_the_range() {
    // The box has 100 pixels, the smallest range ends at 1024.
    let summary = |area| {
        let truth = vec![ObjectBox {
            area,
            ..object(0, 0.0)
        }];
        let coco = evaluate(1, &[(truth, vec![detection(0, 0.9, 0.0)])]).coco;
        [coco.map_small, coco.map_medium, coco.map_large]
    };
    assert_eq!(summary(None), [Some(1.0), None, None]);
    assert_eq!(summary(Some(1024.0)), [Some(1.0), Some(1.0), None]);
    assert_eq!(summary(Some(1025.0)), [None, Some(1.0), None]);
    assert_eq!(summary(Some(9217.0)), [None, None, Some(1.0)]);
    // Beyond the largest range, it is not even one of all.
    assert_eq!(summary(Some(1.1e10)), [None, None, None]);
}

#[test]
fn of_equal_scores_the_first_one_added_ranks_first() {
    let (right, wrong) = (detection(0, 0.5, 0.0), detection(0, 0.5, 50.0));
    assert_eq!(ap50(vec![object(0, 0.0)], vec![right, wrong]), Some(1.0));
    assert_eq!(ap50(vec![object(0, 0.0)], vec![wrong, right]), Some(0.5));
    // 0 and -0 are equal.
    let [right, wrong] = [(right, -0.0), (wrong, 0.0)].map(|(d, score)| Detection { score, ..d });
    assert_eq!(ap50(vec![object(0, 0.0)], vec![right, wrong]), Some(1.0));
}
