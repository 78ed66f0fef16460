//! What a trainer borrows and lends: batches, which it gives back, and the parameters of an epoch,
//! which it exports once.

use std::{cell::Cell, rc::Rc};

use ndarray::ArrayViewD;
use nn_layers::{Loss, StepKey, Terms};

use super::*;

/// A batch is dropped before the next one is asked for, so that its memory can be used for that.
#[test]
fn every_batch_is_given_back_before_the_next_is_taken() {
    let graph = graph();
    let mut backend = backend(&graph);
    // Updates after two batches, and one batch that is dropped.
    let options = TrainerOptions {
        accumulate: 2,
        short_batch: ShortBatch::Drop,
        ..options(sgd())
    };
    let mut trainer = Trainer::new(options, &backend).unwrap();
    let lent = Rc::new(batch(1, 4));
    let short = Rc::new(batch(2, 3));
    let taken = Cell::new(0);
    let given = |_, _| {
        let (lent, short, taken) = (&lent, &short, &taken);
        (0..BATCHES).map(move |i| {
            assert_eq!((Rc::strong_count(lent), Rc::strong_count(short)), (1, 1));
            taken.set(taken.get() + 1);
            let last = i + 1 == BATCHES;
            Ok::<_, Error>(Rc::clone(if last { short } else { lent }))
        })
    };
    let objective = ClassificationObjective::default();
    let stop = AtomicBool::new(false);
    let outcome = trainer.run(&mut backend, &objective, given, score, &mut (), &stop);
    assert_eq!(outcome, Ok(Outcome::Finished));
    assert_eq!(taken.get(), 4 * BATCHES);
}

/// Batches that are lent give the same bits as batches that are given away.
#[test]
fn lending_changes_no_bit() {
    let graph = graph();
    let all: Vec<Vec<TrainBatch>> = (0..4)
        .map(|epoch| batches(epoch, 0).map(Result::unwrap).collect())
        .collect();
    let stop = AtomicBool::new(false);
    let objective = ClassificationObjective::default();

    let mut given = backend(&graph);
    let mut trainer = Trainer::new(options(sgd()), &given).unwrap();
    run(&mut trainer, &mut given).unwrap();

    let mut lent = backend(&graph);
    let mut trainer = Trainer::new(options(sgd()), &lent).unwrap();
    let lend = |epoch: u64, first: u64| {
        let epoch = &all[epoch as usize][first as usize..];
        epoch.iter().map(Ok::<_, Error>)
    };
    trainer
        .run(&mut lent, &objective, lend, score, &mut (), &stop)
        .unwrap();
    assert_eq!(lent.export(), given.export());
}

/// A backend that counts its exports.
struct Counting {
    inner: PlainTrainer<f64>,
    exports: Cell<u64>,
}

impl TrainBackend<f64> for Counting {
    type Error = Error;

    fn step(
        &mut self,
        inputs: &[ArrayViewD<'_, f64>],
        loss: &dyn Loss<f64>,
        key: StepKey,
    ) -> Result<Terms> {
        self.inner.step(inputs, loss, key)
    }

    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [f64], &[f64])) -> Result<()> {
        self.inner.update(rule)
    }

    fn gradients(&self) -> Params<f64> {
        self.inner.gradients()
    }

    fn export(&self) -> Params<f64> {
        self.exports.set(self.exports.get() + 1);
        self.inner.export()
    }

    fn import(&mut self, params: &Params<f64>) -> Result<()> {
        self.inner.import(params)
    }

    fn set_frozen(&mut self, frozen: &[String]) -> Result<()> {
        self.inner.set_frozen(frozen)
    }

    fn to_canonical(&self, name: &str, numbers: &[f64]) -> Result<ArrayD<f64>> {
        self.inner.to_canonical(name, numbers)
    }

    fn from_canonical(&self, name: &str, numbers: &ArrayD<f64>) -> Result<Vec<f64>> {
        self.inner.from_canonical(name, numbers)
    }
}

#[test]
fn the_end_of_an_epoch_exports_the_parameters_once() {
    let graph = graph();
    for is_saved in [false, true] {
        let mut backend = Counting {
            inner: backend(&graph),
            exports: Cell::new(0),
        };
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = Trainer::new(options(sgd()), &backend).unwrap();
        if is_saved {
            trainer = trainer.save_to(CheckpointFolder::new(folder.path(), 1));
        }
        backend.exports.set(0);
        let mut given = Vec::new();
        let evaluate = |params: &Params<f64>, epoch| {
            given.push(params.clone());
            score(params, epoch)
        };
        let objective = ClassificationObjective::default();
        let stop = AtomicBool::new(false);
        trainer
            .run(&mut backend, &objective, batches, evaluate, &mut (), &stop)
            .unwrap();
        assert_eq!(backend.exports.get(), 4, "saved: {is_saved}");
        assert_eq!(given.len(), 4);
        assert_eq!(given[3], backend.inner.export());
        assert_ne!(given[2], given[3]);
        if is_saved {
            let last = Checkpoint::<f64>::open(folder.path().join("last.ckpt")).unwrap();
            assert_eq!(last.params, given[3]);
        }
    }
}
