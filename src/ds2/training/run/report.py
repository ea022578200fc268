"""The reports of a run while it trains: on the terminal and in its journal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ds2.errors import InputError
from ds2.training.config import RunConfig
from ds2.training.run.checkpoint import Progress
from ds2.training.run.cost import MEASURED_STEPS, measured
from ds2.training.run.directory import in_words
from ds2.training.run.evaluate import Evaluation
from ds2.training.run.journal import Journal
from ds2.training.run.parts import Data
from ds2.training.run.progress import Display, Speed, clock
from ds2.training.run.step import StepResult
from ds2.training.run.stop import command_to_go_on

MOST_SKIPPED_IN_A_ROW = 20
"""Steps in a row without a finite loss, after which a run ends."""


class Report:
    """Tells people where a run stands. Only the first process has a journal."""

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        data: Data,
        display: Display,
        journal: Journal | None,
        device: torch.device,
    ) -> None:
        self._run_dir = run_dir
        self._config = config
        self._examples = data.selection.examples
        self._display = display
        self._journal = journal
        self._device = device
        hours, epochs = config.training.hours, config.training.epochs
        self._speed = Speed(data.epoch_s * epochs if hours is None else 3600 * hours)
        if journal and not journal.draws_curves:
            display.warn(
                "no TensorBoard (pip install tensorboard): the curves are only in metrics.jsonl"
            )

    def stepped(
        self,
        progress: Progress,
        batch: tuple[int, int, int],
        result: StepResult,
        learning_rate: float,
        timing: tuple[float, float],
    ) -> None:
        """Report a step: always on the terminal, in the journal every `log_every` steps.

        batch: epoch, minibatches of it that are done, minibatches in it.
        timing: seconds of audio in the step, seconds that the step took.
        """
        self._speed.add(*timing)
        left_s = self._speed.remaining_s(progress.audio_s)
        speed, epoch = self._speed.hours_per_hour, batch[0]
        log = progress.step % self._config.training.log_every == 0
        facts = (
            f"step {progress.step}, loss {progress.mean_loss:.2f}, {speed:.0f}x real time, "
            f"{clock(left_s)} left"
        )
        if self._speed.num_steps == MEASURED_STEPS:
            self._display.say(measured(MEASURED_STEPS, speed, left_s, self._device))
        self._display.step(*batch, facts, log=log)
        if log and self._journal:
            self._journal.train(
                progress.step,
                epoch=epoch,
                loss=progress.mean_loss,
                gradient_norm=result.gradient_norm,
                learning_rate=learning_rate,
                audio_h=progress.audio_s / 3600,
                speed=speed,
                skipped_steps=progress.skipped_steps,
            )

    def problems(self, progress: Progress, result: StepResult) -> None:
        """Report what went wrong in a step. Raises InputError if the run cannot go on."""
        for error in result.errors:
            if not self._config.data.skip_bad:
                raise InputError(f"{error} (leave it out with --set data.skip_bad=true)")
            self._display.warn(f"left out: {error}")
        if not result.skipped:
            return
        names = [self._examples[index].utterance.where for index in result.culprits]
        what = f"the loss of {', '.join(names)}" if names else "the gradient"
        self._display.warn(f"step {progress.step} skipped: {what} is not finite")
        if self._journal:
            self._journal.event(progress.step, "skipped", utterances=names)
        if progress.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            raise InputError(
                f"{MOST_SKIPPED_IN_A_ROW} steps in a row had no finite loss or gradient: lower "
                "training.learning_rate or training.max_gradient_norm and go on from the last "
                "checkpoint, or check the utterances named above"
            )

    def evaluated(
        self, kind: str, progress: Progress, evaluation: Evaluation, *, is_best: bool
    ) -> None:
        """Report an evaluation: "dev", or "averaged" for averaged weights."""
        self._display.say(
            f"{kind} at step {progress.step}: WER {evaluation.wer:.2%}, "
            f"CER {evaluation.cer:.2%}, loss {evaluation.loss:.2f}" + " (best)" * is_best
        )
        if self._journal:
            self._journal.evaluated(
                kind,
                progress.step,
                evaluation,
                epoch=progress.epoch,
                audio_h=progress.audio_s / 3600,
            )

    def changed(self, progress: Progress, changes: Mapping[str, Sequence[Any]]) -> None:
        """Report the settings that change in a resumed run: {name: [old, new]}."""
        self._display.say(f"changed from step {progress.step} on: {in_words(changes)}")
        if self._journal:
            self._journal.event(progress.step, "settings", changes=changes)

    def stopped(self, progress: Progress) -> None:
        """Report that the run has stopped, and the command that resumes it."""
        command = command_to_go_on(self._run_dir)
        self._display.say(f"stopped at step {progress.step}, saved; go on with: {command}")

    def close(self) -> None:
        """Write out what is pending."""
        if self._journal:
            self._journal.close()
