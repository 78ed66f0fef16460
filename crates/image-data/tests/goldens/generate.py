"""Writes letterbox.json: what darknet's own library makes of pictures that a formula draws.

    python3 generate.py libdarknet.so > letterbox.json

Needs only Python and darknet built as a shared library (Debian: the package darknet's
`libdarknet.so`). Values are 32-bit floats as hexadecimal bits, one string for each row.
"""

import ctypes
import json
import struct
import sys


class Image(ctypes.Structure):
    _fields_ = [
        ("w", ctypes.c_int),
        ("h", ctypes.c_int),
        ("c", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_float)),
    ]


class Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in "xywh"]


class Detection(ctypes.Structure):
    _fields_ = [
        ("bbox", Box),
        ("classes", ctypes.c_int),
        ("prob", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    ]


# (picture, network), both [h, w], and what the case shows.
CASES = [
    ([23, 37], [32, 32], "smaller, with bars above and below that differ by one"),
    ([97, 61], [32, 32], "much smaller, with bars left and right"),
    ([9, 13], [20, 24], "larger, into an input that is not square"),
    ([14, 9], [12, 12], "rounding takes the weight from the last row"),
    ([40, 6], [12, 12], "one column is left of the picture"),
]

# Centre and size, relative to the network's input.
BOXES = [
    [0.5, 0.5, 1.0, 1.0],
    [0.25, 0.625, 0.1, 0.3],
    [0.9, 0.1, 0.33, 0.07],
    [0.47, 0.53, 0.011, 0.9],
]


def byte(y, x, channel):
    return (3 * x * x + 5 * y * y + 7 * x * y + 11 * x + 29 * y + 85 * channel) % 256


def bits(value):
    return struct.pack(">f", value).hex()


def picture(height, width):
    values = [
        byte(y, x, channel) / 255.0
        for channel in range(3)
        for y in range(height)
        for x in range(width)
    ]
    return (ctypes.c_float * len(values))(*values)


def case(darknet, picture_size, network_size, shows):
    (height, width), (net_h, net_w) = picture_size, network_size
    data = picture(height, width)
    source = Image(width, height, 3, ctypes.cast(data, ctypes.POINTER(ctypes.c_float)))
    boxed = darknet.letterbox_image(source, net_w, net_h)
    rows = [
        "".join(bits(boxed.data[row * net_w + x]) for x in range(net_w))
        for row in range(3 * net_h)
    ]
    darknet.free_image(boxed)

    detections = (Detection * len(BOXES))()
    for detection, box in zip(detections, BOXES):
        detection.bbox = Box(*box)
    darknet.correct_yolo_boxes(detections, len(BOXES), width, height, net_w, net_h, 0)
    boxes = [
        {"network": box, "picture": [getattr(detection.bbox, name) for name in "xywh"]}
        for box, detection in zip(BOXES, detections)
    ]
    return {
        "shows": shows,
        "picture": picture_size,
        "network": network_size,
        "rows": rows,
        "boxes": boxes,
    }


def main():
    darknet = ctypes.CDLL(sys.argv[1])
    darknet.letterbox_image.argtypes = [Image, ctypes.c_int, ctypes.c_int]
    darknet.letterbox_image.restype = Image
    darknet.free_image.argtypes = [Image]
    darknet.correct_yolo_boxes.argtypes = [ctypes.POINTER(Detection)] + [ctypes.c_int] * 6
    cases = [case(darknet, *arguments) for arguments in CASES]
    json.dump({"cases": cases}, sys.stdout, indent=1)
    print()


main()
