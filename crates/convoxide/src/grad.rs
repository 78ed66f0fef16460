//! `convoxide grad`: the gradients of one training step, so that people can check a port.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use engine::{Options, TrainingSession};
use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    Classification, CrossEntropy, Graph, Params, PlainTrainer, Slot, StepKey, TrainBackend,
    TrainSpec,
};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::model::{self, Source};
use crate::tensors::{self, Number};
use crate::{npy, output};

/// Write the loss and every gradient of one training step
///
/// The step is one of a classifier in training mode, with cross-entropy:
/// GoogLeNet's auxiliary heads weigh 0.3, Inception-v3's 0.4. No preprocessing,
/// and no dropout unless it is asked for. The safetensors file that is written has
/// the loss as `loss`, each parameter's gradient under the parameter's name, the
/// input's as `input`, and the new running statistics under theirs.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Pictures: a .npy of floats in the order n, c, h, w
    #[arg(long, value_name = "X")]
    input: PathBuf,
    /// Their classes: a .npy of integers, one a picture
    #[arg(long, value_name = "Y")]
    labels: PathBuf,
    /// File to write
    #[arg(long, value_name = "G")]
    output: PathBuf,
    /// Numbers to compute with: f32 or f64
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Compute by plain loops, which define the result
    #[arg(long)]
    plain: bool,
    /// Let dropout drop, by this seed
    #[arg(long, value_name = "SEED")]
    dropout: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the files, and a model, input or labels that do not fit each other.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let mut model = args.source.load()?;
    let Some(architecture) = model.architecture.take() else {
        return Err(args.source.fault("a darknet cfg is no classifier's"));
    };
    let fault = |error| args.source.fault(error);
    let graph = architecture
        .training_graph([model.input[1], model.input[2]])
        .map_err(fault)?;
    let params = model.params.take();
    let step = Step {
        args,
        params: params.unwrap_or_else(|| model::random(&graph, context)),
        graph,
        labels: npy::read_labels(&args.labels)?,
        aux_weight: architecture.aux_weight(),
    };
    let report = match (args.dtype, args.plain) {
        (Dtype::F64, _) => step.plain(npy::read_f64(&args.input)?),
        (Dtype::F32, true) => step.plain(npy::read(&args.input)?),
        (Dtype::F32, false) => step.fast(npy::read(&args.input)?),
    }?;
    if context.json {
        output::json(&report)?;
    } else {
        let Report {
            loss,
            gradient_norm,
            ..
        } = report;
        output::text(format_args!(
            "loss {loss}, norm of all gradients {gradient_norm}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The step as it was asked for.
struct Step<'a> {
    args: &'a Args,
    graph: Graph,
    params: Params<f32>,
    labels: Vec<usize>,
    aux_weight: f64,
}

/// What the command prints.
#[derive(Debug, Serialize)]
struct Report {
    loss: f64,
    /// Of the parameters' gradients together.
    gradient_norm: f64,
}

impl Step<'_> {
    fn spec(&self) -> TrainSpec {
        TrainSpec {
            dropout: self.args.dropout.is_some(),
            grad_input: true,
            ..TrainSpec::default()
        }
    }

    fn plain<T: Number>(&self, input: ArrayD<T>) -> Result<Report, Error> {
        let trainer = PlainTrainer::new(&self.graph, self.params.cast(), self.spec());
        self.run(
            trainer.map_err(|error| self.args.source.fault(error))?,
            &input,
        )
    }

    fn fast(&self, input: ArrayD<f32>) -> Result<Report, Error> {
        let params = self.params.clone();
        let session = TrainingSession::new(&self.graph, params, self.spec(), &Options::default());
        self.run(
            session.map_err(|error| self.args.source.fault(error))?,
            &input,
        )
    }

    /// The step by this backend; its result goes into the file.
    fn run<T: Number, B: TrainBackend<T>>(
        &self,
        mut backend: B,
        input: &ArrayD<T>,
    ) -> Result<Report, Error> {
        let source = &self.args.source;
        let mut numbers = input.iter().enumerate();
        if let Some((index, got)) = numbers.find(|(_, x)| !x.is_finite()) {
            return Err(source.fault(nn_layers::Error::NonFinite {
                tensor: "the input".to_owned(),
                index,
                got: got.wide(),
                node: None,
            }));
        }
        let loss = Classification {
            labels: &self.labels,
            options: &CrossEntropy::default(),
            aux_weight: self.aux_weight,
        };
        let key = StepKey {
            seed: self.args.dropout.unwrap_or(0),
            step: 0,
        };
        let terms = backend.step(&[input.view()], &loss, key);
        let loss = terms.map_err(|error| source.fault(error))?.total;
        if !loss.is_finite() {
            return Err(source.fault(format!("the loss is {loss}")));
        }

        let mut named = vec![(
            "loss".to_owned(),
            ArrayD::from_elem(IxDyn(&[]), T::from_f64(loss)),
        )];
        let mut squares = 0.0;
        for (name, gradient) in backend.gradients().iter() {
            if gradient.slot == Slot::Weight {
                squares += gradient.value.iter().map(|x| x.wide().powi(2)).sum::<f64>();
            }
            named.push((name.to_owned(), gradient.value.clone()));
        }
        let params = backend.export();
        let read = self.graph.param_specs();
        for spec in read.filter(|spec| spec.slot() == Slot::Buffer) {
            let value = params.get(spec.name()).map(|param| param.value.clone());
            named.extend(value.map(|value| (spec.name().to_owned(), value)));
        }
        tensors::write(&self.args.output, &named)?;
        Ok(Report {
            loss,
            gradient_norm: squares.sqrt(),
        })
    }
}
