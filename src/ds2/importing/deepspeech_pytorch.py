"""Read checkpoints of deepspeech.pytorch: packages of version 2, Lightning files of version 3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.importing.labels import Labels, read_labels
from ds2.importing.network import Checkpoint, Convolution, ForeignNetwork, recurrent_kind
from ds2.importing.writing import Imported, sha256_of
from ds2.model.magnitudes import MagnitudeConfig

BLANK = "_"
CONVOLUTIONS = (Convolution((2, 2), (20, 5)), Convolution((2, 1), (10, 5)))
KERNELS = ((41, 11), (21, 11))
CHANNELS = 32
RELU_LIMIT = 20.0
EPSILON = 1e-5
"""The epsilon of batch normalisation."""


def read_deepspeech_pytorch(path: Path, content: Mapping[str, Any]) -> Imported:
    """The model in a checkpoint's content: plain data, and arrays of weights.

    path: the file of the content. Raises InputError.
    """
    state = content.get("state_dict")
    if not isinstance(state, dict):
        raise InputError(f"{path}: has no state_dict: it is not a checkpoint of deepspeech.pytorch")
    hyper_parameters = content.get("hyper_parameters", content)  # version 3, or version 2
    where = str(path)
    tokens = _plain(_hyper_parameter(hyper_parameters, "labels", where))
    if not isinstance(tokens, list | str) or BLANK not in tokens:
        raise InputError(f'{where}: labels: "{BLANK}", the blank, is missing')
    tokens = list(tokens)
    labels = read_labels(tokens, tokens.index(BLANK), f"{where}: labels")
    named = "spect_cfg" if "spect_cfg" in hyper_parameters else "audio_conf"
    features = _features(
        _plain(_hyper_parameter(hyper_parameters, named, where)), f"{where}: {named}"
    )
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    network = _network(Checkpoint(arrays, where), labels, features.num_bins)
    origin = {"from": "deepspeech.pytorch", "checkpoint": path.name, "sha256": sha256_of(path)}
    return Imported(network, labels.alphabet, features, origin)


def _hyper_parameter(hyper_parameters: Any, name: str, where: str) -> Any:
    if not isinstance(hyper_parameters, dict) or name not in hyper_parameters:
        raise InputError(f"{where}: has no {name}: it is not a checkpoint of deepspeech.pytorch")
    return hyper_parameters[name]


def _plain(value: Any) -> Any:
    """The plain value in a record of OmegaConf, of an enumeration or of a dataclass."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    held = getattr(value, "__dict__", None)
    if held is None:
        return value
    if "_content" in held:  # of OmegaConf's containers
        return _plain(held["_content"])
    if "_val" in held:  # of OmegaConf's values
        return _plain(held["_val"])
    if held.get("made_from"):  # an enumeration's value
        return _plain(held["made_from"][0])
    return {key: _plain(item) for key, item in held.items() if key != "made_from"}


def _features(settings: Any, where: str) -> MagnitudeConfig:
    if not isinstance(settings, dict):
        raise InputError(f"{where}: has no settings")
    try:
        return MagnitudeConfig(
            sample_rate_hz=int(settings.get("sample_rate", 16_000)),
            window_ms=1000 * float(settings.get("window_size", 0.02)),
            stride_ms=1000 * float(settings.get("window_stride", 0.01)),
            window_shape=cast(Any, str(settings.get("window", "hamming"))),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from None


def _network(checkpoint: Checkpoint, labels: Labels, num_bins: int) -> ForeignNetwork:
    weights: dict[str, NDArray[np.float32]] = {}
    width = num_bins
    for i, (conv, kernel) in enumerate(zip(CONVOLUTIONS, KERNELS, strict=True)):
        name, norm = f"conv.seq_module.{3 * i}", f"conv.seq_module.{3 * i + 1}"
        channels = CHANNELS if i else 1
        weight = checkpoint.array(f"{name}.weight", (CHANNELS, channels, *kernel))
        bias = checkpoint.array(f"{name}.bias", (CHANNELS,))
        scale, shift = _batch_norm(checkpoint, norm, CHANNELS)
        weights[f"conv.{i}.weight"] = weight * scale[:, None, None, None]
        weights[f"conv.{i}.bias"] = bias * scale + shift
        width = (width + 2 * conv.padding[0] - kernel[0]) // conv.stride[0] + 1
    first = "rnns.0.rnn.weight_hh_l0"
    recurrent, hidden = recurrent_kind(checkpoint, first)
    bidirectional = f"{first}_reverse" in checkpoint
    num_layers = checkpoint.count("rnns.{}.rnn.weight_hh_l0")
    directions = (("fwd", ""), ("bwd", "_reverse"))[: 1 + bidirectional]
    width *= CHANNELS
    for i in range(num_layers):
        for direction, suffix in directions:
            layer = _recurrent_layer(checkpoint, i, suffix, width)
            weights |= {f"recurrent.{i}.{direction}.{part}": layer[part] for part in layer}
        width = hidden
    has_lookahead = "lookahead.0.conv.weight" in checkpoint
    if has_lookahead:
        weight = checkpoint.array("lookahead.0.conv.weight", (hidden, 1, None))
        weights["lookahead.weight"] = weight[:, 0]
    elif not bidirectional:
        raise InputError(
            f"{checkpoint.where}: has no lookahead.0.conv.weight, which a forward network needs"
        )
    weight = checkpoint.array("fc.0.module.1.weight", (len(labels.order), hidden))
    scale, shift = _batch_norm(checkpoint, "fc.0.module.0", hidden)
    weights["output.weight"] = labels.in_order(weight * scale)
    weights["output.bias"] = labels.in_order(weight @ shift)
    return ForeignNetwork(
        weights=weights,
        num_bins=num_bins,
        convolutions=CONVOLUTIONS,
        recurrent=recurrent,
        num_recurrent=num_layers,
        bidirectional=bidirectional,
        directions="summed",
        layer_norm=False,
        relu_limit=RELU_LIMIT,
        num_fully_connected=0,
        has_lookahead=has_lookahead,
        num_silent=labels.num_silent,
        streaming=False,  # features are normalised by clip
    )


def _recurrent_layer(
    checkpoint: Checkpoint, i: int, suffix: str, width: int
) -> dict[str, NDArray[np.float32]]:
    """One direction of a layer, with the batch normalisation of its input folded in."""
    name = f"rnns.{i}.rnn."
    rows, hidden = checkpoint.array(f"{name}weight_hh_l0{suffix}", (None, None)).shape
    layer = {
        "weight_ih": checkpoint.array(f"{name}weight_ih_l0{suffix}", (rows, width)),
        "weight_hh": checkpoint.array(f"{name}weight_hh_l0{suffix}", (rows, hidden)),
        "bias_ih": checkpoint.array(f"{name}bias_ih_l0{suffix}", (rows,)),
        "bias_hh": checkpoint.array(f"{name}bias_hh_l0{suffix}", (rows,)),
    }
    if i:
        scale, shift = _batch_norm(checkpoint, f"rnns.{i}.batch_norm.module", width)
        layer["bias_ih"] = layer["bias_ih"] + layer["weight_ih"] @ shift
        layer["weight_ih"] = layer["weight_ih"] * scale
    return layer


def _batch_norm(
    checkpoint: Checkpoint, name: str, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The factor and the addend of batch normalisation in recognition."""
    weight, bias, mean, variance = (
        checkpoint.array(f"{name}.{part}", (width,))
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = np.asarray(weight / np.sqrt(variance + EPSILON), np.float32)
    return scale, np.asarray(bias - mean * scale, np.float32)
