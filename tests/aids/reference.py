"""Slow and obvious versions of the network's computations, for comparisons."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ds2.training.network.batch_norm import BatchNorm
from ds2.training.network.config import NetworkConfig
from ds2.training.network.recurrence import CLIP


def recurrent_step(kind: str, projected: Tensor, recurrent: Tensor, cell: Tensor, state: Tensor):
    """One step of a layer for one utterance: the new state and cell, (H,) each.

    projected: (G * H,), B(W x); recurrent: (G * H,), U h.
    """
    if kind == "rnn":
        return (projected + recurrent).clamp(0, CLIP), cell
    if kind == "gru":
        (x_r, x_z, x_n), (u_r, u_z, u_n) = projected.chunk(3), recurrent.chunk(3)
        r, z = torch.sigmoid(x_r + u_r), torch.sigmoid(x_z + u_z)
        n = torch.tanh(x_n + r * u_n)
        return (1 - z) * n + z * state, cell
    i, f, g, o = (projected + recurrent).chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def recurrent_layer(
    kind: str,
    inputs: Sequence[Tensor],
    input_weight: Tensor,
    recurrent_weights: Sequence[Tensor],
    gamma: Tensor,
    beta: Tensor,
) -> list[Tensor]:
    """States (T_b, H) of every utterance, from its inputs (T_b, D), by loops over everything.

    The projection is normalised by its mean and variance over all frames of all utterances.
    Two recurrent weights: forward and backward, summed.
    """
    projected = torch.cat([frames @ input_weight.T for frames in inputs])
    mean, var = projected.mean(0), projected.var(0, unbiased=False)
    normalised = gamma * (projected - mean) / (var + BatchNorm.EPSILON).sqrt() + beta
    outputs = []
    for frames in normalised.split([len(frames) for frames in inputs]):
        total = 0
        for weight, order in zip(recurrent_weights, (1, -1), strict=False):
            state = cell = frames.new_zeros(weight.shape[1])
            states = []
            for frame in list(frames)[::order]:
                state, cell = recurrent_step(kind, frame, weight @ state, cell, state)
                states.append(state)
            total = total + torch.stack(states[::order])
        outputs.append(total)
    return outputs


def convolution(
    values: np.ndarray, weight: np.ndarray, stride: tuple[int, int], is_1d: bool
) -> np.ndarray:
    """(Cout, F', T') from (Cin, F, T): output (i, j) is centred on (stride * i, stride * j)."""
    _, _, num_bins, num_taps = weight.shape
    pad_bins, pad_frames = 0 if is_1d else num_bins // 2, num_taps // 2
    bins_out = 1 if is_1d else math.ceil(values.shape[1] / stride[0])
    frames_out = math.ceil(values.shape[2] / stride[1])
    padded = np.pad(values, ((0, 0), (pad_bins, pad_bins), (pad_frames, pad_frames)))
    output = np.zeros((len(weight), bins_out, frames_out))
    for i in range(bins_out):
        for j in range(frames_out):
            bins = slice(i * stride[0], i * stride[0] + num_bins)
            frames = slice(j * stride[1], j * stride[1] + num_taps)
            output[:, i, j] = (weight * padded[:, bins, frames]).sum((1, 2, 3))
    return output


def network_log_probs(
    config: NetworkConfig, weights: Mapping[str, np.ndarray], features: np.ndarray
) -> np.ndarray:
    """log_probs (T', V) of one utterance's features (T, F), from a network's inference weights."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    values = features.T[None]  # (1, F, T)
    for i, conv in enumerate(config.convolutions):
        values = convolution(values, weights[f"conv.{i}.weight"], conv.stride, conv.is_1d)
        values = (values + weights[f"conv.{i}.bias"][:, None, None]).clip(0, CLIP)
    states = values.reshape(-1, values.shape[2]).T  # (T', C * F')
    for i in range(config.num_recurrent):
        states = sum(
            _direction(config.recurrent, states, weights, f"recurrent.{i}.{direction}", order)
            for direction, order in (("fwd", 1), ("bwd", -1))[: 1 + config.bidirectional]
        )
    if config.lookahead:
        future = np.pad(states, ((0, config.lookahead), (0, 0)))
        states = sum(
            weights["lookahead.weight"][:, j] * future[j : j + len(states)]
            for j in range(config.lookahead + 1)
        )
    for i in range(len(config.fully_connected)):
        states = states @ weights[f"fc.{i}.weight"].T + weights[f"fc.{i}.bias"]
        states = states.clip(0, CLIP)
    outputs = states @ weights["output.weight"].T + weights["output.bias"]
    return outputs - np.log(np.exp(outputs).sum(1, keepdims=True))


def _direction(
    kind: str, inputs: np.ndarray, weights: Mapping[str, np.ndarray], name: str, order: int
) -> np.ndarray:
    input_weight, recurrent_weight, input_bias, recurrent_bias = (
        torch.from_numpy(weights[f"{name}.{part}"])
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = cell = torch.zeros(recurrent_weight.shape[1], dtype=torch.float64)
    states = []
    for frame in torch.from_numpy(inputs.copy())[range(len(inputs))[::order]]:
        projected = input_weight @ frame + input_bias
        recurrent = recurrent_weight @ state + recurrent_bias
        state, cell = recurrent_step(kind, projected, recurrent, cell, state)
        states.append(state.numpy())
    return np.stack(states[::order])


def ctc_alignments(num_frames: int, labels: Sequence[int], num_labels: int) -> list[tuple]:
    """Every labelling of the frames that gives the labels without repeats and then blanks."""
    return [
        frames
        for frames in itertools.product(range(num_labels), repeat=num_frames)
        if [label for label, _ in itertools.groupby(frames) if label] == list(labels)
    ]


def ctc_loss(log_probs: np.ndarray, labels: Sequence[int]) -> float:
    """-ln p(labels) as the sum over all alignments; infinite without an alignment."""
    total = sum(
        math.exp(sum(log_probs[t, label] for t, label in enumerate(frames)))
        for frames in ctc_alignments(len(log_probs), labels, log_probs.shape[1])
    )
    return -math.log(total) if total else math.inf
