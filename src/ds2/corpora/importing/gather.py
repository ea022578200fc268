"""Joins recordings and their texts to a manifest, and reports what is left out."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ds2.audio import SAMPLE_RATE_HZ, audio_blocks, probe_audio
from ds2.corpora.importing.columns import Layout, lay_out, regular
from ds2.corpora.importing.encodings import read_any_text
from ds2.corpora.importing.recordings import Ambiguous, NotFound, Recordings, speaker_in
from ds2.corpora.importing.tables import Row, parse_table
from ds2.errors import InputError
from ds2.manifest import Utterance
from ds2.manifest.reading import KNOWN_KEYS
from ds2.manifest.utterance import LONGEST_S
from ds2.text.language import language_of_name

BESIDE = (".txt", ".lab")
"""Extensions of files beside a recording with its text."""

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt")


@dataclass(frozen=True)
class Request:
    """The input and the settings of an import."""

    directory: Path  # of the recordings
    tables: Sequence[Path] = ()  # of texts; none: files beside the recordings, or the only table
    columns: Sequence[str] = ()
    speaker_from: "re.Pattern[str] | None" = None
    language: str | None = None
    encoding: str | None = None
    num_threads: int = 1


@dataclass(frozen=True)
class LeftOut:
    """Everything that is not in the manifest for one reason."""

    reason: str  # "the recording is not there"
    places: list[str]  # "transcripts.csv:4: no recording a.wav"


@dataclass
class Import:
    """The result of an import."""

    utterances: list[Utterance] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # lines of the report about the input
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Account:
    """Notes of an import: what is left out, by reason, and which recordings have a text."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = defaultdict(list)
        self.mentioned: set[Path] = set()

    def leave_out(self, reason: str, place: str) -> None:
        self._places[reason].append(place)

    def left_out(self) -> list[LeftOut]:
        """All left out, in the order of each reason's first case."""
        return [LeftOut(reason, places) for reason, places in self._places.items()]


def gather(request: Request, on_probe: Callable[[], object] = lambda: None) -> Import:
    """Join recordings and texts.

    on_probe: a function to call after the length of each recording is known.
    Raises InputError for an unusable directory or table, or if nothing is left.
    """
    recordings = Recordings(request.directory)
    found, account = Import(), _Account()
    found.taken.append(f"{request.directory}: {recordings.kinds()}")
    tables = list(request.tables)
    utterances: list[Utterance] = []
    if not tables:
        utterances = _beside(recordings, request, found, account)
        if not utterances:
            tables = [_only_table(request.directory)]
    for path in tables:
        utterances += _of_table(path, recordings, request, found, account)
    utterances = _timed(_once(utterances, account), request, account, on_probe)
    for path in recordings.paths:
        if path.absolute() not in account.mentioned:
            account.leave_out("recordings without a text", str(path))
    found.left_out = account.left_out()
    if not utterances:
        first = found.left_out[0]
        raise InputError(f"nothing can be imported: {first.reason}, the first: {first.places[0]}")
    found.utterances = _with_speakers(utterances, request, found)
    return found


def _beside(
    recordings: Recordings, request: Request, found: Import, account: _Account
) -> list[Utterance]:
    """Utterances of recordings with a text file of the same name beside them."""
    endings, encodings, utterances = Counter[str](), Counter[str](), []
    for path in recordings.paths:
        names = [path.with_suffix(ending) for ending in BESIDE]
        names += [path.with_name(path.name + ending) for ending in BESIDE]
        text_path = next((name for name in names if name.is_file()), None)
        if text_path is None:
            continue
        account.mentioned.add(path.absolute())
        decoded = read_any_text(text_path, request.encoding, request.language)
        text = " ".join(decoded.text.split())
        if not text:
            account.leave_out("empty texts", str(text_path))
            continue
        endings[text_path.suffix] += 1
        encodings[decoded.encoding_name] += 1
        utterances.append(
            Utterance(path.absolute(), text=text, language=request.language, source_file=text_path)
        )
    if utterances:
        kinds = " and ".join(endings)
        found.taken.append(f"texts: {kinds} beside the recordings, in {', '.join(encodings)}")
    return utterances


def _only_table(directory: Path) -> Path:
    """The only table in the directory. Raises InputError if there is none, or more than one."""
    there = sorted(path for path in directory.iterdir() if path.suffix.lower() in TABLES)
    if len(there) == 1:
        return there[0]
    if there:
        names = ", ".join(path.name for path in there[:10])
        raise InputError(f"{directory}: holds {names}: name the right one with --texts")
    below = sorted(path for path in directory.rglob("*") if path.suffix.lower() in TABLES)
    such = f", such as --texts {below[0]}" if below else ""
    raise InputError(
        f"{directory}: no recording has a .txt or .lab file of its name beside it: name the table "
        f"of the texts with --texts{such}"
    )


def _of_table(
    path: Path, recordings: Recordings, request: Request, found: Import, account: _Account
) -> list[Utterance]:
    """The utterances of a table, if their recordings exist. Raises InputError."""
    decoded = read_any_text(path, request.encoding, request.language)
    table = parse_table(path, decoded)
    directory = path.parent

    def is_recording(name: str) -> bool:
        return _names_recording(recordings, name, directory)

    layout, bad = regular(lay_out(table, request.columns, is_recording))
    header = "with a header" if layout.has_header else "without a header"
    guess = " by guess: if this is wrong, give --encoding" if decoded.is_guess else ""
    found.taken.append(
        f"{path}: {table.kind}, {header}, {len(layout.rows) + len(bad):,} rows, in "
        f"{decoded.encoding_name}{guess}"
    )
    found.taken += [f"  {line}" for line in layout.lines()]
    for row, what in bad:
        account.leave_out("rows that cannot be read", f"{path}:{row.line}: {what}")
    utterances = []
    for row in layout.rows:
        where = f"{path}:{row.line}"
        try:
            audio_path = recordings.find(row.cells[layout.roles["audio"]], directory)
        except NotFound as error:
            several = isinstance(error, Ambiguous)
            reason = "rows that fit several recordings" if several else "rows without a recording"
            account.leave_out(reason, f"{where}: {error}")
            continue
        account.mentioned.add(audio_path.absolute())
        try:
            utterance = _of_row(row, layout, audio_path, request)
        except InputError as error:
            account.leave_out("rows that cannot be read", f"{where}: {error}")
            continue
        if utterance.text:
            utterances.append(utterance)
        else:
            account.leave_out("rows without a text", f"{where}: {audio_path.name}")
    return utterances


def _names_recording(recordings: Recordings, name: str, beside: Path) -> bool:
    try:
        recordings.find(name, beside)
    except NotFound as error:
        return isinstance(error, Ambiguous)
    return True


def _of_row(row: Row, layout: Layout, audio_path: Path, request: Request) -> Utterance:
    """The utterance of a row. Raises InputError for times that are not numbers."""
    cells = {role: row.cells[index].strip() for role, index in layout.roles.items()}
    offset_s, duration_s = 0.0, None
    if cells.get("offset"):
        offset_s = _seconds(cells["offset"], "offset")
        if cells.get("end"):
            duration_s = _seconds(cells["end"], "end") - offset_s
        elif cells.get("duration"):
            duration_s = _seconds(cells["duration"], "duration")
        if duration_s is not None and duration_s <= 0:
            raise InputError(f"ends at or before its start at {offset_s:g} s")
    taken = layout.roles.values()
    others = {
        name: row.cells[index].strip()
        for index, name in enumerate(layout.names)
        if index not in taken and row.cells[index].strip() and name not in KNOWN_KEYS
    }
    return Utterance(
        audio_path.absolute(),
        duration_s=duration_s,
        text=" ".join(cells["text"].split()),
        offset_s=offset_s,
        speaker=cells.get("speaker") or None,
        language=request.language or language_of_name(cells.get("language", "")),
        extra=others,
        source_file=layout.table.path,
        line=row.line,
    )


def _seconds(text: str, name: str) -> float:
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < LONGEST_S:
        raise InputError(f"{name} {text}: it must be a number of seconds")
    return seconds


def _once(utterances: Iterable[Utterance], account: _Account) -> list[Utterance]:
    """Each part of audio once. This leaves out parts with several different texts."""
    by_stretch: dict[tuple[Path, float], list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_stretch[utterance.audio_path, utterance.offset_s].append(utterance)
    kept = []
    for same in by_stretch.values():
        if len({utterance.text for utterance in same}) == 1:
            kept.append(same[0])
            for other in same[1:]:
                account.leave_out("repeated rows", f"{other.where}: {other.id}")
        else:
            places = ", ".join(utterance.where for utterance in same)
            account.leave_out("recordings with more than one text", f"{same[0].id}: {places}")
    return kept


def _timed(
    utterances: Sequence[Utterance],
    request: Request,
    account: _Account,
    on_probe: Callable[[], object],
) -> list[Utterance]:
    """The utterances with their durations, without those of unreadable recordings."""

    def timed(utterance: Utterance) -> Utterance | str:
        try:
            rest_s = _length_s(utterance.audio_path) - utterance.offset_s
        except InputError as error:
            return str(error)
        finally:
            on_probe()
        if rest_s <= 0:
            return f"{utterance.audio_path}: holds no audio from {utterance.offset_s:g} s on"
        duration_s = min(utterance.duration_s or rest_s, rest_s)
        return replace(utterance, duration_s=round(duration_s, 4))

    kept = []
    with ThreadPoolExecutor(request.num_threads) as pool:
        for result in pool.map(timed, utterances):
            if isinstance(result, Utterance):
                kept.append(result)
            else:
                account.leave_out("recordings that cannot be read", result)
    return kept


def _length_s(path: Path) -> float:
    """The length of a recording, by its header or else by reading it. Raises InputError."""
    length_s = probe_audio(path).duration_s
    if length_s is not None:
        return length_s
    return sum(map(len, audio_blocks(path))) / SAMPLE_RATE_HZ


def _with_speakers(
    utterances: Sequence[Utterance], request: Request, found: Import
) -> list[Utterance]:
    """The utterances with speakers from their paths, and a note about those without a speaker."""
    pattern = request.speaker_from
    if pattern is not None:
        directory = request.directory.absolute()
        speakers = [speaker_in(each.audio_path, directory, pattern) for each in utterances]
        utterances = [
            replace(each, speaker=speaker)
            for each, speaker in zip(utterances, speakers, strict=True)
        ]
        found.taken.append(f"speaker: from the recordings' paths, by {pattern.pattern}")
    nameless = [each for each in utterances if not each.speaker]
    if nameless and pattern is not None:
        example = nameless[0].audio_path.relative_to(request.directory.absolute())
        found.notes.append(
            f"{len(nameless):,} of {len(utterances):,} recordings have no speaker: --speaker-from "
            f"finds nothing in {example}"
        )
    elif nameless:
        found.notes.append(
            f"{len(nameless):,} of {len(utterances):,} recordings have no speaker: if their paths "
            "name it, use --speaker-from, such as --speaker-from '^([^/]+)/' for a folder each"
        )
    return list(utterances)
