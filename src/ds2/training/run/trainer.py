"""The loop of a training run: steps, evaluations and checkpoints, resumable at any moment."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ds2 import __version__
from ds2.training.config import RunConfig
from ds2.training.data.dataset import Batch
from ds2.training.optimisation.averaging import average_weights, renew_statistics
from ds2.training.optimisation.schedule import learning_rate
from ds2.training.optimisation.state import optimiser_tensors
from ds2.training.run.checkpoint import (
    AVERAGED,
    Best,
    Checkpoint,
    CheckpointDirectory,
    Progress,
    write_checkpoint,
)
from ds2.training.run.cost import TRIM_EVERY_STEPS, return_freed_memory
from ds2.training.run.distributed import Workers
from ds2.training.run.evaluate import Evaluation, Evaluator
from ds2.training.run.journal import Journal
from ds2.training.run.parts import Data, Model
from ds2.training.run.progress import Display
from ds2.training.run.report import Report
from ds2.training.run.step import Stepper, StepResult
from ds2.training.run.stop import StopRequest

CHECKPOINTS = "checkpoints"


class Trainer:
    """A run in motion. Its state is `progress`, the network and the optimiser: all saved."""

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        data: Data,
        model: Model,
        workers: Workers,
        device: torch.device,
        display: Display,
        stop: StopRequest,
    ) -> None:
        self._config = config
        self._training = config.training
        self._data = data
        self._network = model.network
        self._optimisers = model.optimisers
        self._average = model.average
        self._progress = model.progress
        self._workers = workers
        self._device = device
        self._display = display
        self._stop = stop
        self._directory = CheckpointDirectory(run_dir / CHECKPOINTS)
        self._stepper = Stepper(
            model.network,
            model.optimisers,
            config.training,
            workers,
            device,
            config.training.freeze,
        )
        self._begin_epoch()
        self._batches = self._remaining_batches()
        self._evaluator = Evaluator(data.dev, data.alphabet, config, workers, device)
        progress = self._progress
        if progress.evaluated_step == progress.step > 0:
            self._keep()  # a kill may have come between the checkpoint and this
        journal = None
        if workers.is_first:
            journal = Journal(run_dir, progress.step, progress.evaluated_step)
        self._report = Report(run_dir, config, data, display, journal, device)
        self._saved_at = time.monotonic()

    def tell_changes(self, changes: Mapping[str, Sequence[Any]]) -> None:
        """Tell which settings differ from those of the checkpoint that the run goes on from."""
        if changes:
            self._report.changed(self._progress, changes)

    def close(self) -> None:
        """Write out what is pending and let the loading processes go."""
        self._batches = iter(())
        self._report.close()

    def run(self) -> None:
        """Go on to the end or until asked to stop."""
        stopping = False
        while True:
            if self._evaluation_due() and not stopping:
                stopping = not self._evaluate()
            finished = self._is_finished()
            stopping = stopping or (self._stop() and not self._workers.are_many)
            if finished or stopping or self._checkpoint_due():
                self._save()
            if finished or stopping:
                break
            stopping = self._step()
            if self._progress.step % TRIM_EVERY_STEPS == 0:
                return_freed_memory()
        if not finished:
            self._report.stopped(self._progress)
        elif self._training.average_last and self._directory.epochs():
            self._average_epochs()

    def _is_finished(self) -> bool:
        if self._training.hours is not None:
            return self._progress.audio_s >= 3600 * self._training.hours
        return self._progress.epoch >= self._training.epochs

    def _begin_epoch(self) -> None:
        """Know the minibatches of the epoch; begin it again if they are no longer the same."""
        batches, progress = self._data.batches, self._progress
        self._plan = batches.plan(progress.epoch)
        order = batches.checksum(progress.epoch)
        if progress.batch_index and progress.order != order:
            self._display.warn("the minibatches have changed: the epoch is begun again")
            progress = replace(progress, batch_index=0)
        self._progress = replace(progress, order=order)

    def _remaining_batches(self) -> Iterator[Batch]:
        """This process's share of every minibatch that is left, over all epochs."""
        begin, end = self._progress.epoch, self._training.epochs
        epochs = range(begin, end) if self._training.hours is None else itertools.count(begin)
        return self._load(epochs, self._progress.batch_index)

    def _load(self, epochs: Iterable[int], skip: int = 0) -> Iterator[Batch]:
        workers = self._workers
        return self._data.batches.load(epochs, skip, self._device, workers.rank, workers.world_size)

    def _step(self) -> bool:
        """One step of the optimiser; whether some process was asked to stop."""
        begun_s = time.perf_counter()
        plan = self._plan
        before = self._progress
        start = before.batch_index
        end = min(len(plan), start + self._training.accumulate_batches)
        indices = [index for batch in plan[start:end] for index in batch]
        epochs_done = before.epoch + start / len(plan)
        rate = learning_rate(self._training, before.step, epochs_done, before.audio_s / 3600)
        batches = (next(self._batches) for _ in range(start, end))
        result = self._stepper.step(batches, len(indices), before.step, rate, self._stop())
        if self._average and not result.skipped:
            self._average.update(self._network)
        audio_s = sum(self._data.selection.examples[index].duration_s for index in indices)
        self._progress = _after_step(before, result, audio_s, end, len(plan))
        self._report.problems(self._progress, result)
        timing = (audio_s, time.perf_counter() - begun_s)
        self._report.stepped(self._progress, (before.epoch, end, len(plan)), result, rate, timing)
        if self._progress.step % self._training.log_every == 0:
            self._progress = replace(self._progress, loss_sum=0.0, loss_count=0)
        if end == len(plan):
            self._begin_epoch()
        return result.stop

    def _evaluation_due(self) -> bool:
        """Whether the step just done has an evaluation after it, not yet made."""
        step, every = self._progress.step, self._training.dev_every
        if step == self._progress.evaluated_step:
            return False
        if self._progress.batch_index == 0 or self._is_finished():
            return True
        return every is not None and step % every == 0

    def _evaluate(self) -> bool:
        """Judge the weights and keep them; False if some process was asked to stop meanwhile."""
        evaluation = self._judge()
        if evaluation is None:  # made again when the run goes on
            return False
        is_best = self._is_best(evaluation)
        progress = replace(self._progress, evaluated_step=self._progress.step)
        if is_best:
            best = Best(evaluation.wer, evaluation.cer, progress.step, progress.epoch)
            progress = replace(progress, best=best)
        self._progress = progress
        self._report.evaluated("dev", progress, evaluation, is_best=is_best)
        self._save()
        self._keep()
        return True

    def _judge(self) -> Evaluation | None:
        """Evaluate the weights, averaged if they are; None if asked to stop meanwhile."""
        if self._average is None:
            return self._evaluator.evaluate(self._network, self._stop)
        with self._average.applied(self._network):
            self._renew_statistics(lambda: self._workers.any_says(self._stop()))
            evaluation = self._evaluator.evaluate(self._network, self._stop)
            if evaluation is not None:
                self._average.keep(self._network)
        return evaluation

    def _renew_statistics(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Measure batch norm's statistics of the weights that the network has."""
        torch.manual_seed(self._training.seed)  # of dropout, however the run came here
        batches = self._load([self._training.epochs])  # of an epoch that never is
        frozen = self._training.freeze
        renew_statistics(self._network, batches, self._device, frozen, stop)

    def _is_best(self, evaluation: Evaluation) -> bool:
        best = self._progress.best
        return best is None or (evaluation.wer, evaluation.cer) < (best.wer, best.cer)

    def _keep(self) -> None:
        """Give the checkpoint just written the further names that it has earned."""
        if not self._workers.is_first:
            return
        if self._progress.best and self._progress.best.step == self._progress.step:
            self._directory.keep_as_best()
        if self._progress.batch_index == 0:
            self._directory.keep_epoch(self._progress.epoch, self._training.average_last)

    def _checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._training.checkpoint_every_s

    def _save(self) -> None:
        if self._workers.is_first:
            self._directory.save_last(self._checkpoint())
        self._saved_at = time.monotonic()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            config=self._config,
            alphabet=self._data.alphabet,
            progress=self._progress,
            network=self._network.state_dict(),
            optimiser=optimiser_tensors(self._optimisers, self._network),
            facts={
                "ds2": __version__,
                "torch": torch.__version__,
                "num_threads": torch.get_num_threads(),
                "num_processes": self._workers.world_size,
                "device": self._device.type,
            },
            average=self._average.tensors if self._average else {},
        )

    def _average_epochs(self) -> None:
        """Evaluate the mean of the last epochs' weights, and keep it as the best if it is."""
        self._network.load_state_dict(average_weights(self._directory.epochs()))
        self._renew_statistics()
        evaluation = self._evaluator.evaluate(self._network)
        assert evaluation is not None  # nothing can stop this one
        is_best = self._is_best(evaluation)
        self._report.evaluated("averaged", self._progress, evaluation, is_best=is_best)
        if self._workers.is_first:
            checkpoint = replace(self._checkpoint(), optimiser={})
            write_checkpoint(self._directory.path / AVERAGED, checkpoint)
            if is_best:
                self._directory.keep_as_best(AVERAGED)


def _after_step(
    before: Progress, result: StepResult, audio_s: float, end: int, num_batches: int
) -> Progress:
    """Where the run stands after a step that used the minibatches before index `end`."""
    ends_epoch = end == num_batches
    return replace(
        before,
        epoch=before.epoch + ends_epoch,
        batch_index=0 if ends_epoch else end,
        step=before.step + 1,
        audio_s=before.audio_s + audio_s,
        skipped_steps=before.skipped_steps + result.skipped,
        skipped_in_a_row=before.skipped_in_a_row + 1 if result.skipped else 0,
        loss_sum=before.loss_sum + (0.0 if result.skipped else result.loss),
        loss_count=before.loss_count + (not result.skipped),
    )
