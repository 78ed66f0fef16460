"""Writes seeded random weights in darknet's format, for a cfg whose weights all sit in convolutional layers.

    python random_weights.py CFG OUT [--seed 1] [--scale-score 1] [--scale-box 1] [--old-header]

The file: a header of i32 0, 2, 0 and u64 0 (with --old-header: i32 0, 1, 0 and i32 0), then for each convolutional layer
in the order of the cfg, all as little-endian f32,

    biases (with batch_normalize=1: BatchNorm's), [scales, running mean, running variance,] weights [O, I / groups, Kh, Kw]

N is darknet's number of the layer: the first section after [net] is 0 and every section counts. With `unit` of portable.py,
u_i = unit(seed, name, i), computed in f64 and rounded once to f32 at the end:

    N.conv.weight      before centring v_i = 2 u_i - 1; after it w_i = limit * (v_i - v_j), where i counts the layer's
                       weights and j is the next weight of the same filter (of the last one: the filter's first);
                       fan_in = (I / groups) * Kh * Kw, limit = sqrt(3 / (1.01 * fan_in))
    N.bn.weight        0.75 + 0.5 u_i            (darknet's scales)
    N.bn.bias          (2 u_i - 1) * 0.2         (darknet's biases)
    N.bn.running_mean  (2 u_i - 1) * 0.2
    N.bn.running_var   0.5 + u_i
    N.conv.bias        (2 u_i - 1) * 0.2         where there is no BatchNorm

Each filter adds up to about zero, so that what all pictures have in common does not drown what tells them apart. A
filter of one weight would be zero: where fan_in is 1, w_i = limit * v_i.

In the last layer before a [region] or [yolo] section, output channel o belongs to the entry e = o mod (classes + 5) of
its anchor: x, y, w, h, objectness, classes. There all weights and biases are multiplied by --scale-box for e < 4 and by
--scale-score for the others, after `limit` and before the rounding: w_i = f32((limit * (v_i - v_j)) * scale).

Prints the SHA-256 of the file.
"""

import argparse
import pathlib
import struct

import numpy as np

import cfg as darknet_cfg
import portable


def signed(seed, name, count):
    return 2.0 * portable.units(seed, name, count) - 1.0


def conv_weight(seed, name, filters, fan_in):
    v = signed(seed, name, filters * fan_in).reshape(filters, fan_in)
    if fan_in > 1:
        v = v - np.roll(v, -1, axis=1)
    return np.sqrt(3.0 / (1.01 * fan_in)) * v


def entry_scales(layer, head, scale_box, scale_score):
    """What each output channel of a layer is multiplied by."""
    if head is None:
        return np.ones(layer.filters)
    entry = np.arange(layer.filters) % (head.int("classes", 20) + 5)
    return np.where(entry < 4, scale_box, scale_score)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale-score", type=float, default=1.0)
    parser.add_argument("--scale-box", type=float, default=1.0)
    parser.add_argument("--old-header", action="store_true")
    args = parser.parse_args()

    layers = darknet_cfg.layers(args.cfg)
    with open(args.out, "wb") as out:
        out.write(struct.pack("<iiii", 0, 1, 0, 0) if args.old_header else struct.pack("<iiiQ", 0, 2, 0, 0))
        for n, layer in enumerate(layers):
            if layer.kind != "convolutional":
                continue
            following = layers[n + 1] if n + 1 < len(layers) else None
            head = following if following and following.kind in ("region", "yolo") else None
            scales = entry_scales(layer, head, args.scale_box, args.scale_score)
            count = layer.filters

            def write(values):
                out.write(values.astype("<f4").tobytes())

            if layer.int("batch_normalize", 0):
                write(signed(args.seed, f"{n}.bn.bias", count) * 0.2)
                write(0.75 + 0.5 * portable.units(args.seed, f"{n}.bn.weight", count))
                write(signed(args.seed, f"{n}.bn.running_mean", count) * 0.2)
                write(0.5 + portable.units(args.seed, f"{n}.bn.running_var", count))
            else:
                write(signed(args.seed, f"{n}.conv.bias", count) * 0.2 * scales)
            write(conv_weight(args.seed, f"{n}.conv.weight", count, layer.fan_in) * scales[:, None])
    print(portable.sha256_file(args.out))


if __name__ == "__main__":
    main()
