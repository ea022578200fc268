"""Labels of other toolkits: the blank, the symbols, and labels that spell nothing."""

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
    """An alphabet, and the positions of its labels in a checkpoint."""

    alphabet: Alphabet
    order: list[int]  # rows of the output layer: the blank, the symbols, then silent labels
    num_silent: int  # number of silent labels, which spell nothing
    where: str  # the place of the labels, for messages

    def in_order(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows (labels, ...) of an output layer, in our order."""
        return np.ascontiguousarray(rows[self.order])


def read_labels(tokens: Sequence[str], blank: int, where: str) -> Labels:
    """The labels of a list of tokens.

    A token in angle brackets (<unk>, <eos>) spells nothing, except <space>. Capital letters become
    small, as in ds2's texts and language models, unless two labels would become equal. The language
    is Mandarin if there is any Chinese character. Raises InputError that names the token.
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
                f'{where}: label {index}, "{token}": has {len(token)} characters: ds2 imports '
                "only models that spell in single characters"
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
