"""Read Deep Speech 2 models of MASR (torch) and PPASR (PaddlePaddle), which have one design."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.importing.crnn import CrnnNames, read_crnn
from ds2.importing.files import read_lines, read_yaml, take
from ds2.importing.labels import read_labels
from ds2.importing.network import Checkpoint
from ds2.importing.writing import Imported, sha256_of
from ds2.model.filter_banks import FilterBankConfig

NAMES = {
    "MASR": CrnnNames(
        recurrent=("encoder.rnns.{}.rnn.", "encoder.rnns.{}.rnn.rnn."),  # LSTM, GRU
        norm="encoder.rnns.{}.layer_norm.",
        linear_is_transposed=False,
    ),
    "PPASR": CrnnNames(
        recurrent=("encoder.rnn.{}.",),
        norm="encoder.layernorm_list.{}.",
        linear_is_transposed=True,
    ),
}
FLOORS = {"MASR": 1.1920929e-07, "PPASR": 1e-7}
"""The lowest energy in the filter banks of torchaudio and of PaddlePaddle."""


def read_masr(
    toolkit: Literal["MASR", "PPASR"],
    path: Path,
    arrays: Mapping[str, NDArray[np.float32]],
    *,
    config: Path,
    vocabulary: Path,
) -> Imported:
    """The model of a checkpoint's arrays, its configuration and its list of tokens.

    path: the file of the arrays. Raises InputError.
    """
    settings = read_yaml(config)
    if settings.get("use_model", "deepspeech2") != "deepspeech2":
        raise InputError(f'{config}: use_model: "{settings["use_model"]}": is not deepspeech2')
    checkpoint = Checkpoint(arrays, str(path))
    preprocessing = take(settings, "preprocess_conf", dict, config)
    features = _features(toolkit, preprocessing, checkpoint, config)
    lines = read_lines(vocabulary)
    if lines and not lines[-1]:
        lines.pop()
    tokens = [line.split("\t")[0] for line in lines]
    if "<blank>" not in tokens:
        raise InputError(f"{vocabulary}: has no <blank>")
    labels = read_labels(tokens, tokens.index("<blank>"), str(vocabulary))
    network = read_crnn(
        checkpoint,
        NAMES[toolkit],
        labels,
        num_bins=features.num_bins,
        streaming=features.causal,
    )
    origin = {"from": toolkit, "checkpoint": path.name, "sha256": sha256_of(path)}
    return Imported(network, labels.alphabet, features, origin)


def _features(
    toolkit: Literal["MASR", "PPASR"],
    settings: dict[str, Any],
    checkpoint: Checkpoint,
    config: Path,
) -> FilterBankConfig:
    """The front end; the corpus's mean and deviation are in the checkpoint."""
    where = f"{config}: preprocess_conf"
    method = take(settings, "feature_method", str, where, "fbank")
    if method != "fbank":
        raise InputError(f'{where}: feature_method: "{method}": ds2 imports only fbank')
    num_bins = take(settings, "n_mels", int, where, 80)
    rate = take(settings, "sample_rate", int, where, 16_000)
    level_db = None
    if take(settings, "use_dB_normalization", bool, where, True):
        level_db = take(settings, "target_dB", float, where, -20.0)
    means = checkpoint.array("encoder.global_cmvn.mean", (num_bins,))
    factors = checkpoint.array("encoder.global_cmvn.istd", (num_bins,))
    if not (factors > 0).all():
        raise InputError(f"{checkpoint.where}: encoder.global_cmvn.istd: must be positive")
    try:
        return FilterBankConfig(
            sample_rate_hz=rate,
            num_bins=num_bins,
            highest_hz=rate / 2,
            floor=FLOORS[toolkit],
            means=tuple(means.tolist()),
            deviations=tuple((1 / factors).tolist()),
            clip_level_db=level_db,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
