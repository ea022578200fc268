"""The place of the output: standard output, one file, or a directory of files."""

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
"""Errors after which writing to any other file would fail, too."""
LONGEST_NAME = 250
"""Most bytes of a file name without its extension. File systems allow 255 for the whole name."""
ALL = "all"
"""The format that means every format, each in a file of its own."""


def add_output(
    parser: argparse.ArgumentParser, formats: Sequence[str], *names: str, told: str
) -> None:
    """Add -f and -o.

    names: other spellings of the two, such as "--output_dir" and "--output_format".
    told: what the files of -o are, for the help.
    """
    parser.add_argument(
        "-f",
        "--format",
        *(name for name in names if "format" in name),
        choices=(*formats, ALL),
        help=f"format of the output; all writes every format (default: the ending of -o, else "
        f"{formats[0]})",
    )
    parser.add_argument(
        "-o",
        "--output",
        *(name for name in names if "format" not in name),
        type=Path,
        metavar="DIR|FILE",
        help=f"directory for {told}; or one file, if the name ends in a format, such as "
        f"out.{formats[0]} (default: standard output)",
    )


@dataclass
class Output:
    """The place and the format of a command's results."""

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
        """Write the results that were kept, and report the files. No result makes no file."""
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
        except (
            OSError,
            UnicodeEncodeError,
        ) as error:  # the second: the locale cannot encode the name
            if getattr(error, "errno", None) in FULL:
                raise
            reason = (
                getattr(error, "strerror", None) or "the system's encoding cannot hold this name"
            )
            raise InputError(f"{path}: cannot be written: {reason.lower()}") from None
        self.paths.append(path)


def output_of(
    args: argparse.Namespace,
    formats: Sequence[str],
    joinable: Sequence[str],
    num_results: int,
    named: str,
) -> Output:
    """The output that -f and -o ask for. Raises InputError if the two do not fit.

    joinable: the formats in which one result can follow another in one file.
    named: what ds2 calls the inputs, in the plural, for messages.
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
    hint = "name a directory with -o DIR"
    if form == ALL:
        raise InputError(f"-f all: writes several files: {hint}")
    if num_results > 1 and form not in joinable:
        where = f"-o {path}: {form} is written as" if is_file else f"-f {form}: writes"
        raise InputError(f"{where} a file for each of the {num_results} {named}: {hint}")
    return output


def prepare_output(output: Output) -> None:
    """Make the directory before the work begins. Raises InputError if nobody can write there."""
    if output.path is not None:
        make_directory(output.path.parent if output.is_file else output.path)


def distinct_names(wanted: Iterable[str], longest: int = LONGEST_NAME) -> Iterator[str]:
    """The names, each once: a repeated name gets a number, and a name that is too long is cut.

    Names that differ only in capitals count as repeated, as on some file systems.
    longest: the most bytes of a name.
    """
    taken: set[str] = set()  # in lower case
    for name in wanted:
        ends = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        named = (_cut(name, longest - len(end)) + end for end in ends)
        free = next(each for each in named if each.lower() not in taken)
        taken.add(free.lower())
        yield free


def _cut(name: str, longest: int) -> str:
    """The longest beginning of a name that fits into this many bytes."""
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return name
