//! Views of a graph for a reader: the table of its costs, and its drawing.

mod mermaid;
pub(crate) mod summary;
