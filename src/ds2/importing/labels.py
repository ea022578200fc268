"""Labels of other toolkits: which is the blank, which are symbols, which spell nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.text.alphabet import Alphabet

SPACE = "<space>"


@dataclass(frozen=True)
class Labels:
    """An alphabet, and where its labels are among those of a checkpoint."""

    alphabet: Alphabet
    order: list[int]  # rows of the output layer: the blank, the symbols, what spells nothing
    num_silent: int  # of these last
    where: str  # they were read

    def in_order(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(labels, ...) of an output layer, in our order."""
        return np.ascontiguousarray(rows[self.order])


def read_labels(tokens: Sequence[str], blank: int, where: str) -> Labels:
    """The labels that a list of tokens means.

    A token in angle brackets (<unk>, <eos>) spells nothing, but for <space>. Capital letters
    become small where that makes no two labels the same, as ds2's texts and language models have
    them. The language is Mandarin if any Chinese character is there. Raises InputError that names
    the token.
    """
    if not 0 <= blank < len(tokens):
        raise InputError(f"{where}: has {len(tokens)} labels, but the blank is number {blank}")
    symbols: dict[int, str] = {}
    silent = []
    for index, token in enumerate(tokens):
        if index == blank:
            continue
        if token == SPACE:
            symbols[index] = " "
        elif len(token) > 2 and token.startswith("<") and token.endswith(">"):
            silent.append(index)
        elif len(token) == 1:
            symbols[index] = token
        else:
            raise InputError(
                f'{where}: label {index}, "{token}": is {len(token)} characters long: only '
                "models that spell in single characters can be imported"
            )
    small = {index: symbol.lower() for index, symbol in symbols.items()}
    if len(set(small.values())) == len(small) and all(len(s) == 1 for s in small.values()):
        symbols = small
    language: Literal["en", "zh"] = "zh" if any(map(_is_chinese, symbols.values())) else "en"
    try:
        alphabet = Alphabet("characters", language, tuple(symbols.values()))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return Labels(alphabet, [blank, *symbols, *silent], len(silent), where)


def _is_chinese(symbol: str) -> bool:
    return "\u4e00" <= symbol <= "\u9fff"
