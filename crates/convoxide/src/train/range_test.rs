//! The learning-rate range test of a recipe.

use image_classify::train_batches;
use nn_layers::{Params, RangeTest, RateCurve};

use super::Args;
use super::job::Job;
use crate::context::Context;
use crate::error::Reason;

impl Job {
    /// Trains on batch after batch at rising rates, in as many epochs as it takes.
    ///
    /// # Errors
    ///
    /// Those of the session, and a picture that cannot be read.
    pub(super) fn range_test(
        &self,
        test: &RangeTest,
        params: Params<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<RateCurve, Reason> {
        let (params, _) = self.start(params, args, context)?;
        let mut session = self.session(params, context)?;
        let loader = self.loader(args)?;
        let batches = (0..).flat_map(|epoch| train_batches(&loader, epoch, 0));
        let (objective, optimiser) = (self.objective(), &self.optimiser);
        Ok(test.run(&mut session, &objective, optimiser, batches)?)
    }
}
