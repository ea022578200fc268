"""Read the archives of Deep Speech 2 models that PaddleSpeech publishes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.importing.crnn import CrnnNames, read_crnn
from ds2.importing.files import read_json, read_lines, read_yaml, take, take_numbers
from ds2.importing.labels import read_labels
from ds2.importing.network import Checkpoint, ForeignNetwork
from ds2.importing.pickles import read_arrays
from ds2.importing.writing import Imported, sha256_of
from ds2.model.filter_banks import FilterBankConfig

NAMES = CrnnNames(
    recurrent=("encoder.rnn.{}.",),
    norm="encoder.layernorm_list.{}.",
    linear_is_transposed=True,
)
ONLY_IN_TRAINING = ("time_warp", "freq_mask", "time_mask", "specaug")
FLOOR = 1e-7
"""The lowest energy in PaddlePaddle's filter banks."""
LEAST_DEVIATION = 1e-20


def read_paddlespeech(
    directory: Path, *, config: Path | None = None, checkpoint: Path | None = None
) -> Imported:
    """The model in an unpacked archive.

    config, checkpoint: needed if the archive has several; otherwise ds2 takes the only one, or the
        configuration with the name of the checkpoint's experiment.

    Raises InputError.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory: unpack the archive first")
    weights_path = checkpoint or _only_checkpoint(directory)
    config_path = config or _config_of(directory, weights_path)
    settings = read_yaml(config_path)
    if take(settings, "unit_type", str, config_path, "char") != "char":
        raise InputError(
            f'{config_path}: unit_type: "{settings["unit_type"]}": ds2 imports only models that '
            "spell in single characters"
        )
    features = _features(directory, config_path, settings)
    vocabulary = directory / take(settings, "vocab_filepath", str, config_path)
    tokens = _tokens(vocabulary)
    blank = take(settings, "blank_id", int, config_path, 0)
    labels = read_labels(tokens, blank, str(vocabulary))
    network = read_crnn(
        Checkpoint(read_arrays(weights_path), str(weights_path)),
        NAMES,
        labels,
        num_bins=features.num_bins,
        streaming=True,
    )
    _compare(network, settings, config_path, weights_path)
    origin = {
        "from": "PaddleSpeech",
        "checkpoint": weights_path.name,
        "sha256": sha256_of(weights_path),
    }
    return Imported(network, labels.alphabet, features, origin)


def _only_checkpoint(directory: Path) -> Path:
    found = sorted(directory.rglob("*.pdparams"))
    if not found:
        raise InputError(
            f"{directory}: has no .pdparams file: an archive has one in exp/.../checkpoints (ds2 "
            "cannot import exported models, .pdmodel and .pdiparams)"
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(directory)) for path in found)
        raise InputError(
            f"{directory}: has several checkpoints: choose one with --checkpoint: {names}"
        )
    return found[0]


def _config_of(directory: Path, weights_path: Path) -> Path:
    """model.yaml, or the configuration with the experiment's name, or the only configuration."""
    if (directory / "model.yaml").is_file():
        return directory / "model.yaml"
    found = sorted((directory / "conf").glob("deepspeech2*.yaml"))
    named = [path for path in found if path.stem in weights_path.parts]
    if len(named or found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{directory / 'conf'}: must have one deepspeech2*.yaml: choose one with --config: "
            f"{names}"
        )
    return (named or found)[0]


def _features(directory: Path, config_path: Path, settings: dict[str, Any]) -> FilterBankConfig:
    """The front end that preprocess.yaml describes."""
    path = directory / take(settings, "preprocess_config", str, config_path)
    found: FilterBankConfig | None = None
    for index, step in enumerate(take(read_yaml(path), "process", list, path)):
        where = f"{path}: process[{index}]"
        if not isinstance(step, dict):
            raise InputError(f"{where}: is not an object with a type")
        kind = take(step, "type", str, where)
        if kind == "fbank_kaldi" and found is None:
            found = _filter_banks(step, where)
        elif kind == "cmvn_json" and found is not None and not found.means:
            statistics = directory / take(step, "cmvn_path", str, where)
            found = _normalised(found, statistics)
        elif kind not in ONLY_IN_TRAINING:
            raise InputError(
                f'{where}: type: "{kind}": ds2 knows only fbank_kaldi, followed by cmvn_json'
            )
    if found is None:
        raise InputError(f"{path}: process: has no fbank_kaldi")
    return found


def _filter_banks(step: dict[str, Any], where: str) -> FilterBankConfig:
    rate = take(step, "fs", int, where, 16_000)
    try:
        return FilterBankConfig(
            sample_rate_hz=rate,
            window_ms=1000 * take(step, "win_length", int, where, 400) / rate,
            stride_ms=1000 * take(step, "n_shift", int, where, 160) / rate,
            num_bins=take(step, "n_mels", int, where, 80),
            highest_hz=rate / 2,
            floor=FLOOR,
        )
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{where}: {error}") from None


def _normalised(features: FilterBankConfig, path: Path) -> FilterBankConfig:
    """The features with the mean and the deviation of a corpus, from sums over its frames."""
    data = read_json(path)
    count = take(data, "frame_num", float, path)
    if not count > 0:
        raise InputError(f"{path}: frame_num: must be positive")
    sums = np.array(take_numbers(data, "mean_stat", features.num_bins, path))
    squares = np.array(take_numbers(data, "var_stat", features.num_bins, path))
    means = sums / count
    variances = np.maximum(squares / count - means**2, 0)
    deviations = np.maximum(np.sqrt(variances), LEAST_DEVIATION)
    return replace(features, means=tuple(means.tolist()), deviations=tuple(deviations.tolist()))


def _tokens(path: Path) -> list[str]:
    """The tokens as PaddleSpeech reads them: one in each line; it adds a missing blank and end."""
    lines = read_lines(path)
    if lines and not lines[-1]:
        lines.pop()
    tokens = [line.split(" ")[0] for line in lines]
    for number, token in enumerate(tokens, 1):
        if not token:
            raise InputError(f"{path}: line {number}: has no token")
    if "<blank>" not in tokens:
        tokens.insert(0, "<blank>")
    if "<eos>" not in tokens:
        tokens.append("<eos>")
    return tokens


def _compare(
    network: ForeignNetwork, settings: dict[str, Any], config_path: Path, weights_path: Path
) -> None:
    """Raise InputError if the configuration describes another network."""
    found = {
        "num_rnn_layers": network.num_recurrent,
        "rnn_layer_size": network.hidden_size,
        "use_gru": network.recurrent == "gru",
        "num_fc_layers": network.num_fully_connected,
    }
    for key, value in found.items():
        told = settings.get(key, value)
        if told != value:
            raise InputError(
                f"{config_path}: {key}: is {told}, but {weights_path} has {value}: the files "
                "belong to different models"
            )
    direction = str(settings.get("rnn_direction", ""))
    if direction and direction.startswith("bidirect") != network.bidirectional:
        is_told = "bidirectional" if network.bidirectional else "forward"
        raise InputError(
            f"{config_path}: rnn_direction: is {direction}, but {weights_path} is {is_told}: the "
            "files belong to different models"
        )
