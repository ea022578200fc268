"""A network of another toolkit, in our names: what the graph is built from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.graph.builder import Recurrent

Arrays = Mapping[str, NDArray[np.float32]]

NUM_GATES: dict[Recurrent, int] = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Convolution:
    """A convolution over bins and time; its kernel is that of its weight."""

    stride: tuple[int, int]  # bins, time
    padding: tuple[int, int] = (0, 0)  # zeros on either side: bins, time


@dataclass(frozen=True)
class ForeignNetwork:
    """Convolutions, recurrent layers, perhaps a lookahead, fully connected layers, an output.

    weights, float32, batch normalisation folded into them:
        conv.i.weight (out, in, bins, time), conv.i.bias (out,)
        recurrent.i.fwd, recurrent.i.bwd: weight_ih (G * H, D), weight_hh (G * H, H), bias_ih and
            bias_hh (G * H,); the gates in torch's order
        norm.i.weight and norm.i.bias, behind recurrent layer i, where `layer_norm`
        lookahead.weight (H, frames), the first of them now
        fc.i.weight (out, in), fc.i.bias (out,)
        output.weight (labels, in), output.bias: first the blank, then the alphabet's symbols, last
            `num_silent` labels that spell nothing
    """

    weights: Arrays
    num_bins: int
    convolutions: tuple[Convolution, ...]
    recurrent: Recurrent
    num_recurrent: int
    bidirectional: bool
    directions: Literal["concatenated", "summed"]
    layer_norm: bool
    relu_limit: float | None  # of all ReLUs; None: they have none
    num_fully_connected: int
    has_lookahead: bool
    num_silent: int
    streaming: bool  # whether the graph is a step; only without padding in time and lookahead

    @property
    def hidden_size(self) -> int:
        """H: units of a recurrent layer in each direction."""
        return int(self.weights["recurrent.0.fwd.weight_hh"].shape[1])

    @property
    def time_stride(self) -> int:
        """Frames to one output."""
        return math.prod(conv.stride[1] for conv in self.convolutions)

    @property
    def num_labels(self) -> int:
        """V: the blank and the symbols."""
        return len(self.weights["output.bias"]) - self.num_silent

    @property
    def edge_frames(self) -> int:
        """Frames that convolutions without padding need after the first that an output is of."""
        frames, stride = 0, 1
        for i, conv in enumerate(self.convolutions):
            if not conv.padding[1]:
                frames += (self.weights[f"conv.{i}.weight"].shape[3] - 1) * stride
            stride *= conv.stride[1]
        return frames

    @property
    def delay(self) -> int:
        """Outputs of a stream's start that stand for frames before its first."""
        return -(-(self.edge_frames + 1 - self.time_stride) // self.time_stride)

    @property
    def summary(self) -> str:
        """The network in words."""
        kind = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[self.recurrent]
        direction = f"bidirectional ({self.directions})" if self.bidirectional else "forward"
        parts = [
            f"{len(self.convolutions)} convolutions",
            f"{self.num_recurrent} {direction} {kind} layers of {self.hidden_size}",
        ]
        if self.layer_norm:
            parts.append("layer normalisation")
        if self.has_lookahead:
            parts.append(f"lookahead {self.weights['lookahead.weight'].shape[1] - 1}")
        for i in range(self.num_fully_connected):
            parts.append(f"fully connected {len(self.weights[f'fc.{i}.bias'])}")
        return ", ".join(parts)


class Checkpoint:
    """The arrays of a checkpoint under their own names; a name that lacks is an error."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]], where: str) -> None:
        self.where = where
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def array(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """The array of that name. Raises InputError unless it is there, finite and of the shape.

        shape: None for an axis of any length.
        """
        if name not in self._arrays:
            raise InputError(
                f"{self.where}: holds no {name}: it is no Deep Speech 2 checkpoint of a kind that "
                "ds2 can import"
            )
        value = self._arrays[name]
        if len(value.shape) != len(shape) or any(
            length not in (None, found) for found, length in zip(value.shape, shape, strict=True)
        ):
            wanted = " x ".join("any" if length is None else str(length) for length in shape)
            found = " x ".join(map(str, value.shape))
            raise InputError(f"{self.where}: {name}: is {found}, not {wanted}")
        if not np.isfinite(value).all():
            raise InputError(
                f"{self.where}: {name}: holds NaN or infinity: take another checkpoint"
            )
        return value

    def count(self, pattern: str) -> int:
        """How many layers there are: of names with {} for the layer's index, from 0."""
        number = 0
        while pattern.format(number) in self._arrays:
            number += 1
        return number


def recurrent_kind(checkpoint: Checkpoint, name: str) -> tuple[Recurrent, int]:
    """The kind of a recurrent layer and its units, from its recurrent weight of that name."""
    rows, hidden = checkpoint.array(name, (None, None)).shape
    for kind, num_gates in NUM_GATES.items():
        if rows == num_gates * hidden:
            return kind, hidden
    raise InputError(f"{checkpoint.where}: {name}: {rows} x {hidden} is no RNN, GRU or LSTM")
