"""Reads the part of darknet's cfg that the scripts of this folder need, with the shape of each layer's output."""

import dataclasses


@dataclasses.dataclass
class Layer:
    kind: str
    options: dict
    in_channels: int = 0
    shape: tuple = ()  # of the output: channels, height, width
    sources: tuple = ()  # of a route: numbers of layers

    def int(self, key, default):
        return int(self.options.get(key, default))

    @property
    def filters(self):
        return self.int("filters", 1)

    @property
    def fan_in(self):
        return self.in_channels // self.int("groups", 1) * self.int("size", 1) ** 2


def sections(path):
    found = []
    for line in path.read_text().splitlines():
        line = line.replace(" ", "").replace("\t", "")
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            found.append((line.strip("[]"), {}))
        else:
            key, value = line.split("=", 1)
            found[-1][1][key] = value
    return found


def network_size(path):
    net = sections(path)[0][1]
    return int(net["channels"]), int(net["height"]), int(net["width"])


def layers(path):
    """The layers after [net] in order."""
    shape, found = network_size(path), []
    for kind, options in sections(path)[1:]:
        layer = Layer(kind, options, in_channels=shape[0])
        channels, height, width = shape
        if kind == "convolutional":
            size, stride = layer.int("size", 1), layer.int("stride", 1)
            pad = size // 2 if layer.int("pad", 0) else layer.int("padding", 0)
            shape = (layer.filters, (height + 2 * pad - size) // stride + 1, (width + 2 * pad - size) // stride + 1)
        elif kind == "maxpool":
            stride = layer.int("stride", 1)
            size = layer.int("size", stride)
            pad = layer.int("padding", size - 1)
            shape = (channels, (height + pad - size) // stride + 1, (width + pad - size) // stride + 1)
        elif kind == "route":
            numbers = [int(v) for v in options["layers"].split(",")]
            layer.sources = tuple(len(found) + v if v < 0 else v for v in numbers)
            shapes = [found[s].shape for s in layer.sources]
            assert all(s[1:] == shapes[0][1:] for s in shapes)
            shape = (sum(s[0] for s in shapes), *shapes[0][1:])
        elif kind == "reorg":
            stride = layer.int("stride", 1)
            shape = (channels * stride * stride, height // stride, width // stride)
        elif kind == "upsample":
            stride = layer.int("stride", 2)
            shape = (channels, height * stride, width * stride)
        elif kind == "avgpool":
            shape = (channels, 1, 1)
        elif kind not in ("shortcut", "dropout", "softmax", "cost", "region", "yolo"):
            raise SystemExit(f"{path}: no rule for [{kind}]")
        layer.shape = shape
        found.append(layer)
    return found
