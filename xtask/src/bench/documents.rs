//! Writing a record's tables into `docs/benchmarks.md`, its plot beside them, and the record itself.

use std::path::Path;

use super::record::Record;
use super::{plot, tables};
use crate::{Error, Result};

const DOCUMENT: &str = "docs/benchmarks.md";
const PLOT: &str = "docs/images/benchmarks.svg";

/// Writes everything.
///
/// # Errors
/// A document without the markers, and those of the file system.
pub(crate) fn write(root: &Path, record: &Record) -> Result<()> {
    let document = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&document)?;
    let mut tables = tables::markdown(record);
    if let Some(plot) = plot::svg(record) {
        std::fs::write(root.join(PLOT), plot)?;
        tables = format!(
            "![Each peer's time divided by Convoxide's](images/benchmarks.svg)\n\n{tables}"
        );
    }
    let section = if record.layers { "layers" } else { "networks" };
    let text = replaced(&text, section, &tables)
        .map_err(|error| Error::from(format!("{DOCUMENT}: {error}")))?;
    std::fs::write(document, text)?;
    record.save(&record.file(root))
}

/// The text with new contents between the lines `<!-- begin: section -->` and `<!-- end: section -->`.
///
/// # Errors
/// Markers that are missing or in the wrong order.
fn replaced(text: &str, section: &str, contents: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {which}: {section} -->\n"));
    let missing = |marker: &str| Error::from(format!("there is no line {:?}", marker.trim_end()));
    let (before, rest) = text.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!(
        "{before}{begin}\n{}\n\n{end}{after}",
        contents.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::workspace_root;

    const TEXT: &str = "# A\n\n<!-- begin: x -->\nold\n<!-- end: x -->\n\nB\n";

    #[test]
    fn only_the_text_between_the_markers_is_replaced() {
        let once = replaced(TEXT, "x", "new\n").unwrap();
        let expected = "# A\n\n<!-- begin: x -->\n\nnew\n\n<!-- end: x -->\n\nB\n";
        assert_eq!(once, expected);
        assert_eq!(replaced(&once, "x", "new").unwrap(), expected);
    }

    #[test]
    fn missing_markers_are_named() {
        let error = replaced(TEXT, "y", "new").unwrap_err();
        assert_eq!(error.to_string(), "there is no line \"<!-- begin: y -->\"");
        let turned = "<!-- end: x -->\n<!-- begin: x -->\n";
        let error = replaced(turned, "x", "new").unwrap_err();
        assert_eq!(error.to_string(), "there is no line \"<!-- end: x -->\"");
    }

    #[test]
    fn the_document_has_the_markers() {
        let text = std::fs::read_to_string(workspace_root().join(DOCUMENT)).unwrap();
        for section in ["networks", "layers"] {
            replaced(&text, section, "").unwrap();
        }
    }
}
