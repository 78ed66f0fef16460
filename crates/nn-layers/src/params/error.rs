//! What can be wrong with parameters.

use std::fmt;

use files::show::one_line;

use super::load_report::{LoadReport, Misfit};

/// Why parameters, or numbers that belong to one, were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Parameters that are missing or have another shape than the graph asks for.
    #[error("{}", MisfitList(.0))]
    Misfits(
        /// Every misfit, in the order of the graph's nodes.
        Vec<Misfit>,
    ),

    /// Parameters that [do not belong](LoadReport::strict) to the graph, or not all.
    #[error("{}", ReportLine(.0))]
    Load(
        /// What fits and what does not.
        Box<LoadReport>,
    ),

    /// A name that no parameter of the graph has.
    #[error("the graph has no parameter {name:?}")]
    UnknownParam {
        /// The name.
        name: String,
    },

    /// A parameter's state with another number of elements than the parameter.
    #[error("{name:?} has {got} numbers, expected {expected}")]
    ParamLength {
        /// The parameter.
        name: String,
        /// How many it has.
        expected: usize,
        /// The actual number.
        got: usize,
    },
}

/// Enough to see the pattern (a wrong prefix, a wrong head) without flooding a terminal.
const SHOWN: usize = 8;

/// The first misfits in one line, then how many more there are.
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

/// What a report finds fault with, in one line.
struct ReportLine<'a>(&'a LoadReport);

impl fmt::Display for ReportLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport {
            misfits,
            unexpected,
            prefix,
            loaded: _,
            known_unused: _,
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
        if let Some(prefix) = prefix {
            let prefix = one_line(prefix);
            write!(
                f,
                "; all parameters fit without the prefix {prefix}, which a wrapper of the network \
                 adds: remove it from the names"
            )?;
        }
        Ok(())
    }
}

/// The first items, then how many more there are.
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
