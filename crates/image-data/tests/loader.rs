//! Any number of workers deliver the same batches, and every epoch ends, whatever happens in it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ndarray::Array4;

use image_data::{
    Augmentation, Batch, Cached, ColorJitter, Cutout, Dataset, Error, LastBatch, Loader,
    LoaderOptions, Mixup, Order, Picture, Preprocessing, Result, Shapes, ShapesOptions, Transform,
};

/// Plain pictures whose red value is the sample's index, with trouble at chosen samples.
struct Plain {
    classes: Vec<String>,
    len: usize,
    trouble: Vec<(usize, Trouble)>,
    /// The number of pictures that were requested.
    asked: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Error,
    Panic,
    OtherSize,
    NoClass,
    Slow,
}

impl Plain {
    fn new(len: usize, trouble: &[(usize, Trouble)]) -> Self {
        Self {
            classes: ["even", "odd"].map(str::to_owned).to_vec(),
            len,
            trouble: trouble.to_vec(),
            asked: AtomicUsize::new(0),
        }
    }

    fn has(&self, index: usize, trouble: Trouble) -> bool {
        self.trouble.contains(&(index, trouble))
    }
}

impl Dataset for Plain {
    fn len(&self) -> usize {
        self.len
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        if self.has(index, Trouble::NoClass) {
            7
        } else {
            index % 2
        }
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.has(index, Trouble::Error) {
            return Err(Error::Empty);
        }
        assert!(!self.has(index, Trouble::Panic), "as asked\nfor {index}");
        if self.has(index, Trouble::Slow) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let width = if self.has(index, Trouble::OtherSize) {
            5
        } else {
            4
        };
        Picture::from_rgb(
            width,
            3,
            3 * width,
            &[index as u8, 0, 255].repeat(3 * width),
        )
    }

    fn name(&self, index: usize) -> String {
        format!("plain #{index}")
    }
}

/// `x / 255`, at the stored size.
fn plain_preprocessing() -> Preprocessing {
    Preprocessing {
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
        ..Preprocessing::cifar()
    }
}

fn options() -> LoaderOptions {
    LoaderOptions {
        batch_size: 4,
        ..LoaderOptions::default()
    }
}

fn loader(dataset: Plain, options: LoaderOptions) -> Loader {
    Loader::new(Arc::new(dataset), plain_preprocessing(), options).unwrap()
}

fn all(loader: &Loader, epoch: u64) -> Vec<Batch> {
    loader.epoch(epoch).unwrap().map(Result::unwrap).collect()
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let shapes = ShapesOptions {
        len: 50,
        size: [20, 24],
        ..ShapesOptions::default()
    };
    let shapes: Arc<dyn Dataset> = Arc::new(Shapes::new(shapes).unwrap());
    let cached: Arc<dyn Dataset> = Arc::new(Cached::with_limit(Arc::clone(&shapes), 40_000));
    let mut augmentation = Augmentation::cifar();
    augmentation.steps.extend([
        Transform::ColorJitter(ColorJitter {
            brightness: 0.4,
            hue: 0.1,
            ..ColorJitter::default()
        }),
        Transform::Cutout(Cutout {
            side: 5,
            probability: 0.5,
        }),
    ]);
    augmentation.mixup = Some(Mixup { alpha: 1.0 });
    let batches = |dataset: &Arc<dyn Dataset>, workers, queue| {
        let options = LoaderOptions {
            batch_size: 8,
            workers,
            queue,
            augmentation: augmentation.clone(),
            ..LoaderOptions::default()
        };
        let loader = Loader::new(Arc::clone(dataset), Preprocessing::cifar(), options).unwrap();
        // From the second batch on, the memory has been used before.
        let mut batch = Batch::default();
        let mut batches = Vec::new();
        for epoch in [0, 1, 0] {
            let mut epoch = loader.epoch(epoch).unwrap();
            while epoch.next_into(&mut batch).unwrap() {
                batches.push(batch.clone());
            }
        }
        batches
    };
    let expected = batches(&shapes, 0, 1);
    assert_eq!(expected.len(), 21);
    assert_eq!(expected[0..7], expected[14..21]);
    assert_ne!(expected[0], expected[7]);
    assert_eq!(expected[6].inputs.dim(), (2, 3, 20, 24));
    for (workers, queue) in [(1, 1), (1, 4), (2, 3), (4, 2), (4, 9)] {
        // With `==` on floats, -0 would equal 0.
        let bits = |batches: &[Batch]| -> Vec<u32> {
            let numbers = batches
                .iter()
                .flat_map(|batch| batch.inputs.iter().chain(batch.targets.as_ref().unwrap()));
            numbers.map(|number| number.to_bits()).collect()
        };
        for dataset in [&shapes, &cached] {
            let got = batches(dataset, workers, queue);
            assert_eq!(got, expected, "{workers} workers, room for {queue}");
            assert_eq!(bits(&got), bits(&expected));
        }
    }
}

#[test]
fn a_slow_picture_holds_nobody_up_for_good() {
    let slow = [0, 1, 5, 9, 10, 19].map(|index| (index, Trouble::Slow));
    let dataset = Plain::new(21, &slow);
    let options = LoaderOptions {
        order: Order::AsStored,
        workers: 4,
        queue: 3,
        ..options()
    };
    let batches = all(&loader(dataset, options), 0);
    let samples: Vec<usize> = batches
        .iter()
        .flat_map(|batch| batch.samples.clone())
        .collect();
    assert_eq!(samples, (0..21).collect::<Vec<_>>());
    for batch in &batches {
        for (n, &sample) in batch.samples.iter().enumerate() {
            assert_eq!(batch.labels[n], sample % 2);
            assert_eq!(batch.inputs[[n, 0, 2, 3]], sample as f32 / 255.0);
            assert_eq!(batch.inputs[[n, 2, 0, 0]], 1.0);
        }
    }
}

#[test]
fn an_epoch_has_every_sample_once_in_an_order_of_its_own() {
    let loader = loader(Plain::new(30, &[]), options());
    assert_eq!(loader.batches(), 8);
    let mut orders = HashSet::new();
    for epoch in 0..10 {
        let batches = all(&loader, epoch);
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.labels.len()).collect();
        assert_eq!(sizes, [4, 4, 4, 4, 4, 4, 4, 2]);
        let order: Vec<usize> = batches
            .into_iter()
            .flat_map(|batch| batch.samples)
            .collect();
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 30);
        orders.insert(order);
    }
    assert_eq!(orders.len(), 10);
}

#[test]
fn the_last_batch_may_be_dropped_and_the_first_ones_passed_over() {
    let options = LoaderOptions {
        last_batch: LastBatch::Drop,
        ..options()
    };
    let loader = loader(Plain::new(30, &[]), options);
    assert_eq!(loader.batches(), 7);
    let whole = all(&loader, 3);
    assert_eq!(whole.len(), 7);
    let rest: Vec<Batch> = loader
        .epoch_from(3, 5)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rest, whole[5..]);
    assert_eq!(loader.epoch_from(3, 99).unwrap().count(), 0);
}

#[test]
fn an_error_names_the_sample_and_ends_the_epoch() {
    for workers in [0, 1, 2, 4] {
        for (trouble, reason) in [
            (Trouble::Error, "the file is empty"),
            (Trouble::Panic, "loading panicked: as asked for 13"),
            (
                Trouble::OtherSize,
                "the network's input [h, w] is [3, 5], but [3, 4] for the batch's first picture; add a crop or an exact resize to the preprocessing",
            ),
            (
                Trouble::NoClass,
                "the label of sample 13 is 7, expected less than 2",
            ),
        ] {
            let options = LoaderOptions {
                order: Order::AsStored,
                workers,
                ..options()
            };
            // A later error, which another worker may meet first.
            let dataset = Plain::new(
                40,
                &[(13, trouble), (18, Trouble::Error), (12, Trouble::Slow)],
            );
            let loader = loader(dataset, options);
            let mut epoch = loader.epoch(0).unwrap();
            for _ in 0..3 {
                epoch.next().unwrap().unwrap();
            }
            let error = epoch.next().unwrap().unwrap_err();
            assert_eq!(error.to_string(), format!("plain #13: {reason}"));
            let Error::File { reason, .. } = error else {
                panic!("{error}");
            };
            assert!(match trouble {
                Trouble::Error | Trouble::Slow => matches!(*reason, Error::Empty),
                Trouble::Panic => matches!(*reason, Error::LoaderPanicked { .. }),
                Trouble::OtherSize => matches!(*reason, Error::BatchSize { .. }),
                Trouble::NoClass => matches!(*reason, Error::Label { .. }),
            });
            assert!(epoch.next().is_none());
            // The next epoch is not affected.
            assert!(loader.epoch(1).unwrap().next().unwrap().is_ok());
        }
    }
}

#[test]
fn pictures_of_other_sizes_meet_in_a_crop() {
    let preprocessing = Preprocessing {
        crop: Some([2, 2]),
        ..plain_preprocessing()
    };
    let dataset = Plain::new(8, &[(1, Trouble::OtherSize)]);
    let loader = Loader::new(Arc::new(dataset), preprocessing, options()).unwrap();
    assert_eq!(all(&loader, 0)[0].inputs.dim(), (4, 3, 2, 2));
}

#[test]
fn dropping_an_epoch_ends_its_workers() {
    let dataset = Arc::new(Plain::new(10_000, &[]));
    let held: Arc<dyn Dataset> = Arc::clone(&dataset) as _;
    let options = LoaderOptions {
        workers: 4,
        queue: 3,
        ..options()
    };
    let loader = Loader::new(held, plain_preprocessing(), options).unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    epoch.next().unwrap().unwrap();
    drop(epoch);
    // One batch was taken, and at most three more were started.
    assert!(dataset.asked.load(Ordering::Relaxed) <= 16);
    // A remaining worker would hold another reference to the dataset.
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn memory_is_used_again() {
    let loader = loader(Plain::new(64, &[]), options());
    let mut batch = Batch::default();
    let mut places = HashSet::new();
    for epoch in 0..5 {
        let mut epoch = loader.epoch(epoch).unwrap();
        while epoch.next_into(&mut batch).unwrap() {
            places.insert(batch.inputs.as_ptr());
        }
    }
    // At most as many as may be in progress, plus the one being read and the one being returned.
    assert!(places.len() <= 4 + 2, "{}", places.len());
}

/// A capacity that no batch has by itself identifies the memory.
#[test]
fn a_batch_that_is_handed_back_holds_a_later_one() {
    let options = LoaderOptions {
        workers: 0,
        queue: 1,
        ..options()
    };
    let loader = loader(Plain::new(20, &[]), options);
    let expected: Vec<Batch> = all(&loader, 0);
    let mut memory = Vec::with_capacity(12_345);
    memory.resize(3, f32::NAN);
    loader.recycle(Batch {
        inputs: Array4::from_shape_vec((1, 3, 1, 1), memory).unwrap(),
        ..Batch::default()
    });
    for (batch, expected) in loader.epoch(0).unwrap().zip(expected) {
        let batch = batch.unwrap();
        assert_eq!(batch, expected);
        let (memory, _) = batch.inputs.into_raw_vec_and_offset();
        assert_eq!(memory.capacity(), 12_345);
        let inputs = Array4::from_shape_vec(expected.inputs.dim(), memory).unwrap();
        loader.recycle(Batch {
            inputs,
            ..Batch::default()
        });
    }
}

#[test]
fn a_cache_keeps_what_fits_and_changes_nothing() {
    let dataset = Arc::new(Plain::new(10, &[(9, Trouble::Error)]));
    // Space for six pictures of 36 bytes.
    let cached = Cached::with_limit(Arc::clone(&dataset), 6 * 36 + 35);
    for round in 0..3 {
        for index in 0..9 {
            let picture = cached.picture(index).unwrap();
            assert_eq!(picture.rgb()[0], index as u8);
        }
        assert!(matches!(cached.picture(9), Err(Error::Empty)));
        assert_eq!(cached.bytes(), 6 * 36);
        // Ten in the first round; then the three that did not fit and the one that fails.
        assert_eq!(dataset.asked.load(Ordering::Relaxed), 10 + 4 * round);
    }
    assert_eq!(
        (cached.len(), cached.label(3), cached.name(3)),
        (10, 1, "plain #3".to_owned())
    );
}

#[test]
fn options_out_of_range_are_named() {
    let field = |options: LoaderOptions| {
        let loader = Loader::new(Arc::new(Plain::new(8, &[])), plain_preprocessing(), options);
        match loader.err() {
            Some(Error::Option { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        field(LoaderOptions {
            batch_size: 0,
            ..options()
        }),
        "batch_size"
    );
    assert_eq!(
        field(LoaderOptions {
            batch_size: 1 << 17,
            ..options()
        }),
        "batch_size"
    );
    assert_eq!(
        field(LoaderOptions {
            workers: 1025,
            ..options()
        }),
        "workers"
    );
    assert_eq!(
        field(LoaderOptions {
            queue: 0,
            ..options()
        }),
        "queue"
    );
    let dropped = LoaderOptions {
        batch_size: 9,
        last_batch: LastBatch::Drop,
        ..options()
    };
    assert_eq!(field(dropped), "batch_size");
    assert_eq!(
        field(LoaderOptions {
            augmentation: Augmentation::imagenet(),
            ..options()
        }),
        "size"
    );
    let empty = Loader::new(
        Arc::new(Plain::new(0, &[])),
        plain_preprocessing(),
        options(),
    );
    assert!(matches!(empty.err(), Some(Error::NoPictures)));
}

#[test]
fn several_epochs_are_one_after_the_other_and_end_with_an_error() {
    let good = loader(Plain::new(10, &[]), options());
    let expected: Vec<Batch> = (3..6).flat_map(|epoch| all(&good, epoch)).collect();
    let got: Vec<Batch> = good.epochs(3..6).map(Result::unwrap).collect();
    assert_eq!(got, expected);
    assert_eq!(good.epochs(3..3).count(), 0);

    let bad = Plain::new(10, &[(7, Trouble::Error)]);
    let as_stored = LoaderOptions {
        order: Order::AsStored,
        ..options()
    };
    let results: Vec<bool> = loader(bad, as_stored)
        .epochs(0..5)
        .map(|batch| batch.is_ok())
        .collect();
    assert_eq!(results, [true, false]);
}

#[test]
fn a_whole_dataset_is_one_batch_in_its_own_order() {
    let batch = Batch::whole(Plain::new(9, &[]), plain_preprocessing()).unwrap();
    assert_eq!(batch.inputs.dim(), (9, 3, 3, 4));
    assert_eq!(batch.samples, Vec::from_iter(0..9));
    assert_eq!(batch.labels, [0, 1, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!(batch.inputs[[5, 0, 2, 3]], 5.0 / 255.0);

    let whole = |len, trouble: &[_]| Batch::whole(Plain::new(len, trouble), plain_preprocessing());
    assert!(matches!(whole(0, &[]), Err(Error::NoPictures)));
    assert!(matches!(
        whole(3, &[(2, Trouble::Error)]),
        Err(Error::File { .. })
    ));
}
