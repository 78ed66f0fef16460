//! The nodes of content and style.

use ndarray::ArrayD;
use nn_layers::{Graph, Node, NodeId};

use super::StyleLayers;
use crate::error::{Error, Result};

/// The nodes of content and style, as positions among a graph's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nodes {
    pub(super) content: Vec<usize>,
    pub(super) style: Vec<usize>,
}

impl Nodes {
    /// Finds the nodes of the layers, and returns the graph that ends with them. A node with both roles
    /// is one output.
    pub(super) fn select(graph: &Graph, layers: &StyleLayers) -> Result<(Graph, Self)> {
        let mut outputs: Vec<NodeId> = Vec::new();
        let mut place = |names: &[String]| -> Result<Vec<usize>> {
            let positions = names.iter().map(|name| {
                let id = find(graph, name)?;
                let known = outputs.iter().position(|&output| output == id);
                Ok(known.unwrap_or_else(|| {
                    outputs.push(id);
                    outputs.len() - 1
                }))
            });
            positions.collect()
        };
        let nodes = Self {
            content: place(&layers.content)?,
            style: place(&layers.style)?,
        };
        Ok((graph.with_outputs(&outputs)?, nodes))
    }

    /// The tensors of the content nodes among a network's outputs.
    pub(super) fn of_content(&self, outputs: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
        self.content.iter().map(|&at| outputs[at].clone()).collect()
    }

    /// The tensors of the style nodes among a network's outputs.
    pub(super) fn of_style(&self, outputs: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
        self.style.iter().map(|&at| outputs[at].clone()).collect()
    }
}

/// Finds a node with a tensor `[1, C, H, W]`.
fn find(graph: &Graph, name: &str) -> Result<NodeId> {
    let node = graph
        .find(name)
        .and_then(|id| Some((id, graph.node(id)?)))
        .ok_or_else(|| {
            let names = graph.nodes().iter().map(Node::name);
            let near = files::nearest(name, names).into_iter();
            Error::UnknownNode {
                name: name.to_owned(),
                near: near.map(str::to_owned).collect(),
            }
        });
    let (id, node) = node?;
    match node.shape().len() {
        4 => Ok(id),
        _ => Err(Error::NotFeatures {
            name: name.to_owned(),
            got: node.shape().to_vec(),
        }),
    }
}
