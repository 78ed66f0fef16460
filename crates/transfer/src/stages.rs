//! The stages of a network, from the inputs to the head.

use std::collections::BTreeSet;

use nn_layers::{Graph, Node, Slot};

use crate::error::{Error, Result};

/// A network's trainable parameters in groups, from the inputs to the head: what is frozen, trained
/// and given a rate together.
///
/// A stage is a list of names of nodes or scopes: `layer1` stands for every node `layer1.*`. Every
/// trainable parameter is in exactly one stage, so that none is forgotten. The last stage is the head.
///
/// ```
/// use nn_layers::{Conv2d, GraphBuilder, Linear};
/// use transfer::{Error, Stages};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 8, 8])?;
/// let x = b.conv2d("features.0", x, Conv2d::new(8, [3, 3]))?;
/// let x = b.conv2d("features.1", x, Conv2d::new(8, [3, 3]))?;
/// let x = b.flatten("flatten", x)?;
/// let x = b.linear("fc", x, Linear::new(10))?;
/// let graph = b.finish(&[x])?;
///
/// let stages = Stages::new(&graph, [["features"], ["fc"]])?;
/// assert_eq!(stages.below(1), ["features"]);
/// assert_eq!(stages, Stages::with_head(&graph, ["fc"])?);
///
/// let error = Stages::new(&graph, [["features.1"], ["fc"]]).unwrap_err();
/// assert!(matches!(error, Error::NoStage { param } if param == "features.0.weight"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    names: Vec<Vec<String>>,
}

impl Stages {
    /// The stages with these names, from the inputs to the head.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownNode`] for a name that is neither a node's nor a scope's;
    /// [`Error::NoStage`] and [`Error::SeveralStages`] for a trainable parameter that is not in
    /// exactly one stage; [`Error::EmptyStage`] for a stage without trainable parameters.
    pub fn new<S, N>(graph: &Graph, stages: S) -> Result<Self>
    where
        S: IntoIterator<Item = N>,
        N: IntoIterator<Item: Into<String>>,
    {
        let own = |names: N| names.into_iter().map(Into::into).collect();
        let stages = Self {
            names: stages.into_iter().map(own).collect(),
        };
        stages.check(graph)?;
        Ok(stages)
    }

    /// Two stages: the head, and everything else by the outermost scopes that have nothing of the
    /// head.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); [`Error::EmptyStage`] also if there is nothing but the head.
    pub fn with_head(graph: &Graph, head: impl IntoIterator<Item: Into<String>>) -> Result<Self> {
        let head: Vec<String> = head.into_iter().map(Into::into).collect();
        let in_head = |node: &Node| head.iter().any(|name| is_within(node.name(), name));
        let mut backbone: Vec<String> = Vec::new();
        for node in graph.nodes() {
            if in_head(node) || !learns(node) || backbone.iter().any(|b| is_within(node.name(), b))
            {
                continue;
            }
            let has_head = |scope: &str| {
                let mut nodes = graph.nodes().iter();
                nodes.any(|node| is_within(node.name(), scope) && in_head(node))
            };
            let mut scopes = scopes(node.name());
            let outermost = scopes.find(|scope| !has_head(scope));
            backbone.push(outermost.unwrap_or(node.name()).to_owned());
        }
        Self::new(graph, [backbone, head])
    }

    /// The names in each stage.
    #[must_use]
    pub fn names(&self) -> &[Vec<String>] {
        &self.names
    }

    /// The names in all stages before this one, counted from 0: what to freeze so that only this
    /// stage and those after it are trained. All names, if there are not as many stages.
    ///
    /// For gradual unfreezing (Howard and Ruder, "Universal Language Model Fine-tuning for Text
    /// Classification", 2018, section 3.3), each [`Freezing`](nn_layers::Freezing) freezes what is
    /// below an earlier stage than the one before.
    #[must_use]
    pub fn below(&self, stage: usize) -> Vec<String> {
        self.names.iter().take(stage).flatten().cloned().collect()
    }

    /// The names below the head: those of the backbone.
    pub(crate) fn backbone(&self) -> Vec<String> {
        self.below(self.names.len().saturating_sub(1))
    }

    fn check(&self, graph: &Graph) -> Result<()> {
        for name in self.names.iter().flatten() {
            check_name(graph, name)?;
        }
        let mut learning = vec![false; self.names.len()];
        for node in graph.nodes().iter().filter(|node| learns(node)) {
            let has = |names: &Vec<String>| names.iter().any(|name| is_within(node.name(), name));
            let stages = self.names.iter().enumerate();
            let mut stages = stages.filter(|(_, names)| has(names));
            let param = || node.params()[0].name().to_owned();
            match (stages.next(), stages.next()) {
                (None, _) => return Err(Error::NoStage { param: param() }),
                (Some((stage, _)), None) => learning[stage] = true,
                (Some((first, _)), Some((second, _))) => {
                    return Err(Error::SeveralStages {
                        param: param(),
                        stages: [first, second],
                    });
                }
            }
        }
        match learning.iter().position(|learns| !learns) {
            None => Ok(()),
            Some(stage) => Err(Error::EmptyStage { stage }),
        }
    }
}

/// Whether the node has trainable parameters.
fn learns(node: &Node) -> bool {
    let mut params = node.params().iter();
    params.any(|spec| spec.slot() == Slot::Weight)
}

/// Whether a node of this name has, or is in the scope of, the other name.
pub(crate) fn is_within(node: &str, name: &str) -> bool {
    node.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The scopes of a node, the outermost first, and the node itself.
fn scopes(node: &str) -> impl Iterator<Item = &str> {
    let dots = node.match_indices('.').map(|(at, _)| at);
    dots.chain([node.len()]).map(|end| &node[..end])
}

/// Refuses a name that is neither a node's nor a scope's.
fn check_name(graph: &Graph, name: &str) -> Result<()> {
    let mut nodes = graph.nodes().iter();
    if nodes.any(|node| is_within(node.name(), name)) {
        return Ok(());
    }
    let nodes = graph.nodes().iter();
    let known: BTreeSet<&str> = nodes.flat_map(|node| scopes(node.name())).collect();
    Err(unknown(name, known))
}

/// The error for a name that is not among the known ones.
pub(crate) fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let near = files::nearest(name, known);
    Error::UnknownNode {
        name: name.to_owned(),
        near: near.into_iter().map(str::to_owned).collect(),
    }
}
