"""Small texts and models for the tests of language models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds2.ngram.build import build_model
from ds2.ngram.estimate import EstimateConfig
from ds2.ngram.levels import NgramLevel, spelled
from ds2.ngram.model import NgramModel

Gram = tuple[str, ...]

GENESIS = """\
in the beginning god created the heaven and the earth
and the earth was without form and void and darkness was upon the face of the deep and the spirit \
of god moved upon the face of the waters
and god said let there be light and there was light
and god saw the light that it was good and god divided the light from the darkness
and god called the light day and the darkness he called night and the evening and the morning \
were the first day
and god said let there be a firmament in the midst of the waters and let it divide the waters \
from the waters
and god made the firmament and divided the waters which were under the firmament from the waters \
which were above the firmament and it was so
and god called the firmament heaven and the evening and the morning were the second day
and god said let the waters under the heaven be gathered together unto one place and let the dry \
land appear and it was so
and god called the dry land earth and the gathering together of the waters called he seas and god \
saw that it was good
"""
"""Genesis 1, 1 to 10, King James Version."""

POEM = "床前明月光疑是地上霜\n举头望明月低头思故乡\n"  # Li Bai

FALLBACK = (0.5, 1.0, 1.5)


def build(path: Path, text: str, config: EstimateConfig, **options: Any) -> NgramModel:
    """Build a model of the text in the directory `path`, and load it."""
    source, output = path / "text.txt", path / "lm.bin"
    source.write_text(text, encoding="utf-8")
    build_model([source], output, config, **{"unit": "word", "exact": True, **options})
    return NgramModel.load(output)


def grams_of(levels: Sequence[NgramLevel], vocabulary: Sequence[str]) -> dict[Gram, Any]:
    """All n-grams with their log10 probability and back-off weight."""
    grams = {}
    for order, level in enumerate(levels, 1):
        rows = spelled(levels, order, np.arange(len(level)))
        numbers = zip(level.log10_probs[:].tolist(), level.log10_backoffs[:].tolist(), strict=True)
        for row, number in zip(rows, numbers, strict=True):
            grams[tuple(vocabulary[index] for index in row)] = number
    return grams


def grams_in(model: NgramModel) -> dict[Gram, Any]:
    """All n-grams of a model with their log10 probability and back-off weight."""
    return grams_of(model.levels(), model.vocabulary)


def backed_off(grams: dict[Gram, Any], context: Gram, word: str) -> float:
    """The log10 probability of a word after a context, by the definition of back-off models."""
    gram = (*context, word)
    if gram in grams:
        return float(grams[gram][0])
    if not context:
        return float(grams["<unk>",][0])
    weight = grams[context][1] if context in grams else 0.0
    return float(weight) + backed_off(grams, context[1:], word)
