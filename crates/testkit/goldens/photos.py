"""Compares `convoxide classify` with torchvision on photos, from the file to the classes.

    photos.py CONVOXIDE mobilenet_v2 WEIGHTS.pth PHOTO...

The reference decodes and resizes with Pillow, as torchvision's published preprocessing does, and computes
in f64. Scores are compared as logits, since their logarithms differ from logits by a constant only.
"""

import argparse
import json
import pathlib
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from program import run

# Of the largest logit.
BOUND = 1e-4
PREPROCESSING = torchvision.transforms.Compose([
    torchvision.transforms.Resize(256),
    torchvision.transforms.CenterCrop(224),
    torchvision.transforms.ToTensor(),
    torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])


def scores(options, weights, photo):
    """The logarithms of the program's scores by class number."""
    command = [options.convoxide, "classify", "--model", options.model, "--weights", weights]
    command += ["--top", "1000", "--json", "--quiet", photo]
    top = json.loads(run(*command).stdout)["top"]
    result = np.full(len(top), np.nan)
    for row in top:
        result[row["class_id"]] = np.log(row["score"])
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("convoxide", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("photos", type=pathlib.Path, nargs="+")
    options = parser.parse_args()

    state = torch.load(options.weights, weights_only=True)
    model = torchvision.models.get_model(options.model, weights=None)
    model.load_state_dict(state, strict=True)
    model.double().eval()
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.safetensors"
        save_file(state, weights)
        for photo in options.photos:
            with torch.no_grad():
                expected = model(PREPROCESSING(Image.open(photo).convert("RGB"))[None].double())[0].numpy()
            got = scores(options, weights, photo)
            got += (expected - got).mean()
            error = np.abs(got - expected).max() / np.abs(expected).max()
            five = [np.argsort(-logits)[:5].tolist() for logits in (expected, got)]
            print(f"{photo.name}: off by {error:.1e} of the largest logit, top five {five[0]}", flush=True)
            assert error < BOUND, f"{photo.name}: expected below {BOUND}"
            assert five[0] == five[1], f"{photo.name}: the program's top five are {five[1]}"


main()
