"""The networks in PyTorch: torchvision's, darknet's from a cfg, and single convolutions.

A name is one that torchvision knows; that of a cfg in the folder, or `layer-...` (see `Layer` below).
"""

import dataclasses

import torch
import torchvision
from safetensors.torch import load_file

from peers.darknet import Darknet

# The names of the cfg files beside the weights, as `export.py` writes them.
CFG = "network.cfg"


@dataclasses.dataclass
class Layer:
    """A convolution, as `layer-64-56x56-128-3x3-2x2-1x1-1`: input channels and size, output channels,
    kernel size, stride, padding and groups."""

    in_channels: int
    size: list
    out_channels: int
    kernel_size: list
    stride: list
    padding: list
    groups: int

    @classmethod
    def parse(cls, name):
        pair = lambda text: [int(number) for number in text.split("x")]
        in_channels, size, out_channels, kernel_size, stride, padding, groups = name.split("-")[1:]
        return cls(int(in_channels), pair(size), int(out_channels), pair(kernel_size), pair(stride), pair(padding), int(groups))

    def module(self):
        conv = torch.nn.Conv2d(self.in_channels, self.out_channels, self.kernel_size, self.stride, self.padding, groups=self.groups)
        return torch.nn.Sequential(conv)


def build(network, folder):
    """The network with random parameters, in training mode."""
    if network.startswith("layer-"):
        return Layer.parse(network).module()
    if (folder / CFG).exists():
        return Darknet((folder / CFG).read_text())
    # Truncated normals take torch minutes.
    slow = {"init_weights": False} if network in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(network, weights=None, **slow)


def for_inference(model):
    """The network in evaluation mode, without auxiliary heads."""
    model.eval()
    if hasattr(model, "aux_logits"):
        model.aux_logits = False
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, name):
                setattr(model, name, None)
    return model


def load(network, folder):
    """The network with the parameters that `export.py` wrote."""
    model = for_inference(build(network, folder))
    # Those of auxiliary heads are left out.
    missing = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False).missing_keys
    assert not missing, f"the file lacks {missing}"
    return model
