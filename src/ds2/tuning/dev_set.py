"""A development set: its acoustic outputs are computed once and decoded many times."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.greedy import GreedyDecoder
from ds2.ctc.hypothesis import Hypothesis
from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError
from ds2.evaluation.evaluation import Rate, total
from ds2.evaluation.metrics import EditCounts, bootstrap_interval, count_edits, units
from ds2.manifest import Utterance
from ds2.ngram.corpus import Report
from ds2.recognition.recognizer import Recognizer
from ds2.text.alphabet import Alphabet
from ds2.text.normalise import normalise

LogProbs = NDArray[np.float32]

EVEN_SHARE = 0.01
"""The part of the priors that all labels share evenly. Without it, labels that a development set
lacks would have no prior, and the search would prefer them beyond measure."""


class Outputs:
    """The log_probs (T, V) of utterances, in a temporary file, so that memory stays bounded."""

    def __init__(self, num_labels: int) -> None:
        self._num_labels = num_labels
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._first_frames = [0]

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._first_frames) - 1

    @property
    def num_frames(self) -> int:
        """The number of output frames of all utterances."""
        return self._first_frames[-1]

    def append(self, log_probs: LogProbs) -> None:
        """Keep the log_probs of one more utterance. Raises InputError if the disk is full."""
        try:
            self._file.write(np.ascontiguousarray(log_probs, np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            directory, reason = tempfile.gettempdir(), str(error.strerror).lower()
            raise InputError(
                f"{directory}: cannot be written: {reason}: make room, or set TMPDIR to a larger "
                "disk"
            ) from None
        self._first_frames.append(self.num_frames + len(log_probs))

    def read(self, index: int) -> LogProbs:
        """The log_probs of an utterance."""
        first, last = self._first_frames[index : index + 2]
        self._file.seek(4 * self._num_labels * first)
        data = self._file.read(4 * self._num_labels * (last - first))
        return np.frombuffer(data, np.float32).reshape(last - first, self._num_labels)


@dataclass(frozen=True)
class Trial:
    """The result of decoding the development set with some settings."""

    settings: BeamSettings
    counts: tuple[EditCounts, ...]  # for each utterance
    elapsed_s: float

    @cached_property
    def rate(self) -> Rate:
        """The word error rate; in Mandarin, the character error rate."""
        return rate_of(self.counts)

    @property
    def num_errors(self) -> int:
        return sum(count.num_errors for count in self.counts)


def rate_of(counts: Sequence[EditCounts]) -> Rate:
    """The error rate of utterances, with its interval."""
    return Rate(total(counts), *bootstrap_interval(counts))


@dataclass(frozen=True)
class DevSet:
    """Utterances to decode, and their references."""

    alphabet: Alphabet
    outputs: Outputs
    references: tuple[tuple[str, ...], ...]  # in words; in Mandarin, in characters
    duration_s: float  # of all audio

    @property
    def num_words(self) -> int:
        """The number of words in all references, at least 1."""
        return max(1, sum(map(len, self.references)))

    @cached_property
    def label_priors(self) -> tuple[float, ...]:
        """(V,) ln of the mean probability of each label over all frames, in hundredths."""
        num_labels = len(self.alphabet)
        sums = np.zeros(num_labels)
        for index in range(len(self.outputs)):
            sums += np.exp(self.outputs.read(index), dtype=np.float64).sum(axis=0)
        priors = (1 - EVEN_SHARE) * sums / max(1, self.outputs.num_frames)
        logs = np.log(priors + EVEN_SHARE / num_labels)
        return tuple(np.minimum(logs, 0).round(2).tolist())

    def decode(
        self,
        search: BeamSearch,
        *,
        n: int = 1,
        num_threads: int = 1,
        stage: str = "",
        report: Report,
    ) -> Iterator[list[Hypothesis]]:
        """The n best hypotheses of each utterance."""
        step = 8 * num_threads  # short, so that an interrupt does not wait long
        for start in range(0, len(self.outputs), step):
            report(stage, start / len(self.outputs))
            indices = range(start, min(start + step, len(self.outputs)))
            batch = [self.outputs.read(index) for index in indices]
            yield from search.decode_batch(batch, n=n, num_threads=num_threads)

    def words(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """The words of a hypothesis."""
        text = self.alphabet.decode(token.label for token in hypothesis.tokens)
        return tuple(units(text, self.alphabet.language))

    def counted(self, hypotheses: Iterable[Hypothesis]) -> tuple[EditCounts, ...]:
        """The errors of one hypothesis for each utterance."""
        pairs = zip(self.references, hypotheses, strict=True)
        return tuple(count_edits(reference, self.words(found)) for reference, found in pairs)

    def greedy(self) -> Rate:
        """The error rate without beam and language model."""
        best = []
        for index in range(len(self.outputs)):
            decoder = GreedyDecoder()
            decoder.feed(self.outputs.read(index))
            best += decoder.best()
        return rate_of(self.counted(best))


def references_of(
    utterances: Sequence[Utterance], alphabet: Alphabet
) -> tuple[tuple[str, ...], ...]:
    """The texts in words. Raises InputError for an utterance without a text."""
    for utterance in utterances:
        if not utterance.text:
            raise InputError(f"{utterance.where}: has no text to compare with")
    texts = [normalise(utterance.text or "", alphabet.language) for utterance in utterances]
    return tuple(tuple(units(text, alphabet.language)) for text in texts)


def hear(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    references: tuple[tuple[str, ...], ...],
    outputs: Outputs,
    *,
    num_threads: int = 1,
    report: Report,
) -> DevSet:
    """Run the acoustic model over the utterances once, and write into `outputs`, which is empty.

    Raises InputError for a recording that cannot be read.
    """

    def one(utterance: Utterance) -> tuple[LogProbs, float]:
        try:
            waveform = read_audio(
                utterance.audio_path, offset_s=utterance.offset_s, duration_s=utterance.duration_s
            )
        except InputError as error:
            raise InputError(f"{utterance.where}: {error}") from None
        return recognizer.log_probs(waveform), len(waveform) / SAMPLE_RATE_HZ

    duration_s = 0.0
    step = 4 * num_threads
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(utterances), step):
            report("listening", start / len(utterances))
            for log_probs, seconds in pool.map(one, utterances[start : start + step]):
                outputs.append(log_probs)
                duration_s += seconds
    return DevSet(recognizer.bundle.alphabet, outputs, references, duration_s)
