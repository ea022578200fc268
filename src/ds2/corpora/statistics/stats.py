"""Statistics of a corpus and its groups: size, speakers, texts and sound."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ds2.corpora.checks.corpus import (
    CheckOptions,
    Corpus,
    Item,
    duration_s_of,
    items_of,
    num_words,
    statistics_of,
    value_of,
)
from ds2.corpora.checks.problem import Problem
from ds2.corpora.checks.sound import CLIPPED_FRACTION, SILENT_PEAK, Sound, listen
from ds2.errors import InputError
from ds2.manifest.utterance import Utterance
from ds2.text.alphabet import Alphabet, english_characters

NAMELESS = "(none)"
"""The group of utterances without a value in the field."""


@dataclass(frozen=True)
class Spread:
    """The distribution of values."""

    least: float
    p5: float
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """The distribution of the known values; None if there are none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(*(float(value) for value in np.quantile(known, [0, 0.05, 0.5, 0.95, 1])))


@dataclass(frozen=True)
class Texts:
    """The texts of some utterances."""

    num_characters: int
    num_words: int  # in Mandarin, characters
    num_without: int  # utterances without a text
    num_distinct: int
    characters_per_s: Spread | None
    words_per_s: Spread | None
    words_per_clip: Spread | None
    characters: dict[str, int]  # most common first
    alphabet_size: int | None  # labels without the blank; None: Mandarin without a model
    num_labels_seen: int | None  # of the alphabet
    outside: dict[str, int]  # characters that the alphabet lacks, most common first


@dataclass(frozen=True)
class Speakers:
    """The speakers of some utterances."""

    num: int
    num_without: int  # utterances without a speaker
    minutes: Spread | None  # of each speaker
    largest: dict[str, float]  # hours of the ten speakers with the most


@dataclass(frozen=True)
class Sounds:
    """The sound of the utterances whose recordings were read."""

    num_heard: int
    level_db: Spread | None
    peak_db: Spread | None
    snr_db: Spread | None  # estimated: see Loudness
    bandwidth_khz: Spread | None
    num_silent: int
    num_clipped: int
    sample_rates_hz: dict[int, int]  # most common first


@dataclass(frozen=True)
class Description:
    """The statistics of some utterances."""

    name: str
    num_clips: int
    hours: float
    duration_s: Spread | None
    speakers: Speakers
    texts: Texts
    sounds: Sounds


@dataclass(frozen=True)
class Part:
    """Utterances with a name: the whole corpus, or a group."""

    name: str
    items: Sequence[Item]


def listen_to_items(
    utterances: Sequence[Utterance],
    options: CheckOptions,
    num_heard: int | None,
    on_done: Callable[[], object] = lambda: None,
) -> tuple[list[Item], list[Problem]]:
    """The utterances with texts and durations, and with the sound for some of them.

    num_heard: the number of utterances to read, drawn at random; None: all. The choice does not
    depend on the order.
    Also returns the problems of unreadable recordings. Their items have no sound.
    """
    items, problems = [], []
    for item in items_of(utterances, options):
        try:
            duration_s = duration_s_of(item)
        except InputError as error:
            message = str(error).removeprefix(f"{item.utterance.where}: ")
            problems.append(Problem("unreadable", item.utterance.where, message))
        else:
            items.append(replace(item, utterance=replace(item.utterance, duration_s=duration_s)))
    drawn = sorted(range(len(items)), key=lambda index: _drawing_order(items[index]))[:num_heard]
    sounds = listen([items[index].utterance for index in drawn], options.num_threads, on_done)
    for index, sound in zip(drawn, sounds, strict=True):
        if isinstance(sound, Sound):
            items[index] = replace(items[index], sound=sound)
        else:
            problems.append(sound)
    return items, problems


def _drawing_order(item: Item) -> bytes:
    place = f"{item.utterance.audio_path}\0{item.utterance.offset_s}"
    return blake2b(place.encode(errors="surrogatepass"), digest_size=16).digest()


def groups_by(items: Sequence[Item], name: str) -> list[Part]:
    """Groups of items with equal values in a field, the one with the most hours first."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[value_of(item, name) or NAMELESS].append(item)
    parts = [Part(value, groups[value]) for value in sorted(groups)]
    return sorted(parts, key=lambda part: -_hours(part.items))


def describe(part: Part, alphabet: Alphabet | None = None) -> Description:
    """The statistics of the utterances.

    alphabet: for the texts; None: the English one if all texts are English.
    """
    items = part.items
    return Description(
        name=part.name,
        num_clips=len(items),
        hours=_hours(items),
        duration_s=Spread.of(item.duration_s for item in items),
        speakers=_speakers(items),
        texts=_texts(part, alphabet),
        sounds=_sounds(sounds_of(items)),
    )


def _hours(items: Iterable[Item]) -> float:
    return sum(item.duration_s or 0.0 for item in items) / 3600


def hours_of_speakers(items: Iterable[Item]) -> dict[str, float]:
    """The hours of each speaker, the most first."""
    hours: dict[str, float] = defaultdict(float)
    for item in items:
        if item.speaker is not None:
            hours[item.speaker] += (item.duration_s or 0.0) / 3600
    return dict(sorted(hours.items(), key=lambda pair: (-pair[1], pair[0])))


def _speakers(items: Sequence[Item]) -> Speakers:
    hours = hours_of_speakers(items)
    return Speakers(
        num=len(hours),
        num_without=sum(item.speaker is None for item in items),
        minutes=Spread.of(60 * each for each in hours.values()),
        largest=dict(list(hours.items())[:10]),
    )


def per_second(items: Iterable[Item], count: Callable[[Item], int]) -> list[float]:
    """The count in each second of each utterance with a text."""
    return [count(item) / item.duration_s for item in items if item.text and item.duration_s]


def num_characters(item: Item) -> int:
    """The characters of an utterance's text, with spaces."""
    return len(item.text)


def _texts(part: Part, alphabet: Alphabet | None) -> Texts:
    items = part.items
    facts = statistics_of(Corpus(Path(part.name), list(items), []))
    if alphabet is None and all(item.language == "en" for item in items):
        alphabet = english_characters()
    seen, outside = _coverage(items, alphabet) if alphabet else (set[int](), Counter[str]())
    return Texts(
        num_characters=sum(map(num_characters, items)),
        num_words=facts.num_words,
        num_without=sum(not item.text for item in items),
        num_distinct=len({item.text for item in items if item.text}),
        characters_per_s=Spread.of(per_second(items, num_characters)),
        words_per_s=Spread.of(per_second(items, num_words)),
        words_per_clip=Spread.of(num_words(item) for item in items if item.text),
        characters=facts.characters,
        alphabet_size=len(alphabet) - 1 if alphabet else None,
        num_labels_seen=len(seen) if alphabet else None,
        outside=dict(outside.most_common()),
    )


def _coverage(items: Iterable[Item], alphabet: Alphabet) -> tuple[set[int], Counter[str]]:
    """The labels that the texts use, and the characters that the alphabet lacks."""
    seen: set[int] = set()
    outside: Counter[str] = Counter()
    for item in items:
        missing = set(alphabet.unspellable(item.text))
        outside.update(character for character in item.text if character in missing)
        seen.update(alphabet.encode("".join(c for c in item.text if c not in missing)))
    return seen, outside


def sounds_of(items: Iterable[Item]) -> list[Sound]:
    """The sounds of the items that have one."""
    return [item.sound for item in items if item.sound]


def _sounds(sounds: Sequence[Sound]) -> Sounds:
    rates = Counter(sound.sample_rate_hz for sound in sounds)
    return Sounds(
        num_heard=len(sounds),
        level_db=Spread.of(sound.level_db for sound in sounds),
        peak_db=Spread.of(20 * float(np.log10(s.peak)) for s in sounds if s.peak >= SILENT_PEAK),
        snr_db=Spread.of(sound.snr_db for sound in sounds),
        bandwidth_khz=Spread.of(sound.bandwidth_hz / 1000 for sound in sounds),
        num_silent=sum(sound.peak < SILENT_PEAK for sound in sounds),
        num_clipped=sum(sound.clipped_fraction > CLIPPED_FRACTION for sound in sounds),
        sample_rates_hz=dict(rates.most_common()),
    )
