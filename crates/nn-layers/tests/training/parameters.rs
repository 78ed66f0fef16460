//! Exporting and importing parameters changes nothing, and a step that fails changes none.

use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    Error, GraphError, Loss, Misfit, Params, ParamsError, PlainTrainer, Result, Terms,
    TrainBackend, TrainError, TrainSpec,
};
use testkit::distinct_array;

use crate::common::{KEY, LOSS, checkpoint, descend, image, network};

/// A loss that rejects these outputs, or returns a gradient of another shape.
struct Misfitting(bool);

impl Loss<f64> for Misfitting {
    fn eval(&self, _: &[ArrayViewD<'_, f64>], grads: &mut [ArrayD<f64>]) -> Result<Terms> {
        if self.0 {
            let (expected, got) = (2, 1);
            return Err(Error::Graph(GraphError::Inputs { expected, got }));
        }
        grads[0] = ArrayD::zeros(vec![1, 2, 3]);
        Ok(Terms::default())
    }
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let graph = network();
    let params = checkpoint(&graph);
    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    let error = trainer.step(&[image().view()], &Misfitting(true), KEY);
    assert!(matches!(
        error,
        Err(Error::Graph(GraphError::Inputs { .. }))
    ));
    let error = trainer
        .step(&[image().view()], &Misfitting(false), KEY)
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Train(TrainError::LossGradient { output: 0, .. })
    ));
    assert_eq!(
        error.to_string(),
        "the loss returned a gradient of shape 1x2x3 for output 0, expected 2x3"
    );
    let error = trainer.step(&[], &LOSS, KEY);
    assert!(matches!(
        error,
        Err(Error::Graph(GraphError::Inputs { got: 0, .. }))
    ));
    let grey = distinct_array(&[2, 1, 6, 5], 1);
    let error = trainer.step(&[grey.view()], &LOSS, KEY);
    assert!(matches!(
        error,
        Err(Error::Graph(GraphError::Mismatch { axis: "c", .. }))
    ));
    assert_eq!(trainer.export(), params);
    let gradients = trainer.gradients();
    assert!(
        gradients
            .iter()
            .all(|(_, sum)| sum.value.iter().all(|&x| x == 0.0))
    );
}

#[test]
fn parameters_go_in_and_out_as_they_are() {
    let graph = network();
    let params = checkpoint(&graph);
    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    assert_eq!(trainer.export(), params);
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    descend(&mut trainer).unwrap();
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    assert_ne!(trainer.export(), params);

    let misfit = trainer.import(&Params::new());
    assert!(matches!(
        misfit,
        Err(Error::Params(ParamsError::Misfits(_)))
    ));
    trainer.import(&params).unwrap();
    assert_eq!(trainer.export(), params);
    assert!(matches!(
        descend(&mut trainer),
        Err(Error::Train(TrainError::NoGradient { .. }))
    ));

    // In another memory order, a rule still sees each value with its gradient.
    let mut turned = params.clone();
    let weight = turned.get_mut("fc.weight").unwrap();
    weight.value = weight
        .value
        .t()
        .as_standard_layout()
        .into_owned()
        .reversed_axes();
    assert!(!weight.value.is_standard_layout());
    let after = |params: &Params<f64>| {
        let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
        trainer.step(&[image().view()], &LOSS, KEY).unwrap();
        descend(&mut trainer).unwrap();
        trainer.export()
    };
    assert_eq!(after(&turned), after(&params));
}

#[test]
fn the_plain_order_is_the_canonical_one() {
    let graph = network();
    let trainer = PlainTrainer::new(&graph, checkpoint(&graph), TrainSpec::default()).unwrap();
    let numbers: Vec<f64> = (0..12).map(f64::from).collect();
    let array = trainer.to_canonical("fc.weight", &numbers).unwrap();
    assert_eq!((array.shape(), array[[1, 2]]), (&[3, 4][..], 6.0));
    assert_eq!(
        trainer.from_canonical("fc.weight", &array).unwrap(),
        numbers
    );
    let turned = array
        .clone()
        .reversed_axes()
        .as_standard_layout()
        .into_owned();
    assert_eq!(
        trainer
            .from_canonical("fc.weight", &turned.clone().reversed_axes())
            .unwrap(),
        numbers
    );

    let unknown = |name: &str| {
        Error::Params(ParamsError::UnknownParam {
            name: name.to_owned(),
        })
    };
    assert_eq!(
        trainer.to_canonical("fc", &numbers).unwrap_err(),
        unknown("fc")
    );
    assert_eq!(
        trainer.from_canonical("aux.weight", &array).unwrap_err(),
        unknown("aux.weight")
    );
    let error = trainer
        .to_canonical("fc.weight", &numbers[1..])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"fc.weight\" has 11 values, expected 12"
    );
    let error = trainer.from_canonical("fc.weight", &turned).unwrap_err();
    assert!(
        matches!(error, Error::Params(ParamsError::Misfits(misfits)) if matches!(misfits[0], Misfit::Shape { .. }))
    );
}
