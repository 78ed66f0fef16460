"""Writes augmentation.json: what torchvision's transforms do to colours, and which parts of a picture
its random resized crop takes on average.

    python3 augmentation.py > augmentation.json

Needs torch and torchvision.
"""

import json
import math

import torch
import torchvision
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F

WIDTH = 7

# Grey, pure colours and ties between channels among them.
PIXELS = [
    [0, 0, 0], [255, 255, 255], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255],
    [255, 255, 0], [0, 255, 255], [255, 0, 255], [200, 200, 10], [10, 200, 200], [200, 10, 200],
    [12, 10, 10], [250, 251, 252],
] + [[(37 * i + 11) % 256, (91 * i + 5) % 256, (53 * i * i + 77) % 256] for i in range(28)]

CASES = [
    [["brightness", 0.4]],
    [["brightness", 1.7]],
    [["contrast", 0.0]],
    [["contrast", 1.6]],
    [["saturation", 0.3]],
    [["saturation", 2.0]],
    [["hue", 0.5]],
    [["hue", -0.31]],
    [["hue", 0.07]],
    [["brightness", 1.2], ["contrast", 0.7], ["saturation", 1.4], ["hue", 0.1]],
    [["hue", -0.2], ["saturation", 0.6], ["contrast", 1.3], ["brightness", 0.9]],
    [["contrast", 1.4], ["hue", 0.4], ["brightness", 1.1], ["saturation", 1.9]],
]


def changed(changes):
    picture = torch.tensor(PIXELS, dtype=torch.uint8).T.reshape(3, -1, WIDTH)
    picture = picture.to(torch.float32) / 255
    for name, factor in changes:
        picture = getattr(F, f"adjust_{name}")(picture, factor)
    return [[round(value, 6) for value in pixel] for pixel in picture.reshape(3, -1).T.tolist()]


def crops(height, width, count):
    torch.manual_seed(0)
    picture = torch.zeros(3, height, width)
    shares, ratios = 0, 0
    for _ in range(count):
        _, _, h, w = RandomResizedCrop.get_params(picture, (0.08, 1.0), (3 / 4, 4 / 3))
        shares += h * w / (height * width) / count
        ratios += math.log(w / h) / count
    return {
        "picture": [height, width],
        "mean_share": round(shares, 4),
        "mean_log_ratio": round(ratios, 4),
    }


def main():
    golden = {
        "made_with": {
            "torch": torch.__version__.split("+")[0],
            "torchvision": torchvision.__version__.split("+")[0],
        },
        "pixels": PIXELS,
        "cases": [{"changes": changes, "pixels": changed(changes)} for changes in CASES],
        "crops": [crops(200, 300, 60000), crops(300, 100, 60000)],
    }
    print(json.dumps(golden))


main()
