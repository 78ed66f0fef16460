//! The specification of a parameter that a node reads: its name, shape and slot.

/// The role of a network's tensor in training and in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Trained by gradient descent.
    Weight,
    /// Estimated from the data, such as running statistics: saved, but without a gradient.
    Buffer,
    /// Counted, such as `num_batches_tracked`: found in files, but not read by any graph.
    Counter,
}

impl Slot {
    /// The slot of a tensor of floats, from the last part of its name.
    ///
    /// ```
    /// use nn_layers::Slot;
    ///
    /// assert_eq!(Slot::of_name("layer1.0.bn1.running_mean"), Slot::Buffer);
    /// assert_eq!(Slot::of_name("layer1.0.bn1.num_batches_tracked"), Slot::Counter);
    /// assert_eq!(Slot::of_name("layer1.0.bn1.weight"), Slot::Weight);
    /// ```
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map_or(name, |(_, local)| local) {
            "running_mean" | "running_var" => Self::Buffer,
            "num_batches_tracked" => Self::Counter,
            _ => Self::Weight,
        }
    }
}

/// A parameter that a node reads: its full name, shape and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) slot: Slot,
}

impl ParamSpec {
    /// The full name: the node's name, a dot, and `weight`, `bias`, ...
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of the name after the node's name: `weight`, `bias`, `running_mean` or
    /// `running_var`.
    #[must_use]
    pub fn local_name(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(_, local)| local)
    }

    /// The shape: OIHW for a convolution's weight, `[O, I]` for that of a dense layer, `[C]` for
    /// all others.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The number of values.
    #[must_use]
    pub fn elements(&self) -> usize {
        // The builder has checked that the product does not overflow.
        self.shape.iter().product()
    }
}
