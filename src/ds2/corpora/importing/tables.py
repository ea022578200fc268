"""Reads tables of recordings and texts: CSV, JSON, or lines with a name and a text."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.corpora.importing.encodings import Decoded
from ds2.errors import InputError

DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""Separators of cells and their names. Those that are rare in texts come first."""

LINES_LOOKED_AT = 200


@dataclass(frozen=True)
class Row:
    """A row of a table, or its fault."""

    line: int  # line in the file, from 1; in a JSON array the number of the entry
    cells: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True)
class Table:
    """A table as it is in a file."""

    path: Path
    kind: str  # for the report: "CSV with semicolons"
    encoding: Decoded
    header: tuple[str, ...] | None  # None: its columns have no names
    rows: tuple[Row, ...]


def parse_table(path: Path, decoded: Decoded) -> Table:
    """Parse a file's text as a table. Only JSON has a `header` here: its keys.

    In other tables, the first row may be a header. Raises InputError for a text that is not a
    table.
    """
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    start = text.lstrip()[:1]
    if not start:
        raise InputError(f"{path}: is empty: name another table")
    if start in "[{":
        kind, header, rows = _json_rows(text, path)
        return Table(path, kind, decoded, header, tuple(rows))
    delimiter = _delimiter(text)
    if delimiter is None:
        found = [
            Row(number, tuple(line.split(maxsplit=1)))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]
        return Table(path, "lines of a name and a text", decoded, None, tuple(found))
    rows = _cell_rows(text, delimiter)
    return Table(path, _kind(delimiter), decoded, None, tuple(rows))


def _kind(delimiter: str) -> str:
    return "TSV" if delimiter == "\t" else f"CSV with {DELIMITERS[delimiter]}"


def _delimiter(text: str) -> str | None:
    """The separator of the cells in a line; None if there is none.

    It occurs equally often in most lines. A text with a comma usually has several.
    """
    lines = [line for line in text.split("\n")[:LINES_LOOKED_AT] if line.strip()]
    for delimiter in DELIMITERS:
        cells_of_lines = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
        counts = Counter(len(cells) - 1 for cells in cells_of_lines)
        usual, times = counts.most_common(1)[0]
        first = cells_of_lines[0]
        if usual and (times > 0.6 * counts.total() or len(first) - 1 == usual):
            return delimiter
    if all(line.count(",") for line in lines):
        return ","
    return None


def _cell_rows(text: str, delimiter: str) -> list[Row]:
    """The rows. Quotation marks are CSV's, or plain text if that gives more rows of one length.

    The tables of LJSpeech and Common Voice have quotation marks as plain text.
    """
    quoted = list(_quoted_rows(text, delimiter))
    plain = [
        Row(number, tuple(line.split(delimiter)))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if '"' not in text:
        return plain
    return max((quoted, plain), key=_num_regular)


def _num_regular(rows: Sequence[Row]) -> int:
    """The number of readable rows that are as long as the first."""
    width = len(rows[0].cells) if rows else 0
    return sum(len(row.cells) == width and not row.error for row in rows)


def _quoted_rows(text: str, delimiter: str) -> Iterator[Row]:
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, (), f"is not CSV: {error}")
            continue
        if any(cell.strip() for cell in cells):
            yield Row(line, tuple(cells))


def _json_rows(text: str, path: Path) -> tuple[str, tuple[str, ...], list[Row]]:
    """The kind, the keys and the entries of a JSON file. Raises InputError."""
    try:
        data = json.loads(text)
        kind, numbers = "a JSON array", None
    except (ValueError, RecursionError) as error:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):
            raise InputError(f"{path}: is not JSON: {str(error).lower()}") from None
        numbers = [number for number, _ in lines]
        data = [_json_value(line) for _, line in lines]
        kind = "JSON lines"
    if isinstance(data, dict):
        data, kind = _entries(data)
    if not isinstance(data, list) or not any(isinstance(entry, dict) for entry in data):
        raise InputError(f"{path}: must be a JSON array of objects, one for each recording")
    header = tuple(dict.fromkeys(key for entry in data if isinstance(entry, dict) for key in entry))
    rows = []
    for number, entry in zip(numbers or range(1, len(data) + 1), data, strict=True):
        if isinstance(entry, dict):
            rows.append(Row(number, tuple(_shown(entry.get(key)) for key in header)))
        else:
            rows.append(Row(number, (), "is not a JSON object"))
    return kind, header, rows


def _json_value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _entries(data: dict[str, Any]) -> tuple[Any, str]:
    """The entries of an object: those of its only list, or a text for each name."""
    if len(data) > 1 or all(isinstance(value, str) for value in data.values()):
        if all(isinstance(value, str) for value in data.values()):
            entries = [{"file": name, "text": text} for name, text in data.items()]
            return entries, "a JSON object of texts by name"
        if all(isinstance(value, dict) for value in data.values()):
            return [{"file": name, **value} for name, value in data.items()], "a JSON object"
    lists = [value for value in data.values() if isinstance(value, list)]
    return (lists[0] if len(lists) == 1 else data), "a JSON array"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
