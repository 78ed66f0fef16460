"""Writes optimisers.json beside this file: ten steps of PyTorch's optimisers, in f64.

Needs the package `torch`. The problem is a quadratic bowl of seven numbers, of which four are a
matrix `fc.weight` and three a vector `fc.bias`: their gradient is `matrix @ numbers - vector`.
"""

import json
import pathlib

import torch

STEPS = 10

random = torch.Generator().manual_seed(5)


def numbers(*shape):
    return (torch.randn(shape, generator=random, dtype=torch.float64) * 4096).round() / 4096


def tensor(x):
    return {"shape": list(x.shape), "values": x.flatten().tolist()}


root = numbers(7, 7)
matrix, vector, start = root @ root.T / 7 + torch.eye(7), numbers(7), numbers(7)


def run(make, options, clip=None, cycle=None):
    weight, bias = start[:4].clone().view(2, 2), start[4:].clone()
    weight.requires_grad_(), bias.requires_grad_()
    optimiser = make([{"params": [weight], **options.pop("weight", {})},
                      {"params": [bias], **options.pop("bias", {})}], foreach=False, **options)
    schedule = cycle and torch.optim.lr_scheduler.OneCycleLR(optimiser, total_steps=STEPS, **cycle)
    path = []
    for step in range(STEPS):
        p = torch.cat([weight.detach().flatten(), bias.detach()])
        gradient = matrix @ p - vector
        weight.grad, bias.grad = gradient[:4].clone().view(2, 2), gradient[4:].clone()
        if clip:
            clip([weight, bias])
        optimiser.step()
        if schedule:
            schedule.step() if step + 1 < STEPS else None
        path.append(torch.cat([weight.detach().flatten(), bias.detach()]))
    return torch.stack(path)


cases = []


def case(name, make, clip=None, cycle=None, **options):
    cases.append({"name": name, "path": tensor(run(make, options, clip, cycle))})


sgd, adam, adamw, rmsprop = (getattr(torch.optim, n) for n in ["SGD", "Adam", "AdamW", "RMSprop"])
utils = torch.nn.utils
case("sgd", sgd, lr=0.125)
case("sgd l2", sgd, lr=0.125, weight_decay=0.25)
case("sgd momentum", sgd, lr=0.0625, momentum=0.9)
case("sgd nesterov", sgd, lr=0.0625, momentum=0.8, nesterov=True, weight_decay=0.01)
case("sgd clip value", sgd, clip=lambda p: utils.clip_grad_value_(p, 0.5), lr=0.125)
case("sgd clip norm", sgd, clip=lambda p: utils.clip_grad_norm_(p, 1.5), lr=0.125)
case("sgd cycle", sgd, cycle={"max_lr": 0.1}, lr=0.1, momentum=0.9)
case("adam", adam, lr=0.1)
case("adam l2", adam, lr=0.1, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-3)
case("adam low beta", adam, lr=0.1, betas=(0.25, 0.9))
case("adam cycle", adam, cycle={"max_lr": 0.1}, lr=0.1)
case("adamw", adamw, lr=0.1)
case("adamw groups", adamw, lr=0.1, weight_decay=0.2, bias={"weight_decay": 0.0, "lr": 0.05})
case("rmsprop", rmsprop, lr=0.05)
case("rmsprop momentum", rmsprop, lr=0.02, alpha=0.9, momentum=0.7, eps=1e-2, weight_decay=0.1)

text = ",\n".join(json.dumps(case) for case in cases)
problem = ", ".join(f'"{k}": {json.dumps(tensor(x))}'
                    for k, x in [("matrix", matrix), ("vector", vector), ("start", start)])
text = "{" + problem + ",\n\"cases\": [\n" + text + "\n]}\n"
pathlib.Path(__file__).with_suffix(".json").write_text(text)
