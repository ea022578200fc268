"""A training run: a new run from a TOML file, or an old run from where it stopped."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.shards.reading import is_shards
from ds2.training.config import RunConfig, config_to_toml
from ds2.training.data.processes import ended_processes
from ds2.training.run.beginning import begin_from
from ds2.training.run.checkpoint import Checkpoint, CheckpointDirectory, read_checkpoint
from ds2.training.run.cost import introduce
from ds2.training.run.directory import CONFIG, changed_settings
from ds2.training.run.distributed import Workers, started_workers
from ds2.training.run.finishing import begin_at
from ds2.training.run.parts import build_model, load_data
from ds2.training.run.progress import Display
from ds2.training.run.stop import StopRequest, command_to_export, command_to_go_on
from ds2.training.run.trainer import CHECKPOINTS, Trainer

LOCK = ".lock"
"""The process that trains holds this file. The system releases it when the process ends."""


def write_config(run_dir: Path, config: RunConfig) -> None:
    """Write the settings into the run directory, for people and for a resumed run."""
    with atomic_write(run_dir / CONFIG) as file:
        file.write(config_to_toml(config))


def train(run_dir: Path, config: RunConfig, source: Path | None = None) -> int | None:
    """Train, from the start or from where the run in `run_dir` stopped, to the end.

    source: the checkpoint of another run, from which the new run goes on.
    Returns None at the end, or the signal's number if a signal stopped the run before.
    Raises InputError.
    """
    config = _with_threads(config)
    with ExitStack() as stack:
        stack.enter_context(ended_processes())
        workers, device = stack.enter_context(started_workers(config.training.device))
        torch.set_num_threads(config.training.num_threads or torch.get_num_threads())
        display = stack.enter_context(Display(config.training, quiet=not workers.is_first))
        is_old = workers.from_first((run_dir / CONFIG).exists())
        if is_old or source:
            _lock(run_dir, workers, stack)
        if source and workers.is_first:
            begin_at(run_dir, source, config)
        checkpoint, problems = newest_checkpoint(run_dir, workers)
        config = _with_streams(config, workers.world_size)
        changes = changed_settings(checkpoint.config, config) if checkpoint else {}
        alphabet = checkpoint.alphabet if checkpoint else None
        data = load_data(config, run_dir, alphabet, display, device)
        model = build_model(config, len(data.alphabet), checkpoint, device)
        for problem in problems:
            display.warn(f"{problem}; going on from the checkpoint before it")
        introduce(display, config, data, model, device, workers)
        if checkpoint is None and config.training.init_from:
            batches = data.batches.load(
                [config.training.epochs], 0, device, workers.rank, workers.world_size
            )  # an epoch after the last one
            display.say(
                begin_from(model.network, data.alphabet, config.training.init_from, batches)
            )
        workers.share_weights(model.network)
        if not is_old and not source:
            _lock(run_dir, workers, stack)
        if workers.is_first:  # from here on, a user can resume the run
            write_config(run_dir, config)
        request = StopRequest(speaks=workers.is_first, expects_echo=workers.are_many)
        stop = stack.enter_context(request.listening())
        trainer = Trainer(run_dir, config, data, model, workers, device, display, stop)
        trainer.tell_changes(changes)
        _run(trainer, run_dir, config, display, stop)
        if stop.signal is None:
            display.say(f"finished; make a bundle with: {command_to_export(run_dir)}")
        return stop.signal


def _run(
    trainer: Trainer, run_dir: Path, config: RunConfig, display: Display, stop: StopRequest
) -> None:
    try:
        trainer.run()
    except torch.OutOfMemoryError:
        raise InputError(
            f"data.batch_seconds: a minibatch of {config.data.batch_seconds:g} s does not fit in "
            "the GPU's memory: go on with a smaller number: "
            f"`{command_to_go_on(run_dir)} --set data.batch_seconds=...`"
        ) from None
    except KeyboardInterrupt:
        if stop():
            display.say(
                f"stopped at once; go on from the last checkpoint with: {command_to_go_on(run_dir)}"
            )
        raise
    finally:
        trainer.close()


def _lock(run_dir: Path, workers: Workers, stack: ExitStack) -> None:
    """Keep other runs out of the directory until the stack closes. Raises InputError."""
    is_ours = True
    if workers.is_first:
        run_dir.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(FileLock(run_dir / LOCK, blocking=False))
        except Timeout:
            is_ours = False
    if not workers.from_first(is_ours):
        raise InputError(f"{run_dir}: another process trains there: wait for it, or stop it")


def newest_checkpoint(run_dir: Path, workers: Workers) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint, the same in every process, and the errors of newer files."""
    found: tuple[Path | None, list[str]] = (None, [])
    if workers.is_first:
        found = CheckpointDirectory(run_dir / CHECKPOINTS).newest()
    path, problems = workers.from_first(found)
    return (read_checkpoint(path) if path else None), problems


def _with_threads(config: RunConfig) -> RunConfig:
    """Set the number of threads: sums in another order differ in the last bits."""
    num_threads = config.training.num_threads or torch.get_num_threads()
    return replace(config, training=replace(config.training, num_threads=num_threads))


def _with_streams(config: RunConfig, world_size: int) -> RunConfig:
    """Set the number of streams of shards: the minibatches depend on it."""
    streams = config.data.shard_streams
    if (streams and streams[0] >= world_size) or not any(map(is_shards, config.data.train)):
        return config
    streams = (world_size, max(1, config.data.num_workers))
    return replace(config, data=replace(config.data, shard_streams=streams))
