"""ncnn in f32. It takes one picture at a time: a batch is a run for each."""

from peers.worker import serve  # First: it keeps standard output for the answers.

import ncnn
import numpy


class Ncnn:
    def __init__(self, folder, network, shape, threads):
        self.net = ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        for name in dir(options):
            if name.startswith(("use_fp16_", "use_bf16_", "use_int8_", "use_vulkan_")):
                setattr(options, name, False)
        self.net.load_param(str(folder / "ncnn.param"))
        self.net.load_model(str(folder / "ncnn.bin"))

    def run(self, x):
        return numpy.stack([self.picture(picture) for picture in x])

    def picture(self, x):
        extractor = self.net.create_extractor()
        extractor.input("in0", ncnn.Mat(x))
        failure, y = extractor.extract("out0")
        assert failure == 0, f"extract failed with {failure}"
        return numpy.array(y)


if __name__ == "__main__":
    serve("ncnn", ncnn.__version__, Ncnn)
