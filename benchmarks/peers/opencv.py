"""OpenCV's module dnn on the CPU."""

import cv2

from peers.worker import serve


class OpenCv:
    def __init__(self, folder, network, shape, threads):
        cv2.setNumThreads(threads)
        self.net = cv2.dnn.readNetFromONNX(str(folder / "network.onnx"))
        self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self.net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)

    def run(self, x):
        self.net.setInput(x)
        return self.net.forward()


if __name__ == "__main__":
    serve("OpenCV dnn", cv2.__version__, OpenCv)
