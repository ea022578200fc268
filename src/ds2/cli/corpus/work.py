"""What the actions share that work on every utterance of a manifest."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.screen.terminal import complain, make_directory, positive, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.work.resumable import Fields, Work, Workers
    from ds2.manifest import Utterance

LONGEST_FILE_NAME = 255
"""Bytes that file systems take."""


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say who does the work."""
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processor cores (1)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let the machines of a Ray cluster do the work: its address, or auto, or local for "
        "one on this machine; they must see the recordings under the same paths",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="with --ray: processes, of one core each (as many as the cluster has cores)",
    )


def workers_of(args: argparse.Namespace) -> "Workers":
    """Who does the work. Raises InputError for arguments that do not go together."""
    from ds2.corpora.work.resumable import Threads

    if args.ray is None:
        if args.workers is not None:
            raise InputError("--workers: is for --ray; without it, say --jobs")
        return Threads(args.jobs)
    from ds2.corpora.work.on_ray import RayActors

    return RayActors(args.ray, args.workers)


def utterances_of(path: Path) -> "list[Utterance]":
    """The utterances of a manifest. Raises InputError."""
    from ds2.manifest import read_manifest

    return read_manifest(path)


def write_results(
    work: "Work",
    utterances: "list[Utterance]",
    output: Path,
    workers: "Workers",
    description: str,
) -> int:
    """Do the work, and write the utterances again with what was found of each.

    Returns the exit status: 2 if nothing can be found of some utterances, which are left out.
    Raises InputError if nothing can be found of any.
    """
    from ds2.files import atomic_write
    from ds2.manifest import fields_of

    errors: list[str] = []
    directory = output.parent.absolute()
    with results_beside(output, work, utterances, workers, description) as results:
        pairs = zip(utterances, results, strict=True)
        first = next(_without_errors(pairs, errors), None)
        if first is None:
            raise InputError(errors[0])
        with atomic_write(output) as file:
            for utterance, result in chain([first], _without_errors(pairs, errors)):
                fields = {**fields_of(utterance, directory), **result}
                file.write(json.dumps(fields, ensure_ascii=False) + "\n")
    num_done = len(utterances) - len(errors)
    print(f"{output}: {num_done} of {len(utterances)} utterances", file=sys.stderr)
    return print_errors(errors)


def _without_errors(
    pairs: "Iterable[tuple[Utterance, Fields]]", errors: list[str]
) -> "Iterator[tuple[Utterance, Fields]]":
    """Utterances with their results; errors are put aside."""
    for utterance, result in pairs:
        if "error" in result:
            errors.append(result["error"])
        else:
            yield utterance, result


@contextmanager
def results_beside(
    output: Path,
    work: "Work",
    utterances: "list[Utterance]",
    workers: "Workers",
    description: str,
) -> "Iterator[Iterator[Fields]]":
    """The results of the work, under a progress bar; kept beside the output until it is written."""
    from ds2.corpora.work.resumable import do_all, results_in

    def track(results: "Iterable[Fields]", num_before: int, total: int) -> "Iterable[Fields]":
        if num_before:
            print(f"{output}: {num_before} of {total} are done already", file=sys.stderr)
        return tracked(results, description, total - num_before)

    make_directory(output.parent)
    part = output.with_name(output.name + ".part")
    if len(os.fsencode(part.name)) > LONGEST_FILE_NAME:
        part = output.with_name(hashlib.sha256(os.fsencode(output.name)).hexdigest() + ".part")
    do_all(work, utterances, part, workers, track)
    try:
        yield results_in(part)
    except OSError:  # a full disk: what has been found is kept
        raise
    except BaseException:
        part.unlink()
        raise
    part.unlink()


def print_errors(errors: "Sequence[str]") -> int:
    """Print errors; the exit status."""
    for error in errors:
        complain(error)
    return 2 if errors else 0
