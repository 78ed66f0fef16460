"""PyTorch, eager and in channels_last, the faster of its layouts."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import torch
from peers.networks import load


class PyTorch:
    def __init__(self, folder, network, shape, threads):
        torch.set_num_threads(threads)
        self.model = load(network, folder).to(memory_format=torch.channels_last)

    def run(self, x):
        with torch.inference_mode():
            return self.model(torch.from_numpy(x).to(memory_format=torch.channels_last)).numpy()


if __name__ == "__main__":
    serve("PyTorch", torch.__version__.split("+")[0], PyTorch)
