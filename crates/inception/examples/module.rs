//! The four branches of an inception module, and what its bottlenecks save.
//!
//! `cargo run -p inception --example module`

use std::io::{self, Write};

use inception::{Bottlenecks, InceptionModule};
use nn_layers::{GraphBuilder, Shape, Summary, SummaryRow};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    compare(&mut io::stdout())
}

/// Prints the cost of each branch of GoogLeNet's first module, without bottlenecks and with them.
pub(crate) fn compare(out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let bottlenecks = Bottlenecks {
        before_3x3: 96,
        before_5x5: 16,
        after_pool: 32,
    };
    for (title, bottlenecks) in [("naive", None), ("with bottlenecks", Some(bottlenecks))] {
        let module = InceptionModule {
            conv1x1: 64,
            conv3x3: 128,
            conv5x5: 32,
            bottlenecks,
        };
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 192, 28, 28])?;
        let y = module.build(&mut b, x)?;
        let graph = b.finish(&[y])?;
        let summary = Summary::new(&graph, &[Shape::from([1, 192, 28, 28])])?;

        writeln!(out, "{title}:")?;
        for branch in [
            "branch1x1",
            "branch3x3",
            "branch5x5",
            "branch_pool",
            "concat",
        ] {
            let is_within = |row: &&SummaryRow| row.name.starts_with(branch);
            let rows: Vec<_> = summary.rows.iter().filter(is_within).collect();
            let count: u64 = rows.iter().map(|row| row.multiply_adds).sum();
            let millions = count as f64 / 1e6;
            let output = rows.last().map(|row| row.output.to_string());
            let output = output.unwrap_or_default();
            writeln!(
                out,
                "  {branch:<12} {output:<12} {millions:>6.1} M multiply-adds"
            )?;
        }
        let millions = summary.multiply_adds as f64 / 1e6;
        writeln!(out, "  {:<25} {millions:>6.1} M multiply-adds", "together")?;
    }
    Ok(())
}
