"""A network computed by OpenVINO instead of torch: on a CPU, without a C++ compiler."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra

if TYPE_CHECKING:
    import torch
    from torch import nn

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""`embedding.dtype` -> OpenVINO's name."""


class OpenVinoNetwork:
    """Maps prepared pictures (b, 3, h, w) float32 to features (b, ...) float32; a tuple where the module gives several.

    It is translated at the first call with pictures of a shape, and kept for the next ones.

    Args:
        module: float32, on the CPU, in evaluation mode.
        dtype: in which OpenVINO computes.

    Raises InvalidInput where OpenVINO is not installed, or the processor does not compute in `dtype`.
    """

    def __init__(self, module: nn.Module, dtype: str) -> None:
        self._openvino: Any = import_extra("openvino", "openvino")
        self._module, self._dtype = module, dtype
        self._requests: dict[tuple[int, ...], Any] = {}

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        import torch

        shape = tuple(pictures.shape)
        if shape not in self._requests:
            self._requests[shape] = self._request(pictures)
        found = self._requests[shape].infer([pictures.numpy()], share_inputs=True)
        vectors = tuple(torch.from_numpy(each) for each in found.to_tuple())
        return vectors[0] if len(vectors) == 1 else vectors

    def _request(self, pictures: torch.Tensor) -> Any:
        import torch

        wanted = PRECISIONS[self._dtype]
        settings = {
            "INFERENCE_PRECISION_HINT": wanted,
            "PERFORMANCE_HINT": "LATENCY",  # all cores on one batch: batches come one after the other
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # a core may have other work
        }
        compiled = self._openvino.Core().compile_model(self._translated(pictures), "CPU", settings)
        found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if found != wanted:
            raise InvalidInput(
                f"embedding.dtype={self._dtype}, but OpenVINO computes in {found} on this processor. Use "
                "embedding.dtype=float32, or torch: embedding.compile=auto"
            )
        return compiled.create_infer_request()

    def _translated(self, pictures: torch.Tensor) -> Any:
        """OpenVINO's model for pictures of this shape.

        Its frontend is called directly: `openvino.convert_model` does the same and reports its use over the network.
        """
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        frontend = FrontEndManager().load_by_framework("pytorch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its tracer deprecated; shapes are fixed, as it wants them
            traced = TorchScriptPythonDecoder(self._module, example_input=(pictures,))  # must outlive the conversion
        model = frontend.convert(frontend.load(traced))
        model.reshape(list(pictures.shape))
        for node in model.get_ordered_ops():
            if node.get_type_name() == "GroupNormalization":
                self._openvino.utils.replace_node(node, self._by_channel(node))
        return model

    def _by_channel(self, node: Any) -> Any:
        """A group normalisation as `factor * x + offset`, two numbers for each picture and channel.

        OpenVINO 2026.4 dies while it compiles a GroupNormalization in float32 (segmentation fault), and its
        mean-variance normalisation of reshaped pictures lays all of them out twice: 50 of 260 ms for 16 pictures of
        ResNet-18.

        The variance is the mean of squares less the square of the mean, float32: its relative error is about
        1e-7 * (1 + mean^2 / variance), 1e-7 where a group's mean is no larger than its deviation.
        """
        ops = self._openvino.opset13
        given, scale, shift = (node.input_value(place) for place in range(3))
        inputs, channels, *sides = given.get_shape()
        facts, planes = node.get_attributes(), list(range(2, 2 + len(sides)))
        groups = [1, facts["num_groups"], channels // facts["num_groups"]]

        def of_groups(numbers: Any) -> Any:
            """(inputs, groups, 1): means of (inputs, channels, 1, ...)."""
            return ops.reduce_mean(ops.reshape(numbers, [inputs, *groups[1:]], False), [2], True)

        length = ops.reduce_l2(given, planes, True)
        mean = of_groups(ops.reduce_mean(given, planes, True))
        squares = of_groups(ops.multiply(ops.multiply(length, length), np.float32(1 / math.prod(sides))))
        variance = ops.maximum(ops.subtract(squares, ops.multiply(mean, mean)), np.float32(0))
        deviation = ops.sqrt(ops.add(variance, np.float32(facts["epsilon"])))
        factor = ops.divide(ops.reshape(scale, groups, False), deviation)
        offset = ops.subtract(ops.reshape(shift, groups, False), ops.multiply(factor, mean))
        each = [inputs, channels] + [1] * len(sides)
        return ops.add(ops.multiply(given, ops.reshape(factor, each, False)), ops.reshape(offset, each, False))
