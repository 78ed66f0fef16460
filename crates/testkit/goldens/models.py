"""What torchvision's models compute, for the crates `resnet`, `inception` and `mobilenet`.

    models.py write               the golden files that the crates' tests read
    models.py check CONVOXIDE     compare those files, then calibrated models, with the program

`write` sets every parameter by `formula.py`, so that only results have to be stored: logits of the
evaluation in f64, and multiply-adds of each layer as counted by a hook. `check` recomputes those
results, and then runs the program on models with torchvision's initial weights and batch
normalisations calibrated on one batch, from the files that `safetensors` writes.
"""

import json
import pathlib

import numpy as np
import torch
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file

import formula
from program import main, run

CRATES = pathlib.Path(__file__).resolve().parents[2]
SEED = 1
CLASSES = 1000
# Of a golden file; a program's logit is accurate to 1e-4 of the largest.
DIGITS = 8

# name: (crate, usual size, another size, arguments of the function)
RESNETS = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
]
MODELS = {name: ("resnet", name, [224, 224], [193, 257], {}) for name in RESNETS}
MODELS["resnet50_stride16"] = ("resnet", "resnet50", [224, 224], [97, 129], {"replace_stride_with_dilation": [False, False, True]})
MODELS["resnet50_stride8"] = ("resnet", "resnet50", [224, 224], [97, 129], {"replace_stride_with_dilation": [False, True, True]})
MODELS["mobilenet_v2"] = ("mobilenet", "mobilenet_v2", [224, 224], [97, 129], {})
MODELS["mobilenet_v2_width_0.5"] = ("mobilenet", "mobilenet_v2", [224, 224], [97, 129], {"width_mult": 0.5})
MODELS["mobilenet_v2_width_1.4"] = ("mobilenet", "mobilenet_v2", [224, 224], [97, 129], {"width_mult": 1.4})
MODELS["googlenet"] = ("inception", "googlenet", [224, 224], [193, 257], {"aux_logits": True, "transform_input": False, "init_weights": False})
MODELS["inception_v3"] = ("inception", "inception_v3", [299, 299], [267, 331], {"aux_logits": True, "transform_input": False, "init_weights": False})


def build(name):
    _, function, _, _, arguments = MODELS[name]
    return torchvision.models.get_model(function, weights=None, num_classes=CLASSES, **arguments)


def with_formula(name):
    """The model in f64 evaluation, every parameter and buffer from the formula."""
    model = build(name)
    state = {
        key: value if key.endswith("num_batches_tracked") else torch.from_numpy(formula.parameter(key, tuple(value.shape), SEED))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state, strict=True)
    return model.double().eval()


def multiply_adds(model, size):
    """One per output value and weight that it is summed over, layer by layer."""
    counts, handles = {}, []

    def count(name):
        def hook(module, _, output):
            counts[name] = output.numel() * (module.weight.numel() // module.weight.shape[0])
        return hook

    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            handles.append(module.register_forward_hook(count(name)))
    with torch.no_grad():
        model(torch.zeros(1, 3, *size, dtype=torch.float64))
    for handle in handles:
        handle.remove()
    return counts


def golden(name):
    _, _, usual, other, _ = MODELS[name]
    model = with_formula(name)
    cases = []
    for batch, size, every in [(1, usual, 1), (3, usual, 8), (2, other, 8)]:
        seed = batch + size[0]
        x = torch.from_numpy(formula.pictures(batch, size, seed))
        with torch.no_grad():
            logits = model(x).numpy()
        differs(name, logits, 0.005)
        cases.append({
            "batch": batch, "size": size, "seed": seed, "every": every,
            "largest": round_to(np.abs(logits).max()),
            "logits": [round_to(x) for x in logits[:, ::every].ravel()],
        })
    return {
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "names": len(model.state_dict()),
        "multiply_adds": multiply_adds(model, usual),
        "cases": cases,
    }


def round_to(x):
    return float(f"{x:.{DIGITS - 1}e}")


def differs(name, logits, share):
    """Asserts that the pictures of a batch have different logits."""
    for other in logits[1:]:
        difference = np.abs(other - logits[0]).max() / np.abs(logits).max()
        assert difference > share, f"{name}: two pictures' logits differ by {difference:.3%} only"


def path(name):
    return CRATES / MODELS[name][0] / "tests" / "goldens" / f"{name}.json"


def text(result):
    """One line per layer and per case, so that a change shows in a diff."""
    head = {key: result[key] for key in ("model", "parameters", "names")}
    layers = ",\n".join(f"  {json.dumps(k)}: {v}" for k, v in result["multiply_adds"].items())
    cases = ",\n".join("  " + json.dumps(case, separators=(",", ":")) for case in result["cases"])
    return f'{json.dumps(head)[:-1]},\n"multiply_adds": {{\n{layers}\n}},\n"cases": [\n{cases}\n]}}\n'


def write(names):
    for name in names:
        path(name).parent.mkdir(parents=True, exist_ok=True)
        path(name).write_text(text(golden(name)))
        print(f"{name}: written", flush=True)


def check_golden(name):
    """The committed file agrees with today's torch; up to rounding, since versions differ."""
    kept, made = json.loads(path(name).read_text()), golden(name)
    for case, again in zip(kept["cases"], made["cases"], strict=True):
        largest = case.pop("largest")
        error = np.abs(np.subtract(case.pop("logits"), again.pop("logits"))).max() / largest
        assert error < 1e-6, f"{name}: the golden file is off by {error:.1e}"
        assert abs(again.pop("largest") - largest) < 1e-6, f"{name}: the largest logit differs"
    assert kept == made, f"{name}: the golden file differs"
    print(f"{name}: golden file holds", flush=True)


def calibrated(name, folder):
    """A model as initialised by torchvision, with statistics from one training-mode pass, saved as f32."""
    torch.manual_seed(SEED)
    arguments = dict(MODELS[name][4])
    arguments.pop("init_weights", None)
    _, function, usual, _, _ = MODELS[name]
    if function in ("googlenet", "inception_v3"):
        # Truncated normals take torch minutes; any fan-in-scaled draw tests as much.
        arguments["init_weights"] = False
    model = torchvision.models.get_model(function, weights=None, num_classes=CLASSES, **arguments)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        model.train()(pictures(8, usual, 7).float())
    file = folder / f"{name}.safetensors"
    save_file(model.state_dict(), file)
    return model.double().eval(), file


def pictures(batch, size, seed):
    """Pictures of different contrast and tint: to a deep network, all noise looks the same."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 3, 5, 5, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    noise = torch.randn(batch, 3, *size, generator=generator, dtype=torch.float64)
    return (smooth + 0.3 * noise).float().double()


def check_program(name, convoxide, folder):
    _, function, usual, other, arguments = MODELS[name]
    if {"replace_stride_with_dilation", "width_mult"} & arguments.keys():
        return  # The program has no name for it.
    model, weights = calibrated(name, folder)
    worst = 0.0
    for batch, size in [(1, usual), (3, usual), (2, other)]:
        x = pictures(batch, size, batch)
        with torch.no_grad():
            expected = model(x).numpy()
        differs(name, expected, 0.1)
        np.save(folder / "x.npy", x.float().numpy())
        run(convoxide, "run", function, "--weights", weights, "--input", folder / "x.npy", "--output", folder / "y.npy")
        off = lambda logits: np.abs(logits - expected).max() / np.abs(expected).max()
        error, bound = off(np.load(folder / "y.npy")), 1e-4
        if error > bound:
            # Some draws of a deep network are so ill-conditioned that f32 is not enough; torch's
            # own error tells.
            with torch.no_grad():
                bound = 1.5 * off(model.float()(x.float()).numpy())
            model.double()
            print(f"{name}, batch {batch}, {size}: off by {error:.1e}, torch in f32 by {bound / 1.5:.1e}")
        assert error < bound, f"{name}, batch {batch}, {size}: off by {error:.1e} of the largest logit"
        worst = max(worst, error)

    saved = folder / "saved.safetensors"
    run(convoxide, "export", function, "--weights", weights, "--output", saved)
    state = {key: torch.from_numpy(value) for key, value in load_file(saved).items()}
    build(name).load_state_dict(state, strict=True)
    for key, value in model.state_dict().items():
        assert np.array_equal(state[key].numpy(), value.float().numpy() if value.is_floating_point() else value.numpy()), f"{name}: {key} was changed by saving"
    print(f"{name}: logits within {worst:.1e} of the largest, torchvision loads what is saved", flush=True)
    for file in (weights, saved):
        file.unlink()


if __name__ == "__main__":
    main(__doc__, MODELS, write, check_golden, check_program)
