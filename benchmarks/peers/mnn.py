"""MNN's CPU backend with high precision, which is f32."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import MNN
import MNN.expr
import MNN.nn
import numpy

# Networks on which the default, the largest tiles of Winograd's algorithm, differs by more than 1e-3 of the
# largest output from the other libraries' results (by 1.4e-3 to 2.2e-3), and the hint that limits the tiles.
INEXACT = ["inception_v3", "resnet50", "yolov2"]
WINOGRAD_MEMORY_LEVEL, LIMITED = 3, 2


class Mnn:
    def __init__(self, folder, network, shape, threads):
        manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "high"},))
        if network in INEXACT:
            manager.set_hint(WINOGRAD_MEMORY_LEVEL, LIMITED)
        # Without it the shapes of each run are inferred again.
        fixed = {"runtime_manager": manager, "shape_mutable": False}
        self.module = MNN.nn.load_module_from_file(str(folder / "network.mnn"), ["x"], ["y"], **fixed)

    def run(self, x):
        y = self.module.forward([MNN.expr.const(x, x.shape, MNN.expr.NCHW)])[0]
        return MNN.expr.convert(y, MNN.expr.NCHW).read().copy()


if __name__ == "__main__":
    serve("MNN", MNN.version(), Mnn)
