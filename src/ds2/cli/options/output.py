"""Where output goes: to standard output, into one file, or into a directory of files."""

import argparse
import errno
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ds2.cli.screen.terminal import make_directory, say
from ds2.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Why nothing more can be written: no other file would do better."""
LONGEST_NAME = 250
"""Bytes of a file's name without its extension: file systems take 255 in all."""
ALL = "all"
"""As a format: every one, a file each."""


def add_output(
    parser: argparse.ArgumentParser, formats: Sequence[str], *names: str, told: str
) -> None:
    """Add -f and -o. names: what else they are called, as in ("--output_dir", "--output_format").

    told: what is written, for the help.
    """
    parser.add_argument(
        "-f",
        "--format",
        *(name for name in names if "format" in name),
        choices=(*formats, ALL),
        help=f"what to write ({formats[0]}, or as the name of -o ends)",
    )
    parser.add_argument(
        "-o",
        "--output",
        *(name for name in names if "format" not in name),
        type=Path,
        metavar="DIR|FILE",
        help=f"where to write {told}; one file, if the name ends like a format: out.{formats[0]}",
    )


@dataclass
class Output:
    """Where the results of a command go, and in what format."""

    format: str
    path: Path | None  # None: standard output
    is_file: bool
    paths: list[Path] = field(default_factory=list)  # files written into a directory
    _texts: list[str] = field(default_factory=list)  # for one file

    @property
    def is_directory(self) -> bool:
        """Whether each result gets files of its own."""
        return self.path is not None and not self.is_file

    def put(self, text: str) -> None:
        """Print a result, or keep it for the one file."""
        if self.is_file:
            self._texts.append(text)
            return
        sys.stdout.write(text)
        sys.stdout.flush()

    def write(self, name: str, text: str) -> None:
        """Write a file of this name into the directory.

        Raises InputError where this file cannot be written; OSError where none could.
        """
        assert self.path is not None
        self._write(self.path / name, text)

    def finish(self) -> None:
        """Write what was kept, and say what there is now. Without a result no file is made."""
        if self._texts and self.path is not None:
            self._write(self.path, "".join(self._texts))
        if len(self.paths) == 1:
            say(f"wrote {self.paths[0]}")
        elif self.paths:
            say(f"wrote {len(self.paths)} files into {self.path}")

    def _write(self, path: Path, text: str) -> None:
        from ds2.files import atomic_write

        try:
            with atomic_write(path) as file:
                file.write(text)
        except (OSError, UnicodeEncodeError) as error:  # the second: a name under another locale
            if getattr(error, "errno", None) in FULL:
                raise
            reason = getattr(error, "strerror", None) or "the system has no such name"
            raise InputError(f"{path}: cannot be written: {reason.lower()}") from None
        self.paths.append(path)


def output_of(
    args: argparse.Namespace,
    formats: Sequence[str],
    joinable: Sequence[str],
    num_results: int,
    named: str,
) -> Output:
    """What -f and -o ask for. Raises InputError for what cannot be.

    joinable: the formats in which one result can follow another. named: what the results are of.
    """
    path: Path | None = args.output
    ending = path.suffix.lstrip(".").lower() if path is not None else ""
    is_file = path is not None and not path.is_dir() and ending in formats
    form = args.format or (ending if is_file else formats[0])
    if is_file and form != ending:
        raise InputError(f"-o {path}: ends in .{ending}, but -f is {form}: change one of them")
    output = Output(form, path, is_file)
    if output.is_directory:
        return output
    hint = "name a directory" if is_file else "say where with -o DIR"
    if form == ALL:
        raise InputError(f"-f all: writes several files: {hint}")
    if num_results > 1 and form not in joinable:
        where = f"-o {path}: {form} is written as" if is_file else f"-f {form}: writes"
        raise InputError(f"{where} a file for each of the {num_results} {named}: {hint}")
    return output


def prepare_output(output: Output) -> None:
    """Make the directory, before hours of work. Raises InputError if it cannot be written to."""
    if output.path is not None:
        make_directory(output.path.parent if output.is_file else output.path)


def distinct_names(wanted: Iterable[str], longest: int = LONGEST_NAME) -> Iterator[str]:
    """The names, but one that was there already gets a number, and a longer one is cut.

    Names that differ only in capitals are the same to some file systems. longest: in bytes.
    """
    taken: set[str] = set()  # in lower case
    for name in wanted:
        ends = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        named = (_cut(name, longest - len(end)) + end for end in ends)
        free = next(each for each in named if each.lower() not in taken)
        taken.add(free.lower())
        yield free


def _cut(name: str, longest: int) -> str:
    """As much of a name as so many bytes can hold."""
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return name
