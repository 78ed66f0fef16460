//! Options and sizes of every magnitude, for every public function: each call returns a result or
//! an error, and at once. A panic fails these tests, and so does an endless loop over sizes that
//! exceed memory. Sizes are small or enormous; those in between would only use up memory.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    self, Algorithm, AlgorithmSpec, BatchNormGrad, Block, Conv2dGradInput, Conv2dSpec, Denormals,
    Epilogue, Layout, PackedConv2d, Statistics, Store, TurnedWeights, View, ViewMut, Winograd,
};
use conv_core::{
    Activation, AvgPool2dOptions, Conv2dOptions, Conv2dShape, ConvTranspose2dOptions,
    CorrelateOptions, Isa, MaxPool2dOptions, POOL_KERNEL_LIMIT, Padding, PaddingValue, Placement,
    Window, conv2d_on, convolve2d, plain,
};
use ndarray::{Array2, Array4};
use proptest::prelude::*;

/// Small, at the limit of steps, and far over it.
fn step() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..=3,
        1 => prop::sample::select(vec![
            Window::LIMIT, Window::LIMIT + 1, 1 << 32, 1 << 60, 1 << 63, usize::MAX,
        ]),
    ]
}

/// The same along both axes, so that no long, thin tensor fits into memory.
fn steps() -> impl Strategy<Value = [usize; 2]> {
    step().prop_map(|step| [step; 2])
}

/// Small, or larger than any memory.
fn monstrous() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..=3,
        1 => prop::sample::select(vec![1 << 62, isize::MAX as usize, 1 << 63, usize::MAX]),
    ]
}

fn kernel() -> impl Strategy<Value = [usize; 2]> {
    let size = prop_oneof![
        4 => 0_usize..=3,
        2 => prop::sample::select(vec![
            POOL_KERNEL_LIMIT, POOL_KERNEL_LIMIT + 1, 1 << 20, 1 << 40, 1 << 60, usize::MAX,
        ]),
    ];
    prop::array::uniform2(size)
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        2 => Just(Padding::Valid),
        3 => Just(Padding::Same),
        2 => prop::array::uniform4(monstrous()).prop_map(Padding::Explicit),
    ]
}

fn padding_value() -> impl Strategy<Value = PaddingValue> {
    prop::sample::select(vec![
        PaddingValue::Zeros,
        PaddingValue::Constant(1.0),
        PaddingValue::Reflect,
        PaddingValue::Replicate,
        PaddingValue::Circular,
    ])
}

fn conv2d_options() -> impl Strategy<Value = Conv2dOptions> {
    let groups = prop_oneof![3 => 0_usize..=3, 1 => monstrous()];
    (steps(), steps(), groups, padding(), padding_value()).prop_map(
        |(stride, dilation, groups, padding, padding_value)| Conv2dOptions {
            stride,
            dilation,
            groups,
            padding,
            padding_value,
        },
    )
}

/// Tensors with few elements; those with none may have any other size.
fn shape() -> impl Strategy<Value = [usize; 4]> {
    let small = [0_usize..=2, 0..=18, 0..=5, 0..=5];
    let empty = prop::sample::select(vec![
        [0, 1, 1 << 40, 3],
        [0, 2, 3, 1 << 40],
        [2, 0, 1 << 25, 1 << 25],
        [1 << 40, 0, 3, 2],
        [2, 3, 0, 1 << 40],
        [1 << 40, 2, 2, 0],
        [0, 16, 1 << 24, 1 << 24],
        [0, 1 << 60, 0, 0],
        [1 << 60, 1, 0, 2],
    ]);
    prop_oneof![3 => small, 1 => empty]
}

fn zeros(shape: [usize; 4]) -> Array4<f32> {
    Array4::zeros(shape)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn convolutions_answer(
        options in conv2d_options(),
        (input, grad) in (shape(), shape()),
        weight in [0_usize..=3, 0_usize..=3, 0_usize..=2, 0_usize..=2],
        size in [monstrous(), monstrous()],
        batch in monstrous(),
    ) {
        let (x, w, g) = (zeros(input), zeros(weight), zeros(grad));
        let kernel_size = [weight[2], weight[3]];
        let _ = Conv2dShape::new("test", input, weight, None, &options);
        let _ = plain::conv2d(x.view(), w.view(), None, &options);
        let _ = plain::conv2d_grad_input(g.view(), w.view(), size, &options);
        let _ = plain::conv2d_grad_weight(x.view(), g.view(), kernel_size, &options);
        let _ = plain::conv2d_grad_bias(g.view());
        let correlate = CorrelateOptions {
            stride: options.stride,
            padding: options.padding,
            padding_value: options.padding_value,
        };
        let picture = Array2::<f32>::zeros((input[2].min(5), input[3].min(5)));
        let kernel = Array2::zeros(kernel_size);
        let _ = convolve2d(picture.view(), kernel.view(), &correlate);
        for isa in Isa::available() {
            let _ = conv2d_on(isa, x.view(), w.view(), None, &options);
            let Ok(conv) = Conv2dSpec::new(weight, &options, isa) else {
                continue;
            };
            let _ = PackedConv2d::new(Algorithm::Direct, conv, w.view(), None, Activation::Relu);
            let _ = (conv.place(size), conv.halo(size), conv.grad_weight_scratch(batch, size));
            if let Ok(gradient) = Conv2dGradInput::new(&conv, size) {
                let _ = gradient.halo();
            }
            let from = conv.input_layout(batch, size);
            let to = Layout::blocked(batch, weight[0], size);
            let _ = conv.statistics_scratch(&from, &to);
        }
    }

    /// Without weights, so every size may be anything.
    #[test]
    fn specifications_answer(
        options in conv2d_options(),
        (channels, groups) in ([monstrous(), monstrous()], monstrous()),
        (kernel, many) in (kernel(), 0_u32..60),
        (size, batch) in ([monstrous(), monstrous()], monstrous()),
    ) {
        let isa = Isa::best();
        for groups in [options.groups, groups, 1 << many] {
            let options = Conv2dOptions { groups, ..options };
            let [outputs, inputs] = channels;
            let weight = [outputs.max(groups), inputs, kernel[0], kernel[1]];
            let Ok(spec) = Conv2dSpec::new(weight, &options, isa) else {
                continue;
            };
            let _ = (spec.place(size), spec.halo(size), spec.loops(), spec.bias_len());
            let _ = (TurnedWeights::len_for(&spec), spec.grad_weight_scratch(batch, size));
            let from = spec.input_layout(batch, size);
            let _ = spec.statistics_scratch(&from, &Layout::blocked(batch, weight[0], size));
            for algorithm in [Winograd::F2x3, Winograd::F4x3, Winograd::F2x5] {
                let algorithm = Algorithm::Winograd(algorithm);
                if let Ok(spec) = AlgorithmSpec::new(algorithm, spec) {
                    let _ = (spec.halo(size), spec.scratch_len(&from, 2), spec.packed_len());
                }
            }
        }
    }

    #[test]
    fn transposed_convolutions_answer(
        (stride, dilation) in (steps(), steps()),
        groups in prop_oneof![3 => 0_usize..=3, 1 => monstrous()],
        padding in prop::array::uniform4(monstrous()),
        output_padding in step(),
        (input, grad) in (shape(), shape()),
        weight in [0_usize..=3, 0_usize..=3, 0_usize..=2, 0_usize..=2],
        size in [monstrous(), monstrous()],
    ) {
        let output_padding = [output_padding; 2];
        let options = ConvTranspose2dOptions { stride, dilation, groups, padding, output_padding };
        let (x, w, g) = (zeros(input), zeros(weight), zeros(grad));
        let kernel_size = [weight[2], weight[3]];
        let _ = options.output_size("test", size, kernel_size);
        let _ = plain::conv_transpose2d(x.view(), w.view(), None, &options);
        let _ = plain::conv_transpose2d_grad_input(g.view(), w.view(), &options);
        let _ = plain::conv_transpose2d_grad_weight(x.view(), g.view(), kernel_size, &options);
        let _ = plain::conv_transpose2d_grad_bias(g.view());
    }

    #[test]
    fn pools_answer(
        kernel_size in kernel(),
        (stride, dilation) in (steps(), steps()),
        padding in padding(),
        (ceil_mode, count_include_pad) in (any::<bool>(), any::<bool>()),
        (input, grad) in (shape(), shape()),
        size in [monstrous(), monstrous()],
    ) {
        let max = MaxPool2dOptions { kernel_size, stride, dilation, padding, ceil_mode };
        let avg = AvgPool2dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad };
        let (x, g) = (zeros(input), zeros(grad));
        let _ = (max.place("test", size), avg.place("test", size));
        let _ = plain::max_pool2d_with_argmax(x.view(), &max);
        let _ = plain::max_pool2d_grad(x.view(), g.view(), &max);
        let _ = plain::avg_pool2d(x.view(), &avg);
        let _ = plain::avg_pool2d_grad(g.view(), size, &avg);
        let _ = plain::adaptive_avg_pool2d(x.view(), size);
        let _ = plain::adaptive_max_pool2d(x.view(), size);
        let _ = plain::adaptive_avg_pool2d_grad(g.view(), size);
        let _ = plain::adaptive_max_pool2d_grad(x.view(), g.view());
        let _ = plain::global_avg_pool2d(x.view());
        let _ = plain::global_avg_pool2d_grad(g.view(), size);
        // A pool that is placed on an input produces the output size of its placement.
        let size = [input[2].min(5), input[3].min(5)];
        if let Ok(placement) = max.place("test", size) {
            let output = plain::max_pool2d(zeros([1, 1, size[0], size[1]]).view(), &max).unwrap();
            prop_assert_eq!(output.dim(), (1, 1, placement.output[0], placement.output[1]));
        }
    }

    #[test]
    fn the_rest_answers(
        (input, grad) in (shape(), shape()),
        (padding, value) in (prop::array::uniform4(monstrous()), padding_value()),
        scale in [monstrous(), monstrous()],
        inputs in 0_usize..=3,
        numbers in prop::array::uniform8(monstrous()),
        (at, axis) in ([monstrous(), monstrous()], 0_usize..2),
    ) {
        let (x, g) = (zeros(input), zeros(grad));
        let _ = plain::pad2d(x.view(), padding, value);
        let _ = plain::pad2d_grad(g.view(), padding, value);
        let _ = plain::upsample_nearest2d(x.view(), scale);
        let _ = plain::upsample_nearest2d_grad(g.view(), scale);
        let no_rows = Array2::<f32>::zeros((0, inputs));
        let no_columns = Array2::<f32>::zeros((1 << 40, 0));
        for (a, b) in [(&no_rows, &no_columns), (&no_columns, &no_rows), (&no_rows, &no_rows)] {
            let _ = plain::linear(a.view(), b.view(), None);
            let _ = plain::linear_grad_input(a.view(), b.view());
            let _ = plain::linear_grad_weight(a.view(), b.view());
            let _ = plain::linear_grad_bias(a.view());
        }
        // A placement's fields are public: it must answer for any values.
        let [height, width, rows, columns, kernel, stride, dilation, before] = numbers;
        let placement = Placement {
            input: [height, width],
            output: [rows, columns],
            padding: [before; 4],
            kernel_size: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
        };
        let _ = placement.index(axis, at[0], at[1]);
        let _ = placement.check_sees_input("test");
    }

    /// Layouts without elements may have any other size.
    #[test]
    fn operations_on_layouts_answer(
        (from, to, third) in (layout(), layout(), layout()),
        same in 0_usize..4,
        (kernel_size, stride, dilation) in (kernel(), steps(), steps()),
        padding in padding(),
        (sides, value) in (prop::array::uniform4(monstrous()), padding_value()),
        (scale, first) in ([monstrous(), monstrous()], monstrous()),
    ) {
        let to = if same > 0 { Layout { block: to.block, ..from } } else { to };
        let third = if same > 1 { from } else { third };
        let lengths = [from, to, third].map(|layout| layout.checked_len("test"));
        let Ok(lengths) = lengths.into_iter().collect::<Result<Vec<_>, _>>() else {
            return Ok(());
        };
        prop_assert_eq!(lengths[0], from.len());
        let source = vec![1.0; lengths[0]];
        let other = vec![1.0; lengths[2]];
        let mut target = vec![2.0; lengths[1]];
        let input = View::new(from, &source).unwrap();
        let third = View::new(third, &other).unwrap();
        let isa = Isa::best();
        let max = MaxPool2dOptions { kernel_size, stride, dilation, padding, ceil_mode: false };
        let avg = AvgPool2dOptions {
            kernel_size, stride, padding, ceil_mode: true, count_include_pad: true,
        };
        let channels = vec![1.0; from.channels.min(64).div_ceil(16) * 16];
        let mut sums = [vec![0.0; channels.len()], vec![0.0; channels.len()]];
        let mut scratch = vec![0.0; blocked::batch_norm_scratch(&from).min(1 << 12)];
        macro_rules! out { () => { ViewMut::new(to, &mut target).unwrap() } }
        let store = Store::Add;

        out!().clear_halo();
        let _ = blocked::max_pool2d(isa, input, &max, out!());
        let _ = blocked::avg_pool2d(isa, input, &avg, out!());
        let _ = blocked::adaptive_avg_pool2d(isa, input, out!());
        let _ = blocked::max_pool2d_grad(isa, input, &max, third, out!(), store);
        let _ = blocked::avg_pool2d_grad(isa, &avg, input, out!(), store);
        let _ = blocked::adaptive_avg_pool2d_grad(isa, input, out!(), store);
        let _ = blocked::upsample_nearest2d_grad(isa, scale, input, out!(), store);
        let _ = blocked::upsample_nearest2d(input, scale, out!());
        let _ = blocked::concat(input, first, out!());
        let _ = blocked::pad_channels(input, first, out!());
        let _ = blocked::slice(input, first, out!());
        let _ = blocked::pad2d(input, sides, value, out!());
        let _ = blocked::relayout(input, out!());
        let _ = blocked::reshape(input, out!());
        let _ = blocked::reorg(input, scale[0], out!());
        let _ = blocked::map(isa, input, out!(), |x| x + 1.0);
        let _ = blocked::add_assign(isa, input, out!());
        let _ = blocked::affine(isa, input, &channels, &channels, out!());
        let relu = Activation::Relu;
        let _ = blocked::scale_shift(isa, input, &channels, &channels, Some(third), relu, out!());
        let _ = blocked::softmax(input, out!());
        let _ = blocked::activation_grad(isa, input, relu, out!());
        let [mean, variance] = &mut sums;
        let _ = blocked::batch_statistics(isa, input, mean, variance, &mut scratch);
        let _ = blocked::batch_norm_grad_sums(
            isa, input, &channels, Some((third, relu)), out!(), mean, variance, &mut scratch,
        );
        let parts = BatchNormGrad {
            mean: &channels, scale: &channels, mean_grad: &channels, slope: &channels,
        };
        let _ = blocked::batch_norm_grad(isa, input, third, parts, out!(), store);

        let [h, w] = to.size;
        let array = Array4::<f32>::zeros((to.batch, to.channels, h, w));
        let mut copy = array.clone();
        let _ = to.import(array.view(), value, &mut target);
        let _ = to.export(&target, copy.view_mut());

        let weight = zeros([3, from.channels.min(40), 2, 1]);
        let options = Conv2dOptions { stride, dilation, padding, ..Default::default() };
        if let Ok(conv) = Conv2dSpec::new(weight.dim().into(), &options, isa) {
            let weight = conv.pack(weight.view(), Denormals::Flushed).unwrap();
            let epilogue = || Epilogue { activation: relu, ..Epilogue::default() };
            let bias = [0.0; 16];
            let biased = Epilogue { bias: Some(&bias), ..epilogue() };
            let _ = conv.run(&weight, input, biased, out!());
            let added = Epilogue { residual: Some(third), ..epilogue() };
            let _ = conv.run(&weight, input, added, out!());
            let (mut mean, mut variance) = (vec![0.0; 16], vec![0.0; 16]);
            let statistics = Statistics {
                mean: &mut mean, variance: &mut variance, scratch: &mut scratch,
            };
            let measured = Epilogue { statistics: Some(statistics), ..epilogue() };
            let _ = conv.run(&weight, input, measured, out!());
            let mut grads = vec![0.0; conv.weight_len()];
            let _ = conv.add_grad_weight(input, third, &mut grads, None, &mut []);
            if let Ok(gradient) = Conv2dGradInput::new(&conv, to.size) {
                let mut turned = TurnedWeights::default();
                turned.turn(&conv, &weight).unwrap();
                let output = ViewMut::new(to, &mut target).unwrap();
                let _ = gradient.run(&turned, input, output, store);
            }
        }
    }
}

/// Layouts with few elements, or with none and any sizes.
fn layout() -> impl Strategy<Value = Layout> {
    let halo = prop_oneof![
        6 => Just([0; 4]),
        3 => prop::array::uniform4(0_usize..=2),
        1 => prop::array::uniform4(monstrous()),
    ];
    let block = prop_oneof![5 => Just(Block::Channels16), 3 => Just(Block::Planar)];
    let gap = prop_oneof![5 => Just(0), 3 => 0_usize..=2, 1 => monstrous()];
    (shape(), halo, block, gap)
        .prop_map(|([batch, channels, h, w], halo, block, gap)| Layout {
            batch,
            channels,
            size: [h, w],
            halo,
            block,
            gap,
        })
        .prop_filter("fits", |layout| {
            layout.checked_len("test").is_err() || layout.len() <= 1 << 16
        })
}
