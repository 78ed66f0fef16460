//! The points of interpolation, and the transform of the weights.

/// A one-dimensional algorithm `F(m, r)`, used along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Winograd {
    /// F(2, 3): 4 points, 4 multiplications per output instead of 9.
    F2x3,
    /// F(4, 3): 6 points, 2.25 multiplications per output instead of 9.
    F4x3,
    /// F(2, 5): 6 points, 9 multiplications per output instead of 25.
    F2x5,
}

/// The points of F(4, 3) and F(2, 5) are 0, ±`A`, ±`B` and infinity. With these, all constants of the
/// transforms are exact in f32, and the error is half of that with the textbook's 0, ±1, ±2.
pub(super) const A: f64 = 0.625;
pub(super) const B: f64 = 1.5;

impl Winograd {
    /// Returns a name for people: `Winograd F(4, 3)`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F2x3 => "Winograd F(2, 3)",
            Self::F4x3 => "Winograd F(4, 3)",
            Self::F2x5 => "Winograd F(2, 5)",
        }
    }

    /// Output pixels of a tile along an axis.
    pub(in crate::blocked) fn outputs(self) -> usize {
        match self {
            Self::F2x3 | Self::F2x5 => 2,
            Self::F4x3 => 4,
        }
    }

    /// Taps of the kernel along an axis.
    pub(super) fn taps(self) -> usize {
        match self {
            Self::F2x3 | Self::F4x3 => 3,
            Self::F2x5 => 5,
        }
    }

    /// Points, and input pixels of a tile, along an axis.
    pub(in crate::blocked) fn points(self) -> usize {
        self.outputs() + self.taps() - 1
    }

    /// The finite points, in the order of the transforms; infinity is the last.
    fn finite(self) -> &'static [f64] {
        match self {
            Self::F2x3 => &[0.0, 1.0, -1.0],
            Self::F4x3 | Self::F2x5 => &[0.0, A, -A, B, -B],
        }
    }

    /// The matrix `G`, `[point][tap]`: the weights as a polynomial, evaluated at each point `p` and
    /// divided by `Π (p - q)` over the other finite points `q`; at infinity, the last coefficient.
    pub(super) fn weight_matrix(self) -> Vec<[f64; 5]> {
        let (finite, taps) = (self.finite(), self.taps());
        let mut matrix: Vec<[f64; 5]> = Vec::new();
        for (index, &p) in finite.iter().enumerate() {
            let others = finite.iter().enumerate();
            let others = others.filter(|&(other, _)| other != index);
            let mut power = 1.0 / others.map(|(_, q)| p - q).product::<f64>();
            let mut row = [0.0; 5];
            for value in row.iter_mut().take(taps) {
                *value = power;
                power *= p;
            }
            matrix.push(row);
        }
        let mut infinity = [0.0; 5];
        infinity[taps - 1] = 1.0;
        matrix.push(infinity);
        matrix
    }
}
