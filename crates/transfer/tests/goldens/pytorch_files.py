"""Weight files as PyTorch writes them, for the tests of the crate `transfer`.

    pytorch_files.py write                   the golden files, from formula.py's values
    pytorch_files.py check CONVOXIDE CONVERT models of torchvision, and what Convoxide saves
    pytorch_files.py equal CONVERT FILE      every tensor of FILE, as read by both

CONVERT is the example `convert` of this crate, CONVOXIDE the program; `cargo xtask goldens --check` runs
the check with both. The keys of storages in legacy files differ each time. The values come from
`crates/testkit/goldens/formula.py` and therefore need not be stored: parameter NAME of every file is
`random_params`'s with seed 1, rounded to the file's type.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "testkit" / "goldens"))

import formula  # noqa: E402

SEED = 1


class Tiny(torch.nn.Module):
    """A convolution, a batch normalisation and a dense layer."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, (3, 2), stride=2, padding=1, bias=False)
        self.bn = torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, 5)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.fc(x.mean((2, 3)))


def seeded(model):
    state = {
        name: value if name.endswith("num_batches_tracked") else torch.from_numpy(formula.parameter(name, tuple(value.shape), SEED))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def cast(state, dtype):
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def views(state):
    """The same values as views: transposed, sliced, with gaps, expanded, and in one shared storage."""
    flat = torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])
    out, at = {}, 0
    for name, value in state.items():
        if not value.is_floating_point():
            out[name] = value
            continue
        out[name] = flat[at:at + value.numel()].view(value.shape)
        at += value.numel()
    out["fc.weight"] = state["fc.weight"].T.contiguous().T
    out["conv.weight"] = state["conv.weight"].contiguous(memory_format=torch.channels_last)
    wide = torch.full((4, 3), 9.0)
    wide[:, 1] = state["bn.weight"]
    out["bn.weight"] = wide[:, 1]
    out["expanded"] = torch.tensor([0.25]).expand(2, 3)
    out["empty"] = torch.zeros(0, 3)
    out["scalar"] = torch.tensor(2.5)
    assert not out["fc.weight"].is_contiguous() and not out["conv.weight"].is_contiguous()
    return out


def write():
    model = seeded(Tiny()).eval()
    state = model.state_dict()
    legacy = {"_use_new_zipfile_serialization": False}
    torch.save(state, HERE / "zip.pth")
    torch.save(state, HERE / "legacy.pth", **legacy)
    save_file(state, HERE / "plain.safetensors")
    for protocol in (3, 4):
        torch.save(state, HERE / f"legacy_protocol{protocol}.pth", pickle_protocol=protocol, **legacy)
    torch.save(state, HERE / "zip_protocol4.pth", pickle_protocol=4)
    for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)]:
        torch.save(cast(state, dtype), HERE / f"{name}.pth")
        save_file(cast(state, dtype), HERE / f"{name}.safetensors")
    torch.save(cast(state, torch.float64), HERE / "f64_legacy.pth", **legacy)
    torch.save(views(state), HERE / "views.pth")
    torch.save(views(state), HERE / "views_legacy.pth", **legacy)

    # A checkpoint of a training program, with the parameters themselves and other things around.
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.save({
        "epoch": 3,
        "best_accuracy": torch.tensor(0.5),
        "state_dict": {f"module.{name}": value for name, value in state.items()},
        "optimizer": optimiser.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimiser, [1, 2]).state_dict(),
        "classes": {"cat", "dog"},
        "hash": b"\x01\xff",
    }, HERE / "checkpoint.pth")
    torch.save({
        "model": {"state_dict": {**dict(model.named_parameters()), **dict(model.named_buffers())}},
        "ema": {name: torch.zeros_like(value) for name, value in state.items()},
        "steps": torch.arange(3),
    }, HERE / "nested.pth", **legacy)
    torch.save({**state, "anchors": torch.arange(6), "mask": torch.tensor([True]), "version": "1"}, HERE / "others.pth")
    torch.save(torch.nn.Sequential(torch.nn.Linear(1, 1)), HERE / "module.pth")
    torch.save({"model": model, "epoch": 1}, HERE / "module_in_checkpoint.pth")
    torch.serialization.set_crc32_options(False)
    torch.save(state, HERE / "without_sums.pth")
    torch.serialization.set_crc32_options(True)

    size, seed = [9, 6], 7
    x = torch.from_numpy(formula.pictures(2, size, seed))
    with torch.no_grad():
        logits = model.double()(x).flatten().tolist()
    golden = {"cases": [{"size": size, "seed": seed, "logits": {"shape": [2, 5], "values": logits}}]}
    (HERE / "logits.json").write_text(json.dumps(golden) + "\n")


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def check(convoxide, convert):
    """Logits of seeded models through every format, and `strict=True` for what is saved."""
    import torchvision

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("resnet18", "resnet50", "googlenet"):
            arguments = {"aux_logits": True, "transform_input": False, "init_weights": False} if name == "googlenet" else {}
            build = lambda: torchvision.models.get_model(name, weights=None, **arguments)
            model = seeded(build()).eval()
            state = model.state_dict()
            x = formula.pictures(2, (224, 224), 7)
            np.save(folder / "x.npy", x.astype(np.float32))
            torch.save(state, folder / "zip.pth")
            torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
            save_file(state, folder / "plain.safetensors")
            with torch.no_grad():
                expected = model.double()(torch.from_numpy(x)).numpy()
            for file in ("zip.pth", "legacy.pth", "plain.safetensors"):
                out = folder / "out.safetensors"
                run(convert, folder / file, out)
                run(convoxide, "run", name, "--weights", out, "--input", folder / "x.npy", "--output", folder / "y.npy")
                error = np.abs(np.load(folder / "y.npy") - expected).max() / np.abs(expected).max()
                assert error < 1e-4, f"{name}, {file}: off by {error:.1e}"
                build().load_state_dict(load_file(out), strict=True)
                print(f"{name}, {file}: logits within {error:.1e} of the largest, PyTorch loads what is saved", flush=True)


def equal(convert, file):
    state = torch.load(file, weights_only=True)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.safetensors"
        run(convert, file, out)
        ours = load_file(out)
    assert ours.keys() == state.keys(), ours.keys() ^ state.keys()
    for name, value in state.items():
        assert ours[name].shape == value.shape and torch.equal(ours[name], value.to(ours[name].dtype)), name
    print(f"{len(ours)} tensors, {sum(value.numel() for value in ours.values())} values: all equal")


if __name__ == "__main__":
    {"write": write, "check": check, "equal": equal}[sys.argv[1]](*sys.argv[2:])
