"""The worker protocol: commands on standard input, one line of JSON per answer on standard output.

    python -m peers.ncnn --folder FOLDER --network NAME --input 1x3x224x224 --threads 2

    (start)               {"name": "ncnn", "version": "1.0", "memory_mib": 41.5}
    first INPUT OUTPUT    {"first_ms": 81.2}     loads, compiles and runs on the values of INPUT
    answer INPUT OUTPUT   {}                     runs
    run N                 {"ms": [17.1, ...]}    one run to warm up, then N timed ones
    memory                {"peak_mib": 294.0}    resident memory of the process at its peak

INPUT and OUTPUT are files of bare f32 values, NCHW. A failure is answered with {"error": "..."}, and ends
the worker. The end of standard input does, too.

A peer is a class: `Peer(folder, network, shape, threads)` loads and compiles, and `run(x)` returns the
output of an array [N, C, H, W].
"""

import argparse
import json
import os
import pathlib
import sys
import time

import numpy

# Answers only: libraries that print, some of them when they are imported, do so to standard error. So a peer
# imports this module first.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def status_mib(name):
    """A line of /proc/self/status: VmHWM is the peak of the resident memory, VmRSS the current amount."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return None


def milliseconds(work):
    start = time.perf_counter()
    result = work()
    return 1000 * (time.perf_counter() - start), result


class Worker:
    def __init__(self, make, shape):
        self.make, self.shape = make, shape
        self.peer = self.x = None

    def read(self, path):
        self.x = numpy.fromfile(path, numpy.float32).reshape(self.shape)

    def write(self, path, y):
        numpy.ascontiguousarray(y, numpy.float32).tofile(path)

    def first(self, path, output):
        self.read(path)

        def load_and_run():
            self.peer = self.make()
            return self.peer.run(self.x)

        ms, y = milliseconds(load_and_run)
        self.write(output, y)
        return {"first_ms": ms}

    def answer(self, path, output):
        self.read(path)
        self.write(output, self.peer.run(self.x))
        return {}

    def run(self, times):
        self.peer.run(self.x)
        return {"ms": [milliseconds(lambda: self.peer.run(self.x))[0] for _ in range(int(times))]}

    def memory(self):
        return {"peak_mib": status_mib("VmHWM")}


def serve(name, version, peer):
    """Answers commands until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--input", required=True, help="the shape, such as 1x3x224x224")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    shape = [int(size) for size in args.input.split("x")]

    def tell(answer):
        print(json.dumps(answer), file=ANSWERS, flush=True)

    worker = Worker(lambda: peer(args.folder, args.network, shape, args.threads), shape)
    tell({"name": name, "version": version, "memory_mib": status_mib("VmRSS")})
    for line in sys.stdin:
        command, *words = line.split()
        try:
            tell(getattr(worker, command)(*words))
        except Exception as error:
            tell({"error": f"{type(error).__name__}: {error}".replace("\n", " ")})
            raise
