"""The graph of an imported network: a streaming step, or whole utterances.

In a step, frames that do not exist do not change the state of any recurrent layer, as in the
graphs of our own networks (ds2.training.network.onnx_graph). Therefore whole equals any chunks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ds2.graph.builder import INT32, INT64, GraphBuilder, Shape
from ds2.graph.weights import Precision
from ds2.importing.network import ForeignNetwork

EPSILON = 1e-5
"""The epsilon of layer normalisation, in PaddlePaddle and in torch."""
HOLD = 100.0
"""An input that holds the update gate of a GRU open, so that its state does not change."""


def build_graph(network: ForeignNetwork, precision: Precision) -> bytes:
    """The serialised ONNX model of the network."""
    weights = dict(network.weights)
    if network.streaming:
        weights |= _step_biases(network)
    builder = GraphBuilder(weights, precision)
    if network.streaming:
        _build_step(builder, network)
    else:
        _build_whole(builder, network)
    return builder.model()


def _build_step(builder: GraphBuilder, network: ForeignNetwork) -> None:
    """Build a step. Its convolutions read the last frames again, because these are few."""
    stride, delay = network.time_stride, network.delay
    frames = builder.input("frames", ["batch", "time", network.num_bins])
    lengths = builder.input("length", ["batch"], INT64)
    position = builder.input("position", ["batch"], INT64)
    moved = builder.add("Add", position, builder.size(frames, 1))
    builder.output("next_position", moved, ["batch"], INT64)

    num_cached = stride * delay
    shape: Shape = ["batch", num_cached, network.num_bins]
    joined = builder.add("Concat", builder.input("conv_0", shape), frames, axis=1)
    builder.output_last("next_conv_0", joined, num_cached, 1, shape)
    values = _convolutions(builder, network, builder.add("Transpose", joined, perm=[0, 2, 1]))
    first = builder.add("Div", position, builder.constant(stride))
    first = builder.add("Sub", first, builder.constant(delay))
    indices = builder.indices(first, builder.size(values, 3))
    exist = builder.exists(indices, _num_outputs(builder, network, lengths))
    values = builder.without_time_or_bins(_masked(builder, values, exist, [1, 2]))

    by_time = builder.add("Unsqueeze", builder.add("Transpose", exist), builder.constant([2]))
    missing = builder.add("Sub", builder.constant(1.0, np.float32), by_time)
    given = [by_time, missing] if network.recurrent == "gru" else [by_time]
    for i in range(network.num_recurrent):
        values = _step_recurrence(builder, network, i, values, given)
        values = _normalised(builder, network, i, values)
        if i + 1 < network.num_recurrent:
            values = builder.add("Mul", values, by_time)
    _build_top(builder, network, builder.add("Transpose", values, perm=[1, 0, 2]))


def _step_recurrence(
    builder: GraphBuilder, network: ForeignNetwork, i: int, values: str, given: Sequence[str]
) -> str:
    """(n, B, H) from (n, B, D); the biases are weights of inputs that mark existing frames."""
    name = f"recurrent.{i}.fwd"
    kind = network.recurrent
    columns = [builder.weight(f"{name}.exists")]
    if kind == "gru":
        columns.append(builder.weight(f"{name}.missing"))
    columns = [builder.add("Unsqueeze", column, builder.constant([1])) for column in columns]
    w = builder.add("Concat", builder.weight(f"{name}.weight_ih"), *columns, axis=1)
    bias = ""
    if kind == "gru":  # the reset gate acts on this bias, so it cannot come in with the input
        inner = builder.reordered(kind, builder.weight(f"{name}.inner"))
        bias = builder.add("Concat", builder.add("Mul", inner, _zero(builder)), inner, axis=1)
    state_names = ("h", "c") if kind == "lstm" else ("h",)
    shape: Shape = ["batch", network.hidden_size]
    states = [
        builder.add("Unsqueeze", builder.input(f"{state}_{i}", shape), builder.constant([0]))
        for state in state_names
    ]
    inputs = builder.add("Concat", values, *given, axis=2)
    u = builder.reordered(kind, builder.weight(f"{name}.weight_hh"))
    given = (inputs, builder.reordered(kind, w), u, bias, "", *states)
    values, *lasts = _run(builder, network, given, 1)
    for state, last in zip(state_names, lasts, strict=True):
        last = builder.add("Squeeze", last, builder.constant([0]))
        builder.output(f"next_{state}_{i}", last, shape)
    return str(builder.add("Squeeze", values, builder.constant([1])))


def _build_whole(builder: GraphBuilder, network: ForeignNetwork) -> None:
    """features (B, T, F), lengths (B,) -> log_probs (B, T', V)."""
    features = builder.input("features", ["batch", "time", network.num_bins])
    lengths = builder.input("lengths", ["batch"], INT64)
    zero = builder.add("Mul", lengths, builder.constant(0))  # (B,)
    exist = builder.exists(builder.indices(zero, builder.size(features, 1)), lengths)
    values = builder.add("Mul", features, builder.add("Unsqueeze", exist, builder.constant([2])))
    if network.edge_frames:  # even the shortest utterance needs an output
        pads = builder.constant([0, 0, 0, 0, network.edge_frames, 0])
        values = builder.add("Pad", values, pads)
    values = builder.add("Transpose", values, perm=[0, 2, 1])
    values = _convolutions(builder, network, values, lengths)
    lengths = _num_outputs(builder, network, lengths)
    indices = builder.indices(zero, builder.size(values, 3))
    exist = builder.exists(indices, lengths)
    values = builder.without_time_or_bins(_masked(builder, values, exist, [1, 2]))
    lengths = builder.add("Cast", builder.add("Max", lengths, builder.constant(1)), to=INT32)
    for i in range(network.num_recurrent):
        values = _whole_recurrence(builder, network, i, values, lengths)
        values = _normalised(builder, network, i, values)
    values = builder.add("Transpose", values, perm=[1, 0, 2])
    if network.has_lookahead:
        values = _lookahead(builder, network, _masked(builder, values, exist, [2]))
    _build_top(builder, network, values)


def _whole_recurrence(
    builder: GraphBuilder, network: ForeignNetwork, i: int, values: str, lengths: str
) -> str:
    """(n, B, H) or (n, B, 2 H) from (n, B, D)."""
    kind = network.recurrent
    names = [f"recurrent.{i}.fwd", f"recurrent.{i}.bwd"][: 2 if network.bidirectional else 1]

    def joined(*parts: str) -> str:
        arrays = [
            builder.add(
                "Concat",
                *(builder.reordered(kind, builder.weight(f"{name}.{part}")) for part in parts),
                axis=1,
            )
            for name in names
        ]
        return str(builder.add("Concat", *arrays, axis=0))

    w, u, bias = joined("weight_ih"), joined("weight_hh"), joined("bias_ih", "bias_hh")
    values, *_ = _run(builder, network, (values, w, u, bias, lengths), len(names))
    if network.directions == "summed" or not network.bidirectional:
        return str(builder.add("ReduceSum", values, builder.constant([1]), keepdims=0))
    values = builder.add("Transpose", values, perm=[0, 2, 1, 3])
    return str(builder.add("Reshape", values, builder.constant([0, 0, -1])))


def _run(
    builder: GraphBuilder, network: ForeignNetwork, given: Sequence[str], num_directions: int
) -> list[str]:
    """Outputs (n, directions, B, H) and last states of a recurrent operator."""
    attributes: dict[str, int | str] = {"hidden_size": network.hidden_size}
    if num_directions == 2:
        attributes["direction"] = "bidirectional"
    if network.recurrent == "gru":
        attributes["linear_before_reset"] = 1
    outputs = 3 if network.recurrent == "lstm" else 2
    names: list[str] = builder.add(network.recurrent.upper(), *given, outputs=outputs, **attributes)
    return names


def _convolutions(
    builder: GraphBuilder, network: ForeignNetwork, values: str, lengths: str = ""
) -> str:
    """(B, C, F', n) from (B, F, T); with lengths, values past the end are zeros."""
    values = builder.add("Unsqueeze", values, builder.constant([1]))
    for i, conv in enumerate(network.convolutions):
        values = builder.add(
            "Conv",
            values,
            builder.weight(f"conv.{i}.weight"),
            builder.weight(f"conv.{i}.bias"),
            strides=list(conv.stride),
            pads=[*conv.padding, *conv.padding],
        )
        values = _relu(builder, network, values)
        if conv.padding[1] and lengths:
            lengths = builder.rounded_up(lengths, conv.stride[1])
            zero = builder.add("Mul", lengths, builder.constant(0))
            exist = builder.exists(builder.indices(zero, builder.size(values, 3)), lengths)
            values = _masked(builder, values, exist, [1, 2])
    return values


def _num_outputs(builder: GraphBuilder, network: ForeignNetwork, lengths: str) -> str:
    """The value of `ModelFacts.num_outputs`. Division rounds to 0: very few frames give none."""
    offset = network.time_stride - 1 - network.edge_frames
    shifted = builder.add("Add", lengths, builder.constant(offset))
    return str(builder.add("Div", shifted, builder.constant(network.time_stride)))


def _masked(builder: GraphBuilder, values: str, exist: str, axes: list[int]) -> str:
    """The values, and 0 on frames that do not exist (B, n); axes: the axes that the mask lacks."""
    mask = builder.add("Unsqueeze", exist, builder.constant(axes))
    return str(builder.add("Mul", values, mask))


def _normalised(builder: GraphBuilder, network: ForeignNetwork, i: int, values: str) -> str:
    if not network.layer_norm:
        return values
    scale, shift = builder.weight(f"norm.{i}.weight"), builder.weight(f"norm.{i}.bias")
    return str(builder.add("LayerNormalization", values, scale, shift, axis=-1, epsilon=EPSILON))


def _lookahead(builder: GraphBuilder, network: ForeignNetwork, states: str) -> str:
    """(B, n, H): the weighted sum of each unit's states now and over the next frames."""
    weight = builder.weight("lookahead.weight")  # (H, frames)
    num_frames = network.weights["lookahead.weight"].shape[1]
    padded = builder.add("Pad", states, builder.constant([0, 0, 0, 0, num_frames - 1, 0]))
    end = np.iinfo(np.int64).max
    parts = []
    for ahead in range(num_frames):
        own = builder.add("Gather", weight, builder.constant(ahead), axis=1)
        left = num_frames - 1 - ahead
        later = builder.sliced(padded, ahead, -left if left else end, 1)
        parts.append(builder.add("Mul", later, own))
    return _relu(builder, network, builder.add("Sum", *parts))


def _build_top(builder: GraphBuilder, network: ForeignNetwork, states: str) -> None:
    """Build the fully connected layers and the output, from (B, n, D).

    The probability of labels that spell nothing (unknown, end of sentence) goes to the blank.
    """
    for i in range(network.num_fully_connected):
        states = _relu(builder, network, builder.linear(states, f"fc.{i}"))
    log_probs = builder.add("LogSoftmax", builder.linear(states, "output"), axis=-1)
    num_labels = network.num_labels
    if network.num_silent:
        end = np.iinfo(np.int64).max
        silent = builder.sliced(log_probs, num_labels, end, 2)
        silent = builder.add("Concat", builder.sliced(log_probs, 0, 1, 2), silent, axis=2)
        blank = builder.add("ReduceLogSumExp", silent, axes=[2], keepdims=1)
        spelt = builder.sliced(log_probs, 1, num_labels, 2)
        log_probs = builder.add("Concat", blank, spelt, axis=2)
    builder.output("log_probs", log_probs, ["batch", "frames", num_labels])


def _relu(builder: GraphBuilder, network: ForeignNetwork, value: str) -> str:
    if network.relu_limit is None:
        return str(builder.add("Relu", value))
    limits = builder.constant(0.0, np.float32), builder.constant(network.relu_limit, np.float32)
    return str(builder.add("Clip", value, *limits))


def _zero(builder: GraphBuilder) -> str:
    return builder.constant(0.0, np.float32)


def _step_biases(network: ForeignNetwork) -> dict[str, NDArray[np.float32]]:
    """The biases as weights of inputs that are 1 on existing frames, or on missing frames.

    On a missing frame an LSTM has zeros as input and no bias, so a zero state stays zero. A GRU has
    a bias on which the reset gate acts, so its update gate is held open instead.
    """
    biases = {}
    hidden = network.hidden_size
    for i in range(network.num_recurrent):
        name = f"recurrent.{i}.fwd"
        outer = network.weights[f"{name}.bias_ih"].copy()
        inner = network.weights[f"{name}.bias_hh"].copy()
        if network.recurrent == "gru":
            outer[: 2 * hidden] += inner[: 2 * hidden]
            inner[: 2 * hidden] = 0
            biases[f"{name}.inner"] = inner
            held = np.zeros_like(outer)
            held[hidden : 2 * hidden] = HOLD
            biases[f"{name}.missing"] = held
        else:
            outer += inner
        biases[f"{name}.exists"] = outer
    return biases
