//! The order of an epoch's samples.

use super::Order;
use crate::dataset::Dataset;
use crate::random::{Purpose, keyed};

/// One use of a sample in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) sample: usize,
    /// The key of its random numbers: the sample's index, or a different number when it is repeated.
    pub(super) key: u64,
}

/// The visits of an epoch, in order.
pub(super) fn visits(dataset: &dyn Dataset, order: Order, seed: u64, epoch: u64) -> Vec<Visit> {
    let stored = (0..dataset.len()).map(|sample| Visit {
        sample,
        key: sample as u64,
    });
    let mut visits: Vec<Visit> = match order {
        Order::AsStored => return stored.collect(),
        Order::Shuffled => stored.collect(),
        Order::Balanced => balanced(dataset, seed, epoch),
    };
    keyed(Purpose::Order, [seed, epoch, 0]).shuffle(&mut visits);
    visits
}

/// As many visits as there are samples, evenly distributed over the classes.
fn balanced(dataset: &dyn Dataset, seed: u64, epoch: u64) -> Vec<Visit> {
    // An invalid label is an error when the sample is read.
    let mut by_class = vec![Vec::new(); dataset.classes().len() + 1];
    for sample in 0..dataset.len() {
        let class = dataset.label(sample).min(by_class.len() - 1);
        by_class[class].push(sample);
    }
    by_class.retain(|samples| !samples.is_empty());
    let classes = by_class.len();
    // The classes with one visit more change from epoch to epoch.
    keyed(Purpose::Order, [seed, epoch, 1]).shuffle(&mut by_class);
    let mut visits = Vec::with_capacity(dataset.len());
    for (index, mut samples) in by_class.into_iter().enumerate() {
        let rest = usize::from(index < dataset.len() % classes);
        let wanted = visits.len() + dataset.len() / classes + rest;
        let first = samples.first().map_or(0, |&first| first as u64);
        let random = &mut keyed(Purpose::Order, [seed, epoch, 2 + first]);
        let mut repeats = 0;
        while visits.len() < wanted {
            random.shuffle(&mut samples);
            let key = |sample| sample as u64 + repeats * dataset.len() as u64;
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
    use crate::dataset::{Shapes, ShapesOptions, Subset};

    /// 3 circles, 40 of the second class, 8 of the third.
    fn uneven() -> Subset {
        let shapes = Shapes::new(ShapesOptions::default()).unwrap();
        let of = |class: usize, count: usize| (0..count).map(move |index| class + 8 * index);
        let samples = of(0, 3).chain(of(1, 40)).chain(of(2, 8)).collect();
        Subset::new(std::sync::Arc::new(shapes), samples).unwrap()
    }

    fn labels(dataset: &Subset, visits: &[Visit]) -> Vec<usize> {
        let mut counts = vec![0; 3];
        for visit in visits {
            counts[dataset.label(visit.sample)] += 1;
        }
        counts
    }

    #[test]
    fn balanced_classes_are_visited_equally_often() {
        let dataset = uneven();
        let epoch = |seed, epoch| visits(&dataset, Order::Balanced, seed, epoch);
        assert_eq!(labels(&dataset, &epoch(1, 0)), [17, 17, 17]);
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
        let dataset = uneven();
        for order in [Order::Shuffled, Order::AsStored] {
            let mut visits = visits(&dataset, order, 1, 0);
            visits.sort_by_key(|visit| visit.sample);
            let samples = visits.iter().map(|visit| (visit.sample, visit.key));
            assert!(samples.eq((0..51).map(|sample| (sample, sample as u64))));
        }
    }
}
