//! The results of PyTorch in training, compared with ours.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::ArrayD;
use nn_layers::{
    Adam, Classification, CrossEntropy, Graph, Method, Optimiser, OptimiserOptions, Params,
    PlainTrainer, Sgd, StepKey, TrainBackend, TrainSpec, WeightDecay, random_params,
};
use serde::Deserialize;

use crate::golden;
use crate::random::{pictures, random_array};

/// The seed of parameters, pictures and projections in `gradients.py`.
const SEED: u64 = 1;
/// The seed of the pictures that the running statistics are computed from.
const CALIBRATION_SEED: u64 = 7;

/// A golden file of `goldens/gradients.py`: parameters and pictures come from the formula that it
/// shares with [`random_params`], so that only results are stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingGolden {
    /// The model's name in that script.
    pub model: String,
    /// The number of classes it was created with.
    pub classes: usize,
    /// The picture size `[h, w]`.
    pub size: [usize; 2],
    labels: Vec<usize>,
    aux_weight: f64,
    /// Learning rates of the two optimisers.
    rates: [f64; 2],
    loss: f64,
    /// Losses before each step of stochastic gradient descent, and of `AdamW`.
    sgd: Vec<f64>,
    adamw: Vec<f64>,
    gradients: BTreeMap<String, Told>,
    statistics: BTreeMap<String, Told>,
}

/// A tensor's norm, its product with random values, and its first, middle and last value.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Told([f64; 5]);

impl TrainingGolden {
    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it cannot be read or is not such a file.
    #[must_use]
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Self {
        golden::read(path.as_ref())
    }

    /// Asserts that the plain loops in f64 compute PyTorch's loss within 1e-11, its gradients
    /// within 1e-9 of their norms, its running statistics equally closely, and its losses of up to
    /// `steps` steps of each optimiser within 1e-6; the file has ten.
    ///
    /// # Panics
    ///
    /// If one of them differs.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    pub fn check(&self, graph: &Graph, steps: usize) {
        let params = self.calibrated(graph);
        let spec = TrainSpec {
            grad_input: true,
            ..spec()
        };
        let mut trainer = PlainTrainer::new(graph, params.clone(), spec).expect("the parameters");
        let loss = self.step(&mut trainer, SEED);
        let error = (loss - self.loss).abs();
        assert!(
            error <= 1e-11,
            "{}: the loss is off by {error:e}",
            self.model
        );
        self.check_tensors(&self.gradients, &trainer.gradients());
        let learnt = trainer.gradients().len();
        assert_eq!(learnt, self.gradients.len(), "{}: gradients", self.model);
        self.check_tensors(&self.statistics, &trainer.export());
        for name in self.statistics.keys() {
            let before = params.get(name).map(|param| &param.value);
            assert_ne!(before, trainer.params().get(name).map(|param| &param.value));
        }

        let sgd = Sgd {
            momentum: 0.9,
            ..Sgd::default()
        };
        let [sgd_rate, adamw_rate] = self.rates;
        let decay = WeightDecay::L2(5e-4);
        self.check_losses(
            graph,
            &params,
            &self.sgd[..steps],
            sgd.into(),
            decay,
            sgd_rate,
        );
        let (adam, decay) = (Adam::default().into(), WeightDecay::Decoupled(0.01));
        self.check_losses(
            graph,
            &params,
            &self.adamw[..steps],
            adam,
            decay,
            adamw_rate,
        );
    }

    /// Returns parameters by the formula, and running statistics from a batch with momentum 1.
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    fn calibrated(&self, graph: &Graph) -> Params<f64> {
        let params = random_params(graph, SEED).expect("memory for the parameters");
        let spec = TrainSpec {
            batch_norm_momentum: 1.0,
            ..spec()
        };
        let mut trainer =
            PlainTrainer::new(graph, params.cast::<f64>(), spec).expect("the parameters");
        self.step(&mut trainer, CALIBRATION_SEED);
        trainer.export()
    }

    /// Runs one step on the pictures of this seed and returns the loss.
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    fn step(&self, trainer: &mut PlainTrainer<f64>, seed: u64) -> f64 {
        let x = pictures(self.labels.len(), self.size, seed);
        let loss = Classification {
            labels: &self.labels,
            options: &CrossEntropy::default(),
            aux_weight: self.aux_weight,
        };
        let key = StepKey::default();
        trainer
            .step(&[x.view()], &loss, key)
            .expect("pictures")
            .total
    }

    #[track_caller]
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    fn check_tensors(&self, expected: &BTreeMap<String, Told>, got: &Params<f64>) {
        let largest = expected.values().map(|Told([norm, ..])| *norm);
        let largest = largest.fold(0.0, f64::max);
        for (name, told) in expected {
            let got = &got.get(name).expect(name).value;
            if let Err(error) = told.compare(got, largest) {
                panic_for(&format!("{}: {name}: {error}", self.model));
            }
        }
    }

    /// Asserts the losses before each step of an optimiser.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "fails the test that calls it")]
    fn check_losses(
        &self,
        graph: &Graph,
        params: &Params<f64>,
        expected: &[f64],
        method: Method,
        weight_decay: WeightDecay,
        rate: f64,
    ) {
        let mut trainer = PlainTrainer::new(graph, params.clone(), spec()).expect("the parameters");
        let options = OptimiserOptions {
            method,
            weight_decay,
            ..OptimiserOptions::default()
        };
        let mut optimiser = Optimiser::new(options, params).expect("the parameters");
        for (step, expected) in expected.iter().enumerate() {
            let error = (self.step(&mut trainer, SEED) - expected).abs();
            let (model, name) = (&self.model, method.name());
            assert!(
                error <= 1e-6,
                "{model}: loss {step} of {name} is off by {error:e}"
            );
            optimiser.update(&mut trainer, rate).expect("gradients");
        }
    }
}

/// PyTorch's defaults for what is trainable, with dropout off.
fn spec() -> TrainSpec {
    TrainSpec {
        dropout: false,
        ..TrainSpec::default()
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "fails the test that calls it")]
fn panic_for(why: &str) -> ! {
    panic!("{why}")
}

impl Told {
    /// Checks that the difference is within 1e-9 of the norm, as far as five values can tell, and
    /// beyond that within the rounding of the `largest` norm of all tensors: the gradient of a bias
    /// that the next batch normalisation takes away is 0, and nothing but rounding is computed.
    fn compare(&self, got: &ArrayD<f64>, largest: f64) -> std::result::Result<(), String> {
        let Self([norm, projection, first, middle, last]) = *self;
        let len = got.len();
        let weights = random_array(&[len], SEED);
        let bound = 1e-9 * norm + 1e-15 * largest;
        // The norm of the random values is at most the square root of their number.
        let projection_bound = bound * (len as f64).sqrt();
        let number = |index| got.iter().nth(index).copied().unwrap_or(f64::NAN);
        let got_norm = got.iter().map(|x| x * x).sum::<f64>().sqrt();
        let got_projection: f64 = got.iter().zip(&weights).map(|(x, weight)| x * weight).sum();
        for (what, got, expected, bound) in [
            ("norm", got_norm, norm, bound),
            ("projection", got_projection, projection, projection_bound),
            ("first number", number(0), first, bound),
            ("middle number", number(len / 2), middle, bound),
            ("last number", number(len - 1), last, bound),
        ] {
            if (got - expected).abs() > bound || got.is_nan() {
                return Err(format!("the {what} is {got}, expected {expected}"));
            }
        }
        Ok(())
    }
}
