"""Times training steps in PyTorch and in convoxide alternately, and compares time and memory.

    cargo build --release -p convoxide
    pip install -r benchmarks/requirements.txt
    python3 benchmarks/pytorch.py --model resnet18 --batch 16 --size 224 --threads 2

PyTorch runs eagerly in channels_last, its faster layout. A step consists of the forward pass,
cross-entropy, the backward pass, and gradient descent with momentum and weight decay, on random
pictures. Each side runs in its own process; its time is the median over its steps, and its memory is the
peak resident memory of the process.
"""

import argparse
import json
import statistics
import subprocess
import sys


def basic_block(torch, channels_in, channels, stride):
    """A block of He et al.'s networks for CIFAR, with a projection where the shape changes."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(
                nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
            )
            self.shortcut = nn.Identity()
            if stride != 1 or channels_in != channels:
                self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

        def forward(self, x):
            return torch.relu(self.branch(x) + self.shortcut(x))

    return Block()


def network(torch, name):
    import torchvision

    if name != "resnet20":
        return torchvision.models.get_model(name, weights=None)
    nn = torch.nn
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    channels = [16, 16, 16, 32, 32, 32, 64, 64, 64]
    for before, after in zip([16] + channels, channels):
        layers.append(basic_block(torch, before, after, 2 if before != after else 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def worker(args):
    """PyTorch's side: prints the median and the peak memory of this process."""
    import resource
    import time

    import torch

    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    model = network(torch, args.model).to(memory_format=torch.channels_last).train()
    x = torch.rand(args.batch, 3, args.size, args.size).to(memory_format=torch.channels_last)
    y = torch.arange(args.batch) % 10
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    times = []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        sgd.zero_grad()
        outputs = model(x)
        logits = outputs if torch.is_tensor(outputs) else outputs.logits
        torch.nn.functional.cross_entropy(logits, y).backward()
        sgd.step()
        times.append(1000 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"median_ms": statistics.median(times[2:]), "peak_rss_mib": peak}))


def run(command):
    printed = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout
    return json.loads(printed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18", help="resnet20, or a name that torchvision knows")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="height and width of the pictures; convoxide uses the default of the model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps of each side per pair")
    parser.add_argument("--convoxide", default="target/release/convoxide", help="the program")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)

    sizes = ["--batch", args.batch, "--threads", args.threads]
    theirs = [sys.executable, __file__, "--worker", "--model", args.model, "--size", args.size, "--steps", args.steps, *sizes]
    ours = [args.convoxide, "bench", args.model, "--train", "--json", "--quiet", "--runs", args.steps, *sizes]
    times, memory = [], []
    for pair in range(args.pairs):
        a, b = run(theirs), run(ours)
        times.append(b["median_ms"] / a["median_ms"])
        memory.append(b["peak_rss_mib"] / a["peak_rss_mib"])
        print(f"{pair + 1}: PyTorch {a['median_ms']:.0f} ms and {a['peak_rss_mib']:.0f} MiB, "
              f"convoxide {b['median_ms']:.0f} ms and {b['peak_rss_mib']:.0f} MiB, {times[-1]:.2f} of the time", flush=True)
    low, high = min(times), max(times)
    print(f"ours / theirs: time {statistics.median(times):.2f}, from {low:.2f} to {high:.2f}; memory {statistics.median(memory):.2f}")


if __name__ == "__main__":
    main()
