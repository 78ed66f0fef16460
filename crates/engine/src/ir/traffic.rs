//! The memory traffic of an instruction: what it must read and write at least once.

use conv_core::Isa;
use conv_core::blocked::Layout;

use super::{Ir, Operation};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::memory::F32;

impl Ir {
    /// Returns the bytes that an instruction moves at least once, for values of these layouts: see
    /// [`StepProfile::bytes`](crate::StepProfile::bytes).
    pub(crate) fn traffic(&self, value: usize, layouts: &[Layout], isa: Isa) -> Result<u64> {
        if !self.runs(value) {
            return Ok(0);
        }
        let instruction = &self.instructions[value];
        let result = stored(&layouts[value]);
        let inputs = || {
            let mut inputs = instruction.inputs.clone();
            inputs.sort_unstable();
            inputs.dedup();
            inputs.into_iter()
        };
        let sum = |values: &mut dyn Iterator<Item = usize>| {
            values.fold(0u64, |sum, value| {
                sum.saturating_add(stored(&layouts[value]))
            })
        };
        let in_place = sum(&mut inputs().filter(|&input| !self.reads_input(value, input)));
        let read = match instruction.operation {
            Operation::Input(_) => unpadded(&layouts[value]),
            Operation::Kernel(Kernel::Slice(_)) => result,
            Operation::Conv(_)
            | Operation::Norm(_)
            | Operation::Dropout(_)
            | Operation::Kernel(_) => {
                sum(&mut inputs().filter(|&input| self.reads_input(value, input)))
            }
        };
        let written = result.saturating_sub(in_place);
        let parameters = instruction.packed_bytes(isa)?;
        Ok(read.saturating_add(written).saturating_add(parameters))
    }
}

/// Returns the bytes of a value without its halo, its channels padded to whole blocks.
fn stored(layout: &Layout) -> u64 {
    pixels(layout, layout.blocks().saturating_mul(layout.block.len()))
}

/// Returns the bytes of a value as the caller stores it.
fn unpadded(layout: &Layout) -> u64 {
    pixels(layout, layout.channels)
}

fn pixels(layout: &Layout, channels: usize) -> u64 {
    let [height, width] = layout.size;
    let sizes = [layout.batch, channels, height, width].into_iter();
    sizes.fold(F32, |product, size| product.saturating_mul(size as u64))
}

#[cfg(test)]
mod tests {
    use nn_layers::{BatchNorm2d, Conv2d, GraphBuilder, NodeId, Padding, Shape};

    use super::*;
    use crate::passes;
    use crate::plan::Options;
    use crate::session_plan::SessionPlan;

    const PIXELS: u64 = 4 * 10;
    /// The bytes of a channel block of two pictures.
    const BLOCK: u64 = 2 * PIXELS * 16 * 4;

    /// Returns name and bytes of each step of a graph that `build` makes from an input `x`
    /// `[2, channels, 4, 10]`.
    fn traffic(
        channels: usize,
        build: impl FnOnce(&mut GraphBuilder, NodeId) -> nn_layers::Result<Vec<NodeId>>,
    ) -> Vec<(String, u64)> {
        let shape = [2, channels, 4, 10];
        let mut b = GraphBuilder::new();
        let x = b.input("x", shape).unwrap();
        let outputs = build(&mut b, x).unwrap();
        let graph = b.finish(&outputs).unwrap();
        let ir = passes::for_inference(&graph, &Options::default()).unwrap();
        let isa = Isa::best();
        let plan = SessionPlan::new(&ir, &graph, isa, &[Shape::from(shape)]).unwrap();
        let steps = ir.instructions.iter().enumerate();
        steps
            .map(|(number, one)| {
                let bytes = ir.traffic(number, &plan.layouts, isa).unwrap();
                (one.name.clone(), bytes)
            })
            .collect()
    }

    fn assert_traffic(got: &[(String, u64)], expected: &[(&str, u64)]) {
        let got: Vec<(&str, u64)> = got.iter().map(|(name, n)| (&name[..], *n)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_convolution_moves_its_input_its_weights_and_its_output_but_no_halo() {
        let steps = traffic(3, |b, x| {
            let first = b.conv2d("first", x, Conv2d::new(20, [3, 3]).padding(Padding::Same))?;
            Ok(vec![b.conv2d("last", first, Conv2d::new(16, [1, 1]))?])
        });
        // Planar channels are not padded: three weights times 32 channels for each tap, and a bias.
        let first = 2 * PIXELS * 3 * 4 + 2 * BLOCK + (9 * 3 * 32 + 32) * 4;
        let last = 2 * BLOCK + BLOCK + (32 * 16 + 16) * 4;
        let input = 2 * (2 * PIXELS * 3 * 4);
        assert_traffic(&steps, &[("x", input), ("first", first), ("last", last)]);
    }

    #[test]
    fn a_value_that_is_read_twice_counts_once() {
        let steps = traffic(16, |b, x| {
            let norm = b.batch_norm2d("norm", x, BatchNorm2d::default())?;
            let twice = b.add("twice", norm, norm)?;
            Ok(vec![b.add("thrice", twice, norm)?])
        });
        let expected = [
            ("x", 2 * BLOCK),
            ("norm", 2 * BLOCK + 2 * 16 * 4),
            ("twice", 2 * BLOCK),
            ("thrice", 3 * BLOCK),
        ];
        assert_traffic(&steps, &expected);
    }

    #[test]
    fn what_already_lies_in_place_does_not_count() {
        let steps = traffic(32, |b, x| {
            let y = b.relu("y", x)?;
            let first = b.slice("first", y, 0, 16)?;
            let across = b.slice("across", y, 8, 16)?;
            let narrow = b.relu("narrow", first)?;
            Ok(vec![b.concat("both", &[narrow, across, y])?])
        });
        let by_name = |name: &str| {
            let step = steps.iter().rev().find(|step| step.0 == name);
            step.unwrap().1
        };
        // A view, and a copy.
        assert_eq!(by_name("first"), 0);
        assert_eq!(by_name("across"), 2 * BLOCK);
        assert_eq!(by_name("narrow"), 2 * BLOCK);
        // Two of the four blocks: `y`, which others read, is copied; the others are where they belong.
        assert_eq!(by_name("both"), 2 * BLOCK + 2 * BLOCK);
    }
}
