"""What a run tells while it goes: on the terminal and in its journal."""

from collections.abc import Sequence
from pathlib import Path

from ds2.errors import InputError
from ds2.training.config import RunConfig
from ds2.training.data.examples import Example
from ds2.training.run.checkpoint import Progress
from ds2.training.run.evaluate import Evaluation
from ds2.training.run.journal import Journal
from ds2.training.run.progress import Display, Speed
from ds2.training.run.step import StepResult
from ds2.training.run.stop import command_to_go_on

MOST_SKIPPED_IN_A_ROW = 20
"""Steps without a finite loss before a run is given up."""


class Report:
    """Tells people where a run stands; a process that is not the first has no journal."""

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        examples: Sequence[Example],
        display: Display,
        journal: Journal | None,
    ) -> None:
        self._run_dir = run_dir
        self._config = config
        self._examples = examples
        self._display = display
        self._journal = journal
        epoch_s = sum(example.duration_s for example in examples)
        self._speed = Speed(epoch_s * config.training.epochs)

    def stepped(
        self,
        progress: Progress,
        batch: tuple[int, int, int],
        result: StepResult,
        learning_rate: float,
        timing: tuple[float, float],
    ) -> None:
        """Tell of a step, on the terminal always and in the journal every `log_every` steps.

        batch: epoch, minibatches of it done, minibatches in it.
        timing: seconds of audio trained on, seconds that took.
        """
        self._speed.add(*timing)
        speed, epoch = self._speed.hours_per_hour, batch[0]
        log = progress.step % self._config.training.log_every == 0
        facts = (
            f"step {progress.step}, loss {progress.mean_loss:.2f}, {speed:.0f}x real time, "
            f"{self._speed.remaining(progress.audio_s)} left"
        )
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
        """Tell what went wrong in a step; raises InputError if it cannot go on like this."""
        for error in result.errors:
            if not self._config.data.skip_bad:
                raise InputError(f"{error} (leave such out with --set data.skip_bad=true)")
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
                "checkpoint, or look at the utterances named above"
            )

    def evaluated(
        self, kind: str, progress: Progress, evaluation: Evaluation, *, is_best: bool
    ) -> None:
        """Tell of an evaluation: "dev", or "averaged" for that of averaged weights."""
        self._display.say(
            f"{kind} at step {progress.step}: WER {evaluation.wer:.2%}, "
            f"CER {evaluation.cer:.2%}, loss {evaluation.loss:.2f}" + " (best)" * is_best
        )
        if self._journal:
            self._journal.evaluated(kind, progress.step, evaluation, epoch=progress.epoch)

    def stopped(self, progress: Progress) -> None:
        """Tell that the run was asked to stop and has, and how it goes on."""
        command = command_to_go_on(self._run_dir)
        self._display.say(f"stopped at step {progress.step}, saved; go on with: {command}")

    def close(self) -> None:
        """Write out what is pending."""
        if self._journal:
            self._journal.close()
