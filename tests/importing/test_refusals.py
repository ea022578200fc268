"""ds2 refuses what it cannot import with one line that says why, and runs and writes nothing."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aids.archives import imported, write_checkpoint
from ds2.cli import main
from ds2.errors import InputError
from ds2.importing.labels import read_labels
from ds2.importing.pickles import read_arrays


class Crafted:
    """An object that is pickled as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    """The line with which `ds2 import` refuses; no bundle exists afterwards."""
    assert main(["import", *arguments, "-o", str(folder / "bundle")]) == 2
    assert not (folder / "bundle").exists()
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def touching(path: Path) -> Crafted:
    return Crafted(os.system, f"touch {path}")


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_names_a_function_is_refused_and_not_run(
    protocol: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps({"a": touching(tmp_path / "touched")}, protocol))
    with pytest.raises(InputError, match=r"names posix\.system: refused"):
        read_arrays(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "crafted",
    [
        Crafted(eval, "1"),
        Crafted(getattr, dict, "fromkeys"),
        Crafted(np.fromfile, "/etc/passwd"),
        Crafted(np.load, "/etc/passwd"),
        np.array([{}], object),
        np.array(["text"]),
        np.zeros(1, "f4,i8"),
    ],
    ids=["eval", "getattr", "fromfile", "load", "objects", "text", "fields"],
)
def test_a_pickle_of_anything_but_numbers_is_refused(crafted: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps({"a": np.zeros(2, np.float32), "b": crafted}, 4))
    with pytest.raises(InputError, match=r"model\.pdparams: names .*refused"):
        read_arrays(path)


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_all_protocols_and_types_are_read(protocol: int, tmp_path: Path) -> None:
    content = {
        "double": np.arange(6, dtype=np.float64).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "half": np.arange(3, dtype=np.float16),
        "other end first": np.arange(3, dtype=">f4"),
        "none": np.zeros((0, 4), np.float32),
        "StructuredToParameterName@@": {"double": "linear_0.w_0"},
    }
    path = tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps(content, protocol))
    arrays = read_arrays(path)
    assert set(arrays) == set(content) - {"StructuredToParameterName@@"}
    for name, value in arrays.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, content[name])


def test_a_pickle_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    whole = pickle.dumps({"a": np.arange(4, dtype=np.float32), "b": {"c": "d"}}, 4)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"model\.pdparams: (is cut off|holds|is no)"):
            read_arrays(path)


def test_a_pickle_of_noise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    generator = np.random.default_rng(0)
    whole = bytearray(pickle.dumps({"a": np.arange(4, dtype=np.float32)}, 4))
    for _ in range(300):
        damaged = bytearray(whole)
        for index in generator.integers(0, len(damaged), 3):
            damaged[index] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            arrays = read_arrays(path)
        except InputError:
            continue
        assert all(isinstance(value, np.ndarray) for value in arrays.values())


def test_a_torch_file_that_names_a_function_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {}, "labels": touching(tmp_path / "touched")}, path)
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert "names posix.system: refused" in message
    assert not (tmp_path / "touched").exists()


def test_a_torch_file_that_is_cut_off_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint("deepspeech.pytorch", "forward-rnn", tmp_path)
    path = tmp_path / "model.ckpt"
    whole = path.read_bytes()
    for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
        assert "model.ckpt: is cut off or no checkpoint of torch" in message


def test_files_of_another_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.ckpt"
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert "model.ckpt: no such file" in message
    torch.save([1], path)
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert "model.ckpt: is no checkpoint: it holds a list" in message
    torch.save({"weights": torch.zeros(1)}, path)
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert "model.ckpt: has no state_dict" in message
    torch.save({"state_dict": {}, "labels": "AB"}, path)
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert 'model.ckpt: labels: "_", the blank, is missing' in message
    torch.save({"state_dict": {}, "labels": "_AB", "audio_conf": {}}, path)
    message = refused(capsys, tmp_path, "deepspeech.pytorch", str(path))
    assert "model.ckpt: has no conv.seq_module.0.weight" in message


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no archive": (shutil.rmtree, "no such directory: unpack the archive first"),
    "no checkpoint": (
        lambda d: next(d.rglob("*.pdparams")).unlink(),
        "has no .pdparams file",
    ),
    "two checkpoints": (
        lambda d: shutil.copy(next(d.rglob("*.pdparams")), d / "other.pdparams"),
        "has several checkpoints: choose one with --checkpoint",
    ),
    "no configuration": (
        lambda d: (d / "conf/deepspeech2.yaml").unlink(),
        "conf: must have one deepspeech2*.yaml: choose one with --config: none",
    ),
    "no preprocessing": (
        lambda d: (d / "conf/preprocess.yaml").unlink(),
        "conf/preprocess.yaml: no such file",
    ),
    "no vocabulary": (
        lambda d: (d / "data/lang_char/vocab.txt").unlink(),
        "data/lang_char/vocab.txt: no such file",
    ),
    "no statistics": (
        lambda d: (d / "data/mean_std.json").unlink(),
        "data/mean_std.json: no such file",
    ),
    "broken YAML": (
        lambda d: (d / "conf/deepspeech2.yaml").write_text("a: [1"),
        "conf/deepspeech2.yaml: is not YAML",
    ),
    "broken JSON": (
        lambda d: (d / "data/mean_std.json").write_text("{"),
        "data/mean_std.json: is not JSON",
    ),
    "other statistics": (
        lambda d: edit(d / "data/mean_std.json", '"mean_stat": [12000.0, ', '"mean_stat": ['),
        "data/mean_std.json: mean_stat: must have 23 numbers, not 22",
    ),
    "shorter vocabulary": (
        lambda d: edit(d / "data/lang_char/vocab.txt", "三\n", ""),
        "vocab.txt: has 7 labels, but",
    ),
    "blank line": (
        lambda d: edit(d / "data/lang_char/vocab.txt", "三\n", "\n"),
        "vocab.txt: line 5: has no token",
    ),
    "words": (
        lambda d: edit(d / "data/lang_char/vocab.txt", "三\n", "三百\n"),
        'vocab.txt: label 4, "三百": has 2 characters',
    ),
    "twice": (
        lambda d: edit(d / "data/lang_char/vocab.txt", "三\n", "二\n"),
        'vocab.txt: symbols: "二" appears 2 times',
    ),
    "pieces": (
        lambda d: edit(d / "conf/deepspeech2.yaml", "'char'", "spm"),
        'conf/deepspeech2.yaml: unit_type: "spm"',
    ),
    "other layers": (
        lambda d: edit(d / "conf/deepspeech2.yaml", "num_rnn_layers: 3", "num_rnn_layers: 5"),
        "conf/deepspeech2.yaml: num_rnn_layers: is 5, but",
    ),
    "other direction": (
        lambda d: edit(d / "conf/deepspeech2.yaml", "forward", "bidirect"),
        "conf/deepspeech2.yaml: rnn_direction: is bidirect, but",
    ),
    "other front end": (
        lambda d: edit(d / "conf/preprocess.yaml", "fbank_kaldi", "stft"),
        'conf/preprocess.yaml: process[0]: type: "stft"',
    ),
    "wrong type": (
        lambda d: edit(d / "conf/preprocess.yaml", "n_mels: 23", "n_mels: many"),
        "conf/preprocess.yaml: process[0]: n_mels: 'many' is not of type int",
    ),
    "other bins": (
        lambda d: (
            edit(d / "conf/preprocess.yaml", "n_mels: 23", "n_mels: 40"),
            (d / "data/mean_std.json").write_text(
                json.dumps({"mean_stat": [0] * 40, "var_stat": [1] * 40, "frame_num": 1})
            ),
        ),
        "encoder.rnn.0.weight_ih_l0: has shape 32 x 160, not 32 x 288",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_archives_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, expected = DAMAGE[name]
    arguments = write_checkpoint("paddlespeech", "forward-lstm", tmp_path / "archive")
    damage(tmp_path / "archive")
    assert expected in refused(capsys, tmp_path, *arguments)


def test_weights_that_are_missing_or_no_numbers_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = write_checkpoint("paddlespeech", "forward-lstm", tmp_path / "archive")
    path = next((tmp_path / "archive").rglob("*.pdparams"))
    weights = pickle.loads(path.read_bytes())
    weights["decoder.ctc_lo.bias"][0] = np.nan
    path.write_bytes(pickle.dumps(weights, 4))
    message = refused(capsys, tmp_path, *arguments)
    assert "avg_1.pdparams: decoder.ctc_lo.bias: has NaN or infinity" in message
    del weights["encoder.layernorm_list.1.bias"]
    path.write_bytes(pickle.dumps(weights, 4))
    message = refused(capsys, tmp_path, *arguments)
    assert "avg_1.pdparams: has no encoder.layernorm_list.1.bias" in message


def test_labels_are_read_as_they_are_meant() -> None:
    labels = read_labels(["<unk>", "A", "_", " ", "é"], 2, "labels")
    assert labels.alphabet.symbols == ("a", " ", "é")
    assert labels.alphabet.language == "en"
    assert labels.order == [2, 1, 3, 4, 0]
    assert labels.num_silent == 1
    assert read_labels(["_", "A", "a", "中"], 0, "labels").alphabet.symbols == ("A", "a", "中")
    with pytest.raises(InputError, match="labels: has 2 labels, but the blank is number 2"):
        read_labels(["a", "b"], 2, "labels")


def test_training_does_not_go_on_from_an_imported_model(tmp_path: Path) -> None:
    from aids.models import TINY
    from ds2.text.alphabet import english_characters
    from ds2.training.network.config import NetworkConfig
    from ds2.training.network.network import Network
    from ds2.training.run.beginning import begin_from

    bundle = imported("paddlespeech", "forward-lstm", tmp_path)
    network = Network(NetworkConfig(**{**vars(TINY), "batch_norm": False}), 29)
    with pytest.raises(InputError, match="was imported from PaddleSpeech"):
        begin_from(network, english_characters(), bundle.path)
