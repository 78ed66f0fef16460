//! Training on cached features against training through the whole frozen network.

use std::sync::atomic::AtomicBool;

use engine::{Options, TrainingSession};
use image_data::Order;
use nn_layers::{
    Adam, ClassificationObjective, Graph, OneCycle, OptimiserOptions, Params, Policy, Schedule,
    Targets, TrainBackend, TrainError, TrainSpec, Trainer, TrainerOptions, WeightDecay,
};
use transfer::{Error, FeatureCache, FeatureCacheOptions};

use crate::{BATCH, Batch, SAMPLES, batch_of, batches, bits, network, params, samples, strings};

const SEED: u64 = 11;

fn options() -> FeatureCacheOptions {
    FeatureCacheOptions {
        batch_size: BATCH,
        seed: SEED,
        ..FeatureCacheOptions::default()
    }
}

/// One pass over the samples in batches of another size than in training.
fn pass(samples: &Batch) -> Vec<Result<Batch, nn_layers::Error>> {
    let order: Vec<usize> = (0..SAMPLES).collect();
    let batches = order.chunks(7);
    batches
        .map(|indices| Ok(batch_of(samples, indices)))
        .collect()
}

fn cache(frozen: &[&str]) -> transfer::Result<FeatureCache> {
    let graph = network();
    let pass = pass(&samples());
    FeatureCache::new(&graph, &params(&graph), &strings(frozen), pass, &options())
}

/// Trains for three epochs and returns all parameters.
fn train<I>(graph: &Graph, spec: TrainSpec, batches: impl FnMut(u64, u64) -> I) -> Params<f32>
where
    I: IntoIterator<Item = Result<Batch, nn_layers::Error>>,
{
    let params = params(&network());
    let mut session = TrainingSession::new(graph, params, spec, &Options::default()).unwrap();
    let policy = Policy::OneCycle(OneCycle::new(12));
    let options = TrainerOptions {
        optimiser: OptimiserOptions {
            weight_decay: WeightDecay::Decoupled(0.01),
            ..Adam::default().into()
        },
        seed: 4,
        ..TrainerOptions::new(
            3,
            Schedule {
                policy,
                ..Schedule::constant(0.02)
            },
        )
    };
    let mut trainer = Trainer::new(options, &session).unwrap();
    let never = AtomicBool::new(false);
    let objective = ClassificationObjective::default();
    trainer
        .run(
            &mut session,
            &objective,
            batches,
            |_, _| Ok(None),
            &mut (),
            &never,
        )
        .unwrap();
    session.export()
}

/// Bit for bit: the order of the samples, the dropout, the features and the arithmetic are the same.
#[test]
fn a_head_on_cached_features_learns_what_it_learns_on_the_whole_network() {
    let (graph, samples) = (network(), samples());
    for frozen in [
        &["stage1", "stage2"][..],
        &["stage1"],
        &["stage1.conv", "stage1.bn"],
        &["stage1", "stage2.bn"],
        &["stage1.conv"],
    ] {
        let spec = TrainSpec {
            frozen: strings(frozen),
            ..TrainSpec::default()
        };
        let whole = train(&graph, spec, |epoch, first| {
            let order = Order::Shuffled.of_epoch(&[0; SAMPLES], SEED, epoch);
            batches(&samples, &order).into_iter().skip(first as usize)
        });
        let cache = cache(frozen).unwrap();
        let cached = train(cache.graph(), cache.spec().clone(), |epoch, first| {
            cache.batches(epoch, first).map(|batch| Ok(batch.unwrap()))
        });
        assert_eq!(whole.len(), cached.len());
        for (name, param) in whole.iter() {
            let before = params(&graph);
            assert_eq!(bits(&whole, name), bits(&cached, name), "{frozen:?} {name}");
            let is_frozen = frozen.iter().any(|frozen| name.starts_with(frozen));
            assert_eq!(
                bits(&before, name) == bits(&whole, name),
                is_frozen,
                "{name}"
            );
            assert!(param.value.iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn the_rest_of_the_network_begins_at_the_last_tensor_that_does_not_change() {
    let begins = |frozen: &[&str]| {
        let cache = cache(frozen).unwrap();
        let graph = cache.graph();
        let inputs = graph.inputs().iter();
        let names = inputs.map(|&id| graph.node(id).unwrap().name().to_owned());
        (names.collect::<Vec<_>>(), cache.spec().frozen.clone())
    };
    let frozen = |names: &[&str]| strings(names);
    // The dropout before the head is not frozen.
    assert_eq!(
        begins(&["stage1", "stage2"]),
        (frozen(&["flatten"]), frozen(&[]))
    );
    assert_eq!(
        begins(&["stage1"]),
        (frozen(&["stage1.dropout"]), frozen(&["stage1"]))
    );
    assert_eq!(
        begins(&["stage1", "stage2.bn"]),
        (
            frozen(&["stage1.dropout"]),
            frozen(&["stage1", "stage2.bn"])
        )
    );
}

#[test]
fn batches_are_those_of_the_order_and_can_start_anywhere() {
    let cache = cache(&["stage1", "stage2"]).unwrap();
    assert_eq!((cache.len(), cache.is_empty()), (SAMPLES, false));
    assert_eq!(cache.bytes(), (SAMPLES * 8 * 4) as u64);
    assert_eq!(cache.batches_per_epoch(), 4);
    let Targets::Labels(labels) = samples().targets else {
        panic!("soft targets")
    };
    let batches: Vec<Batch> = cache.batches(1, 0).map(Result::unwrap).collect();
    let order = Order::Shuffled.of_epoch(&[0; SAMPLES], SEED, 1);
    for (batch, indices) in batches.iter().zip(order.chunks(BATCH)) {
        let expected = indices.iter().map(|&index| labels[index]).collect();
        assert_eq!(batch.targets, Targets::Labels(expected));
        assert_eq!(batch.inputs[0].shape(), [indices.len(), 8]);
    }
    for first in 0..6 {
        let rest: Vec<Batch> = cache.batches(1, first).map(Result::unwrap).collect();
        assert_eq!(rest, batches[batches.len().min(first as usize)..]);
    }
    assert_eq!(cache.batches(0, u64::MAX).count(), 0);
}

#[test]
fn the_memory_is_bounded_and_the_error_names_the_limit() {
    let graph = network();
    let fill = |memory_limit| {
        let options = FeatureCacheOptions {
            memory_limit,
            ..options()
        };
        let frozen = strings(&["stage1", "stage2"]);
        FeatureCache::new(&graph, &params(&graph), &frozen, pass(&samples()), &options)
    };
    let all = (SAMPLES * 8 * 4) as u64;
    assert_eq!(fill(all).unwrap().bytes(), all);
    match fill(all - 1) {
        Err(Error::FeatureMemory {
            samples,
            needed,
            limit,
        }) => {
            assert_eq!((samples, needed, limit), (SAMPLES, all, all - 1));
        }
        other => panic!("{other:?}"),
    }
    let error = fill(0).unwrap_err().to_string();
    assert!(
        error.contains("7 samples take 224 bytes, more than the limit of 0"),
        "{error}"
    );
}

#[test]
fn without_features_there_is_nothing_to_cache() {
    for frozen in [&[][..], &["stage2"], &["stage1", "stage2", "fc"]] {
        match cache(frozen) {
            Err(Error::NothingToCache { .. }) => {}
            other => panic!("{frozen:?}: {other:?}"),
        }
    }
    match cache(&["stem"]) {
        Err(Error::Tensors(nn_layers::Error::Train(TrainError::NothingFrozen { name }))) => {
            assert_eq!(name, "stem");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let graph = network();
    let fill = |batch: Result<Batch, nn_layers::Error>, frozen: &[&str]| {
        let batches = [Ok(batch_of(&samples(), &[0, 1])), batch];
        let frozen = strings(frozen);
        FeatureCache::new(&graph, &params(&graph), &frozen, batches, &options())
    };
    let soft = Batch {
        targets: Targets::Soft(ndarray::Array2::zeros([2, 3])),
        ..batch_of(&samples(), &[0, 1])
    };
    match fill(Ok(soft), &["stage1"]) {
        Err(Error::CacheTargets { got, samples: 2 }) => assert_eq!(got, "soft targets"),
        other => panic!("{other:?}"),
    }
    let few = Batch {
        targets: Targets::Labels(vec![1]),
        ..batch_of(&samples(), &[0, 1])
    };
    match fill(Ok(few), &["stage1"]) {
        Err(Error::CacheTargets { got, samples: 2 }) => assert_eq!(got, "1 labels"),
        other => panic!("{other:?}"),
    }
    let larger = || {
        Ok(Batch {
            inputs: vec![ndarray::ArrayD::zeros(vec![2, 2, 7, 8])],
            targets: Targets::Labels(vec![0, 1]),
        })
    };
    match fill(larger(), &["stage1"]) {
        Err(Error::FeatureShape {
            node,
            got,
            expected,
        }) => {
            assert_eq!(
                (&*node, got, expected),
                ("stage1.dropout", vec![8, 7, 8], vec![8, 6, 8])
            );
        }
        other => panic!("{other:?}"),
    }
    // Pooled features do not depend on the size of the picture.
    assert_eq!(fill(larger(), &["stage1", "stage2"]).unwrap().len(), 4);
    match fill(Err(TrainError::EmptyBatch.into()), &["stage1"]) {
        Err(Error::Tensors(nn_layers::Error::Train(TrainError::EmptyBatch))) => {}
        other => panic!("{other:?}"),
    }
}
