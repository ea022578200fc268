"""Read manifests, also in the formats of other toolkits, and write them as JSON lines."""

import json
import mimetypes
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest.foreign import csv_utterances, kaldi_utterances
from ds2.manifest.lhotse import cut_utterances, pair_in, pair_of, pair_utterances
from ds2.manifest.utterance import (
    IMPORT,
    Lines,
    Utterance,
    json_object,
    length_of,
    name_of,
    numbered_lines,
    required_string,
    seconds_of,
    string_of,
)

KNOWN_KEYS = ("audio_filepath", "duration", "text", "offset", "speaker", "language")
"""The fields of a line that have their own field in an Utterance; others go into `extra`."""

OnError: TypeAlias = Callable[[InputError], None]


def read_manifest(path: str | Path, *, on_error: OnError | None = None) -> list[Utterance]:
    """The utterances of a manifest, in its order.

    path: JSON lines in NeMo's format (`audio_filepath` relative to the manifest, `duration`,
        `text`, and optionally `offset`, `speaker`, `language` and others); a CSV file in the
        format of DeepSpeech and Coqui; a Kaldi data directory; lhotse's cuts, or one of the pair
        of recordings and supervisions, or the directory of the pair; or a directory with a
        manifest.jsonl. Any file may be a .gz.
    on_error: receives the error of each wrong utterance, which is then left out.

    Raises InputError with the line of the first error; with `on_error` only if the whole file is
    unusable.
    """
    path = Path(path)
    utterances: list[Utterance] = []
    is_empty = True
    for utterance in map(_possible, _scan(path)):
        is_empty = False
        if isinstance(utterance, Utterance):
            utterances.append(utterance)
        elif on_error is not None:
            on_error(utterance)
        else:
            raise utterance
    if is_empty:
        raise InputError(f"{path}: has no utterances")
    return utterances


def is_recording(path: Path) -> bool:
    """Whether the path is a file with the name of a recording, and so not a manifest."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    return kind.startswith(("audio/", "video/")) and path.is_file()


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write JSON lines that `read_manifest` reads back as the same utterances.

    The names of recordings below the manifest's directory are relative to it, so that you can move
    the whole directory.
    """
    path = Path(path)
    directory = path.parent.absolute()
    with atomic_write(path) as file:
        for utterance in utterances:
            fields = fields_of(utterance, directory)
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _possible(utterance: Utterance | InputError) -> Utterance | InputError:
    """The utterance, or the error that no file can have the name of its recording."""
    if isinstance(utterance, Utterance) and "\0" in str(utterance.audio_path):
        return InputError(f"{utterance.where}: the recording's name has a null character")
    return utterance


def _scan(path: Path) -> Iterator[Utterance | InputError]:
    """Each utterance, or its error."""
    if path.is_dir():
        yield from _scan_directory(path)
        return
    if is_recording(path):
        raise InputError(
            f"{path}: is a recording, but a manifest must be here: a file with a line of JSON for "
            "each recording, with audio_filepath and text"
        )
    lines = numbered_lines(path)
    first = next(lines, None)
    if first is None:
        return
    lines = chain([first], lines)
    if path.suffixes[-1:] == [".csv"] or first[1].startswith("wav_filename,"):
        yield from csv_utterances(path, lines)
    elif path.name == "wav.scp":
        yield from kaldi_utterances(path.parent)
    else:
        yield from _scan_json(path, first[1], lines)


def _scan_directory(path: Path) -> Iterator[Utterance | InputError]:
    if (path / "wav.scp").is_file():
        yield from kaldi_utterances(path)
    elif pair := pair_in(path):
        yield from pair_utterances(*pair)
    elif (path / "manifest.jsonl").is_file():
        yield from _scan(path / "manifest.jsonl")
    else:
        raise InputError(
            f"{path}: is a directory without manifest.jsonl, wav.scp (Kaldi) or the pair "
            "recordings.jsonl.gz and supervisions.jsonl.gz (lhotse): name the manifest itself, or "
            f"make one from recordings and texts with `ds2 corpus import {path}`"
        )


def _scan_json(path: Path, first: str, lines: Lines) -> Iterator[Utterance | InputError]:
    """The utterances of JSON lines; the first line shows their format."""
    fields = {}
    try:
        fields = json_object(first, "")
    except InputError as error:
        if ".jsonl" not in path.suffixes and first.lstrip()[:1] != "{":  # not JSON lines
            raise InputError(f"{path}:1{error}: {IMPORT.format(path.name)}") from None
    if "audio_filepath" in fields:
        yield from _json_utterances(path, lines)
    elif "recording" in fields or "tracks" in fields or "type" in fields:
        yield from cut_utterances(path, lines)
    elif "sources" in fields or "recording_id" in fields:
        yield from pair_utterances(*pair_of(path))
    else:
        yield from _json_utterances(path, lines, f": {IMPORT.format(path.name)}")


def _json_utterances(path: Path, lines: Lines, hint: str = "") -> Iterator[Utterance | InputError]:
    """The utterances of our JSON lines. hint: an addition to the message for a bad first line."""
    directory = path.parent.absolute()
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            fields = json_object(line, where)
            yield Utterance(
                audio_path=directory / required_string(fields, "audio_filepath", where),
                duration_s=length_of(fields, "duration", where),
                text=string_of(fields, "text", where),
                offset_s=seconds_of(fields, "offset", where) or 0.0,
                speaker=name_of(fields, "speaker", where),
                language=string_of(fields, "language", where),
                extra={key: fields[key] for key in fields if key not in KNOWN_KEYS},
                source_file=path,
                line=number,
            )
        except InputError as error:
            yield InputError(f"{error}{hint}")
        hint = ""


def fields_of(utterance: Utterance, directory: Path) -> dict[str, Any]:
    """The fields of an utterance's line, in an order that is easy to read.

    directory: the manifest's, absolute; the names of recordings below it are relative to it.
    """
    audio_path = utterance.audio_path.absolute()
    if audio_path.is_relative_to(directory):
        audio_path = audio_path.relative_to(directory)
    known = {
        "audio_filepath": audio_path.as_posix(),
        "duration": utterance.duration_s,
        "text": utterance.text,
        "offset": utterance.offset_s or None,
        "speaker": utterance.speaker,
        "language": utterance.language,
    }
    fields = {key: value for key, value in known.items() if value is not None}
    return fields | {key: utterance.extra[key] for key in utterance.extra if key not in KNOWN_KEYS}
