"""Fits the words of a language model to an alphabet, so that a search can spell them."""

import logging
from collections.abc import Sequence

from ds2.errors import InputError
from ds2.ngram.corpus import END
from ds2.ngram.model import NgramModel
from ds2.text.alphabet import Alphabet

FEW = 0.5
"""ds2 looks at all words of a model if the alphabet can spell at most this share of the first."""
HARDLY_ANY = 0.05
"""If the alphabet spells only this share as they are, they are signs, single letters, mistakes."""
FIRST = 1000
"""The number of words that ds2 looks at in every model."""

logger = logging.getLogger("ds2.ngram")


def fitted(lm: NgramModel, alphabet: Alphabet) -> NgramModel:
    """The model, with its words in small letters where the alphabet has no capitals.

    Many published models have only capitals. Raises InputError if the alphabet can spell none of
    the words, because a search could then find no text.
    """
    words = lm.vocabulary[END + 1 :]
    letters = {*"".join(alphabet.symbols)} - {" "}
    first = words[:FIRST]
    if not words or _num_spelt(first, letters) > FEW * len(first):
        return lm
    small = [word.lower() for word in words]
    num_spelt, num_small = _num_spelt(words, letters), _num_spelt(small, letters)
    if not num_spelt and not num_small:
        raise InputError(
            f"{lm.name}: the model can spell none of its {len(words):,} words, such as "
            f'"{words[len(words) // 2]}": it is of another language or another spelling'
        )
    if num_spelt > HARDLY_ANY * num_small:
        return lm
    logger.info("%s: its words are in capitals: they are taken in small letters", lm.name)
    return lm.with_words(small)


def _num_spelt(words: Sequence[str], letters: set[str]) -> int:
    return sum(letters.issuperset(word) for word in words)
