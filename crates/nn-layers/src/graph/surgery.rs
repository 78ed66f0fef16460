//! New graphs from parts of another.

use crate::{
    error::Result,
    graph::{Graph, Node, NodeId, error::GraphError, infer::Site, op::Op, shape::Shape},
};

impl Graph {
    /// The graph with these nodes as outputs, without the nodes that they do not depend on.
    ///
    /// The names of nodes and parameters are kept. Ids change, so nodes have to be looked up with
    /// [`find`](Self::find). Inputs that are not needed are removed, too.
    ///
    /// ```
    /// # use nn_layers::{Conv2d, GraphBuilder};
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("image", [1, 3, 8, 8])?;
    /// let features = b.conv2d("backbone", x, Conv2d::new(16, [1, 1]))?;
    /// let head = b.conv2d("head", features, Conv2d::new(10, [1, 1]))?;
    /// let classifier = b.finish(&[head])?;
    ///
    /// let extractor = classifier.with_outputs(&[features])?;
    /// assert_eq!(extractor.find("head"), None);
    /// assert_eq!(extractor.nodes().len(), 2);
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GraphError::NoOutputs`], or [`GraphError::UnknownNode`] for an id that is not in this
    /// graph.
    pub fn with_outputs(&self, outputs: &[NodeId]) -> Result<Self> {
        if outputs.is_empty() {
            return Err(GraphError::NoOutputs.into());
        }
        let mut needed = vec![false; self.nodes.len()];
        for &output in outputs {
            self.check_id("the list of outputs", output)?;
            needed[output.0] = true;
        }
        for (id, node) in self.iter().rev() {
            if needed[id.0] {
                node.inputs.iter().for_each(|input| needed[input.0] = true);
            }
        }
        let nodes = self
            .iter()
            .filter(|(id, _)| needed[id.0])
            .map(|(id, node)| (id, node.clone()));
        Ok(self.renumbered(nodes.collect(), outputs))
    }

    /// The graph with these nodes as inputs, without the nodes that only they depend on: what remains
    /// to be computed once their tensors are known.
    ///
    /// The new inputs have the nodes' names. All inputs are in the graph's order. The names of nodes
    /// and parameters are kept; ids change, so nodes have to be looked up with
    /// [`find`](Self::find). Together with [`with_outputs`](Self::with_outputs), this divides a
    /// network:
    ///
    /// ```
    /// # use nn_layers::{Conv2d, GraphBuilder};
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("image", [1, 3, 8, 8])?;
    /// let features = b.conv2d("backbone", x, Conv2d::new(16, [1, 1]))?;
    /// let head = b.conv2d("head", features, Conv2d::new(10, [1, 1]))?;
    /// let classifier = b.finish(&[head])?;
    ///
    /// let backbone = classifier.with_outputs(&[features])?;
    /// let head = classifier.with_inputs(&[features])?;
    /// let names: Vec<&str> = head.nodes().iter().map(|node| node.name()).collect();
    /// assert_eq!(names, ["backbone", "head"]);
    /// assert_eq!(head.param_specs().count(), 2);
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownNode`] for an id that is not in this graph.
    pub fn with_inputs(&self, inputs: &[NodeId]) -> Result<Self> {
        let mut given = vec![false; self.nodes.len()];
        for &input in inputs {
            self.check_id("the list of inputs", input)?;
            given[input.0] = true;
        }
        let mut needed = vec![false; self.nodes.len()];
        for output in &self.outputs {
            needed[output.0] = true;
        }
        for (id, node) in self.iter().rev() {
            if needed[id.0] && !given[id.0] {
                node.inputs.iter().for_each(|input| needed[input.0] = true);
            }
        }
        let nodes = self.iter().filter(|(id, _)| needed[id.0]);
        let nodes = nodes.map(|(id, node)| match given[id.0] {
            true => (id, node.as_input()),
            false => (id, node.clone()),
        });
        Ok(self.renumbered(nodes.collect(), &self.outputs))
    }

    /// Returns the graph with one node's operation replaced, on the same inputs and under the same
    /// name. Ids are kept. The node's parameters are those of the new operation. All other
    /// parameters are kept, so it is an error if a later node's input has another number of
    /// channels.
    ///
    /// ```
    /// # use nn_layers::{GraphBuilder, Linear, Op};
    /// let mut b = GraphBuilder::new();
    /// let features = b.input("features", [1, 512])?;
    /// let fc = b.linear("fc", features, Linear::new(1000))?;
    /// let probabilities = b.softmax("softmax", fc)?;
    /// let imagenet = b.finish(&[probabilities])?;
    ///
    /// // Ten classes instead of a thousand.
    /// let graph = imagenet.replace(fc, Op::Linear(Linear::new(10)))?;
    /// assert_eq!(graph.node(probabilities).map(|node| node.shape().to_string()), Some("1x10".into()));
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownNode`] for an id that is not in this graph; the builder's errors for
    /// the new operation on these inputs; and the errors of [`infer`](Self::infer) for a later node
    /// that no longer fits. An input cannot be replaced, nor an operation by an input:
    /// [`GraphError::InputCount`] or [`GraphError::InputShape`].
    pub fn replace(&self, id: NodeId, op: Op) -> Result<Self> {
        self.check_id("the replacement", id)?;
        let mut graph = self.clone();
        graph.nodes[id.0].op = op;
        for index in id.0..graph.nodes.len() {
            let node = &graph.nodes[index];
            // Another input of the graph, after this node: its shape is fixed.
            if node.op == Op::Input && index != id.0 {
                continue;
            }
            let inputs: Vec<&Shape> = node
                .inputs
                .iter()
                .map(|input| &graph.nodes[input.0].shape)
                .collect();
            let site = Site {
                name: &node.name,
                op: &node.op,
                inputs: &inputs,
            };
            let params = if index == id.0 {
                site.param_specs()?
            } else {
                node.params.clone()
            };
            let shape = site.output_shape(&params)?;
            let node = &mut graph.nodes[index];
            (node.params, node.shape) = (params, shape);
        }
        Ok(graph)
    }

    /// The graph of one node alone. Each node that it reads becomes an input, in the order of
    /// [`Node::inputs`] without repetitions. For the tensors that those nodes compute, it computes
    /// the same output as in the whole graph.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownNode`] for an id that is not in this graph.
    pub fn isolate(&self, id: NodeId) -> Result<Self> {
        self.subgraph(id, id)
    }

    /// The graph of the nodes from `first` to `last`, both included, in the graph's order.
    ///
    /// Outside nodes that they read become inputs of the same name, before all others and in the
    /// order in which they are first read. The outputs are the nodes that an outside node reads,
    /// that are outputs of the whole graph, or that nothing reads. The names of nodes and
    /// parameters are kept.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownNode`] for an id that is not in this graph, [`GraphError::NoOutputs`]
    /// if `first` comes after `last`.
    pub fn subgraph(&self, first: NodeId, last: NodeId) -> Result<Self> {
        self.check_id("the first node of the subgraph", first)?;
        self.check_id("the last node of the subgraph", last)?;
        if first > last {
            return Err(GraphError::NoOutputs.into());
        }
        let inside = first.0..=last.0;
        let run = || self.iter().filter(|(id, _)| inside.contains(&id.0));

        let mut nodes: Vec<(NodeId, Node)> = Vec::new();
        for input in run().flat_map(|(_, node)| &node.inputs) {
            if !inside.contains(&input.0) && nodes.iter().all(|(id, _)| id != input) {
                nodes.push((*input, self.nodes[input.0].as_input()));
            }
        }
        nodes.extend(run().map(|(id, node)| (id, node.clone())));

        let readers = self.readers();
        let leaves = |&id: &NodeId| {
            let readers = &readers[id.0];
            readers.is_empty()
                || readers.iter().any(|reader| !inside.contains(&reader.0))
                || self.outputs.contains(&id)
        };
        let outputs: Vec<NodeId> = run().map(|(id, _)| id).filter(leaves).collect();
        Ok(self.renumbered(nodes, &outputs))
    }

    /// The graph of these nodes, which still have this graph's ids. Each comes after those that it
    /// reads.
    fn renumbered(&self, nodes: Vec<(NodeId, Node)>, outputs: &[NodeId]) -> Self {
        let mut new_ids = vec![NodeId(usize::MAX); self.nodes.len()];
        let mut graph = Self {
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for (old, mut node) in nodes {
            let new = NodeId(graph.nodes.len());
            new_ids[old.0] = new;
            node.inputs
                .iter_mut()
                .for_each(|input| *input = new_ids[input.0]);
            if node.op == Op::Input {
                graph.inputs.push(new);
            }
            graph.nodes.push(node);
        }
        graph.outputs = outputs.iter().map(|output| new_ids[output.0]).collect();
        graph
    }
}

impl Node {
    /// An input of the same name and shape.
    fn as_input(&self) -> Self {
        Self {
            name: self.name.clone(),
            op: Op::Input,
            inputs: Vec::new(),
            params: Vec::new(),
            shape: self.shape.clone(),
        }
    }
}
