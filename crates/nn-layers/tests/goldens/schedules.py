"""Writes schedules.json beside this file: the rates of PyTorch's schedules, in f64.

Needs the package `torch`.
"""

import json
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as s

# The chained forms are PyTorch's own; it warns that nothing was optimised.
warnings.simplefilter("ignore")

RATE = 0.3


def tensor(x):
    return {"shape": [len(x)], "values": x}


cases = []


def case(name, make, steps, **optimiser):
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([parameter], lr=RATE, **optimiser)
    schedule = make(optimiser)
    rates, momenta = [], []
    for step in range(steps):
        group = optimiser.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["momentum"])
        if step + 1 < steps:
            schedule.step()
    cases.append({"name": name, "rates": tensor(rates), "momenta": tensor(momenta)})


def behind_warm_up(make):
    def both(optimiser):
        warm_up = s.LinearLR(optimiser, start_factor=0.125, total_iters=5)
        return s.SequentialLR(optimiser, [warm_up, make(optimiser)], milestones=[5])
    return both


policies = {
    "constant": lambda o: s.LambdaLR(o, lambda _: 1.0),
    "step": lambda o: s.StepLR(o, 3, 0.5),
    "multi_step": lambda o: s.MultiStepLR(o, [2, 7, 7, 11], 0.1),
    "cosine": lambda o: s.CosineAnnealingLR(o, 12, 0.01),
    "polynomial": lambda o: s.PolynomialLR(o, 12, 0.9),
}
for name, make in policies.items():
    case(name, make, 13)
    case("warm_up " + name, behind_warm_up(make), 18)

for steps, pct, final, anneal in [(20, 0.3, 1e4, "cos"), (17, 0.45, 100.0, "linear"),
                                  (5, 0.1, 1e4, "cos"), (3, 1.0, 10.0, "linear"),
                                  (4, 0.0, 1e4, "cos")]:
    case(f"one_cycle {steps} {pct} {final} {anneal}",
         lambda o: s.OneCycleLR(o, RATE, steps, pct_start=pct, final_div_factor=final,
                                anneal_strategy=anneal), steps, momentum=0.9)

text = ",\n".join(json.dumps(case) for case in cases)
pathlib.Path(__file__).with_suffix(".json").write_text("{\"cases\": [\n" + text + "\n]}\n")
