"""Times a network in darknet and in convoxide alternately, and prints the ratio of each pair.

    cargo build --release -p convoxide
    python3 benchmarks/darknet.py --cfg CFG --weights WEIGHTS --data DATA --picture PICTURE --threads 2

DATA is a darknet .data file that names the classes. darknet reports the time of its network on the
picture ("Predicted in ..."), convoxide the median of its runs on random input; the network does the
same work for any picture. Requires the program `darknet` (in the Debian package of that name).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile


def darknet_ms(args):
    with tempfile.TemporaryDirectory() as folder:
        command = ["darknet", "detector", "test", args.data, args.cfg, args.weights, args.picture]
        command += ["-out", os.path.join(folder, "drawn")]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return 1000 * float(re.search(r"Predicted in ([0-9.]+) seconds", printed).group(1))


def convoxide_ms(args):
    command = [args.convoxide, "bench", args.cfg, "--weights", args.weights, "--json", "--quiet"]
    command += ["--batch", "1", "--threads", str(args.threads)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(printed)["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["cfg", "weights", "data", "picture"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--convoxide", default="target/release/convoxide", help="the program")
    parser.add_argument("--threads", type=int, default=2, help="threads of convoxide; darknet has one")
    parser.add_argument("--pairs", type=int, default=9)
    args = parser.parse_args()

    ratios = []
    for pair in range(args.pairs):
        theirs, ours = darknet_ms(args), convoxide_ms(args)
        ratios.append(theirs / ours)
        print(f"{pair + 1}: darknet {theirs:.0f} ms, convoxide {ours:.1f} ms, ratio {ratios[-1]:.1f}")
    low, high = min(ratios), max(ratios)
    print(f"ratio: median {statistics.median(ratios):.1f}, from {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()
