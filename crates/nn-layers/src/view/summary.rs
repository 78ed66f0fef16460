//! A network's cost, which is the same for every executor: shapes, parameters, multiply-adds and
//! tensor sizes.

use std::fmt;

use files::show::shorten;
use serde::Serialize;

use crate::{
    error::{Error, Result},
    graph::{
        Graph, Node, error::GraphError, liveness::last_uses, op::Op, param_spec::Slot, shape::Shape,
    },
};

/// The size of an f32 in bytes.
const BYTES: u64 = 4;

/// A network's cost for inputs of given shapes.
///
/// [`Display`](fmt::Display) prints a table of at most 80 columns; `serde` writes the same values.
///
/// ```
/// use nn_layers::{Conv2d, GraphBuilder, Padding, Shape, Summary};
///
/// // The textbook's 5x5 layer of an inception module: 120 million multiplications.
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 192, 28, 28])?;
/// let y = b.conv2d("conv5x5", x, Conv2d::new(32, [5, 5]).padding(Padding::Same))?;
/// let graph = b.finish(&[y])?;
///
/// let summary = Summary::new(&graph, &[Shape::from([1, 192, 28, 28])])?;
/// assert_eq!(summary.multiply_adds, 28 * 28 * 32 * 5 * 5 * 192); // 120,422,400
/// assert_eq!(summary.parameters, 32 * 5 * 5 * 192 + 32);
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The shapes of the graph's inputs.
    pub inputs: Vec<Shape>,
    /// One row per node, in the graph's order.
    pub rows: Vec<SummaryRow>,
    /// The number of trainable values.
    pub parameters: u64,
    /// The number of values that are estimated or counted, such as running statistics.
    pub buffers: u64,
    /// Multiplications by a weight, each with its addition. As is customary, only those of
    /// convolutions and dense layers are counted.
    pub multiply_adds: u64,
    /// Floating-point operations: `2 · multiply_adds`.
    pub flops: u64,
    /// The total size in bytes of all nodes' outputs, inputs included, as NCHW in f32. It counts
    /// only the values of the tensors. The memory that an executor takes differs: it includes
    /// padded layouts, packed weights and scratch memory. An executor that pads channels to blocks
    /// of sixteen, for example, takes sixteen times as much for a tensor with one channel.
    /// `Plan::memory` in the crate `engine` returns the engine's total.
    pub activation_bytes: u64,
    /// The largest total size in bytes of the tensors that are live at the same time, as NCHW in
    /// f32: a node's output, its inputs, and all tensors that later nodes read or the graph
    /// outputs. This is what the plain loops take. An executor that computes in place or fuses
    /// operations takes less; one with padded layouts takes more.
    pub peak_activation_bytes: u64,
}

/// One node's cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The node's name.
    pub name: String,
    /// The kind of operation: `conv2d`, ...
    pub kind: &'static str,
    /// The operation with its options: `conv2d 3x3 /2`.
    pub op: String,
    /// The shape of the node's output.
    pub output: Shape,
    /// The number of trainable values.
    pub parameters: u64,
    /// The number of values that are estimated or counted.
    pub buffers: u64,
    /// Multiplications by a weight, each with its addition, for the whole batch.
    pub multiply_adds: u64,
}

impl Summary {
    /// The cost of a graph for inputs of these shapes.
    ///
    /// # Errors
    ///
    /// Those of [`Graph::infer`], and [`GraphError::TooLarge`] if a total does not fit in 64 bits.
    pub fn new(graph: &Graph, inputs: &[Shape]) -> Result<Self> {
        let shapes = graph.infer(inputs)?;
        let mut summary = Self {
            inputs: inputs.to_vec(),
            rows: Vec::with_capacity(shapes.len()),
            parameters: 0,
            buffers: 0,
            multiply_adds: 0,
            flops: 0,
            activation_bytes: 0,
            peak_activation_bytes: 0,
        };

        let bytes = |node: &Node, shape: &Shape| {
            let elements = shape
                .elements()
                .and_then(|elements| u64::try_from(elements).ok());
            checked(
                node,
                "a tensor in bytes",
                elements.and_then(|n| n.checked_mul(BYTES)),
            )
        };
        let last_uses = last_uses(graph);
        let mut live = 0u64;
        for ((id, node), shape) in graph.iter().zip(&shapes) {
            let row = SummaryRow::new(node, shape)?;
            let add = |total: &mut u64, what, more| -> Result<()> {
                *total = checked(node, what, total.checked_add(more))?;
                Ok(())
            };
            add(
                &mut summary.parameters,
                "the number of parameters",
                row.parameters,
            )?;
            add(
                &mut summary.buffers,
                "the number of buffers' elements",
                row.buffers,
            )?;
            add(
                &mut summary.multiply_adds,
                "the number of multiply-adds",
                row.multiply_adds,
            )?;
            summary.rows.push(row);

            let output = bytes(node, shape)?;
            add(
                &mut summary.activation_bytes,
                "the activations' size",
                output,
            )?;
            add(&mut live, "the activations' size", output)?;
            summary.peak_activation_bytes = summary.peak_activation_bytes.max(live);
            for dead in &last_uses[id.index()] {
                live -= bytes(node, &shapes[dead.index()])?;
            }
            let flops = summary.multiply_adds.checked_mul(2);
            summary.flops = checked(node, "the number of operations", flops)?;
        }
        Ok(summary)
    }
}

impl Summary {
    /// The table of nodes without the totals, one line per node, at most 80 columns wide.
    #[must_use]
    pub fn table(&self) -> impl fmt::Display + '_ {
        Table(&self.rows)
    }
}

impl SummaryRow {
    fn new(node: &Node, output: &Shape) -> Result<Self> {
        let count = |is: fn(Slot) -> bool| {
            let elements = node
                .params()
                .iter()
                .filter(|spec| is(spec.slot()))
                .map(|spec| {
                    spec.shape().iter().try_fold(1u64, |product, &size| {
                        product.checked_mul(u64::try_from(size).ok()?)
                    })
                });
            let sum = elements
                .into_iter()
                .try_fold(0u64, |sum, n| sum.checked_add(n?));
            checked(node, "the number of parameters", sum)
        };
        Ok(Self {
            name: node.name().to_owned(),
            kind: node.op().kind(),
            op: node.op().to_string(),
            output: output.clone(),
            parameters: count(|slot| slot == Slot::Weight)?,
            buffers: count(|slot| slot != Slot::Weight)?,
            multiply_adds: checked(
                node,
                "the number of multiply-adds",
                multiply_adds(node, output).and_then(|n| u64::try_from(n).ok()),
            )?,
        })
    }
}

/// One for each output element and each weight in its sum; `None` on overflow.
fn multiply_adds(node: &Node, output: &Shape) -> Option<u128> {
    match node.op() {
        Op::Conv2d(_) | Op::Linear(_) => {
            // [O, C/groups, h, w] or [O, I]: the groups are already divided out.
            let taps = node.param("weight")?.shape().get(1..)?;
            let sizes = output.iter().chain(taps);
            sizes
                .into_iter()
                .try_fold(1u128, |product, &size| product.checked_mul(size as u128))
        }
        Op::Input
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => Some(0),
    }
}

fn checked(node: &Node, what: &'static str, count: Option<u64>) -> Result<u64> {
    count.ok_or_else(|| {
        Error::Graph(GraphError::TooLarge {
            node: node.name().to_owned(),
            what,
        })
    })
}

/// The table's width.
const COLUMNS: usize = 80;

/// The table of the nodes, then the totals.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n", self.table())?;
        writeln!(f, "parameters     {}", exact(self.parameters))?;
        writeln!(f, "buffers        {}", exact(self.buffers))?;
        let [multiply_adds, flops] = [scaled(self.multiply_adds, ""), scaled(self.flops, "FLOP")];
        writeln!(f, "multiply-adds  {multiply_adds} ({flops})")?;
        let [all, peak] = [self.activation_bytes, self.peak_activation_bytes]
            .map(|bytes| bytes as f64 / f64::from(1 << 20));
        write!(
            f,
            "activations    {all:.1} MiB in all, {peak:.1} MiB at a time, as NCHW in f32"
        )
    }
}

/// The nodes of a [`Summary`], one per line.
struct Table<'a>(&'a [SummaryRow]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["node", "operation", "output", "parameters", "mult-adds"].map(str::to_owned);
        let rows = self.0.iter().map(|row| {
            let dash = |count: u64, text: String| if count == 0 { "-".to_owned() } else { text };
            [
                row.name.clone(),
                row.op.clone(),
                row.output.to_string(),
                dash(row.parameters, exact(row.parameters)),
                dash(row.multiply_adds, scaled(row.multiply_adds, "")),
            ]
        });
        let table: Vec<[String; 5]> = std::iter::once(header).chain(rows).collect();

        let mut widths = [0; 5];
        for row in &table {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths[1] = widths[1].min(20);
        widths[2] = widths[2].min(17);
        // Two spaces between columns; the names take the rest of the line.
        let others = widths[1..].iter().sum::<usize>() + 2 * 4;
        widths[0] = widths[0].min(COLUMNS.saturating_sub(others));

        for (line, row) in table.iter().enumerate() {
            let [name, op, output, parameters, multiply_adds] = row;
            let start = if line == 0 { "" } else { "\n" };
            write!(
                f,
                "{start}{:<w0$}  {:<w1$}  {:<w2$}  {:>w3$}  {:>w4$}",
                shorten(name, widths[0]),
                shorten(op, widths[1]),
                shorten(output, widths[2]),
                parameters,
                multiply_adds,
                w0 = widths[0],
                w1 = widths[1],
                w2 = widths[2],
                w3 = widths[3],
                w4 = widths[4],
            )?;
        }
        Ok(())
    }
}

/// `12,345,678`, or scaled if that would be too wide for a column.
fn exact(count: u64) -> String {
    if count >= 100_000_000_000 {
        return scaled(count, "");
    }
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `31.47 G` and the unit: two decimal places and a decimal prefix; below 1000, neither.
fn scaled(count: u64, unit: &str) -> String {
    if count < 1000 {
        return format!("{count} {unit}").trim_end().to_owned();
    }
    let mut value = count as f64;
    let mut prefix = ' ';
    for next in ['k', 'M', 'G', 'T', 'P', 'E'] {
        // A value that rounds to 1000.00 takes the next prefix.
        if value < 999.995 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    format!("{value:.2} {prefix}{unit}")
}
