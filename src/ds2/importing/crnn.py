"""The Deep Speech 2 of PaddleSpeech, MASR and PPASR: no padding, layer normalisation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.importing.labels import Labels
from ds2.importing.network import Checkpoint, Convolution, ForeignNetwork, recurrent_kind

CHANNELS = 32
KERNEL = 3
STRIDE = 2


@dataclass(frozen=True)
class CrnnNames:
    """A toolkit's names for the parts of layer {}, and the layout of its linear layers."""

    recurrent: tuple[str, ...]  # possible names, e.g. "encoder.rnn.{}."; the first found counts
    norm: str
    linear_is_transposed: bool  # (in, out), as in PaddlePaddle


def read_crnn(
    checkpoint: Checkpoint,
    names: CrnnNames,
    labels: Labels,
    *,
    num_bins: int,
    streaming: bool,
) -> ForeignNetwork:
    """The network of a checkpoint's arrays.

    streaming: whether a forward network becomes a step.
    Raises InputError that names an array that is missing or has another shape.
    """
    prefix = next(
        (name for name in names.recurrent if checkpoint.count(f"{name}weight_hh_l0")),
        names.recurrent[0],
    )
    recurrent, hidden = recurrent_kind(checkpoint, f"{prefix.format(0)}weight_hh_l0")
    bidirectional = f"{prefix.format(0)}weight_hh_l0_reverse" in checkpoint
    weights = _convolutions(checkpoint)
    width = CHANNELS * _subsampled(_subsampled(num_bins))
    num_layers = checkpoint.count(f"{prefix}weight_hh_l0")
    weights |= _recurrent(checkpoint, names, prefix, num_layers, width, hidden, bidirectional)
    width = hidden * (1 + bidirectional)
    num_fully_connected = checkpoint.count("encoder.fc_layers_list.{}.weight")
    for i in range(num_fully_connected):
        layer = f"encoder.fc_layers_list.{i}"
        weight, bias = _linear(checkpoint, layer, width, names.linear_is_transposed)
        weights[f"fc.{i}.weight"], weights[f"fc.{i}.bias"] = weight, bias
        width = len(bias)
    weight, bias = _linear(checkpoint, "decoder.ctc_lo", width, names.linear_is_transposed)
    if len(bias) != len(labels.order):
        raise InputError(
            f"{labels.where}: has {len(labels.order)} labels, but {checkpoint.where} has "
            f"{len(bias)}: the files belong to different models"
        )
    weights["output.weight"] = labels.in_order(weight)
    weights["output.bias"] = labels.in_order(bias)
    return ForeignNetwork(
        weights=weights,
        num_bins=num_bins,
        convolutions=(Convolution((STRIDE, STRIDE)), Convolution((STRIDE, STRIDE))),
        recurrent=recurrent,
        num_recurrent=num_layers,
        bidirectional=bidirectional,
        directions="concatenated",
        layer_norm=True,
        relu_limit=None,
        num_fully_connected=num_fully_connected,
        has_lookahead=False,
        num_silent=labels.num_silent,
        streaming=streaming and not bidirectional,
    )


def _recurrent(
    checkpoint: Checkpoint,
    names: CrnnNames,
    prefix: str,
    num_layers: int,
    width: int,
    hidden: int,
    bidirectional: bool,
) -> dict[str, NDArray[np.float32]]:
    """The recurrent layers and their normalisations. width: the size of the first layer's input."""
    weights = {}
    rows = checkpoint.array(f"{prefix.format(0)}weight_hh_l0", (None, hidden)).shape[0]
    for i in range(num_layers):
        for direction, suffix in (("fwd", ""), ("bwd", "_reverse"))[: 1 + bidirectional]:
            shapes = {
                "weight_ih": (rows, width),
                "weight_hh": (rows, hidden),
                "bias_ih": (rows,),
                "bias_hh": (rows,),
            }
            for part, shape in shapes.items():
                name = f"{prefix.format(i)}{part}_l0{suffix}"
                weights[f"recurrent.{i}.{direction}.{part}"] = checkpoint.array(name, shape)
        width = hidden * (1 + bidirectional)
        for part in ("weight", "bias"):
            weights[f"norm.{i}.{part}"] = checkpoint.array(names.norm.format(i) + part, (width,))
    return weights


def _convolutions(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """The convolutions in our layout (bins, time); the toolkits have (time, bins)."""
    weights = {}
    for i, (name, channels) in enumerate(
        (("encoder.conv.conv.0", 1), ("encoder.conv.conv.2", CHANNELS))
    ):
        weight = checkpoint.array(f"{name}.weight", (CHANNELS, channels, KERNEL, KERNEL))
        weights[f"conv.{i}.weight"] = np.ascontiguousarray(weight.transpose(0, 1, 3, 2))
        weights[f"conv.{i}.bias"] = checkpoint.array(f"{name}.bias", (CHANNELS,))
    return weights


def _linear(
    checkpoint: Checkpoint, name: str, width: int, is_transposed: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weight (out, in) and the bias of a linear layer."""
    shape = (width, None) if is_transposed else (None, width)
    weight = checkpoint.array(f"{name}.weight", shape)
    weight = weight.T if is_transposed else weight
    return weight, checkpoint.array(f"{name}.bias", (len(weight),))


def _subsampled(num_bins: int) -> int:
    """The number of bins after a convolution without padding."""
    return (num_bins - KERNEL) // STRIDE + 1
