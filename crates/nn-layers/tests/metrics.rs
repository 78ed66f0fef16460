//! Accuracy and confusion matrices, compared with counting and sorting.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ndarray::{Array2, Ix2, arr2};
use nn_layers::{ConfusionMatrix, Error, RunningMean, TrainError, accuracy, top_k_correct};
use proptest::prelude::*;
use testkit::random_array;

/// Returns logits, some of which are equal.
fn logits(rows: usize, classes: usize, seed: u64) -> Array2<f64> {
    let numbers = random_array(&[rows, classes], seed).mapv(|x| (x * 3.0).round());
    numbers.into_dimensionality::<Ix2>().unwrap()
}

proptest! {
    #[test]
    fn the_top_k_are_the_first_of_the_sorted(
        rows in 0usize..6, classes in 1usize..7, k in 0usize..8, seed in any::<u64>(),
    ) {
        let logits = logits(rows, classes, seed);
        let labels: Vec<usize> = (0..rows).map(|i| (seed as usize >> i) % classes).collect();
        let mut expected = 0;
        let mut confusion = ConfusionMatrix::new(classes);
        confusion.add_logits(logits.view(), &labels).unwrap();
        let mut counted = vec![vec![0; classes]; classes];
        for (row, &label) in logits.outer_iter().zip(&labels) {
            let mut order: Vec<usize> = (0..classes).collect();
            // The sort is stable: of equal logits, the first class stays first.
            order.sort_by(|&a, &b| row[b].partial_cmp(&row[a]).unwrap());
            expected += usize::from(order.iter().take(k).any(|&class| class == label));
            counted[label][order[0]] += 1;
        }
        prop_assert_eq!(top_k_correct(logits.view(), &labels, k).unwrap(), expected);
        prop_assert_eq!(confusion.rows(), &counted[..]);
        let top1 = top_k_correct(logits.view(), &labels, 1).unwrap();
        let share = (rows > 0).then(|| top1 as f64 / rows as f64);
        prop_assert_eq!(confusion.accuracy(), share);
        // A view with a dynamic number of axes has the same accuracy.
        prop_assert_eq!(accuracy(logits.view().into_dyn(), &labels).ok(), share);
        prop_assert_eq!(confusion.total(), rows as u64);
    }
}

#[test]
fn logits_of_another_rank_are_refused() {
    let flat = ndarray::arr1(&[0.5, 1.0]);
    let mut confusion = ConfusionMatrix::new(2);
    for result in [
        top_k_correct(flat.view(), &[0, 1], 1).map(|_| ()),
        accuracy(flat.view(), &[0, 1]).map(|_| ()),
        confusion.add_logits(flat.view(), &[0, 1]),
    ] {
        match result {
            Err(Error::Train(TrainError::LossInput { got, expected, .. })) => {
                assert_eq!((&*got, &*expected), ("2", "[N, C]"));
            }
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn logits_that_are_not_finite_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let logits = arr2(&[[0.5, 1.0, -1.0], [0.0, bad, 0.0]]);
        let mut confusion = ConfusionMatrix::new(3);
        for result in [
            top_k_correct(logits.view(), &[0, 1], 1).map(|_| ()),
            confusion.add_logits(logits.view(), &[0, 1]),
        ] {
            match result {
                Err(Error::Train(TrainError::NonFinite { index: 4, got, .. })) => {
                    assert_eq!(got.to_bits(), bad.to_bits());
                }
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!(confusion.total(), 0);
    }
}

#[test]
fn labels_that_do_not_fit() {
    let logits = logits(2, 3, 1);
    let label = Error::Train(TrainError::Label {
        index: 1,
        got: 3,
        classes: 3,
    });
    assert_eq!(top_k_correct(logits.view(), &[0, 3], 1), Err(label.clone()));
    let few = top_k_correct(logits.view(), &[0], 1);
    assert!(
        matches!(few, Err(Error::Train(TrainError::LossInput { .. }))),
        "{few:?}"
    );

    let mut confusion = ConfusionMatrix::new(3);
    assert_eq!(
        confusion.add_logits(logits.view(), &[0, 3]),
        Err(label.clone())
    );
    assert_eq!(confusion.add(0, 3), Err(label));
    let mut other = ConfusionMatrix::new(4);
    let columns = other.add_logits(logits.view(), &[0, 1]);
    assert!(
        matches!(columns, Err(Error::Train(TrainError::LossInput { .. }))),
        "{columns:?}"
    );
    assert_eq!((confusion.total(), confusion.accuracy()), (0, None));
    assert_eq!(RunningMean::default().mean(), None);
}
