//! Convoxide as a worker of `cargo xtask bench --peers`, and its list of a network's convolutions.
//!
//! ```text
//! convoxide-worker --folder FOLDER --network NAME --input 1x3x224x224 --threads 2
//! convoxide-worker layers NAME [CFG]
//! ```

#![forbid(unsafe_code)]

mod layer;
mod network;
mod peak;

use engine::{Isa, Options, Plan, Session};
use nn_layers::ndarray::ArrayView4;
use nn_layers::{Infer, Outputs, Shape, Summary};
use worker::{Job, Result, Side, serve};

use crate::network::Network;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [task, name, cfg @ ..] = &args[..]
        && task == "layers"
    {
        let cfg = cfg.first().map(std::path::Path::new);
        print!("{}", layer::list(&network::graph(name, cfg)?)?);
        return Ok(());
    }
    let job = Job::parse(args)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads);
    pool.build()?.install(|| {
        serve(
            "Convoxide",
            env!("CARGO_PKG_VERSION"),
            &job,
            Convoxide::load,
        )
    })
}

/// A session and its last output.
struct Convoxide {
    session: Session,
    input: [usize; 4],
    outputs: Outputs,
    isa: Isa,
    threads: usize,
    multiply_adds: u64,
}

impl Convoxide {
    fn load(job: &Job) -> Result<Self> {
        let Network { graph, params } = Network::open(&job.network, &job.folder)?;
        let shapes = [Shape::from(job.input)];
        let multiply_adds = Summary::new(&graph, &shapes)?.multiply_adds;
        let plan = Plan::compile(&graph, params, &Options::default())?;
        Ok(Self {
            session: plan.session(&shapes)?,
            input: job.input,
            outputs: Outputs::new(),
            isa: plan.isa(),
            threads: job.threads,
            multiply_adds,
        })
    }
}

impl Side for Convoxide {
    fn run(&mut self, input: &[f32]) -> Result<()> {
        let input = ArrayView4::from_shape(self.input, input)?;
        Ok(self.session.run(&[input.into_dyn()], &mut self.outputs)?)
    }

    fn output(&self) -> Result<Vec<f32>> {
        match &self.outputs.tensors[..] {
            [tensor] => Ok(tensor.iter().copied().collect()),
            tensors => Err(format!("{} outputs, expected one", tensors.len()).into()),
        }
    }

    fn facts(&self) -> String {
        let (isa, multiply_adds) = (self.isa, self.multiply_adds);
        format!(r#", "isa": "{isa}", "multiply_adds": {multiply_adds}"#)
    }

    fn peak(&self) -> Option<f64> {
        Some(peak::gflops(self.isa, self.threads))
    }
}
