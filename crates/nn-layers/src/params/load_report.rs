//! Which tensors of a file a graph reads, and which it does not.

use std::fmt;

use files::show::{one_line, shorten};

use crate::graph::shape::join;

/// How tensors, usually from a file, fit a graph.
///
/// Every tensor is counted once: as loaded, as a misfit, as known but unused, or as unexpected. A
/// known tensor is one that the architecture has and this graph leaves out: a weight of an
/// auxiliary head, or the counter `num_batches_tracked` that PyTorch stores with each batch
/// normalisation.
///
/// [`Display`](fmt::Display) prints a few lines of at most 80 columns.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{BatchNorm2d, GraphBuilder, LoadReport, Slot, random_params};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 8, 8])?;
/// let y = b.batch_norm2d("bn", x, BatchNorm2d::default())?;
/// let graph = b.finish(&[y])?;
///
/// let mut params = random_params(&graph, 1)?;
/// params.insert("bn.num_batches_tracked", Slot::Counter, ArrayD::zeros(vec![]));
/// let report = LoadReport::new(&params, &graph, []).strict()?;
/// assert_eq!((report.loaded, report.known_unused.len()), (4, 1));
///
/// params.insert("module.bn.weight", Slot::Weight, ArrayD::zeros(vec![3]));
/// let report = LoadReport::new(&params, &graph, []);
/// assert_eq!(report.unexpected, ["module.bn.weight"]);
/// assert!(report.strict().is_err());
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The number of tensors that the graph reads and that have the right shape.
    pub loaded: usize,
    /// Tensors that the graph reads and that are missing, and tensors, read or only known, that
    /// have the wrong shape. Those that the graph reads come first, in its order.
    pub misfits: Vec<Misfit>,
    /// Tensors that are known and have the right shape but are not read, sorted by name.
    pub known_unused: Vec<String>,
    /// Tensors that neither the graph nor the architecture knows, sorted by name.
    pub unexpected: Vec<String>,
    /// Parameters that [`Params::warm_start`](crate::Params::warm_start) left at their initial
    /// values because no tensor fitted them, in the graph's order. Each of them is also a misfit.
    pub reinitialised: Vec<String>,
    /// A prefix without which the names of a whole set of parameters fit the graph: `module.`,
    /// `_orig_mod.`, `backbone.` or any other that a wrapper of the network added. `None` if the
    /// parameters fit as they are, or do not fit with any prefix.
    pub prefix: Option<String>,
}

/// Writes one line per kind; kinds without tensors are omitted, except for the loaded ones.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.loaded == 1 { "" } else { "s" };
        write!(f, "loaded        {} tensor{plural}", self.loaded)?;
        let missing = |misfit: &&Misfit| matches!(misfit, Misfit::Missing { .. });
        let (missing, misshapen): (Vec<_>, Vec<_>) = self.misfits.iter().partition(missing);
        let missing = missing.into_iter().map(|misfit| one_line(misfit.name()));
        let misshapen = misshapen.into_iter().map(ToString::to_string);
        write_kind(f, "missing", &missing.collect::<Vec<_>>())?;
        write_kind(f, "wrong shape", &misshapen.collect::<Vec<_>>())?;
        let lines = |names: &[String]| names.iter().map(|name| one_line(name)).collect::<Vec<_>>();
        write_kind(f, "unexpected", &lines(&self.unexpected))?;
        write_kind(f, "known unused", &lines(&self.known_unused))?;
        write_kind(f, "initialised", &lines(&self.reinitialised))?;
        match &self.prefix {
            None => Ok(()),
            Some(prefix) => {
                let prefix = shorten(&one_line(prefix), COLUMNS - 48);
                write!(f, "\n{:<14}all parameters fit without {prefix}", "prefix")
            }
        }
    }
}

/// The maximum width of a line.
const COLUMNS: usize = 80;

/// Writes the number of items, as many of them as fit into the line, and the number of the others.
fn write_kind(f: &mut fmt::Formatter<'_>, kind: &str, items: &[String]) -> fmt::Result {
    let Some((first, rest)) = items.split_first() else {
        return Ok(());
    };
    let more = |count: usize| match count {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    let mut line = format!("{kind:<14}{}: ", items.len());
    let room = COLUMNS.saturating_sub(line.len());
    let room_with_more = room.saturating_sub(more(rest.len()).len());
    // The first item is always shown, if need be only its beginning and end.
    let mut text = shorten(first, room_with_more);
    let mut shown = 1;
    for item in rest {
        let longer = format!("{text}, {item}");
        let end = more(items.len() - shown - 1);
        if longer.chars().count() + end.len() > room {
            break;
        }
        text = longer;
        shown += 1;
    }
    line += &text;
    line += &more(items.len() - shown);
    write!(f, "\n{line}")
}

/// A parameter that does not fit the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The store has no tensor of this name.
    Missing {
        /// The name.
        name: String,
        /// The shape that the graph expects.
        expected: Vec<usize>,
    },
    /// The store's tensor has another shape.
    Shape {
        /// The name.
        name: String,
        /// The shape that the graph expects.
        expected: Vec<usize>,
        /// The shape of the store's tensor.
        got: Vec<usize>,
    },
}

impl Misfit {
    /// The parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } | Self::Shape { name, .. } => name,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, expected } => {
                write!(f, "{name} is missing, expected shape {}", join(expected))
            }
            Self::Shape {
                name,
                expected,
                got,
            } => {
                write!(
                    f,
                    "{name} has shape {}, expected {}",
                    join(got),
                    join(expected)
                )
            }
        }
    }
}
