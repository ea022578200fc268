"""What may change in a run that goes on: its settings, and its end by a final decay."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.training.config import RunConfig, config_to_dict, override_config
from ds2.training.optimisation.schedule import learning_rate
from ds2.training.run.checkpoint import (
    LAST,
    PREVIOUS,
    Checkpoint,
    Progress,
    read_checkpoint,
    write_checkpoint,
)
from ds2.training.run.journal import METRICS

FIXED = {
    "features": "the weights have learnt from these features",
    "network": "the weights are of this network",
    "data.language": "the alphabet is made",
    "data.alphabet": "the alphabet is made",
    "data.min_count": "the alphabet is made",
    "training.optimiser": "what it remembers is of this one",
    "training.seed": "the order of the minibatches follows from it",
    "training.init_from": "it has begun",
}
"""Settings of a run that stay, by table or key, and why."""
FREE = ("network.dropout",)
"""Keys of those tables that may change all the same."""


def changed_settings(before: RunConfig, after: RunConfig) -> dict[str, list[Any]]:
    """The settings that differ: {"training.learning_rate": [1e-3, 5e-4]}."""
    old, new = config_to_dict(before), config_to_dict(after)
    return {
        f"{table}.{key}": [old[table][key], value]
        for table, values in new.items()
        for key, value in values.items()
        if old[table][key] != value
    }


def refuse_changes(before: RunConfig, after: RunConfig, run_dir: Path) -> None:
    """Raise InputError if a setting changes that must stay in a run that goes on."""
    for name in changed_settings(before, after):
        reason = FIXED.get(name) or FIXED.get(name.partition(".")[0])
        if reason and name not in FREE:
            raise InputError(
                f"{run_dir}: --set {name}: cannot change in a run that goes on, for {reason}: "
                "start a new run (training.init_from takes the weights over)"
            )


def checkpoint_of(source: Path) -> Path:
    """The last checkpoint of a run directory, or the one that is named. Raises InputError."""
    if source.is_file():
        return source
    for name in (LAST, PREVIOUS):
        path = source / "checkpoints" / name
        if path.is_file():
            return path
    raise InputError(f"{source}: holds no checkpoint yet: there is nothing to finish")


def finish(
    config: RunConfig, progress: Progress, hours: float, overrides: Sequence[str], where: Path
) -> RunConfig:
    """The settings of a run whose rate falls from now on to 0 while so many more hours are heard.

    The rate begins where the schedule has brought it, unless an override names one. A run that is
    in such a decay of as many hours stays as it is. Raises InputError where it is in another.
    """
    if not 0 < hours < math.inf:
        raise InputError(f"--finish {hours:g}: must be above 0 hours")
    training, heard = config.training, progress.audio_s / 3600
    if training.hours is not None and heard > training.hours - training.decay_hours:
        if training.decay_hours == hours and heard < training.hours:
            return config
        if training.decay_hours:
            raise InputError(
                f"{where}: its final decay of {training.decay_hours:g} h has begun: go on without "
                "--finish, or finish from an earlier checkpoint: "
                "ds2 train CHECKPOINT --finish HOURS -o RUN_DIR"
            )
    share = 1.0
    if not any(override.startswith("training.learning_rate") for override in overrides):
        rate = learning_rate(training, progress.step, progress.epoch, heard)
        share = rate / training.learning_rate
    return replace(
        config,
        training=replace(
            training,
            schedule="constant",
            warmup_steps=0,
            learning_rate=training.learning_rate * share,
            muon_learning_rate=training.muon_learning_rate * share,
            hours=heard + hours,
            decay_hours=hours,
            average_last=0,
        ),
    )


def finish_elsewhere(
    source: Path, run_dir: Path, overrides: Sequence[str], hours: float
) -> tuple[RunConfig, Path]:
    """The settings of a new run that finishes what a checkpoint began, and that checkpoint.

    source: a run directory or a checkpoint; it stays as it is. Raises InputError.
    """
    path = checkpoint_of(source)
    checkpoint = read_checkpoint(path)
    config = override_config(checkpoint.config, overrides, str(path))
    refuse_changes(checkpoint.config, config, run_dir)
    return finish(config, checkpoint.progress, hours, overrides, path), path


def begin_at(run_dir: Path, path: Path, config: RunConfig) -> None:
    """Give a new run the state of another's checkpoint and the journal up to it.

    Its best is its own: the checkpoint that was the best before is not there.
    """
    checkpoint: Checkpoint = read_checkpoint(path)
    progress = replace(checkpoint.progress, best=None)
    target = run_dir / "checkpoints"
    write_checkpoint(target / LAST, replace(checkpoint, config=config, progress=progress))
    journal = path.parent.parent / METRICS
    if journal.is_file():
        shutil.copyfile(journal, run_dir / METRICS)


def in_words(changes: Mapping[str, Sequence[Any]]) -> str:
    """ "training.learning_rate 0.001 -> 0.0005, ..."."""
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
