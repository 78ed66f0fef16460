"""ONNX Runtime's CPU provider, with all graph optimisations."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import onnxruntime


class OnnxRuntime:
    def __init__(self, folder, network, shape, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(str(folder / "network.onnx"), options, providers=["CPUExecutionProvider"])

    def run(self, x):
        return self.session.run(None, {"x": x})[0]


if __name__ == "__main__":
    serve("ONNX Runtime", onnxruntime.__version__, OnnxRuntime)
