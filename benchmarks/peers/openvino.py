"""OpenVINO's CPU plugin in f32. Without the hint it computes in bf16 where the processor can."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import openvino


class OpenVino:
    def __init__(self, folder, network, shape, threads):
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        compiled = openvino.Core().compile_model(str(folder / "network.xml"), "CPU", options)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        assert precision == "f32", f"computes in {precision}"
        self.request = compiled.create_infer_request()

    def run(self, x):
        return self.request.infer({0: x}, share_inputs=True, share_outputs=True)[0]


if __name__ == "__main__":
    serve("OpenVINO", openvino.__version__.split("-")[0], OpenVino)
