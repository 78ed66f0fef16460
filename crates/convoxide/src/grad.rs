//! `convoxide grad`: the gradients of one training step, for checking a port.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use engine::TrainingSession;
use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    Classification, CrossEntropy, Graph, Params, PlainTrainer, Slot, StepKey, TrainBackend,
    TrainError, TrainSpec,
};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::model::{self, ClassifierSource, Source};
use crate::tensors::{self, Number};
use crate::{npy, output, suffix};

/// Write the loss and every gradient of one training step
///
/// A classifier runs one step in training mode with the cross-entropy loss;
/// GoogLeNet's auxiliary heads have weight 0.3, Inception-v3's 0.4. Inputs are not
/// preprocessed, and dropout is off without --dropout. The safetensors file
/// contains the loss as `loss`, the gradient of each parameter under the name of
/// the parameter, the gradient of the input as `input`, and the new running
/// statistics under their names.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: ClassifierSource,
    /// Pictures: a .npy of floats in the order n, c, h, w
    #[arg(long, value_name = "X")]
    input: PathBuf,
    /// Classes: a .npy of integers, one per picture
    #[arg(long, value_name = "Y")]
    labels: PathBuf,
    /// File to write
    #[arg(long, value_name = "G")]
    output: PathBuf,
    /// Floating-point type: f32 or f64
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Use the plain loops that define the result
    #[arg(long)]
    plain: bool,
    /// Use dropout, with this seed
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
/// File errors, and a model, input and labels that do not fit together.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a .safetensors file", &["safetensors"])?;
    let source = Source::from(args.source);
    let mut model = source.load(context)?;
    let Some(architecture) = model.description.take().map(|model| model.architecture) else {
        return Err(source.not_a_classifier());
    };
    let graph = architecture
        .training_graph([model.input[1], model.input[2]])
        .map_err(|error| source.fault(error))?;
    let params = match model.params.take() {
        Some(params) => params,
        None => model::random(&graph, model.not_fetched, context)
            .map_err(|error| source.fault(error))?,
    };
    let step = Step {
        source: &source,
        output: &args.output,
        dropout: args.dropout,
        options: context.options.clone(),
        params,
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

/// The requested step.
struct Step<'a> {
    source: &'a Source,
    output: &'a Path,
    dropout: Option<u64>,
    options: engine::Options,
    graph: Graph,
    params: Params<f32>,
    labels: Vec<usize>,
    aux_weight: f64,
}

/// What the command prints.
#[derive(Debug, Serialize)]
struct Report {
    loss: f64,
    /// The norm over the gradients of all parameters.
    gradient_norm: f64,
}

impl Step<'_> {
    fn spec(&self) -> TrainSpec {
        TrainSpec {
            dropout: self.dropout.is_some(),
            grad_input: true,
            ..TrainSpec::default()
        }
    }

    fn plain<T: Number>(&self, input: ArrayD<T>) -> Result<Report, Error> {
        let trainer = PlainTrainer::new(&self.graph, self.params.cast(), self.spec());
        self.run(trainer.map_err(|error| self.source.fault(error))?, &input)
    }

    fn fast(&self, input: ArrayD<f32>) -> Result<Report, Error> {
        let params = self.params.clone();
        let session = TrainingSession::new(&self.graph, params, self.spec(), &self.options);
        self.run(session.map_err(|error| self.source.fault(error))?, &input)
    }

    /// Runs the step on this backend and writes the result to the file.
    fn run<T: Number, B: TrainBackend<T>>(
        &self,
        mut backend: B,
        input: &ArrayD<T>,
    ) -> Result<Report, Error> {
        let source = self.source;
        self.check_finite("the input", input)?;
        let loss = Classification {
            labels: &self.labels,
            options: &CrossEntropy::default(),
            aux_weight: self.aux_weight,
        };
        let key = StepKey {
            seed: self.dropout.unwrap_or(0),
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
            self.check_finite(name, &gradient.value)?;
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
        tensors::write(self.output, &named)?;
        Ok(Report {
            loss,
            gradient_norm: squares.sqrt(),
        })
    }

    /// Rejects infinities and NaN.
    fn check_finite<T: Number>(&self, name: &str, tensor: &ArrayD<T>) -> Result<(), Error> {
        let mut numbers = tensor.iter().enumerate();
        match numbers.find(|(_, number)| !number.is_finite()) {
            None => Ok(()),
            Some((index, got)) => {
                Err(self
                    .source
                    .fault(nn_layers::Error::Train(TrainError::NonFinite {
                        tensor: name.to_owned(),
                        index,
                        got: got.wide(),
                        node: None,
                    })))
            }
        }
    }
}
