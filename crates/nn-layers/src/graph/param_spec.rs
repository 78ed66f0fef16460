//! What a node asks for: a parameter by its name and shape.

/// What a tensor of a network is to training and to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Trained by gradient descent.
    Weight,
    /// Estimated from the data, such as running statistics: saved, never given a gradient.
    Buffer,
    /// Counted, such as `num_batches_tracked`: found in checkpoints, read by no graph.
    Counter,
}

/// A parameter that a node reads: its full name, shape and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) slot: Slot,
}

impl ParamSpec {
    /// The name in a checkpoint: the node's name, a dot, and `weight`, `bias`, ...
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of the name behind the node's: `weight`, `bias`, `running_mean` or `running_var`.
    #[must_use]
    pub fn local_name(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(_, local)| local)
    }

    /// The shape: OIHW for a convolution's weight, `[O, I]` for a dense one, `[C]` for the rest.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The number of its values.
    #[must_use]
    pub fn elements(&self) -> usize {
        // The builder has checked that the product does not overflow.
        self.shape.iter().product()
    }
}
