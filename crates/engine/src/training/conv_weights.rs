//! The weights of a convolution in training, and what is derived from them.

use std::sync::Arc;

use conv_core::blocked::{Buffer, Conv2dSpec, Denormals, Epilogue, TurnedWeights};
use ndarray::{ArrayView1, ArrayView4};

/// The weights that an optimiser updates, in the order in which the kernels read them, and those that
/// are derived from them: once for each version, so only once if the layer is frozen.
#[derive(Debug)]
pub(crate) struct ConvWeights {
    pub(crate) spec: Conv2dSpec,
    weight: Buffer,
    bias: Buffer,
    /// The number of times that the weights have been lent for modification.
    version: u64,
    /// Shared only while a gradient reads them.
    turned: Arc<TurnedWeights>,
    /// The version that was turned.
    turned_version: Option<u64>,
}

impl ConvWeights {
    /// Packs `weight` `[O, I / groups, kh, kw]` and `bias` `[O]`.
    pub(crate) fn new(
        spec: Conv2dSpec,
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
    ) -> conv_core::Result<Self> {
        Ok(Self {
            spec,
            weight: spec.pack(weight, Denormals::Flushed)?,
            bias: spec.pack_bias(bias)?,
            version: 0,
            turned: Arc::default(),
            turned_version: None,
        })
    }

    pub(crate) fn weight(&self) -> &[f32] {
        &self.weight
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Returns an epilogue that adds the bias.
    pub(crate) fn epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            bias: Some(&self.bias),
            ..Epilogue::default()
        }
    }

    /// Returns weights and bias for modification.
    pub(crate) fn parameters_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        self.version += 1;
        (&mut self.weight, &mut self.bias)
    }

    /// Returns the turned weights, which the gradient of the layer's input reads.
    pub(crate) fn turned(&mut self) -> conv_core::Result<Arc<TurnedWeights>> {
        if self.turned_version != Some(self.version) {
            self.turned_version = None;
            Arc::make_mut(&mut self.turned).turn(&self.spec, &self.weight)?;
            self.turned_version = Some(self.version);
        }
        Ok(Arc::clone(&self.turned))
    }
}

#[cfg(test)]
mod tests {
    use conv_core::{Conv2dOptions, Isa};
    use ndarray::Array4;

    use super::*;

    #[test]
    fn weights_are_turned_once_for_each_version() {
        let spec = Conv2dSpec::new([16, 16, 1, 1], &Conv2dOptions::default(), Isa::best()).unwrap();
        let ones = Array4::ones((16, 16, 1, 1));
        let mut weights = ConvWeights::new(spec, ones.view(), None).unwrap();
        let mut twos = TurnedWeights::default();
        twos.turn(&spec, &vec![2.0; spec.weight_len()]).unwrap();

        let first = TurnedWeights::clone(&*weights.turned().unwrap());
        assert_ne!(first, twos);
        // Not through `parameters_mut`, so the version is the same, and nothing is turned again.
        weights.weight.fill(2.0);
        assert_eq!(*weights.turned().unwrap(), first);
        weights.parameters_mut().0.fill(2.0);
        assert_eq!(*weights.turned().unwrap(), twos);
    }
}
