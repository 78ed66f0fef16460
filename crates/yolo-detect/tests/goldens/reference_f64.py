"""A second implementation of darknet's networks in f64, independent of darknet and of this project.

    python reference_f64.py --cfg CFG --weights WEIGHTS --out FILE.json PICTURE ...

PICTURE is a name of a synthetic picture of portable.py, or a PNG. Written are, for each picture, the number of the layer
before each [region] or [yolo] section (a head) with its output: largest absolute value, sum, sum of squares, and the
values at the places sample_index(length, SAMPLES) of portable.py, counted through the tensor [channels, height, width];
and of every layer's output the shape, largest absolute value, sum and sum of squares, to find where two runs part.

The picture is letterboxed in f32 as darknet does it (its pixels differ in the last bit from what f64 would give, and
what is compared is the network); from there on all is f64: convolution as a matrix product over unrolled patches,
BatchNorm as (x - mean) / (sqrt(var) + 1e-6) * scale + bias, leaky ReLU with slope 0.1, nothing folded or fused.
"""

import argparse
import json
import pathlib

import numpy as np

import cfg as darknet_cfg
import portable

SAMPLES = 500


def load_picture(name):
    if name in portable.SYNTHETIC:
        return portable.synthetic_picture(name)
    from PIL import Image

    with Image.open(name) as picture:
        return np.asarray(picture.convert("RGB"))


def resize(planes, width, height):
    """darknet's bilinear resize in f32: first along x, then along y, corners on corners.

    The last row reproduces a quirk: it takes only the share (1 - dy) of the row above it. Where rounding puts its place
    a hair below the picture's last row, dy is nearly 1 and the row comes out almost black.
    """
    f32 = np.float32
    channels, old_height, old_width = planes.shape
    part = np.empty((channels, old_height, width), f32)
    part[:, :, -1] = planes[:, :, -1]
    if old_width == 1:
        part[:] = planes[:, :, -1:]
    elif width > 1:
        place = np.arange(width - 1, dtype=f32) * (f32(old_width - 1) / f32(width - 1))
        left = place.astype(np.int64)
        share = place - left.astype(f32)
        part[:, :, :-1] = (f32(1) - share) * planes[:, :, left] + share * planes[:, :, left + 1]
    if old_height == 1:
        return np.repeat(part, height, axis=1)
    place = np.arange(height, dtype=f32) * (f32(old_height - 1) / f32(height - 1))
    upper = place.astype(np.int64)
    share = (place - upper.astype(f32))[:, None]
    resized = (f32(1) - share) * part[:, upper, :]
    resized[:, :-1] += share[:-1] * part[:, upper[:-1] + 1, :]
    return resized


def letterbox_size(picture, network):
    """The (height, width) that a picture of (height, width) takes within the network's."""
    (height, width), (net_height, net_width) = picture, network
    if np.float32(net_width) / np.float32(width) < np.float32(net_height) / np.float32(height):
        return height * net_width // width, net_width
    return net_height, width * net_height // height


def letterbox(rgb, network):
    planes = (rgb.astype(np.float64) / 255.0).astype(np.float32).transpose(2, 0, 1)
    height, width = letterbox_size(rgb.shape[:2], network)
    boxed = np.full((3, *network), 0.5, np.float32)
    top, left = (network[0] - height) // 2, (network[1] - width) // 2
    boxed[:, top : top + height, left : left + width] = resize(planes, width, height)
    return boxed


def convolution(x, weight, stride, pad):
    """Cross-correlation of [I, H, W] with [O, I, K, K]."""
    out_channels, in_channels, size, _ = weight.shape
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    _, height, width = patches.shape[:3]
    columns = patches.transpose(0, 3, 4, 1, 2).reshape(in_channels * size * size, height * width)
    return (weight.reshape(out_channels, -1) @ columns).reshape(out_channels, height, width)


def maxpool(x, size, stride, padding):
    """darknet's `padding` is that of both sides together; the smaller half lies at the top and left."""
    channels, height, width = x.shape
    before = padding // 2
    out = [(n + padding - size) // stride + 1 for n in (height, width)]
    after = [max(0, (o - 1) * stride + size - before - n) for o, n in zip(out, (height, width))]
    x = np.pad(x, ((0, 0), (before, after[0]), (before, after[1])), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return windows.max(axis=(3, 4))[:, : out[0], : out[1]]


def reorg(x, stride):
    """darknet's reorg: what it computes is the inverse rearrangement, read through the other's sizes.

    With C, H, W of the input and D = C / stride^2, the element at the flat place i + W * (j + H * k) of the output is
    the input's flat element (i * s + o % s) + W * s * ((j * s + o / s) + H * s * (k % D)) with s = stride, o = k / D.
    """
    channels, height, width = x.shape
    narrow = channels // (stride * stride)
    k, j, i = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    offset = k // narrow
    row, column = j * stride + offset // stride, i * stride + offset % stride
    source = column + width * stride * (row + height * stride * (k % narrow))
    return x.reshape(-1)[source.reshape(-1)].reshape(channels * stride * stride, height // stride, width // stride)


class Network:
    def __init__(self, cfg, weights):
        self.layers = darknet_cfg.layers(cfg)
        self.size = darknet_cfg.network_size(cfg)[1:]
        raw = weights.read_bytes()
        major, minor = np.frombuffer(raw, "<i4", 2)
        header = 20 if major * 10 + minor >= 2 else 16
        values, place = np.frombuffer(raw, "<f4", offset=header), 0

        def take(*shape):
            nonlocal place
            count = int(np.prod(shape))
            place += count
            return values[place - count : place].astype(np.float64).reshape(shape)

        self.params = {}
        for n, layer in enumerate(self.layers):
            if layer.kind == "convolutional":
                assert layer.int("groups", 1) == 1
                size, o = layer.int("size", 1), layer.filters
                bias = take(o)
                norm = [take(o) for _ in range(3)] if layer.int("batch_normalize", 0) else None
                self.params[n] = bias, norm, take(o, layer.in_channels, size, size)
        assert place == len(values), f"{len(values) - place} values of the weights are left"

    def heads(self):
        return [n - 1 for n, layer in enumerate(self.layers) if layer.kind in ("region", "yolo")]

    def run(self, picture):
        """The outputs of all layers; a region or yolo layer gives its input."""
        x, outputs = picture.astype(np.float64), []
        for n, layer in enumerate(self.layers):
            if layer.kind == "convolutional":
                bias, norm, weight = self.params[n]
                size = layer.int("size", 1)
                pad = size // 2 if layer.int("pad", 0) else layer.int("padding", 0)
                x = convolution(x, weight, layer.int("stride", 1), pad)
                if norm:
                    scale, mean, var = (v[:, None, None] for v in norm)
                    x = (x - mean) / (np.sqrt(var) + 1e-6) * scale
                x = x + bias[:, None, None]
                activation = layer.options.get("activation", "logistic")
                assert activation in ("leaky", "linear")
                if activation == "leaky":
                    x = np.where(x > 0, x, 0.1 * x)
            elif layer.kind == "maxpool":
                stride = layer.int("stride", 1)
                size = layer.int("size", stride)
                x = maxpool(x, size, stride, layer.int("padding", size - 1))
            elif layer.kind == "route":
                x = np.concatenate([outputs[s] for s in layer.sources])
            elif layer.kind == "reorg":
                x = reorg(x, layer.int("stride", 1))
            elif layer.kind == "upsample":
                stride = layer.int("stride", 2)
                x = x.repeat(stride, axis=1).repeat(stride, axis=2)
            elif layer.kind not in ("region", "yolo"):
                raise SystemExit(f"no rule for [{layer.kind}]")
            assert x.shape == layer.shape, (n, layer.kind, x.shape, layer.shape)
            outputs.append(x)
        return outputs


def digits(value):
    return float(f"{value:.10g}")


def totals(x):
    return {"max_abs": digits(np.abs(x).max()), "sum": digits(x.sum()), "sum_of_squares": digits(np.square(x).sum())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=pathlib.Path, required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--made-by", help="the command that made the weights, to be recorded")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()

    network = Network(args.cfg, args.weights)
    golden = {
        "model": args.cfg.stem,
        "numpy": np.__version__,
        "cfg_sha256": portable.sha256_file(args.cfg),
        "weights_sha256": portable.sha256_file(args.weights),
        "weights_made_by": args.made_by or "pretrained",
        "samples": SAMPLES,
    }
    lines = []
    for name in args.pictures:
        rgb = load_picture(name)
        outputs = network.run(letterbox(rgb, network.size))
        width, height, seed = portable.SYNTHETIC.get(name, (*rgb.shape[1::-1], None))
        picture = {"picture": pathlib.Path(name).name, "width": width, "height": height, "seed": seed}
        heads = []
        for n in network.heads():
            flat = outputs[n].reshape(-1)
            values = [digits(v) for v in flat[portable.sample_index(flat.size, SAMPLES)]]
            heads.append({"layer": n, "shape": outputs[n].shape} | totals(flat) | {"values": values})
        rows = [
            {"layer": n, "kind": layer.kind, "shape": x.shape} | totals(x)
            for n, (layer, x) in enumerate(zip(network.layers, outputs))
            if layer.kind not in ("region", "yolo")
        ]
        line = json.dumps(picture)[:-1] + ',\n   "heads": [\n    ' + ",\n    ".join(map(json.dumps, heads))
        lines.append(line + '],\n   "layers": [\n    ' + ",\n    ".join(map(json.dumps, rows)) + "]}")
    text = json.dumps(golden, indent=1)[:-2] + ',\n "pictures": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    args.out.write_text(text)


if __name__ == "__main__":
    main()
