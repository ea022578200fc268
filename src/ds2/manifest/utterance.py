"""Utterance: a piece of audio with its text; and the checks of a manifest's fields."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ds2.errors import InputError
from ds2.files import open_text

IMPORT = "`ds2 corpus import DIR --texts {}` makes manifests from other kinds of tables"
"""The hint for a file that is not a manifest; format it with the file's name."""

Lines: TypeAlias = Iterator[tuple[int, str]]
"""Lines of a file with their numbers, from 1."""

LONGEST_S = 1e9  # thirty years: a longer time is not a number of seconds


@dataclass(frozen=True, slots=True)
class Utterance:
    """A piece of audio, with the fields that a manifest has for it."""

    audio_path: Path  # absolute
    duration_s: float | None = None  # None: to the end of the recording
    text: str | None = None
    offset_s: float = 0.0
    speaker: str | None = None
    language: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # every other field, as it was
    source_file: Path = field(default=Path(), compare=False)
    line: int = field(default=0, compare=False)  # from 1

    @property
    def where(self) -> str:
        """Its place, for messages: "train/manifest.jsonl:12"."""
        return f"{self.source_file}:{self.line}"

    @property
    def id(self) -> str:
        """Its name in output: the manifest's "id", or the recording's name and offset."""
        given = self.extra.get("id")
        if isinstance(given, str) and given:
            return given
        return self.audio_path.stem + (f"+{self.offset_s:g}" if self.offset_s else "")


def numbered_lines(path: Path) -> Lines:
    """The lines of a text file, plain or .gz, that are not blank, with their numbers from 1.

    The encoding is UTF-8, or the one of the byte order mark. The lines have no mark and no line
    ends. Raises InputError.
    """
    with open_text(path) as file:
        for number, data in enumerate(file, 1):
            line = _decoded(data, path, number).rstrip("\r\n")
            if line.strip():
                yield number, line


def _decoded(data: bytes, path: Path, number: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{number}: byte {error.start + 1} (0x{data[error.start]:02x}) is not UTF-8: "
            f"save the file as UTF-8 ({IMPORT.format(path.name)}, in any encoding)"
        ) from None


def json_object(line: str, where: str) -> dict[str, Any]:
    """The JSON object of a line. Raises InputError."""
    try:
        value = json.loads(line)
        if "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        hint = " (each line must be one object)" if line.strip() in ("[", "{") else ""
        reason = f"{error.msg.lower()} at column {error.colno}"
        raise InputError(f"{where}: is not JSON: {reason}{hint}") from None
    except UnicodeEncodeError:
        raise InputError(f"{where}: has half a character (an unpaired surrogate)") from None
    except (ValueError, RecursionError):  # a number of 5,000 digits, brackets 1,000 deep
        raise InputError(f"{where}: has JSON that is too large or too deep to read") from None
    if not isinstance(value, dict):
        raise InputError(f'{where}: is not a JSON object such as {{"audio_filepath": "a.wav"}}')
    return value


def found_audio(name: str, directory: Path) -> Path:
    """The absolute path of a recording that a manifest in `directory` names.

    In Kaldi and lhotse, a relative name begins at the directory in which somebody ran the recipe.
    Therefore ds2 looks beside the manifest first, because people may move both together, and then
    in the working directory.
    """
    beside = directory.absolute() / name
    exists = os.path.exists  # False for a name that no file can have, where Path's raises
    return Path(name).absolute() if not exists(beside) and exists(name) else beside


def string_of(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    """The string under the key, None if there is none. Raises InputError."""
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InputError(f"{where}: {key}: {_shown(value)}: it must be a string")


def name_of(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    """Like `string_of`, for names that are whole numbers in some corpora."""
    value = fields.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return string_of(fields, key, where)


def number_of(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """The number under the key, None if there is none. Raises InputError."""
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{where}: {key}: {_shown(value)}: it must be a number")
    if not -LONGEST_S <= value <= LONGEST_S:
        raise InputError(f"{where}: {key}: {_shown(value)}: it must be a number of seconds")
    return float(value)


def seconds_of(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """The seconds, 0 or more, under the key, None if there are none. Raises InputError."""
    seconds = number_of(fields, key, where)
    if seconds is not None and seconds < 0:
        raise InputError(f"{where}: {key}: {_shown(fields[key])}: it must be 0 or more, in seconds")
    return seconds


def length_of(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    """Like `seconds_of`, but above 0."""
    seconds = seconds_of(fields, key, where)
    if seconds == 0:
        raise InputError(f"{where}: {key}: 0: it must be above 0, in seconds")
    return seconds


def required_string(fields: Mapping[str, Any], key: str, where: str) -> str:
    """The string under the key. Raises InputError if there is none or an empty one."""
    if fields.get(key) is None:
        there = ", ".join(map(str, fields)) or "nothing"
        raise InputError(f"{where}: {key} is missing (there is {there})")
    text = string_of(fields, key, where)
    if not text:
        raise InputError(f"{where}: {key} is empty")
    return text


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
