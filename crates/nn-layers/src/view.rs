//! Views of a graph for a reader: the table of its costs and the drawing.

mod mermaid;
pub(crate) mod summary;
