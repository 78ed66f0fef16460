"""OpenCV's module dnn on the CPU."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import cv2


class OpenCv:
    def __init__(self, folder, network, shape, threads):
        cv2.setNumThreads(threads)
        self.net = cv2.dnn.readNetFromONNX(str(folder / "network.onnx"))

    def run(self, x):
        self.net.setInput(x)
        return self.net.forward()


if __name__ == "__main__":
    serve("OpenCV dnn", cv2.__version__, OpenCv)
