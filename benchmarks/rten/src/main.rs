//! rten as a worker of `cargo xtask bench --peers`.

use std::sync::Arc;

use rten::{Model, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};
use worker::{Job, Result, Side, serve};

struct Rten {
    model: Model,
    options: RunOptions,
    input: [usize; 4],
    output: Option<Tensor<f32>>,
}

impl Rten {
    fn load(job: &Job) -> Result<Self> {
        let pool = Arc::new(ThreadPool::with_num_threads(job.threads));
        Ok(Self {
            model: Model::load_file(job.folder.join("network.onnx"))?,
            options: RunOptions::default().with_thread_pool(Some(pool)),
            input: job.input,
            output: None,
        })
    }
}

impl Side for Rten {
    fn run(&mut self, input: &[f32]) -> Result<()> {
        let view = NdTensorView::from_data(self.input, input);
        let input = ValueOrView::from(view.as_dyn());
        let output = self.model.run_one(input, Some(self.options.clone()))?;
        self.output = Some(output.try_into()?);
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        Ok(self.output.as_ref().ok_or("no run yet")?.to_vec())
    }
}

fn main() -> Result<()> {
    let job = Job::parse(std::env::args())?;
    serve("rten", "0.27.0", &job, Rten::load)
}
