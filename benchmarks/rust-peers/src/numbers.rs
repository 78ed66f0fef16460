//! The tensors of a layer, and the expected results.

use conv_core::ndarray::{Array4, Ix4};
use conv_core::plain;
use testkit::{Conv2dProblem, compare, dot_bound, random_array, to_f32};

use crate::Result;
use crate::side::Answers;

/// Random numbers from `[-1, 1)` for input, weight and the gradient of the output.
pub(crate) struct Numbers {
    pub(crate) problem: Conv2dProblem,
    pub(crate) input: Array4<f32>,
    pub(crate) weight: Array4<f32>,
    pub(crate) grad_output: Array4<f32>,
}

/// An exact result, and the permitted error of an f32 result.
struct Exact {
    value: Array4<f64>,
    bounds: Vec<f64>,
}

/// The results of the plain loops in f64.
pub(crate) struct Expected {
    output: Exact,
    grad_weight: Exact,
    grad_input: Exact,
}

impl Numbers {
    pub(crate) fn new(problem: Conv2dProblem) -> Result<Self> {
        let shape = problem.shape()?.output();
        let grad_output =
            random_array(&shape, problem.seed.wrapping_add(2)).into_dimensionality::<Ix4>()?;
        Ok(Self {
            input: to_f32(problem.input().view()),
            weight: to_f32(problem.weight().view()),
            grad_output: to_f32(grad_output.view()),
            problem,
        })
    }

    /// Each element is a sum of K products: over the taps of a window for the output, over all pixels of
    /// the batch for the weight's gradient, over the taps of all output channels for the input's. Its
    /// bound is `4 sqrt(K) eps` times the sum of the magnitudes, for any order of the sum
    /// ([`dot_bound`]).
    pub(crate) fn expected(&self) -> Result<Expected> {
        let problem = &self.problem;
        let (x, w, g) = (&self.input, &self.weight, &self.grad_output);
        let (o, c, kernel_h, kernel_w) = w.dim();
        let taps = kernel_h * kernel_w;
        Ok(Expected {
            output: exact(taps * c, [x, w], |x, w| {
                plain::conv2d(x.view(), w.view(), None, &problem.options)
            })?,
            grad_weight: exact(g.len() / o, [x, g], |x, g| {
                let kernel = problem.kernel_size;
                plain::conv2d_grad_weight(x.view(), g.view(), kernel, &problem.options)
            })?,
            grad_input: exact(taps * o, [g, w], |g, w| {
                let size = problem.input_size;
                plain::conv2d_grad_input(g.view(), w.view(), size, &problem.options)
            })?,
        })
    }
}

impl Expected {
    /// Fails with the name of the side and the result that is out of bounds, if one is.
    pub(crate) fn check(&self, name: &str, got: &Answers) -> Result<()> {
        for (what, got, Exact { value, bounds }) in [
            ("output", &got.output, &self.output),
            ("weight gradient", &got.grad_weight, &self.grad_weight),
            ("input gradient", &got.grad_input, &self.grad_input),
        ] {
            compare(got.view(), value.view(), |at| bounds[at])
                .map_err(|difference| format!("{name}'s {what}: {difference}"))?;
        }
        Ok(())
    }
}

/// A bilinear operation in f64: applied to magnitudes, it returns the magnitudes of its sums.
fn exact(
    terms: usize,
    operands: [&Array4<f32>; 2],
    operation: impl Fn(&Array4<f64>, &Array4<f64>) -> conv_core::Result<Array4<f64>>,
) -> Result<Exact> {
    let [a, b] = operands.map(|operand| operand.mapv(f64::from));
    let magnitudes = operation(&a.mapv(f64::abs), &b.mapv(f64::abs))?;
    Ok(Exact {
        value: operation(&a, &b)?,
        bounds: magnitudes
            .iter()
            .map(|&sum| dot_bound(terms, sum))
            .collect(),
    })
}
