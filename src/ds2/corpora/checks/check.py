"""Checks whether manifests are fit for training and testing, and reports all faults."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from ds2.audio import SAMPLE_RATE_HZ
from ds2.corpora.checks.corpus import (
    HAN,
    CheckOptions,
    Corpus,
    Item,
    OnStart,
    Statistics,
    read_corpus,
    statistics_of,
)
from ds2.corpora.checks.overlap import MAX_NAMED, Overlap, compare, unseen_characters
from ds2.corpora.checks.problem import Problem
from ds2.corpora.checks.sound import sound_problems
from ds2.model.features import FeatureConfig
from ds2.text.alphabet import (
    Alphabet,
    english_characters,
    letters_of,
    mandarin_characters,
    visible,
)
from ds2.text.normalise import folded_letters

PACE_FACTOR = 4.0  # times the median of characters a second, or a part of it
MIN_FOR_PACE = 20  # a median of fewer utterances says little


@dataclass(frozen=True)
class Report:
    """The results of a check."""

    problems: list[Problem]
    statistics: list[Statistics]  # of the checked manifest, then of the others
    overlaps: list[Overlap]  # with each of the others

    @property
    def num_errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)


def check(
    path: Path,
    others: Sequence[Path],
    options: CheckOptions,
    on_start: OnStart = lambda _name, _total: lambda: None,
) -> Report:
    """Check a manifest, also against others: for example a test set against training data.

    Raises InputError if a manifest is unreadable as a whole.
    """
    corpus, *rest = (read_corpus(each, options, on_start) for each in (path, *others))
    alphabets = alphabets_for(corpus.items, options)
    problems = [*corpus.problems]
    for item in corpus.items:
        problems += item_problems(item, alphabets[item.language], options)
    if options.normalise:
        problems += folded_problems(corpus)
    problems += pace_problems(corpus.items)
    problems += duplicate_problems(corpus.items)
    overlaps = []
    for other in rest:
        overlap, found = compare(corpus, other)
        overlaps.append(overlap)
        problems += found
    if rest:
        problems += unseen_characters(corpus, rest)
    return Report(problems, [statistics_of(each) for each in (corpus, *rest)], overlaps)


def alphabets_for(items: Sequence[Item], options: CheckOptions) -> Mapping[str, Alphabet]:
    """The alphabet of each language in the texts.

    For Mandarin it has all Chinese characters of the texts. For English it is fixed. For all other
    languages it has all letters of the texts.
    """
    if options.alphabet:
        return {options.alphabet.language: options.alphabet}
    texts = defaultdict[str, list[str]](list)
    for item in items:
        texts[item.language].append(item.text)
    alphabets = {language: letters_of(texts[language], language) for language in texts}
    chinese = ("".join(re.findall(HAN, text)) for text in texts["zh"])
    return {**alphabets, "en": english_characters(), "zh": mandarin_characters(chinese)}


def item_problems(item: Item, alphabet: Alphabet, options: CheckOptions) -> Iterator[Problem]:
    """The problems of one utterance on its own."""
    where, raw = item.utterance.where, item.utterance.text
    if item.sound:
        yield from sound_problems(item.utterance, item.sound)
    if not item.text:
        yield Problem("no text", where, f'"{raw}" has no words' if raw else "has no text")
        return
    if item.text != raw:
        message = f'"{raw}" is read as: {item.text}'
        yield Problem("style", where, message, gist="is read in another style")
    missing = alphabet.unspellable(item.text)
    if missing:
        gist = f"the alphabet lacks {visible(missing)}"
        yield Problem("unspellable", where, f"{gist} (in: {item.text})", gist)
    elif item.duration_s is not None:
        yield from _length_problem(item, alphabet.encode(item.text), options.time_stride)


def _length_problem(item: Item, labels: Sequence[int], time_stride: int) -> Iterator[Problem]:
    """CTC needs a frame for each label, and a frame for a blank between equal labels."""
    duration_s = item.duration_s or 0.0
    needed = len(labels) + sum(first == second for first, second in pairwise(labels))
    num_frames = FeatureConfig().num_frames(round(duration_s * SAMPLE_RATE_HZ))
    available = -(-num_frames // time_stride)
    if needed > available:
        message = f"{duration_s:.2f} s give {available} output frames, its text needs {needed}"
        yield Problem("too short", item.utterance.where, message)


def pace_problems(items: Sequence[Item]) -> Iterator[Problem]:
    """Texts that are much longer or shorter for their audio than others of the language."""
    for language in sorted({item.language for item in items}):
        paces = [
            (item, len(item.text) / item.duration_s)
            for item in items
            if item.language == language and item.text and item.duration_s
        ]
        if len(paces) < MIN_FOR_PACE:
            continue
        usual = median(pace for _, pace in paces)
        for item, pace in paces:
            if not usual / PACE_FACTOR <= pace <= usual * PACE_FACTOR:
                message = f"{pace:.1f} characters a second, but {usual:.1f} are usual"
                yield Problem("pace", item.utterance.where, f"{message}: {item.text}")


def folded_problems(corpus: Corpus) -> Iterator[Problem]:
    """A note about letters that English texts lose. They are a sign of another language."""
    counts = Counter[str]()
    num_texts, first = 0, None
    for item in corpus.items:
        folded = folded_letters(item.utterance.text or "") if item.language == "en" else set()
        if folded:
            counts.update(folded)
            num_texts += 1
            first = first or item
    if first is not None:
        commonest = sorted(counts, key=lambda letter: (-counts[letter], letter))
        shown = " ".join(commonest[:MAX_NAMED])
        message = (
            f"{num_texts} of {len(corpus.items)} texts, the first {first.utterance.where}, have "
            f"letters that ds2 replaces by a to z: {shown}; if they are not English, say so: "
            '--language de, or "language": "de" in the manifest'
        )
        yield Problem("folded", str(corpus.path), message)


def duplicate_problems(items: Sequence[Item]) -> Iterator[Problem]:
    """Audio that occurs twice, and sentences that a speaker says twice."""
    audio: dict[object, Item] = {}
    sentences: dict[tuple[str, str], Item] = {}
    for item in items:
        where = item.utterance.where
        first = audio.setdefault(item.stretch, item)
        if first is item and item.digest:
            first = audio.setdefault(item.digest, item)
        if first is not item:
            text = "" if first.text == item.text else f', which has the text "{first.text}"'
            yield Problem("duplicate", where, f"the same audio as {first.utterance.where}{text}")
        elif item.text and item.speaker:
            before = sentences.setdefault((item.speaker, item.text), item)
            if before is not item:
                message = f"the speaker says the same in {before.utterance.where}: {item.text}"
                yield Problem("repeated", where, message, gist="says the same again")
