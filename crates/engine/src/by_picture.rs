//! Which steps run picture by picture.
//!
//! The results of a network's first layers are large and their weights few; towards the end it is the other
//! way round. The results of a whole batch do not stay in a cache. So the first steps compute one picture
//! after the other, each with the same memory, and the others the whole batch at once, with one pass over
//! their weights. No bit of a result depends on that.

use conv_core::Isa;
use nn_layers::Shape;

use crate::error::Result;
use crate::ir::Ir;
use crate::memory::bytes;

/// The bytes that a step may read and write in a batch before they leave the caches that the threads share.
const IN_CACHE: u64 = 4 << 20;

/// The steps that run picture by picture.
#[derive(Debug, Default)]
pub(crate) struct ByPicture {
    /// How many steps: the first ones.
    pub(crate) steps: usize,
    /// Whether a value is needed by those only: then its memory is that of one picture.
    pub(crate) alone: Vec<bool>,
}

impl ByPicture {
    /// `shapes` are those of the values.
    pub(crate) fn new(ir: &Ir, shapes: &[Shape], isa: Isa) -> Result<Self> {
        let steps = steps(ir, shapes, isa)?;
        let mut alone: Vec<bool> = (0..shapes.len()).map(|value| value < steps).collect();
        for instruction in ir.instructions.iter().skip(steps) {
            for &input in &instruction.inputs {
                alone[input] = false;
            }
        }
        for &output in &ir.outputs {
            alone[output] = false;
        }
        // Values that share memory are alone together.
        for value in 0..alone.len() {
            let (root, _) = ir.root(value);
            alone[root] &= alone[value];
        }
        for value in 0..alone.len() {
            alone[value] = alone[ir.root(value).0];
        }
        Ok(Self { steps, alone })
    }
}

/// Returns how many of the first steps move less memory picture by picture: their results stay in the cache,
/// but their weights are read once for each picture.
fn steps(ir: &Ir, shapes: &[Shape], isa: Isa) -> Result<usize> {
    let mut batches = shapes.iter().map(|shape| shape.first().copied());
    let batch = match batches.next().flatten() {
        Some(batch) if batch > 1 && batches.all(|other| other == Some(batch)) => batch as u64,
        _ => return Ok(0),
    };
    // The memory moved that the steps so far save, and the most that some number of them saves.
    let (mut saved, mut most, mut steps) = (0i128, 0i128, 0);
    for (number, instruction) in ir.instructions.iter().enumerate() {
        if ir.runs(number) {
            let read = ir.reads(number).map(|input| &shapes[input]);
            let moved = read.chain([&shapes[number]]);
            let moved = moved.fold(0u64, |sum, shape| {
                sum.saturating_add(bytes(std::slice::from_ref(shape)))
            });
            if moved > IN_CACHE {
                saved += i128::from(moved);
            }
            let weights = instruction.packed_bytes(isa)?;
            saved -= i128::from(weights) * i128::from(batch - 1);
        }
        if saved > most {
            (most, steps) = (saved, number + 1);
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use nn_layers::{Conv2d, Graph, GraphBuilder, Padding};

    use super::*;
    use crate::passes;
    use crate::plan::Options;

    /// Three convolutions, of which the last has a large weight, and a sum of two of them.
    fn graph() -> nn_layers::Result<Graph> {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 3, 64, 64])?;
        let same =
            |channels, kernel| Conv2d::new(channels, [kernel; 2]).padding(Padding::all(kernel / 2));
        let one = b.conv2d("one", x, same(64, 3))?;
        let two = b.conv2d("two", one, same(64, 1))?;
        let sum = b.add("sum", one, two)?;
        let small = b.conv2d("small", sum, Conv2d::new(512, [8, 8]).stride([8, 8]))?;
        let last = b.conv2d("last", small, same(1024, 3))?;
        b.finish(&[last])
    }

    fn of_batch(batch: usize) -> Result<ByPicture> {
        let graph = graph()?;
        let isa = Isa::best();
        let ir = passes::for_inference(&graph, &Options::default())?;
        let shapes = ir.shapes(&graph, &[Shape::from([batch, 3, 64, 64])])?;
        ByPicture::new(&ir, &shapes, isa)
    }

    #[test]
    fn one_picture_is_a_batch() {
        assert_eq!(of_batch(1).unwrap().steps, 0);
    }

    #[test]
    fn large_results_with_small_weights_come_one_by_one() {
        let by_picture = of_batch(8).unwrap();
        assert_eq!(
            by_picture.steps, 3,
            "input, first convolution, second with the sum"
        );
        // The sum is read by a step that takes the whole batch.
        assert_eq!(by_picture.alone, [true, true, false, false, false]);
    }

    #[test]
    fn values_that_share_memory_are_alone_together() {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 16, 64, 64]).unwrap();
        let one = b.conv2d("one", x, Conv2d::new(64, [1, 1])).unwrap();
        let two = b.conv2d("two", x, Conv2d::new(64, [1, 1])).unwrap();
        let both = b.concat("both", &[one, two]).unwrap();
        let small = Conv2d::new(16, [1, 1]);
        let small = b.conv2d("small", both, small).unwrap();
        let graph = b.finish(&[small, two]).unwrap();
        let ir = passes::for_inference(&graph, &Options::default()).unwrap();
        let shapes = ir.shapes(&graph, &[Shape::from([8, 16, 64, 64])]).unwrap();
        let by_picture = ByPicture::new(&ir, &shapes, Isa::best()).unwrap();
        let numbers = || 0..ir.instructions.len();
        let named = |name| numbers().find(|&number| ir.instructions[number].name == name);
        // The second is an output, and so are needed all pictures of what it is a part of.
        for name in ["one", "two", "both"] {
            let value = named(name).unwrap();
            assert!(value < by_picture.steps, "{name}");
            assert!(!by_picture.alone[value], "{name}");
        }
    }
}
