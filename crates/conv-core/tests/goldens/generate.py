"""Writes pytorch.json beside this file: what PyTorch computes for pools, padding and convolutions,
and their gradients.

Needs the package `torch`. All values are multiples of 1/8 and computed in f64, so that sums are
exact and only a mean's division rounds.
"""

import itertools
import json
import pathlib

import torch
import torch.nn.functional as F

random = torch.Generator().manual_seed(2)


def numbers(*shape):
    return torch.randint(-16, 17, shape, generator=random, dtype=torch.float64) / 8


def tensor(x):
    # JSON has no NaN: the reader interprets null as NaN.
    values = [None if v != v else int(v) if v == int(v) else v for v in x.flatten().tolist()]
    return {"shape": list(x.shape), "values": values}


cases = []


def case(op, x, y, **rest):
    rest = {k: tensor(v) if isinstance(v, torch.Tensor) else v for k, v in rest.items()}
    cases.append({"op": op, "input": tensor(x), "output": tensor(y), **rest})


def gradients(op, run, x, *parameters, **rest):
    """A case with the gradients of <run(x, *parameters), grad_output> for input and parameters."""
    leaves = [t.clone().requires_grad_() for t in (x, *parameters)]
    y = run(*leaves)
    grad_output = numbers(*y.shape)
    y.backward(grad_output)
    names = ["input", "weight", "bias"]
    rest |= {name: t for name, t in zip(names[1:], parameters)}
    rest |= {f"grad_{name}": t.grad for name, t in zip(names, leaves)}
    case(op, x, y.detach(), grad_output=grad_output, **rest)


# Sizes of one axis where rounding up and down differ, with and without padding:
# input, kernel size, stride, padding.
axes = [(6, 3, 2, 0), (7, 3, 2, 1), (5, 2, 2, 1), (4, 2, 3, 1), (8, 5, 3, 2), (3, 3, 1, 1)]
for (h, w), ceil_mode in itertools.product(zip(axes, axes[1:] + axes[:1]), [False, True]):
    size, stride, padding = ([h[i], w[i]] for i in (1, 2, 3))
    x = numbers(1, 2, h[0], w[0])
    options = {"kernel_size": size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    for count_include_pad in [False, True]:
        y = F.avg_pool2d(x, size, stride, padding, ceil_mode, count_include_pad)
        case("avg_pool2d", x, y, **options, count_include_pad=count_include_pad)
    y, argmax = F.max_pool2d(x, size, stride, padding, 1, ceil_mode, return_indices=True)
    case("max_pool2d", x, y, **options, dilation=[1, 1], argmax=argmax.double())

x = numbers(1, 1, 7, 9)
y, argmax = F.max_pool2d(x, [3, 2], [1, 2], [1, 1], [2, 3], True, return_indices=True)
case("max_pool2d", x, y, kernel_size=[3, 2], stride=[1, 2], padding=[1, 1], dilation=[2, 3],
     ceil_mode=True, argmax=argmax.double())

# NaN wins over every other value.
x = numbers(1, 1, 4, 4)
x[0, 0, 1, 2] = float("nan")
y = F.max_pool2d(x, 2, 1)
_, argmax = F.max_pool2d(x, 2, 1, return_indices=True)
case("max_pool2d", x, y, kernel_size=[2, 2], stride=[1, 1], padding=[0, 0], dilation=[1, 1],
     ceil_mode=False, argmax=argmax.double())

for size, output in [((7, 5), [3, 2]), ((4, 6), [4, 4]), ((2, 3), [5, 3]), ((6, 6), [1, 1])]:
    x = numbers(1, 2, *size)
    case("adaptive_avg_pool2d", x, F.adaptive_avg_pool2d(x, output), size=output)
    case("adaptive_max_pool2d", x, F.adaptive_max_pool2d(x, output), size=output)

for mode, value in [("constant", 0), ("constant", -1.5), ("reflect", 0), ("replicate", 0), ("circular", 0)]:
    # PyTorch uses left, right, top, bottom; here, as everywhere, top, left, bottom, right.
    for top, left, bottom, right in [(1, 2, 0, 3), (2, 0, 2, 1)]:
        x = numbers(1, 1, 3, 4)
        extra = {"value": value} if mode == "constant" else {}
        y = F.pad(x, [left, right, top, bottom], mode, **extra)
        case("pad2d", x, y, mode=mode, value=value, padding=[top, left, bottom, right])

modes = ["zeros", "reflect", "replicate", "circular"]
for mode, groups in zip(modes, [1, 2, 3, 6]):
    layer = torch.nn.Conv2d(6, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1),
                            groups=groups, padding_mode=mode).double()
    with torch.no_grad():
        layer.weight.copy_(numbers(*layer.weight.shape))
        layer.bias.copy_(numbers(6))
        x = numbers(2, 6, 5, 4)
        case("conv2d", x, layer(x), mode=mode, value=0, groups=groups, stride=[1, 2],
             padding=[2, 1], dilation=[2, 1], weight=layer.weight.detach(), bias=layer.bias.detach())

x = numbers(1, 2, 3, 2)
case("upsample_nearest2d", x, F.interpolate(x, scale_factor=(2, 3), mode="nearest"), scale=[2, 3])

x, weight, bias = numbers(3, 5), numbers(4, 5), numbers(4)
case("linear", x, F.linear(x, weight, bias), weight=weight, bias=bias)

# From here on with gradients.
for mode, groups in zip(modes, [3, 1, 1, 3]):
    def run(x, weight, bias):
        if mode != "zeros":
            x = F.pad(x, [1, 1, 2, 2], mode)
        padding = (2, 1) if mode == "zeros" else 0
        return F.conv2d(x, weight, bias, (2, 1), padding, (1, 2), groups)

    gradients("conv2d", run, numbers(2, 3, 5, 4), numbers(6, 3 // groups, 3, 2), numbers(6), mode=mode,
              value=0, groups=groups, stride=[2, 1], padding=[2, 1], dilation=[1, 2])

# stride, padding, output padding, dilation, groups; the last has an output padding over its stride.
for stride, padding, output_padding, dilation, groups in [
    ((1, 1), (0, 0), (0, 0), (1, 1), 1),
    ((2, 3), (1, 0), (1, 2), (1, 2), 2),
    ((2, 1), (2, 1), (0, 1), (3, 2), 4),
    ((1, 1), (1, 2), (2, 1), (3, 2), 1),
]:
    def run(x, weight, bias):
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)

    gradients("conv_transpose2d", run, numbers(2, 4, 3, 4), numbers(4, 2, 2, 3), numbers(2 * groups),
              stride=stride, padding=padding, output_padding=output_padding, dilation=dilation,
              groups=groups)

gradients("linear", F.linear, numbers(3, 5), numbers(4, 5), numbers(4))

# The output of a ReLU has many tied zeros, and windows with only zeros.
for relu, ceil_mode in [(True, False), (True, True), (False, True)]:
    x = numbers(2, 2, 6, 7)
    x = torch.relu(x - 0.5) if relu else x
    options = {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 1], "dilation": [1, 2],
               "ceil_mode": ceil_mode}
    gradients("max_pool2d", lambda x: F.max_pool2d(x, **options), x, **options)
x = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
options = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1], "dilation": [1, 1], "ceil_mode": False}
gradients("max_pool2d", lambda x: F.max_pool2d(x, **options), x, **options)

# Of several NaN, the last receives the gradient.
x = numbers(1, 1, 4, 4)
x[0, 0, 1, 0:2] = x[0, 0, 2, 1] = float("nan")
options = {"kernel_size": [2, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "ceil_mode": False}
gradients("max_pool2d", lambda x: F.max_pool2d(x, **options), x, **options)

for ceil_mode, count_include_pad in itertools.product([False, True], [False, True]):
    options = {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 1], "ceil_mode": ceil_mode,
               "count_include_pad": count_include_pad}
    gradients("avg_pool2d", lambda x: F.avg_pool2d(x, **options), numbers(1, 2, 6, 4), **options)

for size, output in [((7, 5), [3, 2]), ((2, 3), [5, 3]), ((4, 3), [1, 1])]:
    gradients("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, output), numbers(1, 2, *size),
              size=output)
    x = torch.relu(numbers(1, 2, *size))
    gradients("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, output), x, size=output)

gradients("upsample_nearest2d", lambda x: F.interpolate(x, scale_factor=(2, 3), mode="nearest"),
          numbers(1, 2, 3, 2), scale=[2, 3])

for mode in ["constant", "reflect", "replicate", "circular"]:
    gradients("pad2d", lambda x: F.pad(x, [2, 3, 1, 2], mode), numbers(1, 2, 3, 4), mode=mode, value=0,
              padding=[1, 2, 2, 3])

path = pathlib.Path(__file__).with_name("pytorch.json")
head = json.dumps({"torch": torch.__version__.split("+")[0]})[1:-1]
lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
path.write_text(f'{{{head}, "cases": [\n{lines}\n]}}\n')
