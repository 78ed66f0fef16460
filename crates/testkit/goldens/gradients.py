"""What PyTorch computes in training, for the crates `nn-layers`, `resnet`, `inception`
and `mobilenet`.

    gradients.py write               the golden files that the crates' tests read
    gradients.py check CONVOXIDE     compare those files, then whole models, with the program

`write` sets every parameter by `formula.py`, runs the batch normalisations on one batch with momentum
1, and stores, all in f64: the loss of one training step, five values that identify each gradient and
each running statistic, and ten losses each of SGD and of AdamW. `check` recomputes those results, and
then compares the gradients from `convoxide grad` for models of the usual size with torchvision's
initial weights.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import nn

import formula
from program import main, run

CRATES = pathlib.Path(__file__).resolve().parents[2]
SEED = 1
CALIBRATION_SEED = 7
STEPS = 10
# The same values are in `TrainingGolden` of the crate `testkit`.
SGD = {"momentum": 0.9, "weight_decay": 5e-4}
ADAMW = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}


class Tiny(nn.Module):
    """Every operation that PyTorch can differentiate, too, and an auxiliary classifier."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(12, eps=1e-3)
        self.conv3 = nn.Conv2d(12, 8, (1, 3), padding=(0, 1), padding_mode="reflect")
        self.conv4 = nn.Conv2d(20, 6, 3, stride=2, bias=False)
        self.bn4 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, num_classes)
        self.aux = nn.Linear(32, num_classes)

    def forward(self, x):
        a = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        b = F.leaky_relu(self.bn2(self.conv2(a)), 0.1)
        c = a + F.sigmoid(self.conv3(b))
        c = F.avg_pool2d(c, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        d = F.adaptive_avg_pool2d(b, (4, 3))
        e = F.interpolate(torch.cat([c, d], 1), scale_factor=2, mode="nearest")
        e = F.softmax(self.bn4(self.conv4(e)), 1)
        logits = self.fc(torch.flatten(F.adaptive_avg_pool2d(e, 1), 1))
        aux = self.aux(torch.flatten(F.adaptive_avg_pool2d(a, 2), 1))
        return logits, aux


INCEPTION = {"aux_logits": True, "transform_input": False, "init_weights": False}
# name: (golden file's crate, function, arguments, weight of the auxiliary losses)
MODELS = {
    "tiny": ("nn-layers", Tiny, {}, 0.3),
    "resnet18": ("resnet", torchvision.models.resnet18, {}, 0.0),
    "resnet50": (None, torchvision.models.resnet50, {}, 0.0),
    "mobilenet_v2": ("mobilenet", torchvision.models.mobilenet_v2, {}, 0.0),
    "googlenet": ("inception", torchvision.models.googlenet, INCEPTION, 0.3),
    "inception_v3": (None, torchvision.models.inception_v3, INCEPTION, 0.4),
}
# Of a golden file: classes, batch, [h, w], rates of SGD and of AdamW. The rates are small because
# large steps of a deep network with two pictures are chaotic: two runs of PyTorch would differ.
SMALL = {
    "tiny": (5, 3, [21, 18], [1e-2, 1e-3]),
    "resnet18": (10, 2, [64, 64], [1e-4, 1e-5]),
    "mobilenet_v2": (10, 2, [64, 64], [1e-4, 1e-5]),
    "googlenet": (10, 2, [64, 64], [3e-8, 1e-6]),
}
# Of a check, which has 1000 classes. The batch normalisations of Inception-v3's auxiliary head see
# one pixel per picture.
USUAL = {"resnet18": (2, [224, 224]), "resnet50": (2, [224, 224]), "mobilenet_v2": (2, [224, 224]), "googlenet": (2, [224, 224]), "inception_v3": (8, [299, 299])}
# Times the largest norm of all gradients, this is added to a gradient's norm: the gradient of a bias
# that the next batch normalisation takes away is 0, and nothing but rounding is computed.
ROUNDING = 1e-6
# The options passed to the program, and whether its answer is exact.
WAYS = [(["--dtype", "f64"], True), (["--dtype", "f32", "--plain"], False), (["--dtype", "f32"], False)]


def build(name, classes):
    _, function, arguments, _ = MODELS[name]
    model = function(num_classes=classes, **arguments)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train()


def labels(batch, classes):
    return torch.arange(batch) * 3 % classes


def loss_of(name, outputs, target):
    """Cross-entropy of the logits plus the weighted one of auxiliary logits."""
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    logits, *aux = [output for output in outputs if output is not None]
    loss = F.cross_entropy(logits, target)
    for output in aux:
        loss = loss + MODELS[name][3] * F.cross_entropy(output, target)
    return loss


def calibrate(model, pictures):
    """Running statistics from one batch."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(pictures)
    for norm in norms:
        norm.momentum = 0.1


def gradients(name, model, x, target):
    """One step: the loss, and by name the gradients and the running statistics."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    loss = loss_of(name, model(x), target)
    loss.backward()
    grads = {key: parameter.grad.detach().clone() for key, parameter in model.named_parameters()}
    grads["input"] = x.grad
    running = ("running_mean", "running_var")
    statistics = {key: value.clone() for key, value in model.named_buffers() if key.endswith(running)}
    return loss.item(), grads, statistics


def tell(tensor):
    """Norm, sum of the products with random numbers, and the first, the middle and the last value."""
    tensor = tensor.detach().numpy().ravel()
    projection = np.sum(tensor * formula.array(tensor.shape, SEED))
    return [float(x) for x in (np.linalg.norm(tensor), projection, tensor[0], tensor[len(tensor) // 2], tensor[-1])]


def golden(name):
    classes, batch, size, rates = SMALL[name]
    target = labels(batch, classes)
    x, first = (torch.from_numpy(formula.pictures(batch, size, seed)) for seed in (SEED, CALIBRATION_SEED))

    def start():
        model = build(name, classes)
        state = {
            key: value if key.endswith("num_batches_tracked") else torch.from_numpy(formula.parameter(key, tuple(value.shape), SEED))
            for key, value in model.state_dict().items()
        }
        model.load_state_dict(state, strict=True)
        calibrate(model.double(), first)
        return model

    def losses(optimiser, **options):
        model, losses = start(), []
        optimiser = optimiser(model.parameters(), **options)
        for _ in range(STEPS):
            loss = loss_of(name, model(x), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert max(losses) - min(losses) > 0.01, f"{name}: learns nothing: {losses}"
        return losses

    loss, grads, statistics = gradients(name, start(), x, target)
    return {
        "model": name, "classes": classes, "labels": target.tolist(), "size": size, "aux_weight": MODELS[name][3], "rates": rates,
        "loss": loss,
        "sgd": losses(torch.optim.SGD, lr=rates[0], **SGD),
        "adamw": losses(torch.optim.AdamW, lr=rates[1], **ADAMW),
        "gradients": {key: tell(value) for key, value in grads.items()},
        "statistics": {key: tell(value) for key, value in statistics.items()},
    }


def path(name):
    return CRATES / MODELS[name][0] / "tests" / "goldens" / f"{name}_gradients.json"


def text(result):
    """One line per tensor, so that a change shows in a diff."""
    lines = lambda table: ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in table.items())
    head = {key: value for key, value in result.items() if key not in ("gradients", "statistics")}
    tables = [f'"{key}": {{\n{lines(result[key])}\n}}' for key in ("gradients", "statistics")]
    return ",\n".join(["{" + lines(head).lstrip(), *tables]) + "\n}\n"


def write(names):
    for name in names:
        if name in SMALL:
            path(name).parent.mkdir(parents=True, exist_ok=True)
            path(name).write_text(text(golden(name)))
            print(f"{name}: written", flush=True)


def check_golden(name):
    """The committed file agrees with today's torch; up to rounding, since versions differ."""
    if name not in SMALL:
        return
    kept, made = json.loads(path(name).read_text()), golden(name)
    for table in ("gradients", "statistics"):
        largest = max(value[0] for value in kept[table].values())
        for key, value in kept.pop(table).items():
            error = np.abs(np.subtract(value, made[table][key])).max() / (value[0] + ROUNDING * largest)
            assert error < 1e-9, f"{name}: {key} of the golden file is off by {error:.1e}"
        made.pop(table)
    for key in ("loss", "sgd", "adamw"):
        error = np.abs(np.subtract(kept.pop(key), made.pop(key))).max()
        assert error < 1e-9, f"{name}: {key} of the golden file is off by {error:.1e}"
    assert kept == made, f"{name}: the golden file differs"
    print(f"{name}: golden file holds", flush=True)


def check_program(name, convoxide, folder):
    """A model as initialised by torchvision, with statistics from one batch, saved as f32."""
    if name not in USUAL:
        return
    torch.manual_seed(SEED)
    batch, size = USUAL[name]
    model, target = build(name, 1000), labels(batch, 1000)
    x, first = (torch.from_numpy(formula.pictures(batch, size, seed)).float() for seed in (SEED, CALIBRATION_SEED))
    calibrate(model, first)
    weights, state = folder / "weights.safetensors", {key: value.clone() for key, value in model.state_dict().items()}
    save_file(state, weights)
    np.save(folder / "x.npy", x.numpy())
    np.save(folder / "labels.npy", target.numpy())

    loss, *exact = gradients(name, model.double(), x.double(), target)
    exact = {**exact[0], **exact[1]}
    model = model.float()
    model.load_state_dict(state)
    _, *single = gradients(name, model, x, target)
    largest = max(float(value.norm()) for value in exact.values())
    errors = lambda tensors: {key: float((tensors[key].double() - value).norm() / (value.norm() + ROUNDING * largest)) for key, value in exact.items()}
    learnt = dict(model.named_parameters())
    median = lambda errors: float(np.median([error for key, error in errors.items() if key in learnt]))
    torch_median = median(errors({**single[0], **single[1]}))

    for way, is_exact in WAYS:
        file = folder / "grads.safetensors"
        run(convoxide, "grad", name, "--weights", weights, *way, "--input", folder / "x.npy", "--labels", folder / "labels.npy", "--output", file)
        got = {key: torch.from_numpy(value) for key, value in load_file(file).items()}
        loss_error = abs(got.pop("loss").item() - loss)
        assert got.keys() == exact.keys(), f"{name}: {got.keys() ^ exact.keys()}"
        off = errors(got)
        worst = max(off, key=off.get)
        print(f"{name}, {' '.join(way)}: loss off by {loss_error:.1e}, {worst} by {off[worst]:.1e}, the median by {median(off):.1e} (PyTorch's f32: {torch_median:.1e})", flush=True)
        if is_exact:
            assert loss_error < 1e-11, f"{name}: the loss is off by {loss_error:.1e}"
            assert off[worst] < 1e-9, f"{name}: {worst} is off by {off[worst]:.1e} of its norm"
        else:
            assert median(off) < 2 * torch_median, f"{name}: the median error is {median(off):.1e}"


if __name__ == "__main__":
    main(__doc__, MODELS, write, check_golden, check_program)
