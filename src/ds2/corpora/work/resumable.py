"""Work on every utterance of a manifest: in order, resumable, on threads or on many machines.

Results go line by line into a file beside the output, in the order of the utterances. After an
interruption, a run continues after the last whole line of this file.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ds2.errors import InputError
from ds2.manifest import Utterance

Fields: TypeAlias = dict[str, Any]
"""A line of output."""
Results: TypeAlias = Generator[Fields, None, None]
Track: TypeAlias = Callable[[Iterable[Fields], int, int], Iterable[Fields]]
"""A function of the results, the number done before and the total. It gives the results, under a
progress bar."""

AHEAD = 4  # utterances in progress for each worker, so that no worker waits for a slow one


class Work(Protocol):
    """The work on each utterance: a frozen dataclass, so that other machines can do it."""

    @property
    def model(self) -> str:
        """The bundle that the work needs: a directory, or en, zh."""

    def facts(self) -> Fields:
        """Plain data that the results depend on, besides the utterances."""

    def start(self) -> Callable[[Utterance], Fields]:
        """Load the model, and return the function that does the work.

        Several threads may call it. It raises InputError for an unusable utterance.
        """


class Workers(Protocol):
    """The workers."""

    def results(self, work: Work, utterances: Sequence[Utterance]) -> Results:
        """A result for each utterance, in order; {"error": message} for a failure."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process."""

    num_threads: int = 1

    def results(self, work: Work, utterances: Sequence[Utterance]) -> Results:
        """A result for each utterance, in order; {"error": message} for a failure."""
        do = guarded(work.start())
        with ThreadPoolExecutor(self.num_threads) as executor:
            yield from in_order(
                lambda utterance: executor.submit(do, utterance).result,
                utterances,
                self.num_threads * AHEAD,
            )


def in_order(
    submit: Callable[[Utterance], Callable[[], Fields]],
    utterances: Iterable[Utterance],
    num_ahead: int,
) -> Results:
    """The results of the utterances, in order, while up to `num_ahead` are in progress.

    submit: begins the work on an utterance, and returns a function that waits for the result.
    """
    waiting: deque[Callable[[], Fields]] = deque()
    for utterance in utterances:
        waiting.append(submit(utterance))
        if len(waiting) > num_ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def guarded(do: Callable[[Utterance], Fields]) -> Callable[[Utterance], Fields]:
    """The same work, but an InputError becomes a result."""

    def result_of(utterance: Utterance) -> Fields:
        try:
            return do(utterance)
        except InputError as error:
            return {"error": f"{utterance.where}: {error}"}

    return result_of


def do_all(
    work: Work,
    utterances: Sequence[Utterance],
    part: Path,
    workers: Workers,
    track: Track = lambda results, _before, _total: results,
) -> None:
    """Do the work on all utterances, or what an interrupted run has left of it.

    part: the file for the results, which `results_in` reads. The caller deletes it at the end.
    Raises InputError if the file comes from a run on other input.
    """
    key = _key(work, utterances)
    num_before = _num_done(part, key)
    with part.open("a", encoding="utf-8", errors="backslashreplace") as file:  # JSON's escapes
        if file.tell() == 0:
            _append(file, {"key": key})
        with contextlib.closing(workers.results(work, utterances[num_before:])) as results:
            for result in track(results, num_before, len(utterances)):
                _append(file, result)


def results_in(part: Path) -> Iterator[Fields]:
    """The results that `do_all` wrote, one for each utterance."""
    with part.open(encoding="utf-8") as lines:
        next(lines)
        yield from map(json.loads, lines)


def _key(work: Work, utterances: Sequence[Utterance]) -> str:
    digest = hashlib.sha256(json.dumps(work.facts(), sort_keys=True).encode())
    for item in utterances:
        fields = (str(item.audio_path), item.offset_s, item.duration_s, item.text, dict(item.extra))
        digest.update(json.dumps(fields, sort_keys=True).encode())
    return digest.hexdigest()


def _num_done(part: Path, key: str) -> int:
    """The number of results of an earlier run. This cuts off an incomplete line."""
    try:
        data = part.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise InputError(f"{part}: cannot be read: {(error.strerror or '').lower()}") from None
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(part, len(whole))
    lines = whole.splitlines()
    try:
        found = json.loads(lines[0])["key"] if lines else key
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{part}: is not a list of results: move it away, or delete it") from None
    if found != key:
        raise InputError(
            f"{part}: an interrupted run with other input or settings left it: "
            "run that again, or delete the file"
        )
    return max(0, len(lines) - 1)


def _append(file: Any, fields: Fields) -> None:
    file.write(json.dumps(fields, ensure_ascii=False) + "\n")
    file.flush()
