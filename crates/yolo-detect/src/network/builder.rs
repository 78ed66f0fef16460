//! A network under construction, layer by layer.

use std::collections::HashMap;

use nn_layers::{
    BatchNorm2d, Conv2d, Epsilon, GraphBuilder, Linear, MaxPool2d, NodeId, Padding, ParamSpec,
    Shape,
};

use super::{LayerOutput, Network};
use crate::cfg::{
    Activation, Cfg, CfgProblem, Connected, Convolutional, Layer, LayerSection, MaxPool, Route,
    Shortcut, limits, whole_file,
};
use crate::error::{Error, Result};
use crate::head::Head;

/// Darknet divides by `sqrt(variance) + 0.000001`.
const BATCH_NORM: BatchNorm2d = BatchNorm2d {
    epsilon: Epsilon::Outside(0.000_001),
};

/// Darknet's leaky activation.
const LEAKY_SLOPE: f64 = 0.1;

/// A network under construction.
pub(super) struct Builder<'a> {
    cfg: &'a Cfg,
    graph: GraphBuilder,
    input: [usize; 3],
    /// What the next layer reads.
    previous: NodeId,
    layers: Vec<LayerOutput>,
    heads: Vec<Head>,
    /// Parameter names in the order of the weights file.
    order: Vec<String>,
    parameters: u64,
    /// For each layer, `parameters` after it.
    parameters_up_to: Vec<u64>,
    multiply_adds: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(cfg: &'a Cfg) -> Result<Self> {
        let net = cfg.net;
        let input = [net.channels, net.height, net.width];
        let elements = input
            .iter()
            .fold(1u64, |product, &size| product.saturating_mul(size as u64));
        limits::check("numbers in the input", elements, limits::MAX_ACTIVATION)
            .map_err(whole_file)?;
        let mut graph = GraphBuilder::new();
        let shape = [1, net.channels, net.height, net.width];
        let previous = graph
            .input("image", shape)
            .map_err(|e| whole_file(Box::new(e).into()))?;
        let (layers, heads, order) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            cfg,
            graph,
            input,
            previous,
            layers,
            heads,
            order,
            parameters: 0,
            parameters_up_to: Vec::new(),
            multiply_adds: 0,
        })
    }

    /// Adds layer `number`.
    pub(super) fn add(&mut self, number: usize, section: &LayerSection) -> Result<()> {
        let layer = &section.layer;
        let is_alone = matches!(layer, Layer::Route(_) | Layer::Cost);
        if !is_alone && number > 0 && self.is_head(number - 1) {
            return Err(self
                .cfg
                .fail(number, None, CfgProblem::ReadsHead { layer: number - 1 }));
        }
        let x = self.previous;
        let node = match layer {
            Layer::Convolutional(conv) => self.convolutional(number, conv)?,
            Layer::MaxPool(pool) => self.max_pool(number, pool)?,
            Layer::AvgPool => {
                let name = format!("{number}.avgpool");
                self.node(number, |graph| graph.global_avg_pool2d(&name, x))?
            }
            Layer::Route(route) => self.route(number, route)?,
            Layer::Shortcut(shortcut) => self.shortcut(number, shortcut)?,
            Layer::Upsample(upsample) => {
                let (name, scale) = (format!("{number}.upsample"), [upsample.stride; 2]);
                self.node(number, |graph| graph.upsample(&name, x, scale))?
            }
            Layer::Reorg(reorg) => {
                let name = format!("{number}.reorg");
                self.node(number, |graph| graph.reorg(&name, x, reorg.stride))?
            }
            Layer::Connected(connected) => self.connected(number, connected)?,
            Layer::Dropout { probability } => {
                let (name, probability) = (format!("{number}.dropout"), f64::from(*probability));
                self.node(number, |graph| graph.dropout(&name, x, probability))?
            }
            Layer::Softmax => self.softmax(number)?,
            Layer::Cost => x,
            Layer::Region(region) => {
                let (grid, network) = (self.grid(number)?, [self.input[1], self.input[2]]);
                self.head(number, region.head(number, grid, network))?
            }
            Layer::Yolo(yolo) => {
                let (grid, network) = (self.grid(number)?, [self.input[1], self.input[2]]);
                self.head(number, yolo.head(number, grid, network))?
            }
        };
        self.previous = node;
        let (name, shape) = (section.name.clone(), self.shape(node)?);
        self.layers.push(LayerOutput { name, node, shape });
        self.parameters_up_to.push(self.parameters);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Network> {
        let outputs: Vec<NodeId> = if self.heads.is_empty() {
            vec![self.previous]
        } else {
            let node = |head: &Head| {
                let layer = self.layers.get(head.layer).ok_or(Error::Internal {
                    broken: "a head is one of its network's layers",
                })?;
                Ok(layer.node)
            };
            self.heads.iter().map(node).collect::<Result<_>>()?
        };
        let graph = self
            .graph
            .finish(&outputs)
            .map_err(|e| whole_file(Box::new(e).into()))?;
        let specs: HashMap<&str, &ParamSpec> = graph
            .param_specs()
            .map(|spec| (spec.name(), spec))
            .collect();
        let spec = |name: &String| {
            let spec = specs.get(name.as_str()).ok_or(Error::Internal {
                broken: "a parameter of the weights file is one of the graph's",
            })?;
            Ok((*spec).clone())
        };
        let parameters = self.order.iter().map(spec).collect::<Result<_>>()?;
        let (input, heads, layers) = (self.input, self.heads, self.layers);
        Ok(Network {
            graph,
            input,
            heads,
            layers,
            parameters,
            values_up_to: self.parameters_up_to,
        })
    }

    /// Adds one node of layer `number`, and checks the limits.
    fn node(
        &mut self,
        number: usize,
        add: impl FnOnce(&mut GraphBuilder) -> nn_layers::Result<NodeId>,
    ) -> Result<NodeId> {
        let fail = |problem| self.cfg.fail(number, None, problem);
        let node = add(&mut self.graph).map_err(|error| fail(Box::new(error).into()))?;
        // More than a `usize` counts is over the limit, too.
        let elements = self.shape(node)?.elements().unwrap_or(usize::MAX);
        limits::check(
            "numbers in its output",
            elements as u64,
            limits::MAX_ACTIVATION,
        )
        .map_err(fail)?;
        Ok(node)
    }

    /// Adds the multiply-adds of a layer, `per_output` for each number of its output.
    fn count_work(&mut self, number: usize, node: NodeId, per_output: u64) -> Result<()> {
        let outputs = self.shape(node)?.elements().unwrap_or(usize::MAX) as u64;
        let work = outputs.saturating_mul(per_output);
        self.multiply_adds = self.multiply_adds.saturating_add(work);
        limits::check(
            "multiply-adds up to here",
            self.multiply_adds,
            limits::MAX_MULTIPLY_ADDS,
        )
        .map_err(|problem| self.cfg.fail(number, None, problem))
    }

    /// Appends these parameters, with `count` numbers in all, to the order of the weights file.
    fn read(&mut self, number: usize, names: &[String], count: u64) -> Result<()> {
        self.parameters = self.parameters.saturating_add(count);
        limits::check(
            "parameters up to here",
            self.parameters,
            limits::MAX_PARAMETERS,
        )
        .map_err(|problem| self.cfg.fail(number, None, problem))?;
        self.order.extend_from_slice(names);
        Ok(())
    }

    fn convolutional(&mut self, number: usize, conv: &Convolutional) -> Result<NodeId> {
        let channels = self.channels(number)?;
        for (what, count) in [("groups", channels), ("filters", conv.filters)] {
            if !count.is_multiple_of(conv.groups) {
                let problem = CfgProblem::Groups {
                    channels: count,
                    groups: conv.groups,
                };
                return Err(self.cfg.fail(number, Some(what), problem));
            }
        }
        let per_filter = [channels / conv.groups, conv.size, conv.size]
            .iter()
            .fold(1u64, |product, &size| product.saturating_mul(size as u64));
        let (filters, rest) = (
            conv.filters as u64,
            if conv.batch_normalize { 4 } else { 1 },
        );
        let weight = format!("{number}.conv.weight");
        let names = if conv.batch_normalize {
            [&batch_norm_names(number)[..], &[weight]].concat()
        } else {
            vec![format!("{number}.conv.bias"), weight]
        };
        self.read(
            number,
            &names,
            filters.saturating_mul(per_filter.saturating_add(rest)),
        )?;

        let mut op = Conv2d::new(conv.filters, [conv.size; 2])
            .stride([conv.stride; 2])
            .padding(Padding::all(conv.padding))
            .groups(conv.groups);
        if conv.batch_normalize {
            op = op.without_bias();
        }
        let (x, name) = (self.previous, format!("{number}.conv"));
        let node = self.node(number, |graph| graph.conv2d(&name, x, op))?;
        self.count_work(number, node, per_filter)?;
        let node = self.batch_norm(number, node, conv.batch_normalize)?;
        self.activation(number, node, conv.activation)
    }

    fn connected(&mut self, number: usize, connected: &Connected) -> Result<NodeId> {
        // More than a `usize` counts is over the limit of parameters, too.
        let inputs = self.shape(self.previous)?.elements().unwrap_or(usize::MAX) as u64;
        let weight = format!("{number}.linear.weight");
        let (names, rest) = if connected.batch_normalize {
            // Unlike a convolution's, the weights come before the scales.
            let [bias, scale, mean, variance] = batch_norm_names(number);
            (vec![bias, weight, scale, mean, variance], 4)
        } else {
            (vec![format!("{number}.linear.bias"), weight], 1)
        };
        let outputs = connected.output as u64;
        self.read(
            number,
            &names,
            outputs.saturating_mul(inputs.saturating_add(rest)),
        )?;

        let mut node = self.previous;
        if self.shape(node)?.rank() != 2 {
            let (x, name) = (node, format!("{number}.flatten"));
            node = self.node(number, |graph| graph.flatten(&name, x))?;
        }
        let mut op = Linear::new(connected.output);
        if connected.batch_normalize {
            op = op.without_bias();
        }
        let (x, name) = (node, format!("{number}.linear"));
        let node = self.node(number, |graph| graph.linear(&name, x, op))?;
        self.count_work(number, node, inputs)?;
        let node = self.batch_norm(number, node, connected.batch_normalize)?;
        self.activation(number, node, connected.activation)
    }

    fn batch_norm(&mut self, number: usize, x: NodeId, is_there: bool) -> Result<NodeId> {
        if !is_there {
            return Ok(x);
        }
        let name = format!("{number}.bn");
        self.node(number, |graph| graph.batch_norm2d(&name, x, BATCH_NORM))
    }

    fn activation(&mut self, number: usize, x: NodeId, activation: Activation) -> Result<NodeId> {
        let name = format!("{number}.act");
        match activation {
            Activation::Linear => Ok(x),
            Activation::Leaky => self.node(number, |graph| graph.leaky_relu(&name, x, LEAKY_SLOPE)),
            Activation::Relu => self.node(number, |graph| graph.relu(&name, x)),
            Activation::Logistic => self.node(number, |graph| graph.sigmoid(&name, x)),
        }
    }

    fn max_pool(&mut self, number: usize, pool: &MaxPool) -> Result<NodeId> {
        let before = pool.padding / 2;
        let after = pool.padding - before;
        let options = MaxPool2d::new([pool.size; 2])
            .stride([pool.stride; 2])
            .padding(Padding::Explicit([before, before, after, after]));
        let (x, name) = (self.previous, format!("{number}.maxpool"));
        self.node(number, |graph| graph.max_pool2d(&name, x, options))
    }

    fn route(&mut self, number: usize, route: &Route) -> Result<NodeId> {
        let mut parts: Vec<NodeId> = Vec::with_capacity(route.layers.len());
        let Some(&first) = route.layers.first() else {
            return Err(self.cfg.fail(number, Some("layers"), CfgProblem::Missing));
        };
        let expected = self.output(number, "layers", first)?;
        let expected = self.shape(expected)?;
        for &layer in &route.layers {
            let x = self.output(number, "layers", layer)?;
            let got = self.shape(x)?;
            if got.rank() != expected.rank() || got.get(2..) != expected.get(2..) {
                let problem = CfgProblem::RouteShape {
                    layer,
                    first,
                    expected,
                    got,
                };
                return Err(self.cfg.fail(number, Some("layers"), problem));
            }
            if route.groups == 1 {
                parts.push(x);
                continue;
            }
            let groups = route.groups;
            let &channels = got.get(1).ok_or(Error::Internal {
                broken: "a layer's output has two axes at least",
            })?;
            if !channels.is_multiple_of(groups) {
                let problem = CfgProblem::Groups { channels, groups };
                return Err(self.cfg.fail(number, Some("groups"), problem));
            }
            let len = channels / groups;
            let name = format!("{number}.slice{}", parts.len());
            let start = route.group_id.saturating_mul(len);
            parts.push(self.node(number, |graph| graph.slice(&name, x, start, len))?);
        }
        if let &[only] = parts.as_slice() {
            return Ok(only);
        }
        let name = format!("{number}.concat");
        self.node(number, |graph| graph.concat(&name, &parts))
    }

    fn shortcut(&mut self, number: usize, shortcut: &Shortcut) -> Result<NodeId> {
        let (x, from) = (self.previous, shortcut.from);
        let other = self.output(number, "from", from)?;
        let (expected, got) = (self.shape(x)?, self.shape(other)?);
        if got != expected {
            let problem = CfgProblem::ShortcutShape {
                from,
                expected,
                got,
            };
            return Err(self.cfg.fail(number, Some("from"), problem));
        }
        let name = format!("{number}.add");
        let node = self.node(number, |graph| graph.add(&name, x, other))?;
        self.activation(number, node, shortcut.activation)
    }

    /// Darknet's softmax runs over all numbers of all channels and pixels.
    fn softmax(&mut self, number: usize) -> Result<NodeId> {
        let mut x = self.previous;
        if self.shape(x)?.iter().skip(2).any(|&size| size != 1) {
            let (input, name) = (x, format!("{number}.flatten"));
            x = self.node(number, |graph| graph.flatten(&name, input))?;
        }
        let name = format!("{number}.softmax");
        self.node(number, |graph| graph.softmax(&name, x))
    }

    /// Adds a head, which has no node: it decodes what the layer before computes.
    fn head(&mut self, number: usize, head: Head) -> Result<NodeId> {
        let (got, [expected, ..]) = (self.channels(number)?, head.shape());
        if got != expected {
            let (anchors, classes) = (head.anchors.len(), head.classes);
            let problem = CfgProblem::HeadChannels {
                expected,
                got,
                anchors,
                classes,
            };
            return Err(self.cfg.fail(number, None, problem));
        }
        self.heads.push(head);
        Ok(self.previous)
    }

    /// The output of layer `index`, which layer `number` reads because of `key`.
    fn output(&self, number: usize, key: &str, index: usize) -> Result<NodeId> {
        if self.is_head(index) {
            return Err(self
                .cfg
                .fail(number, Some(key), CfgProblem::ReadsHead { layer: index }));
        }
        let before = self.layers.len();
        self.layers
            .get(index)
            .map(|layer| layer.node)
            .ok_or_else(|| {
                let got = i64::try_from(index).unwrap_or(i64::MAX);
                let problem = CfgProblem::LayerReference {
                    got,
                    layer: got,
                    before,
                };
                self.cfg.fail(number, Some(key), problem)
            })
    }

    /// Whether layer `index` is a head, or a cost behind one.
    fn is_head(&self, index: usize) -> bool {
        let layer = |index: usize| self.cfg.layers.get(index).map(|section| &section.layer);
        let mut at = index;
        while matches!(layer(at), Some(Layer::Cost)) && at > 0 {
            at -= 1;
        }
        matches!(layer(at), Some(Layer::Region(_) | Layer::Yolo(_)))
    }

    fn shape(&self, node: NodeId) -> Result<Shape> {
        let shape = self.graph.shape(node).cloned();
        shape.ok_or(Error::Internal {
            broken: "a layer's node is one of its network's graph",
        })
    }

    /// The channels of the picture that layer `number` reads.
    fn channels(&self, number: usize) -> Result<usize> {
        Ok(self.image(number)?[0])
    }

    /// The `[h, w]` of the picture that layer `number` reads.
    fn grid(&self, number: usize) -> Result<[usize; 2]> {
        let [_, height, width] = self.image(number)?;
        Ok([height, width])
    }

    /// The `[c, h, w]` of the picture that layer `number` reads; an error if it reads something else.
    fn image(&self, number: usize) -> Result<[usize; 3]> {
        let got = self.shape(self.previous)?;
        match got.nchw() {
            Some([_, channels, height, width]) => Ok([channels, height, width]),
            None => {
                let problem = CfgProblem::Input {
                    expected: "a picture [n, c, h, w]",
                    got,
                };
                Err(self.cfg.fail(number, None, problem))
            }
        }
    }
}

/// Darknet's biases, scales, means and variances of layer `number`.
fn batch_norm_names(number: usize) -> [String; 4] {
    ["bias", "weight", "running_mean", "running_var"].map(|local| format!("{number}.bn.{local}"))
}
