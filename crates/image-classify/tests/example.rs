//! The example `shapes`: it learns, and classifies with the file that it has written.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

#[path = "../examples/shapes.rs"]
mod shapes;

#[test]
fn it_learns_and_classifies_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("shapes.safetensors");
    let mut out = Vec::new();
    shapes::train(&model, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let shares: Vec<f64> = out
        .lines()
        .map(|line| {
            let share = line.split(": ").nth(1).unwrap();
            share.strip_suffix(" % right").unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(shares.len(), 5, "{out}");
    // One in eight would be right by guessing.
    assert!(shares[4] > 40.0 && shares[4] > shares[0], "{out}");

    let mut out = Vec::new();
    shapes::classify(&model, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let mut lines = out.lines();
    assert!(
        lines.next().unwrap().starts_with("a picture of a "),
        "{out}"
    );
    let percents: Vec<f32> = lines
        .map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(percents.len(), 3, "{out}");
    assert!(percents.is_sorted_by(|a, b| a >= b), "{out}");
}
