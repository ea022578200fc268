"""Finds the role of each column in a table, by its name or else by its content."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ds2.corpora.importing.tables import Row, Table
from ds2.errors import InputError

Role: TypeAlias = Literal["audio", "text", "speaker", "language", "offset", "end", "duration"]

NAMES: Mapping[Role, tuple[str, ...]] = {
    "audio": (
        *("audio_filepath", "wav_filename", "audio_path", "audio_file", "audio_filename"),
        *("file_name", "file_path", "filename", "filepath", "file", "path", "audio", "wav"),
        *("wav_path", "wav_file", "recording", "clip", "clip_path", "sound", "utterance_id"),
        *("utt_id", "utt", "id", "name"),
        *("datei", "dateiname", "fichier", "archivo", "файл", "文件", "文件名", "音频"),
    ),
    "text": (
        *("transcript", "transcription", "sentence", "text", "normalized_text", "words", "prompt"),
        *("utterance", "label", "reference", "caption", "content", "spoken", "target", "txt"),
        *("satz", "phrase", "frase", "testo", "текст", "предложение", "文本", "句子", "转写"),
    ),
    "speaker": (
        *("speaker", "speaker_id", "speaker_name", "client_id", "spk", "spk_id", "reader"),
        *("reader_id", "user_id", "user", "voice", "narrator", "participant", "person"),
        *("sprecher", "locuteur", "hablante", "parlante", "диктор", "спикер", "说话人"),
    ),
    "language": ("language", "lang", "locale"),
    "offset": ("offset", "start", "start_time", "start_s", "begin", "begin_time"),
    "end": ("end", "end_time", "end_s", "stop"),
    "duration": ("duration", "duration_s", "length_s"),
}
"""Usual names of each role's column, the surest first. Case and spaces do not matter."""

ROWS_LOOKED_AT = 200
LONG_ENOUGH = 0.5
"""A column with the same texts in another spelling has at least this share of the longest mean
length."""

IsRecording: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True)
class Layout:
    """A table with a role for each known column."""

    table: Table
    names: tuple[str, ...]  # of all columns
    rows: tuple[Row, ...]  # without the header
    roles: Mapping[Role, int]  # column of each role; audio and text are always there
    is_named: Mapping[Role, bool]  # whether the name shows the role, not the content
    has_header: bool

    def lines(self) -> list[str]:
        """The columns and their roles, for the report."""
        told = []
        for role, index in self.roles.items():
            why = "" if self.is_named[role] else ", found by its content"
            what = "recording" if role == "audio" else role
            told.append(f'{what}: column "{self.names[index]}"{why}')
        others = [f'"{n}"' for i, n in enumerate(self.names) if i not in self.roles.values()]
        if others:
            told.append(f"other columns, kept as they are: {', '.join(others)}")
        return told


def lay_out(table: Table, given: Sequence[str], is_recording: IsRecording) -> Layout:
    """Find the roles of the columns.

    given: names of --columns, which replace those of the header; empty: none.
    Raises InputError if no column names recordings, or if no column has texts.
    """
    names, rows, has_header = table.header, table.rows, table.header is not None
    if names is None:
        names, rows, has_header = _without_header(table, is_recording)
    if given:
        if len(given) != len(names):
            raise InputError(
                f"--columns {','.join(given)}: gives {len(given)} names, but {table.path} has "
                f"{len(names)} columns: {', '.join(names)}"
            )
        names = tuple(given)
    sample = [row for row in rows if len(row.cells) == len(names)][:ROWS_LOOKED_AT]
    if not rows:
        raise InputError(f"{table.path}: has only a header: name another table")
    if not sample:
        raise InputError(f"{table.path}:{rows[0].line}: {_fault(rows[0], len(names))}")
    named = _named(names)
    audio, knows_audio = _audio(names, named, sample, is_recording, table)
    roles: dict[Role, int] = {"audio": audio}
    text = next((i for i in named["text"] if i != audio), None)
    knows_text = text is not None
    roles["text"] = _longest(sample, audio, table) if text is None else text
    for role in ("speaker", "language", "offset", "end", "duration"):
        index = next((i for i in named[role] if i not in roles.values()), None)
        if index is not None:
            roles[role] = index
    is_named = dict.fromkeys(roles, True) | {"audio": knows_audio, "text": knows_text}
    return Layout(table, names, rows, roles, is_named, has_header)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def _named(names: Sequence[str]) -> dict[Role, list[int]]:
    """The columns of each role by their names, the surest first."""
    plain = [_plain(name) for name in names]
    return {
        role: [plain.index(known) for known in known_names if known in plain]
        for role, known_names in NAMES.items()
    }


def _without_header(
    table: Table, is_recording: IsRecording
) -> tuple[tuple[str, ...], tuple[Row, ...], bool]:
    """The names of the columns, the rows under them, and whether the first row is a header.

    The first row is a header if it has usual names of columns and no recording, or if only other
    rows name recordings.
    """
    first, rest = table.rows[0], table.rows[1:]
    has_recording = any(map(is_recording, first.cells))
    named = _named(first.cells)
    others_have = any(is_recording(c) for row in rest[:ROWS_LOOKED_AT] for c in row.cells)
    if not has_recording and (named["audio"] or named["text"] or others_have):
        names = tuple(cell.strip() for cell in first.cells)
        return names, rest, True
    width = max(len(row.cells) for row in table.rows)
    return tuple(f"column_{index}" for index in range(1, width + 1)), table.rows, False


def _audio(
    names: Sequence[str],
    named: Mapping[Role, Sequence[int]],
    sample: Sequence[Row],
    is_recording: IsRecording,
    table: Table,
) -> tuple[int, bool]:
    """The column that names recordings, and whether its own name shows it. Raises InputError."""
    order = [*named["audio"], *(i for i in range(len(names)) if i not in named["audio"])]
    found = {i: sum(is_recording(row.cells[i]) for row in sample) for i in order}
    best = max(order, key=lambda i: (found[i], -order.index(i)), default=None)
    if best is None or not found[best]:
        guess = names[named["audio"][0]] if named["audio"] else None
        example = sample[0].cells[named["audio"][0]] if guess else ""
        told = f', not even "{guess}" ({example})' if guess else ""
        raise InputError(
            f"{table.path}: no column names recordings of the directory{told}: the columns are "
            f"{', '.join(names)}: name the directory of the recordings"
        )
    return best, best in named["audio"]


def _longest(sample: Sequence[Row], audio: int, table: Table) -> int:
    """The column with the longest texts, or the last of several such. Raises InputError."""
    width = len(sample[0].cells)
    means = {
        i: sum(len(row.cells[i]) for row in sample) / len(sample)
        for i in range(width)
        if i != audio
    }
    if not means or not max(means.values()):
        raise InputError(
            f"{table.path}: has no column with texts, only one with recordings: name another table"
        )
    return max(i for i, mean in means.items() if mean >= LONG_ENOUGH * max(means.values()))


def regular(layout: Layout) -> tuple[Layout, list[tuple[Row, str]]]:
    """The layout with the rows that have a cell for each column, and the faults of the others."""
    faults = [(row, _fault(row, len(layout.names))) for row in layout.rows]
    good = tuple(row for row, fault in faults if not fault)
    return replace(layout, rows=good), [(row, fault) for row, fault in faults if fault]


def _fault(row: Row, width: int) -> str:
    """What is wrong with a row of a table with `width` columns; "" for nothing."""
    if row.error or len(row.cells) == width:
        return row.error
    return f"has {len(row.cells)} cells, but there are {width} columns"
