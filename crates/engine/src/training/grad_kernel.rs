//! The kernels of the backward pass: for each forward kernel, the one that computes its inputs'
//! gradients.

use conv_core::blocked::{self, Store, View, ViewMut};
use conv_core::{AvgPool2dOptions, Isa};

use crate::kernel::Part;

/// A kernel that computes the gradient of an input from the gradient of the result alone. An
/// operation without such a kernel is a unit of its own kind or runs with the plain loops.
#[derive(Clone, Debug)]
pub(crate) enum GradKernel {
    /// The gradient unchanged, in the input's layout.
    Same,
    /// The input's own channels.
    Concat,
    /// Zeros around the channels, which start at this channel.
    Slice(usize),
    /// The channels from this one on.
    PadChannels(usize),
    Reshape,
    AvgPool(AvgPool2dOptions),
    AdaptiveAvgPool,
    Upsample([usize; 2]),
}

impl GradKernel {
    /// Whether it can add to a gradient, or can only overwrite one.
    pub(crate) fn can_add(&self) -> bool {
        match self {
            Self::Same | Self::AvgPool(_) | Self::AdaptiveAvgPool | Self::Upsample(_) => true,
            Self::Concat | Self::Slice(_) | Self::PadChannels(_) | Self::Reshape => false,
        }
    }

    /// Computes the gradient of the input that `part` names. `store` is [`Store::Replace`] for
    /// kernels that cannot add.
    pub(crate) fn run(
        &self,
        isa: Isa,
        part: Part,
        grad: View<'_>,
        target: ViewMut<'_>,
        store: Store,
    ) -> conv_core::Result<()> {
        match self {
            Self::Same => pass_on(isa, grad, target, store),
            Self::Concat => blocked::slice(grad, part.first_channel, target),
            Self::Slice(first) => blocked::pad_channels(grad, *first, target),
            Self::PadChannels(before) => blocked::slice(grad, *before, target),
            Self::Reshape => blocked::reshape(grad, target),
            Self::AvgPool(options) => blocked::avg_pool2d_grad(isa, options, grad, target, store),
            Self::AdaptiveAvgPool => blocked::adaptive_avg_pool2d_grad(isa, grad, target, store),
            Self::Upsample(scale) => {
                blocked::upsample_nearest2d_grad(isa, *scale, grad, target, store)
            }
        }
    }
}

/// Returns the gradient of a tensor that is passed on unchanged.
pub(crate) fn pass_on(
    isa: Isa,
    grad: View<'_>,
    target: ViewMut<'_>,
    store: Store,
) -> conv_core::Result<()> {
    match store {
        Store::Add => blocked::add_assign(isa, grad, target),
        Store::Replace => blocked::map(isa, grad, target, |x| x),
    }
}
