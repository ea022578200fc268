"""From text to a language model in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.errors import InputError
from ds2.ngram.arpa import write_arpa
from ds2.ngram.binary import ModelFacts
from ds2.ngram.columns import DEFAULT_MEMORY, Workspace
from ds2.ngram.corpus import HeldOut, Report, Unit, new_numbering, read_lines, read_sentences
from ds2.ngram.counts import NgramCounter
from ds2.ngram.estimate import EstimateConfig, estimate
from ds2.ngram.levels import NgramLevel
from ds2.ngram.writing import save_model
from ds2.text.normalise import folded_letters, normalise


@dataclass(frozen=True, slots=True)
class Built:
    """Facts about a new model and its text."""

    num_sentences: int
    num_blank: int  # sentences without words among them
    num_held_out: int  # lines that were left out
    num_folded: int  # lines with letters that English writes as a to z
    num_words: int
    counts: tuple[int, ...]  # n-grams of each order
    counts_unpruned: tuple[int, ...]
    discounts: tuple[npt.NDArray[np.float64], ...]  # (3,) per order: D1, D2, D3+


def build_model(
    sources: Sequence[str | Path],
    output: Path,
    config: EstimateConfig,
    *,
    unit: Unit,
    language: str | None = None,
    held_out: Sequence[str | Path] = (),
    skip_blank: bool = False,
    exact: bool = False,
    arpa: Path | None = None,
    memory: int = DEFAULT_MEMORY,
    report: Report | None = None,
) -> Built:
    """Estimate a model and write it.

    sources: texts with one sentence per line: files, plain or .gz, or "-" for standard input; or
        manifests, whose texts are used.
    language: the language whose normaliser changes every line; None: use the text as it is.
    held_out: texts or manifests. Their sentences are left out of all sources.
    skip_blank: leave out lines without words. By default they are sentences, as in lmplz.
    exact: keep float32 numbers, which take up to half as much space again.
    arpa: a file for the model as text, with exact numbers; None: no such file.
    memory: bytes. If the n-grams need more, they are sorted in pieces on disk.

    Raises InputError if ds2 cannot read a text, or if the text is too small for a model.
    """
    report = report or _stay_silent
    normaliser = None if language is None else _Normaliser(language)
    away = _held_out(held_out, language)
    numbering = new_numbering(unit)
    sentences = read_sentences(
        sources,
        numbering,
        normaliser=normaliser,
        held_out=away,
        skip_blank=skip_blank,
        report=report,
    )
    with Workspace(memory) as workspace:
        counter = NgramCounter(config.order, workspace)
        for tokens in sentences:
            counter.add(tokens)
        if counter.num_words == 0:
            raise InputError(f"{', '.join(map(str, sources))}: no words to build a model from")
        vocabulary = numbering.words()
        counted = counter.finish(len(vocabulary), report)
        levels, discounts = estimate(counted, config, workspace, report)
        built = _sum_up(counter, away, normaliser, levels, discounts, workspace)
        report("writing", None)
        facts = ModelFacts(unit, language, _origin_of(built, config))
        save_model(output, levels, vocabulary, facts, workspace, exact=exact)
        if arpa is not None:
            write_arpa(arpa, levels, vocabulary, workspace)
    return built


class _Normaliser:
    """Normalises lines, and counts lines whose foreign letters become a to z."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.num_folded = 0

    def __call__(self, line: str) -> str:
        self.num_folded += self._language == "en" and bool(folded_letters(line))
        return normalise(line, self._language)


def _held_out(sources: Sequence[str | Path], language: str | None) -> HeldOut | None:
    """The sentences to leave out, normalised like the texts."""
    if not sources:
        return None
    return HeldOut(
        read_lines(sources, None if language is None else partial(normalise, language=language))
    )


def _sum_up(
    counter: NgramCounter,
    away: HeldOut | None,
    normaliser: _Normaliser | None,
    levels: Sequence[NgramLevel],
    discounts: Sequence[npt.NDArray[np.float64]],
    workspace: Workspace,
) -> Built:
    return Built(
        counter.num_sentences,
        counter.num_blank,
        away.num_met if away is not None else 0,
        normaliser.num_folded if normaliser is not None else 0,
        counter.num_words,
        tuple(level.num_kept(workspace) for level in levels),
        tuple(map(len, levels)),
        tuple(discounts),
    )


def _origin_of(built: Built, config: EstimateConfig) -> dict[str, Any]:
    """The facts about its origin that the model's file holds."""
    return {
        "sentences": built.num_sentences,
        "words": built.num_words,
        "prune": list(config.thresholds),
        "discounts": [np.round(level, 6).tolist() for level in built.discounts],
    }


def _stay_silent(_stage: str, _fraction: float | None) -> None:
    pass
