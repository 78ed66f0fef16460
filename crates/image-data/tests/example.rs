//! The example `labels`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use image_data::{Limits, Picture};

#[path = "../examples/labels.rs"]
mod labels;

#[test]
fn the_boxes_are_where_they_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drawn.png");
    let mut out = Vec::new();
    labels::draw(&path, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("drawn.png: two boxes"), "{out}");

    let drawn = Picture::open(&path, &Limits::default()).unwrap();
    assert_eq!(drawn.size(), [320, 480]);
    let is_drawn = |y: usize, x: usize| {
        let at = 3 * (y * 480 + x);
        let ground = [x * 255 / 480, y * 255 / 320, 128].map(|channel| channel as u8);
        drawn.rgb()[at..at + 3] != ground
    };
    // On the left and lower edges of each box, but neither inside nor outside it.
    for (y, x) in [(150, 40), (250, 120), (210, 220), (300, 330)] {
        assert!(is_drawn(y, x), "[{y}, {x}]");
    }
    for (y, x) in [(150, 120), (210, 330), (10, 10), (310, 470)] {
        assert!(!is_drawn(y, x), "[{y}, {x}]");
    }
}
