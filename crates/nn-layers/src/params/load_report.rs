//! What of a file's tensors a graph reads, and what not.

use std::fmt;

use files::show::{one_line, shorten};

use crate::graph::shape::join;

/// How tensors, from a file most often, fit a graph.
///
/// Every tensor is counted once: it is loaded, a misfit, known but unused, or unexpected. Known is
/// what the architecture has and this graph leaves out: the weights of auxiliary heads, and the
/// counter `num_batches_tracked` that PyTorch keeps beside each batch normalisation.
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
    /// How many tensors the graph reads, each of the right shape.
    pub loaded: usize,
    /// What the graph reads and is missing, and what has another shape than it should, be it read
    /// or only known; the graph's in its order first.
    pub misfits: Vec<Misfit>,
    /// Tensors that are known and of the right shape, but not read, in the order of their names.
    pub known_unused: Vec<String>,
    /// Tensors that neither the graph nor the architecture knows, in the order of their names.
    pub unexpected: Vec<String>,
    /// What stands in front of the names of a whole set of parameters that fits the graph without
    /// it: `module.`, `_orig_mod.`, `backbone.` or whatever a wrapper of the network added. `None`
    /// where the parameters fit as they are, or not at all.
    pub prefix: Option<String>,
}

/// One line per kind; except for the first, kinds without tensors have none.
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
        match &self.prefix {
            None => Ok(()),
            Some(prefix) => {
                let prefix = shorten(&one_line(prefix), COLUMNS - 48);
                write!(f, "\n{:<14}all parameters fit without {prefix}", "prefix")
            }
        }
    }
}

/// The width of a line.
const COLUMNS: usize = 80;

/// How many there are, as many as fit into the line, and how many more.
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
    // The first is there in any case, if only its ends.
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

/// A parameter that does not fit its graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The store has none of this name.
    Missing {
        /// The name.
        name: String,
        /// The shape that the graph asks for.
        expected: Vec<usize>,
    },
    /// The store's has another shape.
    Shape {
        /// The name.
        name: String,
        /// The shape that the graph asks for.
        expected: Vec<usize>,
        /// The store's.
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
