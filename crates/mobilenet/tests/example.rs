//! The example `mobilenet_v2`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

#[path = "../examples/mobilenet_v2.rs"]
mod mobilenet_v2;

#[test]
fn it_compares_a_block_with_a_convolution() {
    let mut out = Vec::new();
    mobilenet_v2::compare(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    // By hand: 2 * 64 * 384 + 9 * 384 weights per pixel; 9 * 384 * 384; the paper's 300 M.
    assert!(lines[0].ends_with("10.3 M multiply-adds"), "{out}");
    assert!(lines[1].ends_with("260.1 M multiply-adds"), "{out}");
    assert!(lines[2].ends_with("300.8 M multiply-adds"), "{out}");
    assert!(lines[2].contains("3.50 M parameters"), "{out}");
}
