"""Checkpoints: one safetensors file each: weights and optimiser as tensors, the rest as JSON."""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.settings import settings_from
from ds2.text.alphabet import Alphabet
from ds2.training.config import RunConfig, config_from_dict, config_to_dict
from ds2.training.network.network import Network

FORMAT_VERSION = 1
HEADER = "ds2"
"""The key of the JSON facts in the file's metadata."""
NETWORK = "network."
OPTIMISER = "optimiser."
AVERAGE = "average."

LAST, PREVIOUS, BEST, AVERAGED = (
    f"{name}.safetensors" for name in ("last", "previous", "best", "averaged")
)


@dataclass(frozen=True)
class Best:
    """The best evaluation of a run so far."""

    wer: float
    cer: float
    step: int
    epoch: int


@dataclass(frozen=True)
class Progress:
    """Where a run stands: everything it needs to go on, except tensors and settings."""

    epoch: int = 0
    batch_index: int = 0  # minibatches of the epoch already used
    order: int | None = None  # a checksum of the epoch's minibatches, to notice a change
    step: int = 0  # steps of the optimiser done, skipped ones included
    evaluated_step: int = 0  # the step of the last evaluation
    audio_s: float = 0.0  # audio trained on, repetitions counted
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0  # over the steps since the last line in the journal
    loss_count: int = 0
    best: Best | None = None

    @property
    def mean_loss(self) -> float:
        """The mean loss of the steps since the last line in the journal; nan if none had a loss."""
        return self.loss_sum / self.loss_count if self.loss_count else float("nan")


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file."""

    config: RunConfig
    alphabet: Alphabet
    progress: Progress
    network: dict[str, Tensor]  # as Network.state_dict()
    optimiser: dict[str, Tensor]  # "recurrent.0.input_weight/exp_avg" and so on
    facts: Mapping[str, Any]  # versions, threads, processes: for people
    average: dict[str, Tensor] = field(default_factory=dict)  # of the weights; see averaging.py

    @property
    def evaluated_state(self) -> dict[str, Tensor]:
        """The weights that an evaluation judges: the averaged ones, if they have statistics.

        A checkpoint between evaluations holds averaged weights without the batch norm statistics
        that fit them. Then the network's own weights count.
        """
        names = self.network.keys()
        return {n: self.average[n] for n in names} if names <= self.average.keys() else self.network


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the whole file or nothing."""
    contents = checkpoint_bytes(checkpoint)
    with atomic_write(path, "wb") as file:
        file.write(contents)


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """The contents of a checkpoint's file."""
    tensors = {
        **_prefixed(NETWORK, checkpoint.network),
        **_prefixed(OPTIMISER, checkpoint.optimiser),
        **_prefixed(AVERAGE, checkpoint.average),
    }
    header = {
        "format_version": FORMAT_VERSION,
        "config": config_to_dict(checkpoint.config),
        "alphabet": checkpoint.alphabet.to_dict(),
        "progress": asdict(checkpoint.progress),
        "facts": dict(checkpoint.facts),
    }
    header["checksum"] = _checksum(header, tensors)
    contents: bytes = save(tensors, {HEADER: json.dumps(header, ensure_ascii=False)})
    return contents


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises InputError that names the file."""
    header, tensors = _read_file(path)
    if header.get("format_version") != FORMAT_VERSION:
        version = header.get("format_version")
        raise InputError(f"{path}: format version {version}; this ds2 reads {FORMAT_VERSION}")
    if header.pop("checksum", None) != _checksum(header, tensors):
        raise InputError(f"{path}: damaged: its contents do not match its checksum")
    try:
        return Checkpoint(
            config=config_from_dict(header["config"], str(path)),
            alphabet=Alphabet.from_dict(header["alphabet"]),
            progress=settings_from(Progress, header["progress"], str(path)),
            network=_without_prefix(NETWORK, tensors),
            optimiser=_without_prefix(OPTIMISER, tensors),
            facts=header["facts"],
            average=_without_prefix(AVERAGE, tensors),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: its header lacks {error}") from None


def checkpoint_path(source: Path) -> Path:
    """The checkpoint at a path: the file itself, or a run directory's best. Raises InputError."""
    if source.is_file():
        return source
    directory = source / "checkpoints"
    for name in (BEST, LAST, PREVIOUS):
        if (directory / name).is_file():
            return directory / name
    raise InputError(f"{source}: is neither a checkpoint nor a run directory that holds one")


def load_network(source: Path) -> tuple[Network, Checkpoint]:
    """The network of a checkpoint or run directory, in evaluation mode, and the checkpoint."""
    path = checkpoint_path(source)
    checkpoint = read_checkpoint(path)
    network = Network(checkpoint.config.network, len(checkpoint.alphabet))
    try:
        network.load_state_dict(checkpoint.evaluated_state)
    except RuntimeError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    return network.eval(), checkpoint


class CheckpointDirectory:
    """A run's checkpoints: the last and the one before it, the best, and some past epochs'."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write `last`. The old `last` becomes `previous`. One of them exists at every moment."""
        last = self.path / LAST
        if last.exists():
            _same_file(last, self.path / PREVIOUS)
        write_checkpoint(last, checkpoint)

    def keep_as_best(self, name: str = LAST) -> None:
        """Give this checkpoint the name of the best, too."""
        _same_file(self.path / name, self.path / BEST)

    def keep_epoch(self, epoch: int, num_kept: int) -> None:
        """Keep the last checkpoint for a finished epoch. Delete all but the newest `num_kept`."""
        if num_kept:
            _same_file(self.path / LAST, self.path / f"epoch-{epoch:04d}.safetensors")
        for path in self.epochs()[: -num_kept or None]:
            path.unlink()

    def epochs(self) -> list[Path]:
        """The checkpoints of finished epochs that still exist, oldest first."""
        return sorted(self.path.glob("epoch-[0-9]*.safetensors"))

    def newest(self) -> tuple[Path | None, list[str]]:
        """The newest sound checkpoint, None in a new run, and the errors of newer ones.

        A damaged checkpoint gets another name, so that it never replaces a sound one.
        Raises InputError if there are checkpoints but ds2 can read none.
        """
        problems: list[str] = []
        for name in (LAST, PREVIOUS, BEST):
            path = self.path / name
            if path.exists():
                try:
                    read_checkpoint(path)
                except InputError as error:
                    problems.append(str(error))
                    continue
                for damaged in (LAST, PREVIOUS, BEST)[: len(problems)]:
                    (self.path / damaged).replace(self.path / f"{damaged}.damaged")
                if name != LAST:
                    _same_file(path, self.path / LAST)
                return path, problems
        if problems:
            raise InputError(f"no checkpoint of this run can be read: {problems[0]}")
        return None, problems


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata[HEADER])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no checkpoint: {error}") from None
    except KeyError:
        raise InputError(f"{path}: a safetensors file, but no checkpoint of ds2") from None
    return header, tensors


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of the facts and of all tensors' names and values, in order of name."""
    checksum = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        values = tensors[name].detach().cpu().contiguous().reshape(-1)
        checksum = zlib.crc32(values.view(torch.uint8).numpy().data, checksum)
    return checksum


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _same_file(source: Path, target: Path) -> None:
    """Make `target` another name of a file that nobody changes again. Copy it without links."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without links
        shutil.copyfile(source, temporary)
    temporary.replace(target)
