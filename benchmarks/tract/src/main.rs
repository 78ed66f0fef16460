//! tract as a worker of `cargo xtask bench --peers`.

use std::sync::Arc;

use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;
use worker::{Job, Result, Side, serve};

struct Tract {
    model: Arc<TypedRunnableModel>,
    input: [usize; 4],
    output: Option<TValue>,
}

impl Tract {
    fn load(job: &Job) -> Result<Self> {
        set_default_executor(match job.threads {
            1 => Executor::SingleThread,
            threads => Executor::multithread(threads),
        });
        let model = tract_onnx::onnx()
            .model_for_path(job.folder.join("network.onnx"))?
            .with_input_fact(0, f32::fact(job.input).into())?
            .into_optimized()?
            .into_runnable()?;
        Ok(Self {
            model,
            input: job.input,
            output: None,
        })
    }
}

impl Side for Tract {
    fn run(&mut self, input: &[f32]) -> Result<()> {
        let input = Tensor::from_shape(&self.input, input)?;
        self.output = self.model.run(tvec!(input.into()))?.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let output = self.output.as_ref().ok_or("no run yet")?;
        let view = output.to_plain_array_view::<f32>()?;
        Ok(view.iter().copied().collect())
    }
}

fn main() -> Result<()> {
    let job = Job::parse(std::env::args())?;
    serve("tract", "0.23.9", &job, Tract::load)
}
