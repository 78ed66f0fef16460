"""Weights and inputs that any language can make again, bit for bit: `nn_layers::random_params` and
`testkit::random_array`. All integer arithmetic is modulo 2^64, all other in f32 where it says so.
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def mix(z):
    """The output function of SplitMix64, on an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix1(z):
    return int(mix(np.array([z], dtype=np.uint64))[0])


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def units(start, count):
    """`count` numbers of [-1, 1), multiples of 2^-23, from the counter behind `start`."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    words = mix(np.uint64(start) + steps) >> np.uint64(40)
    return words.astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def distribution(name, shape):
    """The middle of the interval that a parameter's numbers come from, and half its length."""
    local = name.rsplit(".", 1)[-1]
    if local == "weight" and len(shape) == 1:
        return 1.0, 0.1
    if local == "weight":
        return 0.0, np.sqrt(np.float32(6) / np.float32(np.prod(shape[1:])))
    if local == "running_var":
        return 1.0, 0.5
    return 0.0, 0.1


def parameter(name, shape, seed):
    """A parameter as `random_params` makes it, in f32."""
    centre, reach = (np.float32(x) for x in distribution(name, shape))
    start = mix1(seed ^ mix1(fnv1a(name)))
    return (centre + reach * units(start, int(np.prod(shape)))).reshape(shape)


def array(shape, seed):
    """An array as `random_array` makes it: element `i` hashes `mix(seed + golden) + i + 1`."""
    start = mix1((seed + GOLDEN) & MASK)
    index = np.uint64(start) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    words = mix(index + np.uint64(GOLDEN)) >> np.uint64(40)
    return (words.astype(np.float64) / (1 << 23) - 1).reshape(shape)


def pictures(batch, size, seed):
    """Noise around a tint of each picture and channel, in [-1, 1): every number one of f32."""
    noise, tint = array((batch, 3, *size), seed), array((batch, 3, 1, 1), seed + 1)
    return (noise + tint) / 2
