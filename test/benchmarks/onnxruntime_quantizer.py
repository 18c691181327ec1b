"""onnxruntime's own static quantization (min-max, U8S8, per channel, QDQ), for comparison.

python onnxruntime_quantizer.py MODEL.onnx INPUTS.f32 COUNT SIZE OUTPUT.onnx
INPUTS.f32 holds COUNT normalized images, float32 [COUNT, 3, SIZE, SIZE].
"""

import sys

import numpy
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

model, inputs, count, size, output = sys.argv[1:]
images = numpy.fromfile(inputs, dtype=numpy.float32).reshape(int(count), 1, 3, int(size), int(size))


class Reader(CalibrationDataReader):
    def __init__(self):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"input": image}


quantize_static(
    model,
    output,
    Reader(),
    quant_format=QuantFormat.QDQ,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    per_channel=True,
)
