"""Manifests of DeepSpeech and Coqui (CSV) and of Kaldi (a directory of tables)."""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError
from ds2.manifest.utterance import (
    IMPORT,
    Lines,
    Utterance,
    found_audio,
    numbered_lines,
    required_string,
)

KNOWN_COLUMNS = ("wav_filename", "transcript", "speaker", "language")


def csv_utterances(path: Path, lines: Lines) -> Iterator[Utterance | InputError]:
    """The rows of a CSV file with the columns wav_filename and transcript, and any others.

    lines: the lines of the file; wav_filename is relative to the file. Raises InputError for a bad
    header.
    """
    taken = [1]  # the numbers of the lines so far: a row in quotes may take several lines

    def texts() -> Iterator[str]:
        for number, text in lines:
            taken.append(number)
            yield text + "\n"

    rows = csv.reader(texts(), strict=True)
    try:
        columns = next(rows)
        _check_columns(columns, path, taken[-1])
        for row in rows:
            try:
                yield _csv_utterance(columns, row, path, taken[-1])
            except InputError as error:
                yield error
    except csv.Error as error:
        raise InputError(f"{path}:{taken[-1]}: is not CSV: {error}") from None


def _csv_utterance(columns: list[str], row: list[str], path: Path, line: int) -> Utterance:
    where = f"{path}:{line}"
    if len(row) != len(columns):
        raise InputError(
            f"{where}: has {len(row)} fields, but the header has {len(columns)}: "
            "put texts with commas in quotes"
        )
    fields = dict(zip(columns, row, strict=True))
    return Utterance(
        audio_path=path.parent.absolute() / required_string(fields, "wav_filename", where),
        text=fields["transcript"],
        speaker=fields.get("speaker"),
        language=fields.get("language"),
        extra={key: fields[key] for key in fields if key not in KNOWN_COLUMNS},
        source_file=path,
        line=line,
    )


def _check_columns(columns: list[str], path: Path, line: int) -> None:
    where = f"{path}:{line}"
    for column in ("wav_filename", "transcript"):
        if column not in columns:
            known = ", ".join(columns)
            raise InputError(
                f"{where}: has no column {column} (there is {known}): {IMPORT.format(path.name)}"
            )


def kaldi_utterances(directory: Path) -> Iterator[Utterance | InputError]:
    """The utterances of the file segments, or of wav.scp if there is no such file.

    It also reads text, utt2spk, utt2lang and utt2dur if they exist. Raises InputError for tables
    that it cannot read or that do not fit each other.
    """
    recordings = _table(directory / "wav.scp")
    has_segments = (directory / "segments").is_file()
    heads = _table(directory / "segments") if has_segments else recordings
    texts, speakers, languages, durations = (
        _table(directory / name) if (directory / name).is_file() else {}
        for name in ("text", "utt2spk", "utt2lang", "utt2dur")
    )
    for name, row in texts.items():
        if name not in heads:
            listing = "segments" if has_segments else "wav.scp"
            raise InputError(f"{row.where}: utterance {name} has no line in {listing}")
    for name, head in heads.items():
        try:
            if has_segments:
                recording, start_s, end_s = _segment(head, recordings)
                duration_s = None if end_s is None else end_s - start_s
            else:
                recording, start_s = head, 0.0
                duration_s = _seconds(durations[name]) if name in durations else None
            yield Utterance(
                audio_path=_kaldi_audio(recording),
                duration_s=duration_s,
                text=texts[name].rest if name in texts else None,
                offset_s=start_s,
                speaker=speakers[name].rest if name in speakers else None,
                language=languages[name].rest if name in languages else None,
                extra={"id": name},
                source_file=head.file,
                line=head.line,
            )
        except InputError as error:
            yield error


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a Kaldi table, without the name at its beginning."""

    rest: str
    file: Path
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


def _table(path: Path) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for number, line in numbered_lines(path):
        name, *rest = line.split(maxsplit=1)
        if name in rows:
            raise InputError(f"{path}:{number}: {name} is already in line {rows[name].line}")
        rows[name] = _Row(rest[0].strip() if rest else "", path, number)
    return rows


def _segment(row: _Row, recordings: dict[str, _Row]) -> tuple[_Row, float, float | None]:
    """The recording, start and end in seconds (None: the recording's end) of a line of segments."""
    try:
        name, start, end = row.rest.split()
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise InputError(f"{row.where}: must be: utterance recording start end") from None
    if name not in recordings:
        raise InputError(f"{row.where}: recording {name} has no line in wav.scp")
    if end_s == -1 and 0 <= start_s < math.inf:
        return recordings[name], start_s, None
    if not 0 <= start_s < end_s < math.inf:
        raise InputError(f"{row.where}: {start} to {end}: the end must come after the start")
    return recordings[name], start_s, end_s


def _seconds(row: _Row) -> float:
    try:
        seconds = float(row.rest)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"{row.where}: {row.rest}: it must be a number of seconds above 0")
    return seconds


def _kaldi_audio(row: _Row) -> Path:
    if row.rest.endswith("|"):
        raise InputError(
            f"{row.where}: is a command, and ds2 does not run the commands of a manifest: "
            "write its output to a file and list that file"
        )
    if re.search(r"\.ark:\d+$", row.rest):
        raise InputError(
            f"{row.where}: is in a Kaldi archive: write it to a file and list that file"
        )
    if row.rest in ("", "-"):
        raise InputError(f"{row.where}: names no file")
    return found_audio(row.rest, row.file.parent)
