//! The example `module`: the numbers are those of the textbook.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

#[path = "../examples/module.rs"]
mod module;

#[test]
fn the_bottlenecks_cut_the_5x5_to_a_tenth() {
    let mut out = Vec::new();
    module::compare(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let row = |name| -> Vec<Vec<&str>> {
        let rows = out.lines().map(|line| line.split_whitespace().collect());
        rows.filter(|row: &Vec<&str>| row[0] == name).collect()
    };
    // 28·28·32·5·5·192, and 28·28·16·192 + 28·28·32·5·5·16.
    assert_eq!(row("branch5x5")[0][1..3], ["1x32x28x28", "120.4"], "{out}");
    assert_eq!(row("branch5x5")[1][1..3], ["1x32x28x28", "12.4"], "{out}");
    // The pool passes all 192 channels on, unless a 1x1 convolution is behind it.
    assert_eq!(row("branch_pool")[0][1..3], ["1x192x28x28", "0.0"], "{out}");
    assert_eq!(row("branch_pool")[1][1..3], ["1x32x28x28", "4.8"], "{out}");
    let outputs = row("concat").iter().map(|row| row[1]).collect::<Vec<_>>();
    assert_eq!(outputs, ["1x416x28x28", "1x256x28x28"], "{out}");
    let together = row("together").iter().map(|row| row[1]).collect::<Vec<_>>();
    assert_eq!(together, ["303.5", "128.0"], "{out}");
}
