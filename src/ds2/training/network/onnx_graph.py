"""The exported graph, built node by node from a network's folded weights: the only file on ONNX.

The graph of a forward network is one streaming step: a chunk of frames and a state in, log_probs
and the next state out. All shapes but the batch and the chunk are fixed, so streams at different
positions share a batch. Frames before a stream's first or past its last are masked to zero after
every layer, which is the zero padding of the whole-utterance network; so whole equals any chunks.

The graph of a bidirectional network takes whole utterances.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ds2.training.network.config import ConvolutionConfig, NetworkConfig

Weights = Mapping[str, NDArray[np.float32]]
Shape = list[int | str]
Precision = Literal["float32", "float16", "int8"]

OPSET = 17
IR_VERSION = 9
CLIP = 20.0
CONSTANT, SCALE = "constant_", ".scale"
"""In names of what is stored: small constants; the scales of an int8 weight's rows."""
SMALLEST_ROUNDED = 4096
"""Arrays of fewer numbers, and all biases, stay float32: there is nothing to save."""

ONNX_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
"""Where ONNX's gates stand in torch's order: GRU z, r, h from r, z, n; LSTM i, o, f, c."""


def rounded(weights: Weights, precision: Precision) -> dict[str, NDArray[np.float32]]:
    """The weights as the stored ones will be read back: what parity is measured against."""
    return {
        name: _restored(*_stored(value, precision)) if _is_rounded(value, precision) else value
        for name, value in weights.items()
    }


def build_graph(config: NetworkConfig, weights: Weights, precision: Precision) -> bytes:
    """The serialised ONNX model of the network with these folded weights."""
    builder = _Builder(weights, precision)
    if config.bidirectional:
        _build_whole(builder, config)
    else:
        _build_step(builder, config)
    return builder.model()


def read_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """The weights that a graph was built from, as they were rounded; the inverse of building."""
    stored = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(model).graph.initializer
        if not tensor.name.startswith(CONSTANT)
    }
    return {
        name: _restored(value, stored.get(name + SCALE))
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }


def conv_delays(config: NetworkConfig) -> list[int]:
    """Output frames that each convolution of the step runs behind its input.

    A layer with kernel 2c + 1 waits for c frames. The delay is rounded up to what the strides
    above it divide, so that every layer's chunk begins at a multiple of its stride.
    """
    delays = []
    above = config.time_stride
    for conv in config.convolutions:
        above //= conv.stride[1]
        delay = -(-(conv.time_padding + 1 - conv.stride[1]) // conv.stride[1])
        delays.append(-(-max(0, delay) // above) * above)
    return delays


def output_delay(config: NetworkConfig) -> int:
    """Outputs at a stream's start that stand for frames before its first."""
    first = 0
    for conv, delay in zip(config.convolutions, conv_delays(config), strict=True):
        first = first // conv.stride[1] - delay
    return config.lookahead - first


class _Builder:
    """Nodes, weights, inputs and outputs of a graph under way; values are known by name."""

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
        """Add a node; returns the name of its output, or of each of them."""
        names = [f"{operator.lower()}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """A small constant."""
        array = np.asarray(value, dtype)
        name = f"{CONSTANT}{array.dtype}_{array.shape}_{array.ravel().tolist()}"
        self._initialisers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str) -> str:
        """A weight by its name; stored at the precision asked for, float32 in use.

        The runtime computes the conversion once, when it loads the model.
        """
        value = self._weights[name]
        if not _is_rounded(value, self._precision):
            return self._store(name, value)
        stored, scale = _stored(value, self._precision)
        cast: str = self.add("Cast", self._store(name, stored), to=TensorProto.FLOAT)
        if scale is None:
            return cast
        scaled: str = self.add("Mul", cast, self._store(name + SCALE, scale))
        return scaled

    def _store(self, name: str, value: NDArray[Any]) -> str:
        self._initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        """An input of the graph; named dimensions are dynamic."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        """Give a value to the caller under a name."""
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

    # What several layers need.

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
        return str(self.add("Cast", self.add("And", started, ended), to=TensorProto.FLOAT))

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
        """(n, B, C * F) from (B, C, F, n): what recurrent layers take."""
        frames = self.add("Transpose", value, perm=[3, 0, 1, 2])
        return str(self.add("Reshape", frames, self.constant([0, 0, -1])))


def _build_step(builder: _Builder, config: NetworkConfig) -> None:
    frames = builder.input("frames", ["batch", "time", config.num_bins])
    lengths = builder.input("length", ["batch"], TensorProto.INT64)
    position = builder.input("position", ["batch"], TensorProto.INT64)
    moved = builder.add("Add", position, builder.size(frames, 1))
    builder.output("next_position", moved, ["batch"], TensorProto.INT64)

    exist = builder.exists(builder.indices(position, builder.size(frames, 1)), lengths)
    values = builder.add("Mul", frames, builder.add("Unsqueeze", exist, builder.constant([2])))
    values = builder.add("Transpose", values, perm=[0, 2, 1])
    values = builder.add("Unsqueeze", values, builder.constant([1]))  # (B, 1, F, T)
    channels, first = 1, position
    for i, (conv, delay) in enumerate(zip(config.convolutions, conv_delays(config), strict=True)):
        bins = config.conv_bins[i]
        values = _step_convolution(builder, values, i, conv, delay, (channels, bins))
        first = builder.add("Div", first, builder.constant(conv.stride[1]))
        first = builder.add("Sub", first, builder.constant(delay))
        lengths = builder.rounded_up(lengths, conv.stride[1])
        exist = builder.exists(builder.indices(first, builder.size(values, 3)), lengths)
        values = builder.add(
            "Mul", values, builder.add("Unsqueeze", exist, builder.constant([1, 2]))
        )
        channels = conv.channels
    states = _step_recurrence(builder, config, builder.without_time_or_bins(values), exist)
    if config.lookahead:
        states = _step_lookahead(builder, config, states, exist)
    _build_top(builder, config, states)


def _step_convolution(
    builder: _Builder,
    values: str,
    i: int,
    conv: ConvolutionConfig,
    delay: int,
    in_shape: tuple[int, int],
) -> str:
    """(B, C', F', T / stride) from (B, C, F, T), with the frames before it from the cache."""
    num_cached = conv.time_padding + conv.stride[1] * delay
    shape: Shape = ["batch", *in_shape, num_cached]
    cache = builder.input(f"conv_{i}", shape)
    joined = builder.add("Concat", cache, values, axis=3)
    _output_last(builder, f"next_conv_{i}", joined, num_cached, 3, shape)
    not_yet = num_cached - (conv.kernel[1] - conv.stride[1])  # would give more than T / stride
    if not_yet:
        joined = _sliced(builder, joined, 0, -not_yet, 3)
    return _convolution(builder, joined, i, conv, time_padding=0)


def _convolution(
    builder: _Builder, values: str, i: int, conv: ConvolutionConfig, time_padding: int
) -> str:
    bins_padding = conv.kernel[0] // 2  # 0 for a 1-D kernel, which spans all bins
    convolved = builder.add(
        "Conv",
        values,
        builder.weight(f"conv.{i}.weight"),
        builder.weight(f"conv.{i}.bias"),
        strides=list(conv.stride),
        pads=[bins_padding, time_padding, bins_padding, time_padding],
    )
    return builder.clipped_relu(convolved)


def _step_recurrence(builder: _Builder, config: NetworkConfig, values: str, exist: str) -> str:
    """(B, n, H) states of all layers, from (n, B, D).

    The bias comes in as the weight of an input that is 1 on frames that exist. On others, whose
    values are 0, a zero state then stays zero, whatever the kind of layer: a stream's first real
    frame finds the state that the whole-utterance network begins with.
    """
    bias_input = builder.add("Unsqueeze", builder.add("Transpose", exist), builder.constant([2]))
    state_names = ("h", "c") if config.recurrent == "lstm" else ("h",)
    shape: Shape = ["batch", config.hidden_size]
    for i in range(config.num_recurrent):
        weights = [_recurrent_weights(builder, config, i, "fwd")]
        states = [
            builder.add("Unsqueeze", builder.input(f"{name}_{i}", shape), builder.constant([0]))
            for name in state_names
        ]
        inputs = builder.add("Concat", values, bias_input, axis=2)
        values, *lasts = _recurrence(builder, config, inputs, weights, "", states)
        values = builder.add("Squeeze", values, builder.constant([1]))  # (n, B, H)
        for name, last in zip(state_names, lasts, strict=True):
            last = builder.add("Squeeze", last, builder.constant([0]))
            builder.output(f"next_{name}_{i}", last, shape)
    return str(builder.add("Transpose", values, perm=[1, 0, 2]))


def _recurrence(
    builder: _Builder,
    config: NetworkConfig,
    inputs: str,
    weights: Sequence[tuple[str, str]],
    lengths: str,
    states: Sequence[str],
) -> list[str]:
    """Outputs (n, directions, B, H) and last states of a recurrent operator without bias.

    weights: W and U of each direction; lengths: (B,) int32 or "" for none.
    """
    ws, us = zip(*weights, strict=True)
    w = builder.add("Concat", *ws, axis=0)  # (directions, G * H, D)
    u = builder.add("Concat", *us, axis=0)
    attributes: dict[str, Any] = {"hidden_size": config.hidden_size}
    if len(weights) == 2:
        attributes["direction"] = "bidirectional"
    if config.recurrent == "gru":
        attributes["linear_before_reset"] = 1
    if config.recurrent == "rnn":
        attributes |= {"activations": ["Relu"] * len(weights), "clip": CLIP}
    operator = config.recurrent.upper()
    outputs = 3 if config.recurrent == "lstm" else 2
    given = (inputs, w, u, "", lengths, *states)
    names: list[str] = builder.add(operator, *given, outputs=outputs, **attributes)
    return names


def _recurrent_weights(
    builder: _Builder, config: NetworkConfig, i: int, direction: str
) -> tuple[str, str]:
    """W with the bias as its last column, (1, G * H, D + 1), and U, (1, G * H, H)."""
    name = f"recurrent.{i}.{direction}"
    bias = builder.add("Unsqueeze", builder.weight(f"{name}.bias_ih"), builder.constant([1]))
    w = builder.add("Concat", builder.weight(f"{name}.weight_ih"), bias, axis=1)
    return (
        _reordered(builder, config, w),
        _reordered(builder, config, builder.weight(f"{name}.weight_hh")),
    )


def _reordered(builder: _Builder, config: NetworkConfig, weight: str) -> str:
    """(1, G * H, width) with the gates in ONNX's order."""
    hidden = config.hidden_size
    rows = np.concatenate(
        [np.arange(hidden) + gate * hidden for gate in ONNX_GATES[config.recurrent]]
    )
    gates = builder.add("Gather", weight, builder.constant(rows), axis=0)
    return str(builder.add("Unsqueeze", gates, builder.constant([0])))


def _step_lookahead(builder: _Builder, config: NetworkConfig, states: str, exist: str) -> str:
    """(B, n, H): each unit's states now and over the next tau frames, weighed."""
    shape: Shape = ["batch", config.lookahead, config.hidden_size]
    states = builder.add("Mul", states, builder.add("Unsqueeze", exist, builder.constant([2])))
    joined = builder.add("Concat", builder.input("lookahead", shape), states, axis=1)
    _output_last(builder, "next_lookahead", joined, config.lookahead, 1, shape)
    # Not a convolution of a group for each unit: on a CPU that takes five times as long.
    weight = builder.weight("lookahead.weight")  # (H, tau + 1)
    end = np.iinfo(np.int64).max
    parts = []
    for ahead in range(config.lookahead + 1):
        own = builder.add("Gather", weight, builder.constant(ahead), axis=1)
        left = config.lookahead - ahead
        later = _sliced(builder, joined, ahead, -left if left else end, 1)
        parts.append(builder.add("Mul", later, own))
    return str(builder.add("Sum", *parts))


def _build_top(builder: _Builder, config: NetworkConfig, states: str) -> None:
    """Fully connected layers and the output, from (B, n, H)."""
    for i in range(len(config.fully_connected)):
        states = builder.clipped_relu(builder.linear(states, f"fc.{i}"))
    log_probs = builder.add("LogSoftmax", builder.linear(states, "output"), axis=-1)
    builder.output("log_probs", log_probs, ["batch", "frames", builder.num_labels])


def _build_whole(builder: _Builder, config: NetworkConfig) -> None:
    """The graph of whole utterances: features (B, T, F), lengths (B,) -> log_probs (B, T', V)."""
    features = builder.input("features", ["batch", "time", config.num_bins])
    lengths = builder.input("lengths", ["batch"], TensorProto.INT64)
    zero = builder.add("Mul", lengths, builder.constant(0))  # (B,)
    exist = builder.exists(builder.indices(zero, builder.size(features, 1)), lengths)
    values = builder.add("Mul", features, builder.add("Unsqueeze", exist, builder.constant([2])))
    values = builder.add("Transpose", values, perm=[0, 2, 1])
    values = builder.add("Unsqueeze", values, builder.constant([1]))
    for i, conv in enumerate(config.convolutions):
        values = _convolution(builder, values, i, conv, conv.time_padding)
        lengths = builder.rounded_up(lengths, conv.stride[1])
        exist = builder.exists(builder.indices(zero, builder.size(values, 3)), lengths)
        values = builder.add(
            "Mul", values, builder.add("Unsqueeze", exist, builder.constant([1, 2]))
        )
    values = builder.without_time_or_bins(values)
    bias_input = builder.add("Unsqueeze", builder.add("Transpose", exist), builder.constant([2]))
    lengths = builder.add("Cast", lengths, to=TensorProto.INT32)
    for i in range(config.num_recurrent):
        weights = [_recurrent_weights(builder, config, i, name) for name in ("fwd", "bwd")]
        inputs = builder.add("Concat", values, bias_input, axis=2)
        values, *_ = _recurrence(builder, config, inputs, weights, lengths, [])
        values = builder.add("ReduceSum", values, builder.constant([1]), keepdims=0)
    _build_top(builder, config, builder.add("Transpose", values, perm=[1, 0, 2]))


def _output_last(
    builder: _Builder, name: str, value: str, count: int, axis: int, shape: Shape
) -> None:
    """Give the caller the last `count` entries along an axis."""
    if count:
        end = np.iinfo(np.int64).max
        builder.output(name, _sliced(builder, value, -count, end, axis), shape)
    else:  # [-0:] would be everything
        builder.output(name, _sliced(builder, value, 0, 0, axis), shape)


def _sliced(builder: _Builder, value: str, start: int, end: int, axis: int) -> str:
    limits = (builder.constant([limit]) for limit in (start, end, axis))
    return str(builder.add("Slice", value, *limits))


def _is_rounded(value: NDArray[np.float32], precision: Precision) -> bool:
    return precision != "float32" and value.ndim > 1 and value.size >= SMALLEST_ROUNDED


def _stored(
    value: NDArray[np.float32], precision: Precision
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """What is written for a weight, and the scale of each row of int8."""
    if precision == "float16":
        return value.astype(np.float16), None
    largest = np.abs(value).max(axis=tuple(range(1, value.ndim)), keepdims=True)
    scale = np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(value / scale).astype(np.int8), scale


def _restored(stored: NDArray[Any], scale: NDArray[np.float32] | None) -> NDArray[np.float32]:
    values: NDArray[np.float32] = stored.astype(np.float32)
    return values if scale is None else values * scale
