"""Reads the lists and clips of any release of Mozilla Common Voice.

lhotse's preparer needs columns that only some releases have, and it opens every clip. The lists are
simple, so this module reads them itself.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ds2.audio import probe_audio
from ds2.corpora.public.found import Asked, Found
from ds2.errors import InputError
from ds2.manifest.utterance import Utterance, numbered_lines

COLUMNS = ("client_id", "path", "sentence")
KEPT = ("age", "gender", "accents", "accent", "variant", "sentence_domain")
SPLITS = ("train", "dev", "test", "validated", "invalidated", "other")


def read_common_voice(asked: Asked) -> Iterator[tuple[str, Found]]:
    """The utterances of each list, such as "en-train" of en/train.tsv. Raises InputError."""
    language = asked.root.name
    durations_s = _durations(asked.root)
    there = {path.name for path in (asked.root / "clips").iterdir()}
    for split in asked.splits:
        rows = list(_rows(asked.root / split.place))
        missing = [row["path"] for row in rows if row["path"] not in there]
        rows = [row for row in rows if row["path"] in there]
        lengths = _lengths(asked, [row["path"] for row in rows], durations_s)
        utterances = []
        for row, duration_s in zip(rows, lengths, strict=True):
            if duration_s:
                path = asked.root / "clips" / row["path"]
                utterances.append(_utterance(row, path, duration_s, language))
            else:  # some releases hold empty clips
                missing.append(f"{row['path']}, which is empty or unreadable")
        yield split.name, Found(utterances, missing)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a list. Quotation marks are plain text, because they often have no partner."""
    header: list[str] | None = None
    for number, line in numbered_lines(path):
        cells = line.split("\t")
        if header is None:
            header = cells
            lacking = [name for name in COLUMNS if name not in cells]
            if lacking:
                raise InputError(
                    f"{path}:{number}: has no column {lacking[0]}, only "
                    f"{', '.join(cells[:8])}: name a list of Common Voice"
                )
            continue
        if len(cells) < len(header):
            raise InputError(
                f"{path}:{number}: has {len(cells)} of {len(header)} columns: the file is cut off"
            )
        row = dict(zip(header, cells, strict=False))
        name = Path(row["path"]).name
        yield row | {"path": name if "." in name else f"{name}.mp3"}  # the first releases


def _durations(root: Path) -> dict[str, float]:
    """Seconds of each clip, as releases from 15 on list them."""
    path = root / "clip_durations.tsv"
    if not path.exists():
        return {}
    durations_s = {}
    for number, line in numbered_lines(path):
        name, _, milliseconds = line.partition("\t")
        if number > 1:
            try:
                durations_s[name] = int(milliseconds) / 1000
            except ValueError:
                raise InputError(
                    f"{path}:{number}: {milliseconds!r}: it must be whole milliseconds"
                ) from None
    return durations_s


def _lengths(asked: Asked, names: Sequence[str], durations_s: dict[str, float]) -> list[float]:
    """Seconds of each clip; 0 for an unreadable one."""

    def length(name: str) -> float:
        known_s = durations_s.get(name)
        return _probe(asked.root / "clips" / name) if known_s is None else known_s

    lengths = []
    with ThreadPoolExecutor(asked.num_threads) as executor:
        for index, length_s in enumerate(executor.map(length, names)):
            lengths.append(length_s)
            if index % 100 == 0:
                asked.report("measuring clips", index / len(names))
    return lengths


def _probe(path: Path) -> float:
    try:
        return probe_audio(path).duration_s or 0.0
    except InputError:
        return 0.0


def _utterance(row: dict[str, str], path: Path, duration_s: float, language: str) -> Utterance:
    known = {key: row[key] for key in KEPT if row.get(key)}
    return Utterance(
        audio_path=path,
        duration_s=duration_s,
        text=row["sentence"].strip(),
        speaker=row["client_id"],
        language=row.get("locale") or language,
        extra={"id": path.stem, **known, "source": "common-voice"},
    )
