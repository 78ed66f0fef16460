//! Mixup: sums of neighbouring pictures and of their targets.

use super::*;

#[test]
fn mixup_mixes_neighbours_and_their_targets_alike() {
    let labels = [2, 0, 2, 1];
    let plain = Array4::from_shape_fn((4, 2, 3, 5), |(n, c, y, x)| {
        (n * 100 + c * 50 + y * 5 + x) as f32
    });
    for sample in 0..50 {
        let mut mixed = plain.clone();
        let targets = Mixup { alpha: 0.5 }
            .apply(&mut mixed, &labels, 3, key(sample))
            .unwrap();
        // The second picture has class 0 and no neighbour of that class.
        let share = targets[[1, 0]];
        assert!((0.0..=1.0).contains(&share));
        for n in 0..4 {
            let next = (n + 1) % 4;
            let mut target = [0.0; 3];
            target[labels[n]] += share;
            target[labels[next]] += 1.0 - share;
            assert_eq!(targets.row(n).to_vec(), target);
            for ((_, c, y, x), &expected) in plain.indexed_iter().filter(|((m, ..), _)| *m == n) {
                let expected = share * expected + (1.0 - share) * plain[[next, c, y, x]];
                assert_eq!(mixed[[n, c, y, x]], expected);
            }
        }
    }
    let one = Array4::from_elem((1, 1, 2, 2), 3.0);
    let mut mixed = one.clone();
    let targets = Mixup::default().apply(&mut mixed, &[1], 2, key(0)).unwrap();
    // The picture mixed with itself: the share and the remainder add up to one picture.
    assert_eq!(targets.row(0).to_vec(), [0.0, 1.0]);
    assert_eq!(mixed, one);
}

/// Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
#[test]
fn mixups_shares_are_beta() {
    for alpha in [0.2, 1.0, 4.0] {
        let shares: Vec<f64> = (0..4000)
            .map(|sample| {
                let mut inputs = Array4::zeros((2, 1, 1, 1));
                let targets = Mixup { alpha }.apply(&mut inputs, &[0, 1], 2, key(sample));
                f64::from(targets.unwrap()[[0, 0]])
            })
            .collect();
        let mean = shares.iter().sum::<f64>() / 4000.0;
        let variance = shares
            .iter()
            .map(|share| (share - 0.5).powi(2))
            .sum::<f64>()
            / 4000.0;
        let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
        // Five standard errors of a mean; squared deviations are at most 1/4, so their standard
        // deviation is at most 1/8.
        assert!(
            (mean - 0.5).abs() < 5.0 * (expected / 4000.0).sqrt(),
            "{alpha} {mean}"
        );
        assert!(
            (variance - expected).abs() < 5.0 * 0.125 / 4000f64.sqrt(),
            "{alpha} {variance}"
        );
    }
}

#[test]
fn mixup_refuses_labels_that_do_not_fit() {
    let mut inputs = Array4::zeros((2, 1, 1, 1));
    let mut apply = |labels: &[usize]| Mixup::default().apply(&mut inputs, labels, 3, key(0));
    assert!(matches!(
        apply(&[0]),
        Err(Error::Length {
            got: 1,
            expected: 2,
            ..
        })
    ));
    assert!(matches!(
        apply(&[0, 3]),
        Err(Error::Label {
            label: 3,
            classes: 3,
            ..
        })
    ));
}
