"""Numbers and pictures that any language can make again, bit for bit.

All arithmetic below is on unsigned 64-bit integers, modulo 2^64.

    mix(z):   z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
              z = (z ^ (z >> 27)) * 0x94D049BB133111EB
              return z ^ (z >> 31)
    fnv1a64(name):  h = 0xCBF29CE484222325; for each byte b of the UTF-8 name: h = (h ^ b) * 0x100000001B3
    word(seed, name, i) = mix((seed ^ fnv1a64(name)) + (i + 1) * 0x9E3779B97F4A7C15)     i = 0, 1, 2, ...
    byte(seed, name, i) = word(seed, name, i) >> 56                                      0 .. 255
    unit(seed, name, i) = (word(seed, name, i) >> 40) / 2^24                             in [0, 1), exact in f32 and f64

`word` is the i-th output of the splitmix64 generator started at the state `seed ^ fnv1a64(name)`.

A synthetic picture of width w and height h (both at least 2), at column x, row y, channel c (0 red, 1 green, 2 blue):

    coarse   = byte(seed, "coarse", ((y >> 6) * 1024 + (x >> 6)) * 3 + c)        squares of 64 pixels
    fine     = byte(seed, "fine",   ((y >> 3) * 1024 + (x >> 3)) * 3 + c)        squares of 8 pixels
    noise    = byte(seed, "noise",  (y * w + x) * 3 + c)                         single pixels
    gradient = 255 * x / (w - 1)  for red,  255 * y / (h - 1)  for green,  255 * (x + y) / (w + h - 2)  for blue
    value    = (8 * coarse + 4 * fine + 3 * gradient + noise) / 16               integer divisions that round down
"""

import hashlib

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15

# name: (width, height, seed)
SYNTHETIC = {
    "synthetic_square": (416, 416, 1),
    "synthetic_wide": (640, 427, 2),
    "synthetic_tall": (301, 500, 3),
    "synthetic_small": (97, 61, 4),
    "synthetic_large": (608, 608, 5),
}


def mix(z):
    """The output function of splitmix64, on an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    return h


def words(seed, name, index):
    """`word(seed, name, i)` for each i of an array of integers."""
    state = np.uint64((seed ^ fnv1a64(name)) & MASK)
    with np.errstate(over="ignore"):
        return mix(state + (index.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def units(seed, name, count):
    """The first `count` values in [0, 1) as f64."""
    return (words(seed, name, np.arange(count)) >> np.uint64(40)).astype(np.float64) / 2.0**24


def sample_index(length, count):
    """Where a tensor of `length` elements is sampled: word(0, "sample", k) mod length for k = 0 .. count - 1."""
    return (words(0, "sample", np.arange(count)) % np.uint64(length)).astype(np.int64)


def synthetic_picture(name):
    """The synthetic picture as an array [height, width, 3] of bytes."""
    width, height, seed = SYNTHETIC[name]
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")

    def byte(stream, index):
        return (words(seed, stream, index) >> np.uint64(56)).astype(np.int64)

    coarse = byte("coarse", ((y >> 6) * 1024 + (x >> 6)) * 3 + c)
    fine = byte("fine", ((y >> 3) * 1024 + (x >> 3)) * 3 + c)
    noise = byte("noise", (y * width + x) * 3 + c)
    gradient = np.choose(c, [255 * x // (width - 1), 255 * y // (height - 1), 255 * (x + y) // (width + height - 2)])
    return ((8 * coarse + 4 * fine + 3 * gradient + noise) // 16).astype(np.uint8)


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
