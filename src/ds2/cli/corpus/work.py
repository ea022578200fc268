"""Code that is shared by the actions that work on every utterance of a manifest."""

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

from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import complain, make_directory, positive, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.work.resumable import Fields, Work, Workers
    from ds2.manifest import Utterance

LONGEST_FILE_NAME = 255
"""Most bytes of a file name in a file system."""


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the workers."""
    add_jobs(parser)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on a Ray cluster: its address, or auto, or local for a cluster on this machine; "
        "all its machines need the recordings under the same paths (default: no cluster)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="with --ray: number of processes, each with one core (default: one for each core of "
        "the cluster)",
    )


def workers_of(args: argparse.Namespace) -> "Workers":
    """The workers. Raises InputError for options that do not fit together."""
    from ds2.corpora.work.resumable import Threads

    if args.ray is None:
        if args.workers is not None:
            raise InputError("--workers: works with --ray only: give --jobs instead")
        return Threads(jobs_of(args))
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
    """Do the work, and write the utterances again with the result of each.

    Returns the exit status: 2 if some utterances failed. The output lacks these.
    Raises InputError if all failed.
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
    """Utterances with their results. Errors go into the list."""
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
    """The results of the work, under a progress bar. A file beside the output keeps them."""
    from ds2.corpora.work.resumable import do_all, results_in

    def track(results: "Iterable[Fields]", num_before: int, total: int) -> "Iterable[Fields]":
        if num_before:
            print(f"{output}: {num_before} of {total} utterances are done already", file=sys.stderr)
        return tracked(results, description, total - num_before)

    make_directory(output.parent)
    part = output.with_name(output.name + ".part")
    if len(os.fsencode(part.name)) > LONGEST_FILE_NAME:
        part = output.with_name(hashlib.sha256(os.fsencode(output.name)).hexdigest() + ".part")
    do_all(work, utterances, part, workers, track)
    try:
        yield results_in(part)
    except OSError:  # a full disk: keep the results
        raise
    except BaseException:
        part.unlink()
        raise
    part.unlink()


def print_errors(errors: "Sequence[str]") -> int:
    """Print errors, and return the exit status."""
    for error in errors:
        complain(error)
    return 2 if errors else 0
