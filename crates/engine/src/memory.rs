//! The memory of a session, computed before any of it is allocated.

use std::fmt;

use nn_layers::{Graph, Shape};

use crate::error::{Error, Result};

/// The bytes of a tensor's element.
pub(crate) const F32: u64 = size_of::<f32>() as u64;
/// The bytes of an accumulator.
pub(crate) const F64: u64 = size_of::<f64>() as u64;

/// The memory of a session, in bytes, as tensors are stored: channels are padded to whole blocks of
/// 16 wherever a tensor is stored in blocks, and a convolution's input includes its padding.
///
/// It counts what the session owns while it runs and the outputs that it returns. It does not count
/// what the caller owns: the inputs, and the parameters that a network is compiled from. A caller
/// with an optimiser sets [`optimiser`](Self::optimiser).
///
/// ```
/// use engine::{Options, Plan};
/// use nn_layers::{Conv2d, GraphBuilder, Padding, Shape, random_params};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 1, 100, 100])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(1, [3, 3]).padding(Padding::all(1)))?;
/// let graph = b.finish(&[conv])?;
///
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
/// let memory = plan.memory(&[Shape::from([1, 1, 100, 100])])?;
/// // The image with its padding, and the single output channel as a whole block.
/// assert_eq!(memory.activations, (102 * 102 + 12 + 16 * 100 * 100) * 4);
/// assert_eq!(memory.outputs, 100 * 100 * 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// The parameters as the kernels read them. All sessions of a plan share them, yet each counts
    /// them.
    pub parameters: u64,
    /// The gradients of the parameters, in training.
    pub gradients: u64,
    /// The activations and, in training, their gradients, each only while it is needed.
    pub activations: u64,
    /// The kernels' workspace.
    pub scratch: u64,
    /// The outputs and, in training, their gradients.
    pub outputs: u64,
    /// The state of the caller's optimiser, from
    /// [`Optimiser::state_bytes`](nn_layers::Optimiser::state_bytes). A session reports 0, since it
    /// does not know the optimiser.
    pub optimiser: u64,
}

impl MemoryUse {
    /// Returns the total.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parts()
            .iter()
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Returns the use of a graph's parameters as a file stores them, neither padded nor folded.
    pub(crate) fn of_parameters(graph: &Graph) -> Self {
        let numbers = graph.param_specs().map(|spec| {
            let sizes = spec.shape().iter().map(|&size| size as u64);
            sizes.fold(F32, u64::saturating_mul)
        });
        Self {
            parameters: numbers.fold(0, u64::saturating_add),
            ..Self::default()
        }
    }

    /// Returns the sum of two uses at the same time.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            parameters: self.parameters.saturating_add(other.parameters),
            gradients: self.gradients.saturating_add(other.gradients),
            activations: self.activations.saturating_add(other.activations),
            scratch: self.scratch.saturating_add(other.scratch),
            outputs: self.outputs.saturating_add(other.outputs),
            optimiser: self.optimiser.saturating_add(other.optimiser),
        }
    }

    /// Returns the larger of two uses at different times, part by part.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            parameters: self.parameters.max(other.parameters),
            gradients: self.gradients.max(other.gradients),
            activations: self.activations.max(other.activations),
            scratch: self.scratch.max(other.scratch),
            outputs: self.outputs.max(other.outputs),
            optimiser: self.optimiser.max(other.optimiser),
        }
    }

    /// Returns an error if the total exceeds the limit.
    pub(crate) fn check(self, limit: u64) -> Result<()> {
        if self.total() > limit {
            return Err(Error::MemoryLimit {
                needed: self,
                limit,
            });
        }
        Ok(())
    }

    fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            ("activations", self.activations),
            ("scratch", self.scratch),
            ("outputs", self.outputs),
            ("optimiser", self.optimiser),
        ]
    }
}

/// `1.5 GiB (activations 1.2 GiB, parameters 0.3 GiB)`: the total, and its parts where they are not
/// negligible.
impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "{}", Bytes(total))?;
        let mut parts = self.parts();
        parts.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        let large = parts.iter().filter(|(_, bytes)| *bytes > total / 50);
        for (number, (name, bytes)) in large.enumerate() {
            let start = if number == 0 { " (" } else { ", " };
            write!(f, "{start}{name} {}", Bytes(*bytes))?;
        }
        f.write_str(if total == 0 { "" } else { ")" })
    }
}

/// A human-readable size: `12.5 GiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut units = UNITS.iter();
        let mut unit = units.next();
        // A value that rounds to 1024.0 moves to the next unit.
        while value >= 1023.95
            && let Some(next) = units.next()
        {
            value /= 1024.0;
            unit = Some(next);
        }
        write!(f, "{value:.1} {}", unit.unwrap_or(&"KiB"))
    }
}

/// Grows a vector to at least this length, or returns an error if the allocation fails.
pub(crate) fn grow<T: Clone>(
    vec: &mut Vec<T>,
    len: usize,
    value: T,
    what: &'static str,
) -> Result<()> {
    if vec.len() < len {
        vec.try_reserve_exact(len - vec.len())
            .map_err(|_| Error::OutOfMemory {
                what,
                bytes: len as u128 * size_of::<T>() as u128,
            })?;
        vec.resize(len, value);
    }
    Ok(())
}

/// Returns the bytes of tensors of these shapes, or `u64::MAX` if the number does not fit.
pub(crate) fn bytes(shapes: &[Shape]) -> u64 {
    shapes.iter().fold(0, |sum: u64, shape| {
        let elements = shape
            .elements()
            .map_or(u64::MAX, |elements| elements as u64);
        sum.saturating_add(elements.saturating_mul(F32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        let cases = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (8 << 30, "8.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Bytes(bytes).to_string(), expected);
        }
        let memory = MemoryUse {
            parameters: 1 << 20,
            activations: 2 << 20,
            scratch: 1,
            ..MemoryUse::default()
        };
        assert_eq!(
            memory.to_string(),
            "3.0 MiB (activations 2.0 MiB, parameters 1.0 MiB)"
        );
        assert_eq!(MemoryUse::default().to_string(), "0 bytes");
    }

    #[test]
    fn a_sum_that_does_not_fit_64_bits_is_over_every_limit_but_the_largest() {
        let memory = MemoryUse {
            activations: u64::MAX,
            scratch: u64::MAX,
            ..MemoryUse::default()
        };
        assert_eq!(memory.total(), u64::MAX);
        let error = memory.check(u64::MAX - 1).unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }));
    }
}
