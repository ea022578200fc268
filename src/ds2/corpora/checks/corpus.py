"""Corpus: a whole manifest with its recordings, and a summary of it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from ds2.audio import probe_audio
from ds2.cores import usable_cores
from ds2.corpora.checks.problem import Problem
from ds2.corpora.checks.sound import SILENT_PEAK, Sound, listen
from ds2.errors import InputError
from ds2.manifest import read_manifest
from ds2.manifest.utterance import Utterance
from ds2.text.alphabet import Alphabet
from ds2.text.language import language_of_name
from ds2.text.normalise import normalise
from ds2.text.spacing import is_spaced

HAN = r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
"""A Chinese character."""

NO_SPEAKER = ("", "unknown", "none")
"""Names that mean an unknown speaker."""

OnStart: TypeAlias = Callable[[str, int], Callable[[], object]]
"""A function that gets a manifest's name and number of utterances before its recordings are read.
It returns a function to call after each recording."""


@dataclass(frozen=True)
class CheckOptions:
    """The settings of a check."""

    language: str | None = None  # None: each utterance's own, or that of its script
    alphabet: Alphabet | None = None  # None: the language's
    time_stride: int = 2  # feature frames for each output frame of the network
    normalise: bool = True  # whether training normalises the texts
    listens: bool = True  # whether to read the recordings
    num_threads: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance with the facts about it."""

    utterance: Utterance
    language: str
    text: str  # normalised; "" if there is none
    sound: Sound | None  # None: not read, or not readable

    @property
    def duration_s(self) -> float | None:
        return self.sound.duration_s if self.sound else self.utterance.duration_s

    @property
    def speaker(self) -> str | None:
        name = self.utterance.speaker
        return None if name is None or name.lower() in NO_SPEAKER else name

    @property
    def digest(self) -> str | None:
        """A checksum of the audio; None for silence or unread audio."""
        return self.sound.digest if self.sound and self.sound.peak >= SILENT_PEAK else None

    @property
    def stretch(self) -> tuple[Path, float, float | None]:
        """The place of the audio: file, offset and duration in seconds."""
        utterance = self.utterance
        return utterance.audio_path.resolve(), utterance.offset_s, utterance.duration_s


@dataclass(frozen=True)
class Corpus:
    """A whole manifest."""

    path: Path
    items: list[Item]
    problems: list[Problem]  # of unreadable lines and recordings


@dataclass(frozen=True)
class Statistics:
    """A summary of a manifest."""

    manifest: str
    num_utterances: int
    hours: float
    shortest_s: float | None
    median_s: float | None
    longest_s: float | None
    num_speakers: int
    num_without_speaker: int
    num_words: int  # in Mandarin, characters
    num_distinct_texts: int
    characters: dict[str, int]  # most common first
    sample_rates_hz: dict[int, int]  # most common first; empty without recordings
    median_bandwidth_hz: float | None


def read_corpus(path: Path, options: CheckOptions, on_start: OnStart) -> Corpus:
    """Read a manifest, and its recordings if the options say so. Raises InputError."""
    problems: list[Problem] = []

    def note_error(error: InputError) -> None:
        where, _, message = str(error).partition(": ")
        problems.append(Problem("manifest", where, message))

    utterances = read_manifest(path, on_error=note_error)
    sounds: Sequence[Sound | Problem | None] = [None] * len(utterances)
    if options.listens:
        sounds = listen(utterances, options.num_threads, on_start(str(path), len(utterances)))
    items = []
    for utterance, sound in zip(utterances, sounds, strict=True):
        if isinstance(sound, Problem):
            problems.append(sound)
            sound = None
        language = language_of(utterance, options)
        text = utterance.text or ""
        styled = normalise(text, language) if options.normalise else text
        items.append(Item(utterance, language, styled, sound))
    return Corpus(path, items, problems)


def items_of(utterances: Iterable[Utterance], options: CheckOptions | None = None) -> list[Item]:
    """The utterances with normalised texts. This does not read recordings."""
    items = []
    options = options or CheckOptions()
    for utterance in utterances:
        language = language_of(utterance, options)
        items.append(Item(utterance, language, normalise(utterance.text or "", language), None))
    return items


def value_of(item: Item, name: str) -> str | None:
    """The value of an utterance in a field, or its speaker, recording, text or manifest."""
    utterance = item.utterance
    if name == "speaker":
        return item.speaker
    if name == "recording":
        return str(utterance.audio_path.resolve())
    if name == "manifest":
        return str(utterance.source_file)
    if name == "text":
        return item.text or None
    if name == "language":
        return utterance.language or item.language
    value: Any = utterance.extra.get(name)
    return None if value is None or value == "" else str(value)


def duration_s_of(item: Item) -> float:
    """The duration by the manifest, or else by the header. Raises InputError if both lack it."""
    utterance = item.utterance
    duration_s = utterance.duration_s
    if duration_s is None:
        try:
            whole_s = probe_audio(utterance.audio_path).duration_s
        except InputError as error:
            raise InputError(f"{utterance.where}: has no duration, and {error}") from None
        if whole_s is None:
            raise InputError(f"{utterance.where}: has no duration: add it to the manifest")
        duration_s = max(0.0, whole_s - utterance.offset_s)
    return duration_s


def language_of(utterance: Utterance, options: CheckOptions) -> str:
    """The language code by the options, or else by the utterance, or else by the script.

    The script shows only Mandarin. A text in other letters counts as English.
    """
    if options.alphabet:
        return options.alphabet.language
    if options.language:
        return options.language
    named = language_of_name(utterance.language or "")
    if named is not None:
        return named
    return "zh" if re.search(HAN, utterance.text or "") else "en"


def statistics_of(corpus: Corpus) -> Statistics:
    """The summary of a corpus."""
    items = corpus.items
    durations_s = [item.duration_s for item in items if item.duration_s is not None]
    sounds = [item.sound for item in items if item.sound]
    speakers = [item.speaker for item in items if item.speaker is not None]
    return Statistics(
        manifest=str(corpus.path),
        num_utterances=len(items),
        hours=sum(durations_s) / 3600,
        shortest_s=min(durations_s, default=None),
        median_s=median(durations_s) if durations_s else None,
        longest_s=max(durations_s, default=None),
        num_speakers=len(set(speakers)),
        num_without_speaker=len(items) - len(speakers),
        num_words=sum(map(num_words, items)),
        num_distinct_texts=len({item.text for item in items}),
        characters=dict(Counter(c for item in items for c in item.text).most_common()),
        sample_rates_hz=dict(Counter(sound.sample_rate_hz for sound in sounds).most_common()),
        median_bandwidth_hz=median(s.bandwidth_hz for s in sounds) if sounds else None,
    )


def num_words(item: Item) -> int:
    """The words of an utterance. In a language without spaces, every character is a word."""
    if is_spaced(item.language):
        return len(item.text.split())
    return len(re.findall(r"[a-z']+|[^\sa-z']", item.text))
