//! Gradients against difference quotients, in f64.

use ndarray::{Array, ArrayView, Dimension};

use crate::close::{dot_bound, multi_index};
use crate::random::random_array;

/// The number of random directions in which a gradient is checked.
const DIRECTIONS: u64 = 3;

/// The share of a quotient that its step may account for; otherwise the step is rejected.
const SHARPNESS: f64 = 1e-3;

/// A check that `gradient` is the gradient of a scalar function at a point.
///
/// Along a random direction `v`, with all elements of `v` in `[-1, 1)`, the central difference
///
/// ```text
/// D(h) = (f(x + h v) - f(x - h v)) / (2 h)
/// ```
///
/// must equal `<gradient, v>`. A single wrong element shows, as `v` has no zeros to hide it.
///
/// The tolerance follows from step and rounding. `D(h / 2)` is off by a term in `h^2`, of which
/// `D(h) - D(h / 2)` is three times as much; that whole difference is allowed. Each value of the
/// function is off by [`dot_bound`] in f64, and so is the quotient, over `h / 2`; and `x + h v` is
/// itself rounded. A step so large that it would raise the tolerance to a thousandth of the terms
/// is rejected, as such a test would find nothing: this happens at a kink.
///
/// A function with many outputs is reduced to a scalar one by a random projection:
/// `f(x) = <op(x), p>`, whose gradient is the operation's gradient for `grad_output = p`.
///
/// ```
/// use ndarray::{Array1, ArrayView1, array};
/// use testkit::GradientCheck;
///
/// // f(x) = p0 x0^2 + p1 x0 x1
/// let (x, p) = (array![0.5, -2.0], array![0.25, 0.75]);
/// let f = |x: ArrayView1<f64>| p[0] * x[0] * x[0] + p[1] * x[0] * x[1];
/// let gradient = array![2.0 * p[0] * x[0] + p[1] * x[1], p[1] * x[0]];
///
/// let check = GradientCheck { step: 1e-4, terms: 2, magnitude: 1.0, seed: 0 };
/// check.assert(f, x.view(), gradient.view());
/// assert!(check.compare(f, x.view(), (gradient * 1.001).view()).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientCheck {
    /// The step `h`. If the function is linear, 1 is a good choice; otherwise about `1e-4`. If it
    /// has kinks, `x + h v` must not reach the next one: see
    /// [`distinct_array`](crate::distinct_array).
    pub step: f64,
    /// The number of products that the function's value is a sum of.
    pub terms: usize,
    /// The sum of their magnitudes, or a bound on it.
    pub magnitude: f64,
    /// The seed of the directions.
    pub seed: u64,
}

impl GradientCheck {
    /// Asserts that `gradient` is that of `function` at `x`.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "a wrong gradient fails the test that asserts it is right"
    )]
    pub fn assert<D: Dimension>(
        &self,
        function: impl Fn(ArrayView<'_, f64, D>) -> f64,
        x: ArrayView<'_, f64, D>,
        gradient: ArrayView<'_, f64, D>,
    ) {
        if let Err(difference) = self.compare(function, x, gradient) {
            panic!("{difference}");
        }
    }

    /// Checks what [`assert`](Self::assert) asserts, and returns a result.
    ///
    /// # Errors
    ///
    /// The message, with the element that is farthest off.
    pub fn compare<D: Dimension>(
        &self,
        function: impl Fn(ArrayView<'_, f64, D>) -> f64,
        x: ArrayView<'_, f64, D>,
        gradient: ArrayView<'_, f64, D>,
    ) -> Result<(), String> {
        if gradient.shape() != x.shape() {
            return Err(format!(
                "gradient of shape {:?}, expected {:?}",
                gradient.shape(),
                x.shape()
            ));
        }
        for number in 0..DIRECTIONS {
            let seed = self.seed.wrapping_mul(DIRECTIONS).wrapping_add(number);
            let mut direction = Array::zeros(x.raw_dim());
            let random = random_array(x.shape(), seed);
            direction.iter_mut().zip(&random).for_each(|(v, &r)| *v = r);
            let along = self.along(&function, &x, &gradient, &direction);
            along.verdict().map_err(|message| {
                let place = self.farthest_off(&function, &x, &gradient);
                format!("direction {number}: {message}; {place}")
            })?;
        }
        Ok(())
    }

    /// The quotient along one direction, and the value it is compared with.
    fn along<D: Dimension>(
        &self,
        function: &impl Fn(ArrayView<'_, f64, D>) -> f64,
        x: &ArrayView<'_, f64, D>,
        gradient: &ArrayView<'_, f64, D>,
        direction: &Array<f64, D>,
    ) -> Along {
        let h = self.step;
        let quotient = |h: f64| {
            let [ahead, behind] = [h, -h].map(|h| function((x + &(direction * h)).view()));
            (ahead - behind) / (2.0 * h)
        };
        let products = gradient * direction;
        let quotients = [quotient(h), quotient(h / 2.0)];
        // Converts the bound of a sum in f32 to that in f64.
        let in_f64 = f64::EPSILON / f64::from(f32::EPSILON);
        let scale = products.mapv(f64::abs).sum();
        let of_value = dot_bound(self.terms, self.magnitude) * in_f64;
        let of_gradient = dot_bound(products.len(), scale) * in_f64;
        let of_point: f64 = gradient
            .iter()
            .zip(x)
            .map(|(g, x)| f64::EPSILON * g.abs() * (x.abs() + h))
            .sum();
        Along {
            expected: quotients[1],
            got: products.sum(),
            truncation: (quotients[0] - quotients[1]).abs(),
            rounding: (3.0 * of_value + of_point) / h + of_gradient,
            scale,
        }
    }

    /// Returns where gradient and quotient differ most.
    fn farthest_off<D: Dimension>(
        &self,
        function: &impl Fn(ArrayView<'_, f64, D>) -> f64,
        x: &ArrayView<'_, f64, D>,
        gradient: &ArrayView<'_, f64, D>,
    ) -> String {
        let mut direction = Array::zeros(x.raw_dim());
        let mut farthest = (f64::NEG_INFINITY, 0, 0.0, 0.0);
        for i in 0..x.len() {
            let mut set = |value| {
                if let Some(element) = direction.iter_mut().nth(i) {
                    *element = value;
                }
            };
            set(1.0);
            let along = self.along(function, x, gradient, &direction);
            direction.fill(0.0);
            let error = (along.got - along.expected).abs();
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > farthest.0 {
                farthest = (error, i, along.got, along.expected);
            }
        }
        let (_, i, got, expected) = farthest;
        format!(
            "farthest off at {:?}: got {got:e}, expected {expected:e}",
            multi_index(i, x.shape())
        )
    }
}

/// A gradient along one direction.
struct Along {
    /// The difference quotient.
    expected: f64,
    /// The gradient's product with the direction.
    got: f64,
    /// Three times the part of the quotient that the step accounts for.
    truncation: f64,
    /// The part that rounding may account for.
    rounding: f64,
    /// The sum of the product's absolute terms.
    scale: f64,
}

impl Along {
    fn verdict(&self) -> Result<(), String> {
        let &Self {
            expected,
            got,
            truncation,
            rounding,
            scale,
        } = self;
        // Written so that a NaN anywhere counts as a difference.
        let largest = SHARPNESS * scale.max(expected.abs()) + rounding;
        let is_sharp = truncation <= largest;
        if !is_sharp {
            return Err(format!(
                "the step is too large, or reaches over a kink: the quotient of {expected:e} \
                 changes by {truncation:e} with half of it"
            ));
        }
        let tolerance = truncation + rounding;
        let is_close = (got - expected).abs() <= tolerance;
        if !is_close {
            return Err(format!(
                "got {got:e}, expected {expected:e}, tolerance {tolerance:e}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayView2, array};

    use super::*;

    const CHECK: GradientCheck = GradientCheck {
        step: 1e-4,
        terms: 6,
        magnitude: 6.0,
        seed: 5,
    };

    fn point() -> Array2<f64> {
        array![[0.5, -0.75, 1.0], [0.125, -1.0, 0.25]]
    }

    fn cubes(x: ArrayView2<'_, f64>) -> f64 {
        x.mapv(|x| x * x * x).sum()
    }

    #[test]
    fn a_cube_s_gradient_is_right() {
        let gradient = point().mapv(|x| 3.0 * x * x);
        CHECK.assert(cubes, point().view(), gradient.view());
    }

    #[test]
    fn one_wrong_element_is_found_and_named() {
        for (i, j) in [(0, 0), (0, 2), (1, 1)] {
            let mut gradient = point().mapv(|x| 3.0 * x * x);
            gradient[[i, j]] += 1e-6;
            let message = CHECK
                .compare(cubes, point().view(), gradient.view())
                .unwrap_err();
            let place = format!("farthest off at [{i}, {j}]");
            assert!(message.contains(&place), "{message}");
        }
    }

    #[test]
    fn tolerances_are_near_rounding() {
        // The sum is linear: no truncation. A value of at most 6 rounds by about 1e-15, over 1e-4.
        let mut gradient = Array2::ones((2, 3));
        CHECK.assert(|x| x.sum(), point().view(), gradient.view());
        gradient[[1, 2]] += 1e-9;
        let wrong = CHECK.compare(|x| x.sum(), point().view(), gradient.view());
        assert!(wrong.is_err());
    }

    #[test]
    fn a_constant_has_the_gradient_zero() {
        CHECK.assert(|_| 1.0, point().view(), Array2::zeros((2, 3)).view());
        let wrong = CHECK.compare(|_| 1.0, point().view(), point().view());
        assert!(wrong.is_err());
    }

    #[test]
    fn kinks_are_refused() {
        let at_the_kink = Array2::zeros((1, 1));
        let message = GradientCheck { seed: 1, ..CHECK }
            .compare(
                |x| (x[[0, 0]] - 0.4e-4).abs(),
                at_the_kink.view(),
                Array2::from_elem((1, 1), -1.0).view(),
            )
            .unwrap_err();
        assert!(message.contains("kink"), "{message}");
    }

    #[test]
    fn nan_and_other_shapes_are_wrong() {
        let nan = Array2::from_elem((2, 3), f64::NAN);
        assert!(CHECK.compare(cubes, point().view(), nan.view()).is_err());
        let right = point().mapv(|x| 3.0 * x * x);
        let wrong = CHECK.compare(|_| f64::NAN, point().view(), right.view());
        assert!(wrong.is_err());
        let message = CHECK.compare(cubes, point().view(), right.t()).unwrap_err();
        assert_eq!(message, "gradient of shape [3, 2], expected [2, 3]");
    }
}
