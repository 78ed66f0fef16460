//! Single convolutions: their names, their graphs, and the list of those of a network.

use std::fmt::{self, Write as _};

use nn_layers::{Conv2d, Graph, GraphBuilder, Op, Padding};
use worker::Result;

/// A convolution with bias, named `layer-64-56x56-128-3x3-2x2-1x1-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    in_channels: usize,
    /// `[h, w]` of the input.
    size: [usize; 2],
    out_channels: usize,
    kernel_size: [usize; 2],
    stride: [usize; 2],
    /// `[top and bottom, left and right]`
    padding: [usize; 2],
    groups: usize,
}

impl Layer {
    /// The layer of a name; `None` if it is the name of a network.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>> {
        let Some(fields) = name.strip_prefix("layer-") else {
            return Ok(None);
        };
        let fields: Vec<&str> = fields.split('-').collect();
        let [c, size, o, kernel, stride, padding, groups] = fields[..] else {
            return Err(format!("{name} has not seven fields").into());
        };
        Ok(Some(Self {
            in_channels: c.parse()?,
            size: pair(size)?,
            out_channels: o.parse()?,
            kernel_size: pair(kernel)?,
            stride: pair(stride)?,
            padding: pair(padding)?,
            groups: groups.parse()?,
        }))
    }

    /// A network of this layer alone, with the names that PyTorch gives its parameters.
    pub(crate) fn graph(&self) -> Result<Graph> {
        let [h, w] = self.size;
        let [vertical, horizontal] = self.padding;
        let conv = Conv2d::new(self.out_channels, self.kernel_size)
            .stride(self.stride)
            .padding(Padding::Explicit([
                vertical, horizontal, vertical, horizontal,
            ]))
            .groups(self.groups);
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, self.in_channels, h, w])?;
        let y = b.conv2d("0", x, conv)?;
        Ok(b.finish(&[y])?)
    }

    /// The layer of a convolution on an input `[n, c, h, w]`.
    fn of(conv: &Conv2d, [_, in_channels, h, w]: [usize; 4]) -> Result<Self> {
        let options = &conv.options;
        let padding = match options.padding {
            Padding::Valid => [0, 0],
            Padding::Explicit([top, left, bottom, right]) if [top, left] == [bottom, right] => {
                [top, left]
            }
            padding => return Err(format!("PyTorch has no padding {padding:?}").into()),
        };
        if options.dilation != [1, 1] {
            return Err("dilation is not among a layer's fields".into());
        }
        Ok(Self {
            in_channels,
            size: [h, w],
            out_channels: conv.out_channels,
            kernel_size: conv.kernel_size,
            stride: options.stride,
            padding,
            groups: options.groups,
        })
    }
}

/// As in a line of a shape file.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            in_channels: c,
            size: [h, w],
            out_channels: o,
            kernel_size: [kernel_h, kernel_w],
            stride: [stride_h, stride_w],
            padding: [padding_h, padding_w],
            groups,
        } = self;
        write!(f, "{c} {h}x{w} {o} {kernel_h}x{kernel_w} ")?;
        write!(f, "{stride_h}x{stride_w} {padding_h}x{padding_w} {groups}")
    }
}

/// Two numbers, as `56x56`.
fn pair(text: &str) -> Result<[usize; 2]> {
    let (h, w) = text.split_once('x').ok_or("a pair has no x")?;
    Ok([h.parse()?, w.parse()?])
}

/// The distinct convolutions of a network at its usual size, in the order of their first appearance: a line
/// each, with the number of times it occurs.
pub(crate) fn list(graph: &Graph) -> Result<String> {
    let mut layers: Vec<(usize, Layer)> = Vec::new();
    for node in graph.nodes() {
        let Op::Conv2d(conv) = node.op() else {
            continue;
        };
        let input = node.inputs().first().and_then(|&id| graph.node(id));
        let input = input.and_then(|input| input.shape().nchw());
        let layer = Layer::of(
            conv,
            input.ok_or("a convolution without an input [n, c, h, w]")?,
        )?;
        match layers.iter_mut().find(|(_, known)| *known == layer) {
            Some((times, _)) => *times += 1,
            None => layers.push((1, layer)),
        }
    }
    let mut text = String::new();
    for (times, layer) in layers {
        writeln!(text, "{times} {layer}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_parsed_and_makes_a_graph() {
        let layer = Layer::parse("layer-64-56x28-128-3x1-2x1-1x0-2")
            .unwrap()
            .unwrap();
        assert_eq!(layer.to_string(), "64 56x28 128 3x1 2x1 1x0 2");
        let graph = layer.graph().unwrap();
        assert_eq!(graph.nodes()[1].shape().nchw(), Some([1, 128, 28, 28]));
        assert_eq!(list(&graph).unwrap(), "1 64 56x28 128 3x1 2x1 1x0 2\n");
        assert_eq!(Layer::parse("resnet18").unwrap(), None);
        for bad in [
            "layer-64",
            "layer-64-56-128-3x1-2x1-1x0-2",
            "layer-a-1x1-1-1x1-1x1-0x0-1",
        ] {
            assert!(Layer::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn equal_layers_are_counted() {
        let mut b = GraphBuilder::new();
        let conv = || Conv2d::new(8, [3, 3]).padding(Padding::all(1));
        let mut x = b.input("x", [1, 8, 5, 7]).unwrap();
        for name in ["a", "b"] {
            x = b.conv2d(name, x, conv()).unwrap();
        }
        x = b.conv2d("c", x, conv().stride([2, 2])).unwrap();
        let graph = b.finish(&[x]).unwrap();
        let expected = "2 8 5x7 8 3x3 1x1 1x1 1\n1 8 5x7 8 3x3 2x2 1x1 1\n";
        assert_eq!(list(&graph).unwrap(), expected);
    }
}
