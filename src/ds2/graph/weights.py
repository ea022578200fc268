"""The weights in a graph's file: float32, float16, or int8 with a scale for each row."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Weights = Mapping[str, NDArray[np.float32]]
Precision = Literal["float32", "float16", "int8"]

CONSTANT, SCALE = "constant_", ".scale"
"""Parts of stored names: for small constants, and for the scales of an int8 weight's rows."""
SMALLEST_ROUNDED = 4096
"""Arrays with fewer numbers, and all biases, stay float32: rounding them would save little."""


def rounded(weights: Weights, precision: Precision) -> dict[str, NDArray[np.float32]]:
    """The weights as the runtime will read them from the file. The parity check uses these."""
    return {
        name: restored(*stored(value, precision)) if is_rounded(value, precision) else value
        for name, value in weights.items()
    }


def read_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """The weights in a serialised graph, with their rounding: the inverse of building it."""
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(model).graph.initializer
        if not tensor.name.startswith(CONSTANT)
    }
    return {
        name: restored(value, found.get(name + SCALE))
        for name, value in found.items()
        if not name.endswith(SCALE)
    }


def is_rounded(value: NDArray[np.float32], precision: Precision) -> bool:
    return precision != "float32" and value.ndim > 1 and value.size >= SMALLEST_ROUNDED


def stored(
    value: NDArray[np.float32], precision: Precision
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """The stored form of a weight, and for int8 the scale of each row."""
    if precision == "float16":
        return value.astype(np.float16), None
    largest = np.abs(value).max(axis=tuple(range(1, value.ndim)), keepdims=True)
    scale = np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(value / scale).astype(np.int8), scale


def restored(stored: NDArray[Any], scale: NDArray[np.float32] | None) -> NDArray[np.float32]:
    values: NDArray[np.float32] = stored.astype(np.float32)
    return values if scale is None else values * scale
