//! Errors in parameters.

use std::fmt;

use files::show::one_line;

use super::load_report::{LoadReport, Misfit};

/// Why parameters, or values that belong to one, were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Parameters that are missing, or whose shapes are not those that the graph expects.
    #[error("{}", MisfitList(.0))]
    Misfits(
        /// All misfits, in the order of the graph's nodes.
        Vec<Misfit>,
    ),

    /// Parameters that do not fit the graph, or tensors that it does not know: see
    /// [`LoadReport::strict`].
    #[error("{}", ReportLine(.0))]
    Load(
        /// Which tensors fit and which do not.
        Box<LoadReport>,
    ),

    /// A store none of whose tensors fits the graph, probably that of another architecture.
    #[error("{}", Nothing { found, expected, prefix: prefix.as_deref() })]
    NothingMatched {
        /// The names of the store's tensors, sorted.
        found: Vec<String>,
        /// The parameters that the graph reads, in its order.
        expected: Vec<String>,
        /// The prefix without which they would all fit, if there is one.
        prefix: Option<String>,
    },

    /// A name that is not that of a parameter of the graph.
    #[error("the graph has no parameter {name:?}")]
    UnknownParam {
        /// The name.
        name: String,
    },

    /// Values that belong to a parameter, such as its gradient, but differ from it in number.
    #[error("{name:?} has {got} values, expected {expected}")]
    ParamLength {
        /// The parameter.
        name: String,
        /// The parameter's number of values.
        expected: usize,
        /// The actual number of values.
        got: usize,
    },
}

/// The number of items in a message: enough to show a pattern (a wrong prefix, a wrong head)
/// without flooding a terminal.
const SHOWN: usize = 8;

/// The first misfits in one line, then the number of the others.
struct MisfitList<'a>(&'a [Misfit]);

impl fmt::Display for MisfitList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 {
            "parameter does"
        } else {
            "parameters do"
        };
        write!(f, "{} {plural} not fit the graph: ", self.0.len())?;
        write_first(f, self.0, "; ")
    }
}

/// The faults that a report lists, in one line.
struct ReportLine<'a>(&'a LoadReport);

impl fmt::Display for ReportLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport {
            misfits,
            unexpected,
            prefix,
            loaded: _,
            known_unused: _,
            reinitialised: _,
        } = self.0;
        if !misfits.is_empty() {
            write!(f, "{}", MisfitList(misfits))?;
        }
        if !unexpected.is_empty() {
            let (comma, plural) = (
                if misfits.is_empty() { "" } else { "; " },
                if unexpected.len() == 1 {
                    " is"
                } else {
                    "s are"
                },
            );
            write!(f, "{comma}{} tensor{plural} unexpected: ", unexpected.len())?;
            write_first(f, unexpected, ", ")?;
        }
        write_prefix(f, prefix.as_deref())
    }
}

/// The advice about a prefix, if there is one.
fn write_prefix(f: &mut fmt::Formatter<'_>, prefix: Option<&str>) -> fmt::Result {
    let Some(prefix) = prefix else { return Ok(()) };
    let prefix = one_line(prefix);
    write!(
        f,
        "; all parameters fit without the prefix {prefix}, which a wrapper of the network adds: \
         remove it from the names"
    )
}

/// The tensors that were found, and those that were expected, in one line.
struct Nothing<'a> {
    found: &'a [String],
    expected: &'a [String],
    prefix: Option<&'a str>,
}

impl fmt::Display for Nothing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.found.len() == 1 { "" } else { "s" };
        write!(f, "no tensor fits the graph: found {}", self.found.len())?;
        write!(f, " tensor{plural} (")?;
        write_first(f, self.found, ", ")?;
        write!(f, "), expected {} (", self.expected.len())?;
        write_first(f, self.expected, ", ")?;
        write!(f, "): are the weights those of another architecture?")?;
        write_prefix(f, self.prefix)
    }
}

/// Writes the first items, then the number of the others.
fn write_first<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.iter().take(SHOWN).enumerate() {
        let separator = if index == 0 { "" } else { separator };
        write!(f, "{separator}{}", one_line(&item.to_string()))?;
    }
    match items.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, "{separator}and {more} more"),
    }
}
