"""Writes a network with random weights in the format of each peer, and two random inputs.

    python -m peers.export FOLDER NETWORK 1x3x224x224 [CFG] [--form ncnn] ...

With `-` as the only argument, each line of standard input has the arguments of a network; the answer to it
is `done`. The folder then contains:

    model.safetensors, and network.cfg and network.weights of a darknet network    Convoxide, PyTorch
    network.onnx                                                  ONNX Runtime, OpenCV, rten, tract
    network.xml, network.bin                                                               OpenVINO
    ncnn.param, ncnn.bin                                                                       ncnn
    network.mnn                                                                                 MNN
    input-0.f32, input-1.f32

The seed is fixed. Batch normalisations get the statistics of a few random pictures, so that activations
neither vanish nor explode.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import sysconfig
import warnings

import torch
from safetensors.torch import save_file

from peers.networks import CFG, build, for_inference

SEED = 1
FORMS = ["onnx", "openvino", "ncnn", "mnn"]
# Written always.
WEIGHTS = "weights"


def pictures(shape, seed):
    """Pictures of different contrast and tint: to a deep network, all noise looks the same."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, *size = shape
    coarse = torch.randn(batch, channels, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return smooth + 0.3 * torch.randn(*shape, generator=generator)


def calibrate(model, shape):
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        model.train()(pictures([4, *shape[1:]], SEED + 1))


def program(name):
    """A program of this environment."""
    return str(pathlib.Path(sysconfig.get_path("scripts")) / name)


def quietly(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise RuntimeError(f"{pathlib.Path(command[0]).name} failed: {''.join(last)}")


def to_onnx(model, x, folder):
    torch.onnx.export(
        model, (x,), str(folder / "network.onnx"), input_names=["x"], output_names=["y"],
        external_data=False, verbose=False,
    )


def to_openvino(folder):
    import openvino

    openvino.save_model(openvino.convert_model(str(folder / "network.onnx")), str(folder / "network.xml"), compress_to_fp16=False)


def to_mnn(folder):
    quietly([program("mnnconvert"), "-f", "ONNX", "--modelFile", folder / "network.onnx", "--MNNModel", folder / "network.mnn", "--bizCode", "bench"])


def to_ncnn(model, x, folder):
    """By pnnx, from TorchScript. One picture: ncnn has no batches."""
    scratch = folder / "pnnx"
    scratch.mkdir(exist_ok=True)
    one = x[:1]
    torch.jit.trace(model, one).save(str(scratch / "network.pt"))
    shape = ",".join(str(size) for size in one.shape)
    quietly([
        program("pnnx"), scratch / "network.pt", f"inputshape=[{shape}]", "fp16=0",
        f"ncnnparam={folder / 'ncnn.param'}", f"ncnnbin={folder / 'ncnn.bin'}",
    ])
    shutil.rmtree(scratch)


def export(folder, network, shape, cfg, forms):
    folder.mkdir(parents=True, exist_ok=True)
    if cfg is not None:
        shutil.copyfile(cfg, folder / CFG)
    torch.manual_seed(SEED)
    model = build(network, folder)
    calibrate(model, shape)
    save_file(model.state_dict(), folder / "model.safetensors")
    if cfg is not None:
        model.save_weights(folder / "network.weights")
    for number in range(2):
        pictures(shape, SEED + 10 + number).numpy().tofile(folder / f"input-{number}.f32")
    for_inference(model)
    x = pictures(shape, SEED)
    with torch.no_grad():
        if cfg is not None:
            model.reorder()
        if {"onnx", "openvino", "mnn"} & set(forms):
            to_onnx(model, x, folder)
        if "openvino" in forms:
            to_openvino(folder)
        if "mnn" in forms:
            to_mnn(folder)
        if "ncnn" in forms:
            to_ncnn(model, x, folder)


def run(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("network")
    parser.add_argument("shape", help="such as 1x3x224x224")
    parser.add_argument("cfg", nargs="?", type=pathlib.Path)
    parser.add_argument("--form", dest="forms", action="append", choices=FORMS + [WEIGHTS])
    args = parser.parse_args(words)
    shape = [int(size) for size in args.shape.split("x")]
    export(args.folder, args.network, shape, args.cfg, args.forms or FORMS)


def main():
    # Deprecated, but all that pnnx reads.
    warnings.filterwarnings("ignore", message=".*torch.jit")
    if sys.argv[1:] != ["-"]:
        return run(sys.argv[1:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        run(shlex.split(line))
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
