"""The exported graph, built node by node from a network's folded weights.

The graph of a forward network is one streaming step. It takes a chunk of frames and a state, and
returns log_probs and the next state. All shapes but the batch and the chunk are fixed, so streams
at different positions share a batch. After every layer, frames before a stream's first or past its
last are masked to zero. That is the zero padding of the whole-utterance network, so whole equals
any chunks.

The graph of a bidirectional network takes whole utterances.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ds2.graph.builder import CLIP, INT32, INT64, GraphBuilder, Shape
from ds2.graph.weights import Precision, Weights
from ds2.training.network.config import ConvolutionConfig, NetworkConfig


def build_graph(config: NetworkConfig, weights: Weights, precision: Precision) -> bytes:
    """The serialised ONNX model of the network with these folded weights."""
    builder = GraphBuilder(weights, precision)
    if config.bidirectional:
        _build_whole(builder, config)
    else:
        _build_step(builder, config)
    return builder.model()


def conv_delays(config: NetworkConfig) -> list[int]:
    """Delay of each convolution of the step behind its input, in output frames.

    A layer with kernel 2c + 1 waits for c frames. The delay is rounded up to a multiple of the
    strides above it, so that every layer's chunk begins at a multiple of its stride.
    """
    delays = []
    above = config.time_stride
    for conv in config.convolutions:
        above //= conv.stride[1]
        delay = -(-(conv.time_padding + 1 - conv.stride[1]) // conv.stride[1])
        delays.append(-(-max(0, delay) // above) * above)
    return delays


def output_delay(config: NetworkConfig) -> int:
    """Number of outputs at a stream's start that belong to frames before its first frame."""
    first = 0
    for conv, delay in zip(config.convolutions, conv_delays(config), strict=True):
        first = first // conv.stride[1] - delay
    return config.lookahead - first


def _build_step(builder: GraphBuilder, config: NetworkConfig) -> None:
    frames = builder.input("frames", ["batch", "time", config.num_bins])
    lengths = builder.input("length", ["batch"], INT64)
    position = builder.input("position", ["batch"], INT64)
    moved = builder.add("Add", position, builder.size(frames, 1))
    builder.output("next_position", moved, ["batch"], INT64)

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
    builder: GraphBuilder,
    values: str,
    i: int,
    conv: ConvolutionConfig,
    delay: int,
    in_shape: tuple[int, int],
) -> str:
    """(B, C', F', T / stride) from (B, C, F, T). The cache gives the frames before the chunk."""
    num_cached = conv.time_padding + conv.stride[1] * delay
    shape: Shape = ["batch", *in_shape, num_cached]
    cache = builder.input(f"conv_{i}", shape)
    joined = builder.add("Concat", cache, values, axis=3)
    builder.output_last(f"next_conv_{i}", joined, num_cached, 3, shape)
    not_yet = num_cached - (conv.kernel[1] - conv.stride[1])  # for more than T / stride
    if not_yet:
        joined = builder.sliced(joined, 0, -not_yet, 3)
    return _convolution(builder, joined, i, conv, time_padding=0)


def _convolution(
    builder: GraphBuilder, values: str, i: int, conv: ConvolutionConfig, time_padding: int
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


def _step_recurrence(builder: GraphBuilder, config: NetworkConfig, values: str, exist: str) -> str:
    """(B, n, H) states of all layers, from (n, B, D).

    The bias is the weight of one more input, which is 1 on frames that exist. On other frames all
    inputs are 0, so a zero state stays zero in every kind of layer. So a stream's first real frame
    meets the state that the whole-utterance network begins with.
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
    builder: GraphBuilder,
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
    builder: GraphBuilder, config: NetworkConfig, i: int, direction: str
) -> tuple[str, str]:
    """W with the bias as its last column, (1, G * H, D + 1), and U, (1, G * H, H)."""
    name = f"recurrent.{i}.{direction}"
    bias = builder.add("Unsqueeze", builder.weight(f"{name}.bias_ih"), builder.constant([1]))
    w = builder.add("Concat", builder.weight(f"{name}.weight_ih"), bias, axis=1)
    return (
        builder.reordered(config.recurrent, w),
        builder.reordered(config.recurrent, builder.weight(f"{name}.weight_hh")),
    )


def _step_lookahead(builder: GraphBuilder, config: NetworkConfig, states: str, exist: str) -> str:
    """(B, n, H): each unit's states now and over the next tau frames, weighed."""
    shape: Shape = ["batch", config.lookahead, config.hidden_size]
    states = builder.add("Mul", states, builder.add("Unsqueeze", exist, builder.constant([2])))
    joined = builder.add("Concat", builder.input("lookahead", shape), states, axis=1)
    builder.output_last("next_lookahead", joined, config.lookahead, 1, shape)
    # A convolution with a group for each unit would take five times as long on a CPU.
    weight = builder.weight("lookahead.weight")  # (H, tau + 1)
    end = np.iinfo(np.int64).max
    parts = []
    for ahead in range(config.lookahead + 1):
        own = builder.add("Gather", weight, builder.constant(ahead), axis=1)
        left = config.lookahead - ahead
        later = builder.sliced(joined, ahead, -left if left else end, 1)
        parts.append(builder.add("Mul", later, own))
    return str(builder.add("Sum", *parts))


def _build_top(builder: GraphBuilder, config: NetworkConfig, states: str) -> None:
    """Fully connected layers and the output, from (B, n, H)."""
    for i in range(len(config.fully_connected)):
        states = builder.clipped_relu(builder.linear(states, f"fc.{i}"))
    log_probs = builder.add("LogSoftmax", builder.linear(states, "output"), axis=-1)
    builder.output("log_probs", log_probs, ["batch", "frames", builder.num_labels])


def _build_whole(builder: GraphBuilder, config: NetworkConfig) -> None:
    """The graph of whole utterances: features (B, T, F), lengths (B,) -> log_probs (B, T', V)."""
    features = builder.input("features", ["batch", "time", config.num_bins])
    lengths = builder.input("lengths", ["batch"], INT64)
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
    lengths = builder.add("Cast", lengths, to=INT32)
    for i in range(config.num_recurrent):
        weights = [_recurrent_weights(builder, config, i, name) for name in ("fwd", "bwd")]
        inputs = builder.add("Concat", values, bias_input, axis=2)
        values, *_ = _recurrence(builder, config, inputs, weights, lengths, [])
        values = builder.add("ReduceSum", values, builder.constant([1]), keepdims=0)
    _build_top(builder, config, builder.add("Transpose", values, perm=[1, 0, 2]))
