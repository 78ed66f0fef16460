//! Whole convolution problems, and the reference for their results.

mod space;

use conv_core::{Conv2dOptions, Conv2dShape, Padding, PaddingValue, plain};
use ndarray::{Array1, Array4, ArrayView1, ArrayView4, Ix1};

use crate::close::dot_bound;
use crate::random::{random_array, random4};

pub use space::{Conv2dSpace, conv2d_problems, conv2d_problems_in};
pub(crate) use space::{input_lens, kernel_lens, paddings, pair, pair_of};

/// A convolution to compute: sizes, options, and a seed that determines its values.
///
/// ```
/// use conv_core::{Conv2dOptions, conv2d};
/// use testkit::{Conv2dProblem, assert_close, to_f32};
///
/// let problem = Conv2dProblem {
///     batch: 1,
///     in_channels: 17,
///     out_channels: 3,
///     input_size: [5, 9],
///     kernel_size: [3, 1],
///     options: Conv2dOptions::default(),
///     bias: false,
///     seed: 0,
/// };
/// let (input, weight) = (to_f32(problem.input().view()), to_f32(problem.weight().view()));
/// let got = conv2d(input.view(), weight.view(), None, &problem.options)?;
/// let reference = problem.reference();
/// assert_close(got.view(), reference.expected.view(), reference.bound());
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dProblem {
    /// The number of pictures.
    pub batch: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Size of the input, `[h, w]`.
    pub input_size: [usize; 2],
    /// Extent of the weight, `[h, w]`.
    pub kernel_size: [usize; 2],
    /// Stride, dilation, groups and padding.
    pub options: Conv2dOptions,
    /// Whether a bias is added.
    pub bias: bool,
    /// The seed of the values.
    pub seed: u64,
}

impl Conv2dProblem {
    /// Returns a typical network layer with a bias: a square kernel of odd size, padded so that
    /// only the stride makes the picture smaller. `channels` are those of input and output.
    #[must_use]
    pub fn layer(
        batch: usize,
        [in_channels, out_channels]: [usize; 2],
        input_size: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Self {
        Self {
            batch,
            in_channels,
            out_channels,
            input_size,
            kernel_size: [kernel, kernel],
            options: Conv2dOptions {
                stride: [stride, stride],
                groups,
                padding: Padding::all(kernel / 2),
                ..Default::default()
            },
            bias: true,
            seed: 7,
        }
    }

    /// Returns the input `[N, C, H, W]`.
    #[must_use]
    pub fn input(&self) -> Array4<f64> {
        let [height, width] = self.input_size;
        random4([self.batch, self.in_channels, height, width], self.seed)
    }

    /// Returns the weight `[O, C / groups, Kh, Kw]`.
    #[must_use]
    pub fn weight(&self) -> Array4<f64> {
        random4(self.weight_shape(), self.seed.wrapping_add(1))
    }

    /// Returns the bias `[O]`, if there is one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "an array of one size has one axis")]
    pub fn bias(&self) -> Option<Array1<f64>> {
        let bias = || random_array(&[self.out_channels], self.seed.wrapping_add(2));
        self.bias
            .then(|| bias().into_dimensionality::<Ix1>().expect("one axis"))
    }

    /// Returns the result in f64 with each element's bound.
    ///
    /// # Panics
    ///
    /// If the problem is not valid.
    #[must_use]
    #[track_caller]
    #[expect(
        clippy::expect_used,
        reason = "an invalid problem fails the test that poses it"
    )]
    pub fn reference(&self) -> Reference {
        let bias = self.bias();
        let bias = bias.as_ref().map(|bias| bias.view());
        conv2d_reference(
            self.input().view(),
            self.weight().view(),
            bias,
            &self.options,
        )
        .expect("a valid problem")
    }

    /// Checks the sizes against each other and returns the shape.
    ///
    /// # Errors
    ///
    /// Those of [`Conv2dShape::new`].
    pub fn shape(&self) -> conv_core::Result<Conv2dShape> {
        let [height, width] = self.input_size;
        Conv2dShape::new(
            "conv2d",
            [self.batch, self.in_channels, height, width],
            self.weight_shape(),
            self.bias.then_some(self.out_channels),
            &self.options,
        )
    }

    fn weight_shape(&self) -> [usize; 4] {
        let [kernel_h, kernel_w] = self.kernel_size;
        [
            self.out_channels,
            self.in_channels / self.options.groups,
            kernel_h,
            kernel_w,
        ]
    }

    /// Returns the valid problem nearest to a random one: shrinks the picture until the work is at
    /// most `max_multiply_adds`, the kernel until it fits, and the padding until it can be filled.
    fn repaired(mut self, max_multiply_adds: usize) -> Self {
        let taps: usize = self.weight_shape().iter().product();
        // An estimate: stride and a kernel at the edge reduce the output, padding enlarges it.
        while self.batch * self.input_size[0] * self.input_size[1] * taps > max_multiply_adds
            && self.batch * self.input_size[0] * self.input_size[1] > 1
        {
            let largest = if self.input_size[0] > self.input_size[1] {
                0
            } else {
                1
            };
            if self.batch > self.input_size[largest] {
                self.batch -= 1;
            } else {
                self.input_size[largest] = (self.input_size[largest] * 3 / 4).max(1);
            }
        }
        let options = &mut self.options;
        for axis in 0..2 {
            let len = self.input_size[axis];
            if let Padding::Explicit(sides) = &mut options.padding {
                let most = match options.padding_value {
                    PaddingValue::Reflect => len - 1,
                    PaddingValue::Circular => len,
                    _ => usize::MAX,
                };
                for side in [axis, axis + 2] {
                    sides[side] = sides[side].min(most);
                }
            }
            let padded = match options.padding {
                Padding::Valid => len,
                Padding::Explicit(sides) => len + sides[axis] + sides[axis + 2],
                Padding::Same => continue,
            };
            let most = (padded - 1) / options.dilation[axis] + 1;
            self.kernel_size[axis] = self.kernel_size[axis].min(most);
        }
        // `Same` around a picture too small to mirror or to wrap.
        if matches!(options.padding, Padding::Same) && self.shape().is_err() {
            self.options.padding_value = PaddingValue::Replicate;
        }
        self
    }
}

/// A convolution in f64, with the error bounds of an f32 result.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The result of the plain loops in f64.
    pub expected: Array4<f64>,
    /// For each element, the sum of the absolute products, `sum |x| |w|`, including the bias.
    pub magnitude: Array4<f64>,
    /// The number of terms in each sum.
    pub terms: usize,
}

impl Reference {
    /// Returns [`dot_bound`] of each element, for [`assert_close`](crate::assert_close).
    pub fn bound(&self) -> impl Fn(usize) -> f64 {
        // The plain loops return standard layout, with elements in row-major order.
        let magnitude = self.magnitude.as_slice().unwrap_or_default();
        move |i| dot_bound(self.terms, magnitude[i])
    }
}

/// Returns the f64 result of a `conv2d` and each element's bound.
///
/// The bound's `sum |x| |w|` is the same convolution of the absolute values.
///
/// # Errors
///
/// Those of [`plain::conv2d`].
pub fn conv2d_reference(
    input: ArrayView4<'_, f64>,
    weight: ArrayView4<'_, f64>,
    bias: Option<ArrayView1<'_, f64>>,
    options: &Conv2dOptions,
) -> conv_core::Result<Reference> {
    let terms = weight.len() / weight.dim().0.max(1) + usize::from(bias.is_some());
    let padding_value = match options.padding_value {
        PaddingValue::Constant(value) => PaddingValue::Constant(value.abs()),
        other => other,
    };
    let absolute_bias = bias.map(|bias| bias.mapv(f64::abs));
    let magnitude = plain::conv2d(
        input.mapv(f64::abs).view(),
        weight.mapv(f64::abs).view(),
        absolute_bias.as_ref().map(|bias| bias.view()),
        &Conv2dOptions {
            padding_value,
            ..*options
        },
    )?;
    Ok(Reference {
        expected: plain::conv2d(input, weight, bias, options)?,
        magnitude,
        terms,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    proptest! {
        #[test]
        fn problems_are_valid(problem in conv2d_problems()) {
            let shape = problem.shape();
            prop_assert!(shape.is_ok(), "{:?}", shape);
        }
    }

    /// A generator that no longer reaches a corner case would weaken every test that uses it.
    #[test]
    fn problems_reach_every_corner() {
        let mut runner = TestRunner::deterministic();
        let strategy = conv2d_problems();
        let problems: Vec<_> = (0..2000)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect();
        let reached = |what: &str, is: &dyn Fn(&Conv2dProblem) -> bool| {
            let count = problems.iter().filter(|problem| is(problem)).count();
            assert!(count >= 5, "{what}: only {count} of {}", problems.len());
        };
        for value in [
            PaddingValue::Zeros,
            PaddingValue::Constant(0.25),
            PaddingValue::Reflect,
            PaddingValue::Replicate,
            PaddingValue::Circular,
        ] {
            reached("padding value", &|p| {
                p.options.padding_value == value
                    && p.shape()
                        .is_ok_and(|shape| shape.placement.padding != [0; 4])
            });
        }
        for channels in [1, 2, 3, 15, 16, 17, 31, 32, 33, 48] {
            reached("input channels", &|p| p.in_channels == channels);
            reached("output channels", &|p| p.out_channels == channels);
        }
        for batch in 1..=4 {
            reached("batch", &|p| p.batch == batch);
        }
        reached("one pixel", &|p| p.input_size == [1, 1]);
        reached("depthwise", &|p| {
            p.options.groups > 1 && p.options.groups == p.in_channels
        });
        reached("several groups", &|p| {
            p.options.groups > 1 && p.options.groups < p.in_channels
        });
        for width in [1, 2, 4, 8] {
            reached("narrow groups", &|p| {
                let wide = p.options.groups * width;
                p.options.groups > 1 && p.in_channels == wide && p.out_channels == wide
            });
        }
        reached("stride and dilation", &|p| {
            p.options.stride[0] > 1 && p.options.dilation[1] > 1 && p.kernel_size[1] > 1
        });
        reached("a wide picture", &|p| p.input_size[1] > 16);
        reached("no bias", &|p| !p.bias);
        reached("more rows than columns", &|p| {
            p.kernel_size[0] > p.kernel_size[1]
        });
        reached("all sides differ", &|p| match p.options.padding {
            Padding::Explicit([top, left, bottom, right]) => top != bottom && left != right,
            Padding::Valid | Padding::Same => false,
        });
    }

    #[test]
    fn a_narrowed_space_is_narrow() {
        let space = Conv2dSpace {
            strides: false,
            dilations: false,
            groups: false,
            padding: false,
            max_multiply_adds: 1000,
        };
        let mut runner = TestRunner::deterministic();
        for _ in 0..200 {
            let problem = conv2d_problems_in(space)
                .new_tree(&mut runner)
                .unwrap()
                .current();
            assert_eq!(problem.options, Conv2dOptions::default());
        }
    }

    #[test]
    fn the_bound_is_that_of_the_absolute_values() {
        let problem = Conv2dProblem {
            batch: 1,
            in_channels: 2,
            out_channels: 1,
            input_size: [1, 2],
            kernel_size: [1, 2],
            options: Conv2dOptions {
                padding: Padding::Explicit([0, 1, 0, 0]),
                padding_value: PaddingValue::Constant(-2.0),
                ..Conv2dOptions::default()
            },
            bias: true,
            seed: 3,
        };
        let reference = problem.reference();
        assert_eq!(reference.terms, 5);
        let (x, w) = (problem.input(), problem.weight());
        let by_hand: f64 = problem.bias().unwrap()[0].abs()
            + (0..2)
                .map(|c| 2.0 * w[[0, c, 0, 0]].abs() + (x[[0, c, 0, 0]] * w[[0, c, 0, 1]]).abs())
                .sum::<f64>();
        assert!((reference.magnitude[[0, 0, 0, 0]] - by_hand).abs() < 1e-12);
        let bound = reference.bound()(0);
        assert!((bound / (4.0 * 5_f64.sqrt() * 2_f64.powi(-23) * by_hand) - 1.0).abs() < 1e-12);
    }
}
