//! Running statistics, counters, and batches without statistics.

use ndarray::{ArrayD, IxDyn, array};
use nn_layers::{
    BatchNorm2d, Error, GraphBuilder, Params, PlainTrainer, Slot, TrainBackend, TrainError,
    TrainSpec, random_params,
};
use testkit::{assert_close, distinct_array};

use crate::common::{KEY, LOSS, Sum, checkpoint, frozen, image, network};

/// `x` is [1, 3, 8, 4] and [2, 2, 2, 2] in the two channels: the means are 4 and 2, the variances
/// 26/4 and 0, unbiased 26/3 and 0.
#[test]
fn running_statistics_move_by_the_momentum_with_the_unbiased_variance() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2, 1, 2]).unwrap();
    let y = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let mut params = random_params(&graph, 1).unwrap().cast::<f64>();
    let insert = |params: &mut Params<f64>, local: &str, numbers: [f64; 2]| {
        let value = ArrayD::from_shape_vec(IxDyn(&[2]), numbers.to_vec()).unwrap();
        params.insert(format!("bn.{local}"), Slot::Buffer, value);
    };
    insert(&mut params, "running_mean", [8.0, -2.0]);
    insert(&mut params, "running_var", [2.0, 16.0]);
    let x = array![[[[1.0, 3.0]], [[2.0, 2.0]]], [[[8.0, 4.0]], [[2.0, 2.0]]]].into_dyn();
    for (momentum, mean, var) in [
        (0.25, [7.0, -1.0], [1.5 + 26.0 / 12.0, 12.0]),
        (1.0, [4.0, 2.0], [26.0 / 3.0, 0.0]),
        (0.0, [8.0, -2.0], [2.0, 16.0]),
    ] {
        let spec = TrainSpec {
            batch_norm_momentum: momentum,
            ..TrainSpec::default()
        };
        let mut trainer = PlainTrainer::new(&graph, params.clone(), spec).unwrap();
        trainer.step(&[x.view()], &Sum, KEY).unwrap();
        let now = trainer.export();
        let statistic = |local: &str| now.get(&format!("bn.{local}")).unwrap().value.clone();
        let near = |got: ArrayD<f64>, expected: [f64; 2]| {
            assert_close(
                got.view(),
                array![expected[0], expected[1]].into_dyn().view(),
                |_| 1e-14,
            );
        };
        near(statistic("running_mean"), mean);
        near(statistic("running_var"), var);
        // No counter was added.
        assert_eq!(now.len(), 4);
    }
}

#[test]
fn counters_count_steps() {
    let graph = network();
    let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), frozen(&["stage1"])).unwrap();
    for _ in 0..2 {
        trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    }
    let counter = |stage| {
        let name = format!("{stage}.bn.num_batches_tracked");
        trainer.params().get(&name).unwrap().value[IxDyn(&[])]
    };
    assert_eq!((counter("stage1"), counter("stage2")), (4.0, 6.0));
}

#[test]
fn one_value_a_channel_is_refused_unless_frozen() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3, 4, 4]).unwrap();
    let y = b.global_avg_pool2d("pool", x).unwrap();
    let y = b.batch_norm2d("bn", y, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let params = random_params(&graph, 1).unwrap().cast::<f64>();
    let image = |batch| distinct_array(&[batch, 3, 4, 4], 1);

    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    trainer.step(&[image(2).view()], &LOSS, KEY).unwrap();
    let before = (trainer.export(), trainer.gradients());
    let error = trainer.step(&[image(1).view()], &LOSS, KEY).unwrap_err();
    assert!(
        matches!(&error, Error::Train(TrainError::OneValuePerChannel { node, .. }) if node == "bn")
    );
    assert_eq!(
        error.to_string(),
        "node \"bn\": batch normalisation in training needs more than one value per channel, but \
         its input is 1x3x1x1: use a larger batch or picture, or freeze the node"
    );
    assert_eq!((trainer.export(), trainer.gradients()), before);

    let spec = TrainSpec {
        grad_input: true,
        ..frozen(&["bn"])
    };
    let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
    trainer.step(&[image(1).view()], &LOSS, KEY).unwrap();
}
