"""A network of another toolkit with our names, from which we build the graph."""

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
    """A convolution over bins and time; its weight has the size of the kernel."""

    stride: tuple[int, int]  # bins, time
    padding: tuple[int, int] = (0, 0)  # zeros on either side: bins, time


@dataclass(frozen=True)
class ForeignNetwork:
    """Convolutions, recurrent layers, perhaps a lookahead, fully connected layers, an output.

    weights: float32, with batch normalisation folded in:
        conv.i.weight (out, in, bins, time), conv.i.bias (out,)
        recurrent.i.fwd, recurrent.i.bwd: weight_ih (G * H, D), weight_hh (G * H, H), bias_ih and
            bias_hh (G * H,); the gates in torch's order
        norm.i.weight and norm.i.bias, behind recurrent layer i, if `layer_norm`
        lookahead.weight (H, frames); the first frame is the current one
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
    relu_limit: float | None  # of all ReLUs; None: no limit
    num_fully_connected: int
    has_lookahead: bool
    num_silent: int
    streaming: bool  # whether the graph is a step; not with padding in time or lookahead

    @property
    def hidden_size(self) -> int:
        """H, the number of units of a recurrent layer in each direction."""
        return int(self.weights["recurrent.0.fwd.weight_hh"].shape[1])

    @property
    def time_stride(self) -> int:
        """Number of frames for each output."""
        return math.prod(conv.stride[1] for conv in self.convolutions)

    @property
    def num_labels(self) -> int:
        """V, the number of labels: the blank and the symbols."""
        return len(self.weights["output.bias"]) - self.num_silent

    @property
    def edge_frames(self) -> int:
        """Number of frames that convolutions without padding need after an output's first frame."""
        frames, stride = 0, 1
        for i, conv in enumerate(self.convolutions):
            if not conv.padding[1]:
                frames += (self.weights[f"conv.{i}.weight"].shape[3] - 1) * stride
            stride *= conv.stride[1]
        return frames

    @property
    def delay(self) -> int:
        """Number of outputs at a stream's start that stand for frames before its first frame."""
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
    """The arrays of a checkpoint with their own names; a missing name is an error."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]], where: str) -> None:
        self.where = where
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def array(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """The array with this name. Raises InputError if it is missing, not finite or misshapen.

        shape: None for an axis of any length.
        """
        if name not in self._arrays:
            raise InputError(
                f"{self.where}: has no {name}: it is not a Deep Speech 2 checkpoint that ds2 can "
                "import"
            )
        value = self._arrays[name]
        if len(value.shape) != len(shape) or any(
            length not in (None, found) for found, length in zip(value.shape, shape, strict=True)
        ):
            wanted = " x ".join("any" if length is None else str(length) for length in shape)
            found = " x ".join(map(str, value.shape))
            raise InputError(f"{self.where}: {name}: has shape {found}, not {wanted}")
        if not np.isfinite(value).all():
            raise InputError(f"{self.where}: {name}: has NaN or infinity: use another checkpoint")
        return value

    def count(self, pattern: str) -> int:
        """The number of layers. pattern: the name of an array, with {} for the layer's index."""
        number = 0
        while pattern.format(number) in self._arrays:
            number += 1
        return number


def recurrent_kind(checkpoint: Checkpoint, name: str) -> tuple[Recurrent, int]:
    """The kind of a recurrent layer and its units. name: the name of its recurrent weight."""
    rows, hidden = checkpoint.array(name, (None, None)).shape
    for kind, num_gates in NUM_GATES.items():
        if rows == num_gates * hidden:
            return kind, hidden
    raise InputError(
        f"{checkpoint.where}: {name}: no RNN, GRU or LSTM has the shape {rows} x {hidden}"
    )
