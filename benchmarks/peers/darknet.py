"""Darknet's networks in PyTorch: a cfg with convolutions, max pools, routes and reorg, up to its last
convolution, and the weights file that darknet reads."""

import struct

import numpy
import torch
from torch.nn import functional

# Darknet divides by sqrt(variance) + 1e-6, PyTorch by sqrt(variance + EPSILON); calibrated variances are
# large enough for the difference not to matter.
EPSILON = 1e-6
# Less than any activation, and finite for the peers whose padding is.
LOWEST = -1e30


def sections(text):
    """The sections of a cfg, in order: (name, {key: value})."""
    found = []
    for line in text.splitlines():
        line = line.split("#")[0].replace(" ", "")
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif line:
            key, value = line.split("=", 1)
            found[-1][1][key] = value
    return found


def convolution(options, channels):
    filters, size = int(options["filters"]), int(options["size"])
    normalised = options.get("batch_normalize") == "1"
    padding = size // 2 if options.get("pad") == "1" else 0
    layers = [torch.nn.Conv2d(channels, filters, size, int(options["stride"]), padding, bias=not normalised)]
    torch.nn.init.kaiming_normal_(layers[0].weight, a=0.1)
    if normalised:
        layers.append(torch.nn.BatchNorm2d(filters, eps=EPSILON))
        torch.nn.init.uniform_(layers[1].weight, 0.5, 1.5)
        torch.nn.init.normal_(layers[1].bias, 0.0, 0.2)
    if options["activation"] == "leaky":
        layers.append(torch.nn.LeakyReLU(0.1))
    return torch.nn.Sequential(*layers), filters


class MaxPool(torch.nn.Module):
    def __init__(self, size, stride):
        super().__init__()
        self.pool = torch.nn.MaxPool2d(size, stride)
        # Darknet pads at the right and at the bottom, so that stride 1 keeps the size.
        self.added = size - 1 if stride == 1 else 0

    def forward(self, x):
        return self.pool(functional.pad(x, (0, self.added, 0, self.added), value=LOWEST) if self.added else x)


class Reorg(torch.nn.Module):
    """Darknet's reorg with stride 2, which reads [C, H, W] as [C/4, 2H, 2W], moves pixels to channels and
    reads the result as [4C, H/2, W/2].

    Darknet's order of the moved pixels has the place in the 2x2 block first, that of every other library
    the channel. `Darknet.reorder` moves the difference into the weights of the convolution behind it."""

    shuffles = True

    def forward(self, x):
        batch, channels, height, width = x.shape
        x = functional.pixel_unshuffle(x.reshape(batch, channels // 4, 2 * height, 2 * width), 2)
        if self.shuffles:
            x = functional.channel_shuffle(x, channels // 4)
        return x.reshape(batch, 4 * channels, height // 2, width // 2)


class Darknet(torch.nn.Module):
    def __init__(self, cfg):
        super().__init__()
        (_, net), *rest = sections(cfg)
        self.layers, self.routes = torch.nn.ModuleList(), {}
        channels = [int(net["channels"])]
        for number, (name, options) in enumerate(rest):
            if name == "region":
                break
            layer, count = torch.nn.Identity(), channels[-1]
            if name == "convolutional":
                layer, count = convolution(options, count)
            elif name == "maxpool":
                layer = MaxPool(int(options["size"]), int(options["stride"]))
            elif name == "reorg":
                assert options["stride"] == "2"
                layer, count = Reorg(), 4 * count
            elif name == "route":
                sources = [int(source) for source in options["layers"].split(",")]
                self.routes[number] = [number + source if source < 0 else source for source in sources]
                count = sum(channels[source + 1] for source in self.routes[number])
            else:
                raise ValueError(f"[{name}] is unknown")
            self.layers.append(layer)
            channels.append(count)
        # Of the input, then of each layer.
        self.channels = channels

    def forward(self, x):
        outputs = []
        for number, layer in enumerate(self.layers):
            if number in self.routes:
                sources = [outputs[source] for source in self.routes[number]]
                x = sources[0] if len(sources) == 1 else torch.cat(sources, 1)
            else:
                x = layer(x)
            outputs.append(x)
        return x

    def reorder(self):
        """Replaces darknet's order of channels in reorg by the usual one, which every peer can express. The
        output of reorg has to be the first part of the concatenation that a convolution reads."""
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, Reorg):
                continue
            assert self.routes[number + 1][0] == number
            conv = self.layers[number + 2][0]
            count = self.channels[number + 1]
            # Blocks of four channels: a channel before reorg reads its result as [4C, H/2, W/2].
            out, _, *kernel = conv.weight.shape
            moved = conv.weight[:, :count].reshape(out, 4, count // 16, 4, *kernel).transpose(1, 2)
            with torch.no_grad():
                conv.weight[:, :count] = moved.reshape(out, count, *kernel).clone()
            layer.shuffles = False

    def save_weights(self, path):
        """Writes darknet's format: version 0.2.0, no picture seen, then the numbers of each convolution."""
        with open(path, "wb") as file:
            file.write(struct.pack("<iiiQ", 0, 2, 0, 0))
            for layer in self.layers:
                if not isinstance(layer, torch.nn.Sequential):
                    continue
                conv, norm = layer[0], layer[1] if len(layer) > 1 else None
                if isinstance(norm, torch.nn.BatchNorm2d):
                    tensors = [norm.bias, norm.weight, norm.running_mean, norm.running_var]
                else:
                    tensors = [conv.bias]
                for tensor in tensors + [conv.weight]:
                    file.write(tensor.detach().numpy().astype(numpy.float32).tobytes())
