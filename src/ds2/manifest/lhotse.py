"""Read lhotse's manifests without lhotse: cuts, and the pair of recordings and supervisions."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.manifest.utterance import (
    Lines,
    Utterance,
    found_audio,
    json_object,
    length_of,
    name_of,
    number_of,
    numbered_lines,
    required_string,
    seconds_of,
    string_of,
)

TOLERANCE_S = 0.1
"""The longest time by which a supervision may exceed its cut, and still have the audio's text."""

REMEDY = "write it to its own file (lhotse: cuts.save_audios) and list that file"

KNOWN_KEYS = {
    *("text", "speaker", "language", "start", "duration"),
    *("recording_id", "channel", "custom", "alignment"),
}
"""Fields of a supervision that have their own field in an Utterance, or that it does not need."""


def cut_utterances(path: Path, lines: Lines) -> Iterator[Utterance | InputError]:
    """An utterance for each supervision of each cut, or the whole cut if it has none."""
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            cut = json_object(line, where)
            recording = _object_of(cut, "recording", where)
            if not recording:
                kind = string_of(cut, "type", where) or "cut"
                raise InputError(f"{where}: is a {kind} without a recording: {REMEDY}")
            audio_path = _audio_path(recording, cut, where, path)
            supervisions = _objects_of(cut, "supervisions", where)
            start_s = seconds_of(cut, "start", where) or 0.0
            end_s = start_s + _duration_of(cut, where)
        except InputError as error:
            yield error
            continue
        for supervision in supervisions or [{"duration": cut["duration"], "id": cut.get("id")}]:
            try:
                yield _utterance(supervision, audio_path, (start_s, end_s), path, number)
            except InputError as error:
                yield error


def pair_utterances(recordings: Path, supervisions: Path) -> Iterator[Utterance | InputError]:
    """An utterance for each supervision."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for number, line in numbered_lines(recordings):
        where = f"{recordings}:{number}"
        recording = json_object(line, where)
        found[required_string(recording, "id", where)] = where, recording
    for number, line in numbered_lines(supervisions):
        where = f"{supervisions}:{number}"
        try:
            supervision = json_object(line, where)
            name = required_string(supervision, "recording_id", where)
            if name not in found:
                raise InputError(f"{where}: recording {name} is not in {recordings}")
            audio_path = _audio_path(found[name][1], supervision, found[name][0], recordings)
            whole = 0.0, _duration_of(found[name][1], found[name][0])
            yield _utterance(supervision, audio_path, whole, supervisions, number)
        except InputError as error:
            yield error


def pair_of(path: Path) -> tuple[Path, Path]:
    """The pair of recordings and supervisions that the path belongs to. Raises InputError."""
    for mine, other in (("recordings", "supervisions"), ("supervisions", "recordings")):
        if mine in path.name:
            plain = path.name.replace(mine, other).removesuffix(".gz")
            for partner in (path.with_name(plain), path.with_name(f"{plain}.gz")):
                if partner.is_file():
                    return (path, partner) if mine == "recordings" else (partner, path)
            raise InputError(f"{path}: its {other} are missing: there is no {plain} beside it")
    raise InputError(
        f"{path}: has lhotse's recordings or supervisions, and ds2 needs both files: "
        "rename them to *recordings*.jsonl and *supervisions*.jsonl"
    )


def pair_in(directory: Path) -> tuple[Path, Path] | None:
    """The one pair in a directory; None if there is none. Raises InputError for several."""
    recordings = sorted(directory.glob("*recordings*.jsonl*"))
    if len(recordings) > 1:
        raise InputError(f"{directory}: has {len(recordings)} lists of recordings: name one")
    return pair_of(recordings[0]) if recordings else None


def _utterance(
    supervision: Mapping[str, Any],
    audio_path: Path,
    span_s: tuple[float, float],
    source_file: Path,
    line: int,
) -> Utterance:
    """The utterance of a supervision; its start counts from the start of the audio span."""
    where = f"{source_file}:{line}"
    start_s = span_s[0] + (number_of(supervision, "start", where) or 0.0)
    end_s = start_s + _duration_of(supervision, where)
    is_inside = span_s[0] - TOLERANCE_S <= start_s and end_s <= span_s[1] + TOLERANCE_S
    if not is_inside or min(end_s, span_s[1]) <= max(start_s, span_s[0]):
        raise InputError(
            f"{where}: supervision {supervision.get('id')} lasts from {start_s:g} to {end_s:g} s, "
            f"but its audio lasts from {span_s[0]:g} to {span_s[1]:g} s: trim the cuts "
            "(lhotse: cuts.trim_to_supervisions)"
        )
    start_s, end_s = max(start_s, span_s[0]), min(end_s, span_s[1])
    extra = {key: supervision[key] for key in supervision if key not in KNOWN_KEYS}
    return Utterance(
        audio_path=audio_path,
        duration_s=end_s - start_s,
        text=string_of(supervision, "text", where),
        offset_s=start_s,
        speaker=name_of(supervision, "speaker", where),
        language=string_of(supervision, "language", where),
        extra=extra | _object_of(supervision, "custom", where),
        source_file=source_file,
        line=line,
    )


def _audio_path(
    recording: Mapping[str, Any], owner: Mapping[str, Any], where: str, path: Path
) -> Path:
    """The file of a recording. Raises InputError unless its owner means all of its channels.

    owner: the cut or the supervision.
    """
    sources = _objects_of(recording, "sources", where)
    if len(sources) != 1 or sources[0].get("type") != "file":
        kinds = ", ".join(str(source.get("type")) for source in sources) or "none"
        raise InputError(f"{where}: its recording is not one file (sources: {kinds}): {REMEDY}")
    for transform in _objects_of(recording, "transforms", where):
        if transform.get("name") != "Resample":  # ds2 resamples in any case
            name = transform.get("name")
            raise InputError(f"{where}: lhotse would transform the audio ({name}): {REMEDY}")
    channels = recording.get("channel_ids") or sources[0].get("channels") or []
    meant = owner.get("channel", channels)
    if any(channel not in (meant if isinstance(meant, list) else [meant]) for channel in channels):
        raise InputError(f"{where}: needs only channel {meant} of {channels}: {REMEDY}")
    return found_audio(required_string(sources[0], "source", where), path.parent)


def _duration_of(fields: Mapping[str, Any], where: str) -> float:
    duration_s = length_of(fields, "duration", where)
    if duration_s is None:
        raise InputError(f"{where}: duration is missing")
    return duration_s


def _object_of(fields: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """The object under the key, empty if there is none."""
    value = fields.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: {key}: it must be an object")
    return value


def _objects_of(fields: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects under the key, empty if there is none."""
    value = fields.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{where}: {key}: it must be a list of objects")
    return value
