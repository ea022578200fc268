"""Text for language models: from files to numbered words, one block of sentences at a time."""

import gzip
import io
import itertools
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.files import as_utf8, missing_file
from ds2.manifest import read_manifest

Unit = Literal["word", "character"]
Tokens = npt.NDArray[np.int32]
Report = Callable[[str, float | None], None]
"""Takes the current stage and its done share in [0, 1]; None if the share is unknown."""

UNKNOWN, BEGIN, END = 0, 1, 2
"""The ids of the marks: an unknown word, the start and the end of a sentence."""
MARKS = ("<unk>", "<s>", "</s>")
STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
_NEW, _SPACE = -1, -2
_LAST_SPACE = 0x3000  # in Unicode, the ideographic space is the last white space


class HeldOut:
    """Sentences that a model must not see, because they will test it. Spaces do not matter."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._keys = frozenset(map(_without_spaces, sentences)) - {""}
        self.num_met = 0
        """The number of lines left out so far."""

    def without(self, lines: Iterable[str]) -> list[str]:
        """The lines without the held-out sentences."""
        given = list(lines)
        left = [line for line in given if _without_spaces(line) not in self._keys]
        self.num_met += len(given) - len(left)
        return left


def _without_spaces(text: str) -> str:
    return "".join(text.split())


class Numbering(Protocol):
    """Gives words numbers in the order in which they first come. The marks come before all."""

    def tokens(self, lines: bytes) -> Tokens:
        """The ids of the words in whole lines of UTF-8, each line between BEGIN and END."""
        ...

    def words(self) -> list[str]:
        """The words so far, by id."""
        ...


class WordNumbering:
    """Words are the text between ASCII white space, as in KenLM."""

    def __init__(self) -> None:
        self._ids: defaultdict[bytes, int] = defaultdict(itertools.count(len(MARKS)).__next__)
        self._ids.update({mark.encode(): index for index, mark in enumerate(MARKS)})

    def tokens(self, lines: bytes) -> Tokens:
        marked = lines.removesuffix(b"\n").replace(b"\n", b" </s> <s> ")
        words = (b"<s> " + marked + b" </s>").split()
        return np.fromiter(map(self._ids.__getitem__, words), np.int32, len(words))

    def words(self) -> list[str]:
        return [word.decode() for word in self._ids]


class CharacterNumbering:
    """Words are single characters. White space is ignored."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self._ids = np.full(sys.maxunicode + 1, _NEW, np.int32)  # by code point
        self._ids[[code for code in range(_LAST_SPACE + 1) if chr(code).isspace()]] = _SPACE
        self._ids[ord("\n")] = END

    def tokens(self, lines: bytes) -> Tokens:
        codes = np.frombuffer(lines.decode().encode("utf-32-le"), np.uint32)
        for code in dict.fromkeys(codes[self._ids[codes] == _NEW].tolist()):
            self._ids[code] = len(MARKS) + len(self._characters)
            self._characters.append(chr(code))
        ids = self._ids[codes]
        ids = ids[ids != _SPACE]
        after_ends = np.flatnonzero(ids == END) + 1
        return np.insert(ids, np.append(0, after_ends[:-1]), BEGIN).astype(np.int32)

    def words(self) -> list[str]:
        return [*MARKS, *self._characters]


def new_numbering(unit: Unit) -> Numbering:
    """An empty numbering of words or of characters."""
    return WordNumbering() if unit == "word" else CharacterNumbering()


def read_sentences(
    sources: Sequence[str | Path],
    numbering: Numbering,
    *,
    normaliser: Callable[[str], str] | None = None,
    held_out: HeldOut | None = None,
    skip_blank: bool = False,
    report: Report | None = None,
) -> Iterator[Tokens]:
    """The sentences of texts, one per line, as ids: BEGIN, words, END, BEGIN, words, ...

    sources: UTF-8 files, plain or .gz, or "-" for standard input; or manifests (.jsonl, .jsonl.gz,
        directories), whose texts are used.
    normaliser: a function for every line; None: use the text as it is.
    held_out: lines to leave out, also normalised.
    skip_blank: leave out lines without words. By default they are sentences of no words.

    Raises InputError that names file and line if ds2 cannot read a text, if it is not UTF-8, or if
    it uses one of the marks `<unk>`, `<s>` and `</s>` as a word.
    """
    for source, fraction, first_line, block in _blocks(sources):
        if report is not None:
            report("reading text", fraction)
        text = _decoded(block, source, first_line)
        if normaliser is not None or held_out is not None:
            lines: Iterable[str] = text.removesuffix("\n").split("\n")
            lines = lines if normaliser is None else map(normaliser, lines)
            block = "".join(
                f"{line}\n" for line in (lines if held_out is None else held_out.without(lines))
            ).encode()
        if not block:
            continue
        tokens = numbering.tokens(block)
        if np.count_nonzero(tokens <= END) != 2 * block.count(b"\n"):
            raise _mark_error(text.encode(), source, first_line)
        if skip_blank:
            blank = np.flatnonzero((tokens[:-1] == BEGIN) & (tokens[1:] == END))
            tokens = np.delete(tokens, np.concatenate([blank, blank + 1]))
        yield tokens


def read_lines(
    sources: Sequence[str | Path], normaliser: Callable[[str], str] | None = None
) -> Iterator[str]:
    """The lines of texts, each normalised; see `read_sentences`. Raises InputError."""
    for source, _, first_line, block in _blocks(sources):
        lines = _decoded(block, source, first_line).removesuffix("\n").split("\n")
        yield from lines if normaliser is None else map(normaliser, lines)


def _blocks(sources: Sequence[str | Path]) -> Iterator[tuple[str, float | None, int, bytes]]:
    """Blocks of whole lines: source, fraction read so far, number of the first line, lines."""
    sizes = [_size(source) for source in sources]
    for index, source in enumerate(sources):
        done = sum(sizes[:index])
        with _open(source) as (file, raw):
            line, rest = 1, b""
            while data := file.read(BLOCK_BYTES):
                whole, newline, rest_of_data = data.rpartition(b"\n")
                if not newline:
                    rest += data
                    continue
                block = rest + whole + newline
                rest = rest_of_data
                yield str(source), _fraction(done, raw, sum(sizes)), line, block
                line += block.count(b"\n")
            if rest:
                yield str(source), _fraction(done, raw, sum(sizes)), line, rest + b"\n"


def _fraction(done: int, raw: BinaryIO | None, total: int) -> float | None:
    return (done + raw.tell()) / total if raw is not None and total else None


def _size(source: str | Path) -> int:
    path = Path(source)
    return path.stat().st_size if str(source) != STANDARD_INPUT and path.is_file() else 0


@contextmanager
def _open(source: str | Path) -> Iterator[tuple[BinaryIO, BinaryIO | None]]:
    """The text's bytes, and the file whose position gives the progress; None for a pipe."""
    if str(source) == STANDARD_INPUT:
        with as_utf8(sys.stdin.buffer, Path("standard input")) as text:
            yield text, None
        return
    path = Path(source)
    if path.is_dir() or path.name.endswith((".jsonl", ".jsonl.gz")):
        texts = (" ".join((utterance.text or "").split()) for utterance in read_manifest(path))
        yield io.BytesIO("".join(f"{text}\n" for text in texts if text).encode()), None
        return
    try:
        with path.open("rb") as raw:
            packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else nullcontext(raw)
            with packed as file, as_utf8(cast(BinaryIO, file), path) as text:
                yield text, raw
    except FileNotFoundError:
        raise missing_file(path) from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(
            f"{path}: is not a complete gzip file: copy or compress it again"
        ) from None
    except (io.UnsupportedOperation, OSError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _decoded(block: bytes, source: str, first_line: int) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        line = first_line + block.count(b"\n", 0, error.start)
        raise InputError(
            f"{source}:{line}: byte 0x{block[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from None


def _mark_error(lines: bytes, source: str, first_line: int) -> InputError:
    for number, line in enumerate(lines.split(b"\n"), first_line):
        for mark in MARKS:
            if mark.encode() in line.split():
                return InputError(
                    f"{source}:{number}: holds the word {mark}, which the model itself uses as a "
                    "mark: remove it; each line is one sentence without marks"
                )
    raise AssertionError("as many marks as lines should hold")
