//! Tests of the anchors by k-means.

use proptest::prelude::*;

use super::*;

/// Sizes of a dataset: some small, some large, some equal.
fn boxes() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let side = prop_oneof![1.0f32..30.0, 10.0f32..400.0, Just(16.0f32)];
    prop::collection::vec((side.clone(), side), 12..80)
}

fn options(seed: u64) -> KMeansOptions {
    KMeansOptions {
        seed,
        restarts: 3,
        ..KMeansOptions::default()
    }
}

fn sides(found: &AnchorClusters) -> Vec<(f32, f32)> {
    let sides = |anchor: &Anchor| (anchor.width, anchor.height);
    found.anchors.iter().map(sides).collect()
}

/// Sizes that differ, so that a search for three has enough.
fn has_different(boxes: &[(f32, f32)], count: usize) -> bool {
    let mut sizes = sizes(boxes.iter().copied()).unwrap();
    sizes.sort_by(Size::compare);
    sizes.dedup();
    sizes.len() >= count
}

#[test]
fn the_iou_of_centred_boxes() {
    let size = |width, height| Size::new(width, height).unwrap();
    // Within each other: 6 of 24; across each other: 8 of 16 + 16 - 8.
    assert_eq!(size(2.0, 3.0).iou(size(4.0, 6.0)), 0.25);
    let across = size(2.0, 8.0).iou(size(8.0, 2.0));
    assert_eq!(across, 4.0 / 28.0);
    assert_eq!(size(0.1, 7.0).iou(size(0.1, 7.0)), 1.0);
}

/// Two anchors for 10x10, 10x12, 10x14 and 40x40: the first three share one, whose best place is 10x12, their
/// mean and median: IoU 100/120 + 1 + 120/140, more than at 10x14, 100/140 + 120/140 + 1.
#[test]
fn a_case_by_hand() {
    let boxes = [(40.0, 40.0), (10.0, 14.0), (10.0, 10.0), (10.0, 12.0)];
    let found = AnchorClusters::k_means(boxes, 2, &KMeansOptions::default()).unwrap();
    assert_eq!(sides(&found), [(10.0, 12.0), (40.0, 40.0)]);
    assert_eq!(found.counts, [3, 1]);
    let expected = (100.0 / 120.0 + 1.0 + 120.0 / 140.0 + 1.0) / 4.0;
    assert!((found.average_iou - expected).abs() < 1e-12, "{found:?}");
    // The same anchors, measured by themselves.
    assert_eq!(AnchorClusters::of(&found.anchors, boxes).unwrap(), found);
}

#[test]
fn planted_clusters_are_recovered() {
    let centres = [(12.0, 16.0), (40.0, 90.0), (120.0, 50.0), (300.0, 280.0)];
    // Each cluster is symmetric, so that its median is its centre: IoU 1 with one box of nine and less with
    // any other place.
    let around = |&(width, height): &(f32, f32)| {
        let shares = [-0.1, 0.0, 0.1];
        shares.map(|x| shares.map(|y| (width * (1.0 + x), height * (1.0 + y))))
    };
    let boxes: Vec<(f32, f32)> = centres.iter().flat_map(around).flatten().collect();
    for seed in 0..5 {
        let found = AnchorClusters::k_means(boxes.iter().copied(), 4, &options(seed)).unwrap();
        assert_eq!(found.counts, [9; 4]);
        for (got, expected) in sides(&found).iter().zip(centres) {
            // A tenth is not exact in f32.
            assert!((got.0 / expected.0 - 1.0).abs() < 1e-6, "{found:?}");
            assert!((got.1 / expected.1 - 1.0).abs() < 1e-6, "{found:?}");
        }
    }
}

#[test]
fn as_many_anchors_as_sizes_fit_all_of_them() {
    let boxes = [(5.0, 5.0), (9.0, 2.0), (5.0, 5.0), (1.0, 70.0)];
    let found = AnchorClusters::k_means(boxes, 3, &KMeansOptions::default()).unwrap();
    assert_eq!(sides(&found), [(9.0, 2.0), (5.0, 5.0), (1.0, 70.0)]);
    assert_eq!(
        (found.average_iou, &found.counts[..]),
        (1.0, &[1, 2, 1][..])
    );
}

#[test]
fn an_anchor_without_boxes_moves_to_the_worst_one() {
    let boxes = sizes([(10.0, 10.0), (11.0, 10.0), (100.0, 100.0)]).unwrap();
    let mut search = Search {
        boxes: &boxes,
        anchors: vec![
            boxes[0],
            Size {
                width: 1.0,
                height: 1e6,
            },
        ],
        assigned: Vec::new(),
    };
    search.assign();
    assert_eq!(search.anchors[1], boxes[2]);
    assert_eq!(search.assigned[2], (1, 1.0));
    assert_eq!([search.assigned[0].0, search.assigned[1].0], [0, 0]);
}

#[test]
fn more_restarts_are_never_worse() {
    let boxes: Vec<(f32, f32)> = (0..200u16)
        .map(|i| (f32::from(i * 37 % 101 + 3), f32::from(i * 53 % 89 + 5)))
        .collect();
    let average = |restarts| {
        let options = KMeansOptions {
            restarts,
            ..KMeansOptions::default()
        };
        let found = AnchorClusters::k_means(boxes.iter().copied(), 6, &options);
        found.unwrap().average_iou
    };
    // The anchors are rounded to f32.
    assert!(average(10) >= average(1) - 1e-6);
    assert!(average(50) > average(1));
}

#[test]
fn what_cannot_be_clustered_is_an_error() {
    let k_means = |boxes: &[(f32, f32)], count| {
        AnchorClusters::k_means(boxes.iter().copied(), count, &KMeansOptions::default())
    };
    for bad in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        for boxes in [[(1.0, 1.0), (bad, 2.0)], [(1.0, 1.0), (2.0, bad)]] {
            assert!(
                matches!(k_means(&boxes, 1), Err(Error::BoxSize { index: 1, .. })),
                "{boxes:?}"
            );
        }
    }
    let error = k_means(&[(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)], 3).unwrap_err();
    assert!(matches!(
        error,
        Error::TooFewBoxes {
            distinct: 2,
            anchors: 3
        }
    ));
    assert_eq!(
        error.to_string(),
        "2 different box sizes, expected at least 3, one for each anchor"
    );
    assert!(matches!(
        k_means(&[], 1),
        Err(Error::TooFewBoxes { distinct: 0, .. })
    ));
    for count in [0, MAX_ANCHORS + 1] {
        assert!(matches!(
            k_means(&[(1.0, 1.0)], count),
            Err(Error::Option {
                option: "anchors",
                ..
            })
        ));
    }
    let none = KMeansOptions {
        restarts: 0,
        ..KMeansOptions::default()
    };
    assert!(matches!(
        AnchorClusters::k_means([(1.0, 1.0)], 1, &none),
        Err(Error::Option {
            option: "restarts",
            ..
        })
    ));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let of = |anchor: Anchor| AnchorClusters::of(&[anchor], [(1.0, 1.0)]);
    for anchor in [
        Anchor::grid_cells(1.0, 1.0),
        Anchor::network_pixels(0.0, 1.0),
        Anchor::network_pixels(1.0, f32::NAN),
    ] {
        assert!(
            matches!(
                of(anchor),
                Err(Error::Option {
                    option: "anchors",
                    ..
                })
            ),
            "{anchor:?}"
        );
    }
    let anchor = Anchor::network_pixels(1.0, 1.0);
    assert!(matches!(
        AnchorClusters::of(&[], [(1.0, 1.0)]),
        Err(Error::Option {
            option: "anchors",
            ..
        })
    ));
    assert!(matches!(
        AnchorClusters::of(&[anchor], []),
        Err(Error::TooFewBoxes { distinct: 0, .. })
    ));
    assert!(matches!(
        AnchorClusters::of(&[anchor], [(1.0, f32::NAN)]),
        Err(Error::BoxSize { index: 0, .. })
    ));
}

proptest! {
    #[test]
    fn the_average_iou_never_falls(boxes in boxes(), seed: u64, count in 1usize..6) {
        prop_assume!(has_different(&boxes, count));
        let mut boxes = sizes(boxes).unwrap();
        boxes.sort_by(Size::compare);
        let mut search = Search::begin(&boxes, count, &mut stream(seed, 0)).unwrap();
        for iteration in 0..100 {
            let before = search.sum();
            let has_moved = search.iterate();
            // Equal up to the rounding of a sum of at most 80 numbers.
            prop_assert!(search.sum() >= before - 1e-12, "{} {}", iteration, before);
            if !has_moved {
                break;
            }
        }
    }

    #[test]
    fn the_result_is_a_value_of_its_boxes(boxes in boxes(), seed: u64) {
        prop_assume!(has_different(&boxes, 3));
        let found = AnchorClusters::k_means(boxes.iter().copied(), 3, &options(seed)).unwrap();
        prop_assert_eq!(found.counts.iter().sum::<usize>(), boxes.len());
        prop_assert!(found.average_iou > 0.0 && found.average_iou <= 1.0);
        prop_assert!(found.anchors.iter().map(Anchor::area).is_sorted());
        prop_assert_eq!(&AnchorClusters::of(&found.anchors, boxes.iter().copied()).unwrap().counts, &found.counts);

        // In another order.
        let reversed = AnchorClusters::k_means(boxes.iter().rev().copied(), 3, &options(seed)).unwrap();
        prop_assert_eq!(&reversed, &found);
        // Twice as large: exact in binary.
        let twice = boxes.iter().map(|&(width, height)| (2.0 * width, 2.0 * height));
        let twice = AnchorClusters::k_means(twice, 3, &options(seed)).unwrap();
        let expected: Vec<_> = sides(&found).iter().map(|&(w, h)| (2.0 * w, 2.0 * h)).collect();
        prop_assert_eq!(sides(&twice), expected);
        prop_assert_eq!(twice.average_iou, found.average_iou);
    }

    /// Boxes of different areas have the same order on their sides.
    #[test]
    fn boxes_on_their_sides_give_anchors_on_their_sides(mut boxes in boxes(), seed: u64) {
        let area = |&(width, height): &(f32, f32)| f64::from(width) * f64::from(height);
        boxes.sort_by(|a, b| area(a).total_cmp(&area(b)));
        boxes.dedup_by_key(|one| area(one).to_bits());
        prop_assume!(has_different(&boxes, 3));
        let found = AnchorClusters::k_means(boxes.iter().copied(), 3, &options(seed)).unwrap();
        let turned = boxes.iter().map(|&(width, height)| (height, width));
        let turned = AnchorClusters::k_means(turned, 3, &options(seed)).unwrap();
        let expected: Vec<_> = sides(&found).iter().map(|&(w, h)| (h, w)).collect();
        prop_assert_eq!(sides(&turned), expected);
        prop_assert_eq!(turned.counts, found.counts);
    }
}
