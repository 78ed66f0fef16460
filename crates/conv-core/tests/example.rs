//! The example `edges`: edges where the disc ends, and nowhere else.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

#[path = "../examples/edges.rs"]
mod edges;

#[test]
fn only_the_outline_of_the_disc_is_found() {
    let mut out = Vec::new();
    edges::find(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    let (picture, edges) = (&lines[..21], &lines[22..41]);
    assert_eq!((lines.len(), lines[21], lines[41]), (42, "", ""));

    let at = |rows: &[&str], y: usize, x: usize| rows[y].as_bytes().get(x).copied() == Some(b'#');
    let is_edge = |y: usize, x: usize| edges[y].as_bytes().get(x).is_some_and(|&c| c != b' ');
    for y in 0..19 {
        for x in 0..40 {
            // What the kernel sees at [y, x].
            let seen = (0..9).filter(|i| at(picture, y + i / 3, x + i % 3)).count();
            assert_eq!(is_edge(y, x), seen != 0 && seen != 9, "[{y}, {x}]:\n{out}");
        }
    }
    assert!(edges.iter().any(|line| line.contains('#')), "{out}");
}
