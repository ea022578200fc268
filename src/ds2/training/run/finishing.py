"""The end of a run: a final decay, in the run itself or in a new run."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ds2.errors import InputError
from ds2.training.config import RunConfig, override_config
from ds2.training.optimisation.schedule import learning_rate
from ds2.training.run.checkpoint import (
    LAST,
    PREVIOUS,
    Checkpoint,
    Progress,
    read_checkpoint,
    write_checkpoint,
)
from ds2.training.run.directory import prepare_run_directory, refuse_changes, refuse_old_run
from ds2.training.run.journal import METRICS


def checkpoint_of(source: Path) -> Path:
    """The last checkpoint of a run directory, or the named checkpoint. Raises InputError."""
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
    """The settings of a run whose rate falls to 0 over the next `hours` of audio.

    The rate begins where the schedule has brought it, unless an override names a rate. A run that
    is already in a decay of the same hours does not change. Raises InputError if the run is in
    another decay.
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
    """The settings of a new run that finishes an old one, and the checkpoint it begins with.

    source: a run directory or a checkpoint; it does not change. Raises InputError.
    """
    path = checkpoint_of(source)
    checkpoint = read_checkpoint(path)
    config = override_config(checkpoint.config, overrides, str(path))
    refuse_changes(checkpoint.config, config, run_dir)
    return finish(config, checkpoint.progress, hours, overrides, path), path


def begin_at(run_dir: Path, path: Path, config: RunConfig) -> None:
    """Give a new run the state of another run's checkpoint, and the journal up to it.

    The new run finds its own best checkpoint: it does not have the old run's best.
    """
    checkpoint: Checkpoint = read_checkpoint(path)
    progress = replace(checkpoint.progress, best=None)
    target = run_dir / "checkpoints"
    write_checkpoint(target / LAST, replace(checkpoint, config=config, progress=progress))
    journal = path.parent.parent / METRICS
    if journal.is_file():
        shutil.copyfile(journal, run_dir / METRICS)


def prepare_finish(
    source: Path, run_dir: Path | None, overrides: Sequence[str], hours: float
) -> tuple[Path, RunConfig, Path | None]:
    """The arguments of `train` to finish a run: directory, settings, first checkpoint.

    source: the run's directory, or one of its checkpoints. run_dir: the directory of a new run,
    which goes on from the checkpoint while the old run does not change; None: finish the old run
    itself. Raises InputError.
    """
    if source.suffix == ".toml":
        raise InputError(f"{source}: --finish is for a run or a checkpoint, not for settings")
    if run_dir is not None:
        refuse_old_run(run_dir)
        config, path = finish_elsewhere(source, run_dir, overrides, hours)
        return run_dir, config, path
    run_dir, config = prepare_run_directory(source, None, overrides)
    progress = read_checkpoint(checkpoint_of(source)).progress
    return run_dir, finish(config, progress, hours, overrides, source), None
