//! The outlines of the shapes, as polygons around the origin.

use std::f64::consts::{PI, TAU};

/// One or more closed polygons; a point inside two of them is outside the shape.
#[derive(Clone, Debug)]
pub(super) struct Outline(pub(super) Vec<Vec<[f64; 2]>>);

/// Corners of the polygon that approximates a circle; the error is 1/1800 of the radius.
const CIRCLE: usize = 96;

/// A shape's name and the function that creates its outline.
type Class = (&'static str, fn() -> Outline);

/// The shapes, by name.
pub(super) const CLASSES: [Class; 8] = [
    ("circle", || Outline(vec![arc(1.0, [0.0, TAU])])),
    ("crescent", crescent),
    ("cross", cross),
    ("heart", heart),
    ("ring", || {
        Outline(vec![arc(1.0, [0.0, TAU]), arc(0.58, [0.0, TAU])])
    }),
    ("square", || Outline(vec![regular(4, [1.0, 1.0])])),
    ("star", || Outline(vec![regular(10, [1.0, 0.42])])),
    ("triangle", || Outline(vec![regular(3, [1.0, 1.0])])),
];

/// Corners at equal angles, with two alternating radii.
fn regular(corners: usize, radii: [f64; 2]) -> Vec<[f64; 2]> {
    (0..corners)
        .map(|corner| {
            let (sin, cos) = (TAU * corner as f64 / corners as f64).sin_cos();
            let radius = radii[corner % 2];
            [radius * sin, -radius * cos]
        })
        .collect()
}

/// A part of a circle around the origin.
fn arc(radius: f64, [from, to]: [f64; 2]) -> Vec<[f64; 2]> {
    (0..CIRCLE)
        .map(|corner| {
            let (sin, cos) = (from + (to - from) * corner as f64 / CIRCLE as f64).sin_cos();
            [radius * cos, radius * sin]
        })
        .collect()
}

/// A circle minus a second one, whose centre is to the right and whose edge meets the first
/// circle's at 55 degrees from that direction.
fn crescent() -> Outline {
    const OFFSET: f64 = 0.42;
    let meeting = 55.0 / 180.0 * PI;
    let (sin, cos) = meeting.sin_cos();
    let inner_angle = sin.atan2(cos - OFFSET);
    let inner_radius = sin.hypot(cos - OFFSET);
    let outside = arc(1.0, [meeting, TAU - meeting]);
    let inside = arc(inner_radius, [TAU - inner_angle, inner_angle]);
    let inside = inside.into_iter().map(|[x, y]| [x + OFFSET, y]);
    Outline(vec![outside.into_iter().chain(inside).collect()])
}

/// A plus whose bars are 0.38 of its size wide.
fn cross() -> Outline {
    const HALF: f64 = 0.38;
    let arm = [[HALF, -1.0], [HALF, -HALF], [1.0, -HALF]];
    let corners =
        (0..4).flat_map(|turns| arm.map(|[x, y]| (0..turns).fold([x, y], |[x, y], _| [-y, x])));
    Outline(vec![corners.collect()])
}

/// Two lobes and a point: `x = sin^3 t`, `y` a sum of four cosines.
fn heart() -> Outline {
    let corners = (0..CIRCLE).map(|corner| {
        let t = TAU * corner as f64 / CIRCLE as f64;
        let y = 13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
        [t.sin().powi(3), -y / 16.0]
    });
    Outline(vec![corners.collect()])
}

impl Outline {
    /// A bar from one point to another.
    pub(super) fn bar([x1, y1]: [f64; 2], [x2, y2]: [f64; 2], width: f64) -> Self {
        let length = (x2 - x1).hypot(y2 - y1).max(f64::MIN_POSITIVE);
        let across = [
            -(y2 - y1) / length * width / 2.0,
            (x2 - x1) / length * width / 2.0,
        ];
        Self(vec![vec![
            [x1 + across[0], y1 + across[1]],
            [x2 + across[0], y2 + across[1]],
            [x2 - across[0], y2 - across[1]],
            [x1 - across[0], y1 - across[1]],
        ]])
    }

    /// A small disc.
    pub(super) fn dot([x, y]: [f64; 2], radius: f64) -> Self {
        let mut dot = Self(vec![arc(radius, [0.0, TAU])]);
        dot.map(|[px, py]| [px + x, py + y]);
        dot
    }

    /// Moves every corner.
    pub(super) fn map(&mut self, to: impl Fn([f64; 2]) -> [f64; 2]) {
        for corner in self.0.iter_mut().flatten() {
            *corner = to(*corner);
        }
    }

    /// The box around all corners: left, top, right, bottom.
    pub(super) fn bounds(&self) -> [f64; 4] {
        let start = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        self.0
            .iter()
            .flatten()
            .fold(start, |[l, t, r, b], &[x, y]| {
                [l.min(x), t.min(y), r.max(x), b.max(y)]
            })
    }
}
