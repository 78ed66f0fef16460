"""Writes preprocessing.json: what Pillow and torchvision's transforms make of pictures that a
formula draws.

    python3 preprocessing.py > preprocessing.json
    python3 preprocessing.py compare PICTURE.jpg OURS.png

Needs numpy and Pillow 13 or later, which resizes in another order than before. torchvision's part is
written out in numpy's 32-bit floats. The second form prints how far our decoding of a JPEG, saved
as PNG, is from Pillow's.
"""

import base64
import io
import json
import struct
import sys

import numpy
import PIL
from PIL import Image

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)


def shorter(side, filter="bilinear"):
    return {"size": {"shorter_side": side}, "filter": filter}


def exact(height, width, filter="bilinear"):
    return {"size": {"exact": [height, width]}, "filter": filter}


# What the case shows, the picture [h, w], resize, crop, channels, (mean, std).
CASES = [
    ("ImageNet, landscape", [333, 501], shorter(256), [224, 224], "rgb", IMAGENET),
    ("ImageNet, portrait", [401, 267], shorter(256), [224, 224], "rgb", IMAGENET),
    ("ImageNet, much smaller", [1203, 997], shorter(256), [224, 224], "rgb", IMAGENET),
    ("ImageNet, larger", [37, 53], shorter(256), [224, 224], "rgb", IMAGENET),
    ("later ImageNet weights", [300, 451], shorter(232), [224, 224], "rgb", IMAGENET),
    ("Inception-v3", [411, 367], shorter(342), [299, 299], "rgb", HALF),
    ("bicubic, smaller", [231, 150], shorter(64, "bicubic"), [55, 47], "rgb", IMAGENET),
    ("bicubic, larger", [17, 31], shorter(64, "bicubic"), [64, 64], "rgb", IMAGENET),
    ("columns first", [301, 97], shorter(64, "bicubic"), [60, 60], "rgb", HALF),
    ("one axis smaller, one larger", [90, 23], exact(41, 77, "bicubic"), None, "rgb", HALF),
    ("one axis as it is", [45, 60], exact(45, 31), None, "rgb", HALF),
    ("nothing to resize", [32, 32], shorter(32, "bicubic"), [32, 32], "rgb", HALF),
    ("one row", [1, 40], shorter(3), None, "rgb", HALF),
    ("one column to one pixel", [50, 1], exact(1, 1, "bicubic"), None, "rgb", HALF),
    ("one pixel", [1, 1], exact(5, 9, "bicubic"), None, "rgb", HALF),
    ("far in one axis", [700, 9], exact(3, 200), None, "rgb", HALF),
    ("crop larger than the picture", [21, 30], None, [32, 45], "rgb", IMAGENET),
    ("crop wider than the picture", [40, 21], None, [27, 32], "rgb", IMAGENET),
    ("crop higher than the resized picture", [40, 90], shorter(20), [31, 24], "rgb", HALF),
    ("margins of 1, 2", [31, 32], None, [30, 30], "rgb", HALF),
    ("margins of 3, 5", [33, 35], None, [30, 30], "rgb", HALF),
    ("margins of 7, 9", [37, 39], None, [30, 30], "rgb", HALF),
    ("grey", [120, 91], shorter(50), [44, 44], "grey", ([0.1307], [0.3081])),
    ("grey, larger, bicubic", [20, 33], shorter(50, "bicubic"), None, "grey", ([0.5], [0.25])),
    ("blue first", [77, 60], shorter(50), [44, 44], "bgr", IMAGENET),
    ("CIFAR", [32, 32], None, None, "rgb", ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])),
]

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SAMPLES = 40


def drawn(height, width):
    y, x, channel = numpy.meshgrid(
        numpy.arange(height), numpy.arange(width), numpy.arange(3), indexing="ij"
    )
    values = 3 * x * x + 5 * y * y + 7 * x * y + 11 * x + 29 * y + 85 * channel
    return Image.fromarray((values % 256).astype(numpy.uint8))


def resized(picture, resize):
    if resize is None:
        return picture
    size = resize["size"]
    if "exact" in size:
        height, width = size["exact"]
    else:
        # As torchvision's _compute_resized_output_size.
        side, (width, height) = size["shorter_side"], picture.size
        short, long = (width, height) if width <= height else (height, width)
        other = int(side * long / short)
        width, height = (side, other) if width <= height else (other, side)
    return picture.resize((width, height), FILTERS[resize["filter"]])


def cropped(picture, crop):
    """As torchvision's center_crop."""
    if crop is None:
        return picture
    height, width = crop
    pad_w, pad_h = max(width - picture.width, 0), max(height - picture.height, 0)
    padded = Image.new(picture.mode, (picture.width + pad_w, picture.height + pad_h))
    padded.paste(picture, (pad_w // 2, pad_h // 2))
    top = int(round((padded.height - height) / 2.0))
    left = int(round((padded.width - width) / 2.0))
    return padded.crop((left, top, left + width, top + height))


def fnv1a(data):
    """The 32-bit FNV-1a hash."""
    hash = 0x811C9DC5
    for byte in data:
        hash = (hash ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hash


def bits(value):
    return struct.pack(">f", value).hex()


def case(shows, size, resize, crop, channels, normalise):
    mean, std = normalise
    picture = drawn(*size)
    if channels == "grey":
        picture = picture.convert("L")
    pixels = numpy.asarray(cropped(resized(picture, resize), crop))
    pixels = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
    if channels == "bgr":
        pixels = pixels[::-1]

    # ToTensor, then Normalize.
    column = lambda numbers: numpy.array(numbers, numpy.float32)[:, None, None]
    values = (pixels.astype(numpy.float32) / numpy.float32(255) - column(mean)) / column(std)
    flat_pixels, flat = pixels.reshape(-1), values.reshape(-1)
    at = sorted({i * (flat.size - 1) // (SAMPLES - 1) for i in range(SAMPLES)})
    result = {
        "shows": shows,
        "picture": size,
        "preprocessing": {
            "resize": resize,
            "crop": crop,
            "channels": channels,
            "mean": mean,
            "std": std,
        },
        "output": list(values.shape),
        "bytes_fnv1a": fnv1a(flat_pixels.tobytes()),
        "bytes_sum": int(flat_pixels.sum()),
        "samples": [[i, int(flat_pixels[i]), bits(flat[i])] for i in at],
    }
    if normalise is HALF and crop == [299, 299]:
        # What torchvision does instead: ImageNet's numbers, then transform_input.
        mean, std = map(column, IMAGENET)
        values = (pixels.astype(numpy.float32) / numpy.float32(255) - mean) / std
        scale = column([s / 0.5 for s in IMAGENET[1]])
        offset = column([(m - 0.5) / 0.5 for m in IMAGENET[0]])
        flat = (values * scale + offset).reshape(-1)
        result["transform_input"] = [bits(flat[i]) for i in at]
    return result


def jpeg(shows, mode, subsampling):
    """A smooth picture as a JPEG, and what Pillow decodes from it."""
    y, x = numpy.meshgrid(numpy.arange(45), numpy.arange(61), indexing="ij")
    planes = [5 * y, 4 * x, 255 - 2 * x - 2 * y]
    waves = [30 * numpy.sin(x / 5.0 + i) * numpy.cos(y / 7.0 - i) for i in range(3)]
    values = numpy.stack([p + w for p, w in zip(planes, waves)], axis=-1)
    picture = Image.fromarray(values.clip(0, 255).astype(numpy.uint8)).convert(mode)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=subsampling)
    pixels = numpy.asarray(Image.open(file).convert("RGB"))
    encode = lambda data: base64.b16encode(data).decode()
    return {
        "shows": shows,
        "size": [45, 61],
        "file": encode(file.getvalue()),
        "pixels": encode(pixels.tobytes()),
    }


def compare(theirs, ours):
    theirs = numpy.asarray(Image.open(theirs).convert("RGB")).astype(int)
    ours = numpy.asarray(Image.open(ours).convert("RGB")).astype(int)
    apart = abs(theirs - ours)
    print(f"largest {apart.max()}, mean {apart.mean():.4f}, differ {(apart > 0).mean():.2%}")


def main():
    if sys.argv[1:2] == ["compare"]:
        return compare(*sys.argv[2:])
    cases = [case(*arguments) for arguments in CASES]
    jpegs = [
        jpeg("4:4:4", "RGB", 0),
        jpeg("4:2:2", "RGB", 1),
        jpeg("4:2:0", "RGB", 2),
        jpeg("grey", "L", 0),
    ]
    lines = lambda values: ",\n".join("  " + json.dumps(value) for value in values)
    versions = f"Pillow {PIL.__version__}, numpy {numpy.__version__}"
    print(f'{{\n "made_with": "{versions}",\n "cases": [\n{lines(cases)}\n ],')
    print(f' "jpegs": [\n{lines(jpegs)}\n ]\n}}')


main()
