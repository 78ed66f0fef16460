"""Writes losses.json beside this file: what PyTorch computes for the losses, in f64.

Needs the package `torch`.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

random = torch.Generator().manual_seed(4)


def numbers(*shape, scale=1.0):
    x = torch.randn(shape, generator=random, dtype=torch.float64) * scale
    return (x * 4096).round() / 4096


def tensor(x):
    return {"shape": list(x.shape), "values": x.flatten().tolist()}


cases = []


def case(loss, compute, outputs, **rest):
    outputs = [x.requires_grad_() for x in outputs]
    total = compute(*outputs)
    total.backward()
    rest = {k: tensor(v) if isinstance(v, torch.Tensor) else v for k, v in rest.items()}
    for i, x in enumerate(outputs):
        rest |= {f"output{i}": tensor(x.detach()), f"grad{i}": tensor(x.grad)}
    cases.append({"loss": loss, "total": total.item(), "outputs": len(outputs), **rest})


weights = torch.tensor([0.5, 2.0, 0.0, 1.25, 1.0], dtype=torch.float64)
labels = torch.tensor([4, 0, 2, 0, 3, 1, 4])
soft = numbers(7, 5).softmax(1)
for smoothing in [0.0, 0.1, 1.0]:
    for weight in [None, weights]:
        given = {"smoothing": smoothing, "weights": weight}
        options = {"label_smoothing": smoothing, "weight": weight}
        case("labels", lambda x: F.cross_entropy(x, labels, **options), [numbers(7, 5, scale=3.0)],
             targets=labels, **given)
        case("soft", lambda x: F.cross_entropy(x, soft, **options), [numbers(7, 5, scale=3.0)],
             targets=soft, **given)

# Auxiliary heads, with logits that overflow an exponential.
x, a, b = numbers(7, 5, scale=400.0), numbers(7, 5), numbers(7, 5)
case("labels", lambda x, a, b: F.cross_entropy(x, labels) +
     0.3 * (F.cross_entropy(a, labels) + F.cross_entropy(b, labels)), [x, a, b],
     targets=labels, smoothing=0.0, weights=None, aux_weight=0.3)

t = numbers(2, 3, 4).sigmoid()
case("bce", lambda x: F.binary_cross_entropy_with_logits(x, t), [numbers(2, 3, 4, scale=20.0)],
     targets=t)
case("mse", lambda x: F.mse_loss(x, t), [numbers(2, 3, 4)], targets=t)

text = "{\"cases\": [\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n"
pathlib.Path(__file__).with_suffix(".json").write_text(text)
