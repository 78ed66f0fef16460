"""Times a classifier in ONNX Runtime and in convoxide alternately, and prints the ratio of each pair.

    cargo build --release -p convoxide
    pip install -r benchmarks/requirements.txt
    python3 benchmarks/onnx_runtime.py --model resnet50 --threads 2

Both use the same weights, initialised by torchvision, and their outputs are compared before anything is
timed. Each side's time is the median of its runs on random input. The two never run at the same time,
since neither knows about the threads of the other.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import onnxruntime
import torch
import torchvision
from safetensors.torch import save_file


def session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def onnxruntime_ms(args, file, x):
    model = session(file, args.threads)
    times = []
    for _ in range(args.runs + 3):
        start = time.perf_counter()
        model.run(None, {"x": x})
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[3:])


def convoxide_ms(args, weights):
    command = [args.convoxide, "bench", args.model, "--weights", weights, "--json", "--quiet"]
    command += ["--batch", str(args.batch), "--threads", str(args.threads)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(printed)["median_ms"]


def export(args, folder):
    """Writes the model in both formats, its batch normalisations calibrated so that the output is sensible."""
    torch.manual_seed(1)
    model = torchvision.models.get_model(args.model, weights=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    size = (args.batch, 3, args.size, args.size)
    with torch.no_grad():
        model.train()(torch.randn(8, *size[1:]))
    model.eval()
    save_file(model.state_dict(), folder / "model.safetensors")
    x = torch.randn(size)
    onnx = folder / "model.onnx"
    torch.onnx.export(model, (x,), str(onnx), input_names=["x"], output_names=["y"], verbose=False)
    return x.numpy(), folder / "model.safetensors", onnx


def check(args, folder, x, weights, onnx):
    """Checks that both compute the same logits."""
    numpy.save(folder / "x.npy", x)
    command = [args.convoxide, "run", args.model, "--weights", weights]
    command += ["--input", folder / "x.npy", "--output", folder / "y.npy"]
    subprocess.run([str(word) for word in command], capture_output=True, check=True)
    theirs = session(onnx, args.threads).run(None, {"x": x})[0]
    off = numpy.abs(numpy.load(folder / "y.npy") - theirs).max() / numpy.abs(theirs).max()
    assert off < 1e-4, f"the outputs differ by {off:.1e} of the largest logit"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50", help="a name that both torchvision and convoxide know")
    parser.add_argument("--size", type=int, default=224, help="height and width of the picture")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--runs", type=int, default=20, help="runs of ONNX Runtime per pair")
    parser.add_argument("--convoxide", default="target/release/convoxide", help="the program")
    args = parser.parse_args()

    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        x, weights, onnx = export(args, folder)
        check(args, folder, x, weights, onnx)
        for pair in range(args.pairs):
            theirs, ours = onnxruntime_ms(args, onnx, x), convoxide_ms(args, weights)
            ratios.append(ours / theirs)
            print(f"{pair + 1}: ONNX Runtime {theirs:.1f} ms, convoxide {ours:.1f} ms, ratio {ratios[-1]:.2f}")
    low, high = min(ratios), max(ratios)
    print(f"ours / theirs: median {statistics.median(ratios):.2f}, from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
