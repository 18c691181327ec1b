"""Quantizes one ONNX model with one of the Python tools, as its user would, in a process of its own.

    python quantizers.py TOOL MODEL.onnx INPUTS.f32 COUNT SIZE OUTPUT.onnx [STRIDE]

INPUTS.f32 holds COUNT normalized images, float32 [COUNT, 3, SIZE, SIZE]; they are read one at a time.
STRIDE, if over 0, makes onnxruntime's histogram calibrators take so many images at once; by default
they keep every activation of all images in memory. The last line of the output is JSON: versions and
peak memory.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import tempfile

import numpy
import onnx

TOOL, MODEL, INPUTS, COUNT, SIZE, OUTPUT = sys.argv[1:7]
COUNT, SIZE = int(COUNT), int(SIZE)
STRIDE = int(sys.argv[7]) if len(sys.argv) > 7 else 0
# Newer onnx packages write an IR version that the runtime under test refuses; nothing else differs.
LARGEST_IR_VERSION = 10


def image(index):
    value_count = 3 * SIZE * SIZE
    values = numpy.fromfile(INPUTS, numpy.float32, value_count, offset=4 * index * value_count)
    return values.reshape(1, 3, SIZE, SIZE)


def input_name(path):
    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return next(value.name for value in graph.input if value.name not in constants)


def onnxruntime_static(method):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.name = input_name(MODEL)
            self.set_range(0, COUNT)

        def __len__(self):
            return COUNT

        def set_range(self, start_index, end_index):
            self.indices = iter(range(start_index, end_index))

        def get_next(self):
            index = next(self.indices, None)
            return None if index is None else {self.name: image(index)}

    if method == "entropy":
        # The package's attribute of this name is a function.
        module = importlib.import_module("onnxruntime.quantization.quantize")
        create = module.create_calibrator

        def create_with_bins(*positional, extra_options=None, **named):
            # quantize_static does not hand this option on; with 128 bins entropy is min-max.
            return create(*positional, extra_options={**(extra_options or {}), "num_bins": 2048}, **named)

        module.create_calibrator = create_with_bins
    methods = {
        "min-max": quantization.CalibrationMethod.MinMax,
        "percentile": quantization.CalibrationMethod.Percentile,
        "entropy": quantization.CalibrationMethod.Entropy,
    }
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared.onnx")
        try:
            quant_pre_process(MODEL, prepared)
        except Exception as error:
            print(f"quant_pre_process without symbolic shapes: {error}")
            quant_pre_process(MODEL, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            OUTPUT,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=methods[method],
            extra_options={"CalibStridedMinMax": STRIDE} if STRIDE > 0 and method != "min-max" else {},
        )


def nncf_default():
    import nncf

    name = input_name(MODEL)
    data = nncf.Dataset(range(COUNT), lambda index: {name: image(index)})
    onnx.save(nncf.quantize(onnx.load(MODEL), data, subset_size=COUNT), OUTPUT)


def neural_compressor_default():
    from neural_compressor import PostTrainingQuantConfig, quantization

    class Loader:
        batch_size = 1

        def __iter__(self):
            return ((image(index), 0) for index in range(COUNT))

    settings = PostTrainingQuantConfig(calibration_sampling_size=[COUNT])
    quantization.fit(MODEL, settings, calib_dataloader=Loader()).save(OUTPUT)


TOOLS = {
    "onnxruntime-min-max": lambda: onnxruntime_static("min-max"),
    "onnxruntime-percentile": lambda: onnxruntime_static("percentile"),
    "onnxruntime-entropy": lambda: onnxruntime_static("entropy"),
    "nncf": nncf_default,
    "neural-compressor": neural_compressor_default,
}
PACKAGES = ("onnxruntime", "onnx", "nncf", "openvino", "neural-compressor", "numpy")


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def peak_memory_bytes():
    """Of this process's own address space: getrusage would hand down the parent's from before exec."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_ir_version():
    model = onnx.load(OUTPUT)
    if model.ir_version > LARGEST_IR_VERSION:
        model.ir_version = LARGEST_IR_VERSION
        onnx.save(model, OUTPUT)


TOOLS[TOOL]()
peak = peak_memory_bytes()
limit_ir_version()
print(json.dumps({"versions": versions(), "peakMemoryBytes": peak}))
