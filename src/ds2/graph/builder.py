"""Builds an ONNX graph, node by node. Only this file makes ONNX."""

from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ds2.graph.weights import CONSTANT, SCALE, Precision, Weights, is_rounded, stored

CLIP = 20.0
Shape = list[int | str]
Recurrent = Literal["rnn", "gru", "lstm"]

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64

OPSET = 17
IR_VERSION = 9

ONNX_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
"""Places of ONNX's gates in torch's order: GRU z, r, h from r, z, n; LSTM i, o, f, c."""


class GraphBuilder:
    """The nodes, weights, inputs and outputs of an unfinished graph. Each value has a name."""

    def __init__(self, weights: Weights, precision: Precision) -> None:
        self._weights = weights
        self._precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._initialisers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    @property
    def num_labels(self) -> int:
        """Labels of the output layer, the blank included."""
        return len(self._weights["output.bias"])

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node. Returns the name of its output, or a list of names for several outputs."""
        names = [f"{operator.lower()}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Add a small constant. Returns its name."""
        array = np.asarray(value, dtype)
        name = f"{CONSTANT}{array.dtype}_{array.shape}_{array.ravel().tolist()}"
        self._initialisers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str) -> str:
        """Add a weight by its name. The file stores it at the builder's precision.

        The graph converts it to float32. The runtime does this once, when it loads the model.
        """
        value = self._weights[name]
        if not is_rounded(value, self._precision):
            return self._store(name, value)
        values, scale = stored(value, self._precision)
        cast: str = self.add("Cast", self._store(name, values), to=FLOAT)
        if scale is None:
            return cast
        scaled: str = self.add("Mul", cast, self._store(name + SCALE, scale))
        return scaled

    def _store(self, name: str, value: NDArray[Any]) -> str:
        self._initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def input(self, name: str, shape: Shape, kind: int = FLOAT) -> str:
        """Add an input of the graph. Dimensions with a name are dynamic."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, shape: Shape, kind: int = FLOAT) -> None:
        """Make a value an output of the graph under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self) -> bytes:
        """The graph, checked and serialised."""
        graph = helper.make_graph(
            self._nodes, "ds2", self._inputs, self._outputs, list(self._initialisers.values())
        )
        model = helper.make_model(
            graph,
            producer_name="ds2",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString()
        return serialised

    # Parts that several layers need.

    def size(self, value: str, axis: int) -> str:
        """The length of one axis, ()."""
        shape = self.add("Shape", value)
        return str(self.add("Gather", shape, self.constant(axis)))

    def indices(self, first: str, count: str) -> str:
        """(B, count): first (B,), first + 1, ..."""
        steps = self.add("Range", self.constant(0), count, self.constant(1))
        return str(self.add("Add", self.add("Unsqueeze", first, self.constant([1])), steps))

    def exists(self, indices: str, lengths: str) -> str:
        """(B, n) float32: 1 where 0 <= index < length."""
        started = self.add("GreaterOrEqual", indices, self.constant(0))
        ended = self.add("Less", indices, self.add("Unsqueeze", lengths, self.constant([1])))
        return str(self.add("Cast", self.add("And", started, ended), to=FLOAT))

    def clipped_relu(self, value: str) -> str:
        """min(max(x, 0), 20)."""
        limits = self.constant(0.0, np.float32), self.constant(CLIP, np.float32)
        return str(self.add("Clip", value, *limits))

    def linear(self, value: str, name: str) -> str:
        """(..., out) from (..., in)."""
        across = self.add("Transpose", self.weight(f"{name}.weight"), perm=[1, 0])
        return str(self.add("Add", self.add("MatMul", value, across), self.weight(f"{name}.bias")))

    def rounded_up(self, lengths: str, stride: int) -> str:
        """ceil(lengths / stride)."""
        if stride == 1:
            return lengths
        up = self.add("Add", lengths, self.constant(stride - 1))
        return str(self.add("Div", up, self.constant(stride)))

    def without_time_or_bins(self, value: str) -> str:
        """(n, B, C * F) from (B, C, F, n), for recurrent layers."""
        frames = self.add("Transpose", value, perm=[3, 0, 1, 2])
        return str(self.add("Reshape", frames, self.constant([0, 0, -1])))

    def output_last(self, name: str, value: str, count: int, axis: int, shape: Shape) -> None:
        """Make the last `count` entries along an axis an output of the graph."""
        if count:
            end = np.iinfo(np.int64).max
            self.output(name, self.sliced(value, -count, end, axis), shape)
        else:  # [-0:] would take all entries
            self.output(name, self.sliced(value, 0, 0, axis), shape)

    def sliced(self, value: str, start: int, end: int, axis: int) -> str:
        """value[start:end] along an axis."""
        limits = (self.constant([limit]) for limit in (start, end, axis))
        return str(self.add("Slice", value, *limits))

    def reordered(self, recurrent: Recurrent, weight: str) -> str:
        """(1, G * H, ...) from (G * H, ...): the gates go from torch's order to ONNX's."""
        gates = ONNX_GATES[recurrent]
        parts = (
            self.add("Split", weight, axis=0, outputs=len(gates)) if len(gates) > 1 else [weight]
        )
        joined = self.add("Concat", *(parts[gate] for gate in gates), axis=0)
        return str(self.add("Unsqueeze", joined, self.constant([0])))
