"""Damages good transcripts, so that a classifier can learn what bad ones look like."""

from collections.abc import Sequence

import numpy as np

from ds2.evaluation.metrics import units, word_errors
from ds2.text.spacing import is_spaced

SHARE = 0.4  # largest share of the words that one kind of damage removes or adds


def damaged(text: str, others: Sequence[str], language: str, rng: np.random.Generator) -> str:
    """The text with words lost, added, changed or cut off at an end, or another text.

    others: texts to take words from; none is empty. The result always differs from the text.
    """
    words = list(units(text, language))
    foreign = list(units(str(rng.choice(np.array(others, dtype=object))), language))
    separator = " " if is_spaced(language) else ""
    for _ in range(10):
        changed = separator.join(_changed(words, foreign, rng))
        if changed and changed != text:
            return changed
        foreign = list(units(str(rng.choice(np.array(others, dtype=object))), language))
    return text + separator + text  # all words are alike


def _changed(words: list[str], foreign: list[str], rng: np.random.Generator) -> list[str]:
    count = 1 + int(rng.integers(max(1, round(SHARE * len(words)))))
    start = int(rng.integers(len(words)))
    kind = rng.choice(["lose", "add", "change", "begin late", "end early", "other"])
    if kind == "lose":
        return words[:start] + words[start + count :]
    if kind == "add":
        return words[:start] + foreign[:count] + words[start:]
    if kind == "change":
        return words[:start] + foreign[:count] + words[start + count :]
    if kind == "begin late":
        return words[count:]
    if kind == "end early":
        return words[:-count]
    return foreign


def error_rate(truth: str, text: str, language: str) -> float:
    """The word error rate of a text against the truth; in Mandarin the character error rate."""
    return word_errors(truth, text, language).rate
