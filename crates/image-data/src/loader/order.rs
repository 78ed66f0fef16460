//! The order of an epoch's samples.

use std::collections::BTreeMap;

use super::Order;
use crate::random::{Purpose, keyed};

/// One use of a sample in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) sample: usize,
    /// The key of its random numbers: the sample's index, or a different number when it is repeated.
    pub(super) key: u64,
}

impl Order {
    /// The samples of these labels in the order in which a [`Loader`](super::Loader) with this seed
    /// delivers them in an epoch, counted from 0.
    ///
    /// ```
    /// use image_data::Order;
    ///
    /// assert_eq!(Order::AsStored.of_epoch(&[1, 0, 1], 7, 0), [0, 1, 2]);
    /// let labels = [0; 9];
    /// assert_ne!(Order::Shuffled.of_epoch(&labels, 7, 0), Order::Shuffled.of_epoch(&labels, 7, 1));
    /// ```
    #[must_use]
    pub fn of_epoch(self, labels: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
        let visits = visits(labels, self, seed, epoch).into_iter();
        visits.map(|visit| visit.sample).collect()
    }
}

/// The visits of an epoch to the samples of these labels, in order.
pub(super) fn visits(labels: &[usize], order: Order, seed: u64, epoch: u64) -> Vec<Visit> {
    let stored = (0..labels.len()).map(|sample| Visit {
        sample,
        key: sample as u64,
    });
    let mut visits: Vec<Visit> = match order {
        Order::AsStored => return stored.collect(),
        Order::Shuffled => stored.collect(),
        Order::Balanced => balanced(labels, seed, epoch),
    };
    keyed(Purpose::Order, [seed, epoch, 0]).shuffle(&mut visits);
    visits
}

/// As many visits as there are samples, evenly distributed over the classes.
fn balanced(labels: &[usize], seed: u64, epoch: u64) -> Vec<Visit> {
    let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (sample, &label) in labels.iter().enumerate() {
        by_class.entry(label).or_default().push(sample);
    }
    let mut by_class: Vec<Vec<usize>> = by_class.into_values().collect();
    let classes = by_class.len();
    // The classes with one visit more change from epoch to epoch.
    keyed(Purpose::Order, [seed, epoch, 1]).shuffle(&mut by_class);
    let mut visits = Vec::with_capacity(labels.len());
    for (index, mut samples) in by_class.into_iter().enumerate() {
        let rest = usize::from(index < labels.len() % classes);
        let wanted = visits.len() + labels.len() / classes + rest;
        let first = samples.first().map_or(0, |&first| first as u64);
        let random = &mut keyed(Purpose::Order, [seed, epoch, 2 + first]);
        let mut repeats = 0;
        while visits.len() < wanted {
            random.shuffle(&mut samples);
            let key = |sample| sample as u64 + repeats * labels.len() as u64;
            let pass = samples.iter().take(wanted - visits.len());
            visits.extend(pass.map(|&sample| Visit {
                sample,
                key: key(sample),
            }));
            repeats += 1;
        }
    }
    visits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 3 samples of the first class, 40 of the second, 8 of the third.
    fn uneven() -> Vec<usize> {
        [vec![0; 3], vec![1; 40], vec![2; 8]].concat()
    }

    fn counts(labels: &[usize], visits: &[Visit]) -> Vec<usize> {
        let mut counts = vec![0; 3];
        for visit in visits {
            counts[labels[visit.sample]] += 1;
        }
        counts
    }

    #[test]
    fn balanced_classes_are_visited_equally_often() {
        let labels = uneven();
        let epoch = |seed, epoch| visits(&labels, Order::Balanced, seed, epoch);
        assert_eq!(counts(&labels, &epoch(1, 0)), [17, 17, 17]);
        assert_eq!(epoch(1, 3), epoch(1, 3));
        assert_ne!(epoch(1, 3), epoch(1, 4));
        assert_ne!(epoch(1, 3), epoch(2, 3));
        // Every visit has random numbers of its own, and rare samples are used evenly.
        let keys: BTreeSet<u64> = epoch(1, 0).iter().map(|visit| visit.key).collect();
        assert_eq!(keys.len(), 51);
        for sample in 0..3 {
            let visits = epoch(1, 0);
            let count = visits.iter().filter(|visit| visit.sample == sample).count();
            assert!((5..=6).contains(&count), "{count}");
        }
        // In a few epochs, every sample of the frequent class is used.
        let used: BTreeSet<usize> = (0..12)
            .flat_map(|number| epoch(1, number))
            .map(|visit| visit.sample)
            .collect();
        assert_eq!(used.len(), 51);
    }

    #[test]
    fn without_balance_every_sample_is_visited_once() {
        let labels = uneven();
        for order in [Order::Shuffled, Order::AsStored] {
            let mut visits = visits(&labels, order, 1, 0);
            visits.sort_by_key(|visit| visit.sample);
            let samples = visits.iter().map(|visit| (visit.sample, visit.key));
            assert!(samples.eq((0..51).map(|sample| (sample, sample as u64))));
        }
    }
}
