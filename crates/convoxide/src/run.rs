//! `convoxide run`: runs a network on raw tensors.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::Executor;
use nn_layers::{Infer, Outputs};

use crate::context::Context;
use crate::error::Error;
use crate::executor::ExecutorFlag;
use crate::model::Source;
use crate::{npy, output, suffix};

/// Run a network on a raw tensor, without preprocessing
///
/// The input is a .npy file of float32, [n, c, h, w], of any size that the network
/// accepts. The output is a .npy file or, if its name ends in .npz, an archive with
/// one entry per output, named after its node. The outputs of a darknet cfg are the
/// inputs of its region or yolo layers.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Tensor to read
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// File to write
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
    #[command(flatten)]
    executor: ExecutorFlag,
}

/// Runs the command.
///
/// # Errors
///
/// File errors, and an input that the network does not accept.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a NumPy file", &["npy", "npz"])?;
    let source = &args.source;
    let mut model = source.load(context)?;
    let params = (model.take_params(context)).map_err(|error| source.fault(error))?;
    let names: Vec<&str> = (model.graph.outputs().iter())
        .filter_map(|&id| model.graph.node(id).map(nn_layers::Node::name))
        .collect();
    let ending = args.output.extension();
    let archive = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("npz"));
    if names.len() != 1 && !archive {
        let names = names.join(", ");
        return Err(source.fault(format!(
            "the network has several outputs ({names}): give --output a name that ends in .npz"
        )));
    }
    let input = npy::read(&args.input)?;
    let mut outputs = Outputs::new();
    Executor::new(args.executor.into(), &model.graph, params, &context.options)
        .and_then(|mut network| network.run(&[input.view()], &mut outputs))
        .map_err(|error| source.fault(error))?;
    let tensors = outputs.tensors;
    for (name, tensor) in names.iter().zip(&tensors) {
        let odd = tensor.iter().filter(|number| !number.is_finite()).count();
        if odd > 0 && !context.quiet {
            output::complain(&format!(
                "{odd} of the {} values of output {name} are not finite",
                tensor.len()
            ));
        }
    }
    match &tensors[..] {
        [tensor] if !archive => npy::write(&args.output, tensor)?,
        tensors => {
            let named: Vec<_> = names.into_iter().zip(tensors).collect();
            npy::write_npz(&args.output, &named)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
