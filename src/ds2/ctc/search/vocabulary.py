"""The words that a language model knows, as a trie that hypotheses walk letter by letter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NO_WORD = -1
"""In place of a word id: the letters so far are no word, or not yet."""


@dataclass(frozen=True)
class Vocabulary:
    """A trie of words in flat arrays.

    Nodes are numbered breadth first, so the children of a node stand side by side: those of node i
    are first_child[i] to first_child[i + 1] - 1, in no order that matters. Node 0 is the empty
    beginning.
    """

    first_child: npt.NDArray[np.int32]  # (nodes + 1,)
    letters: npt.NDArray[np.int32]  # (nodes,) the letter that leads to a node, from 1 on
    words: npt.NDArray[np.int32]  # (nodes,) the id of the word that ends here, or NO_WORD
    bounds: npt.NDArray[np.float32]  # (nodes,) the best log-probability of any word from here on


def vocabulary_of(
    words: Sequence[str],
    ids: npt.NDArray[np.int32],
    log_probs: npt.NDArray[np.float32],
    letters: Mapping[str, int],
) -> Vocabulary:
    """The trie of words with their ids and log-probabilities.

    letters: the number, from 1 on, of every letter that can be spelt; words with others are left
    out, for they cannot be recognised.
    """
    spelt, kept = _spelt(words, letters)
    order = np.argsort(_as_bytes(spelt), kind="stable")
    spelt, kept = spelt[order], kept[order]
    is_new = np.ones(spelt.shape, bool)  # (words, letters): is this the first word that goes there
    is_new[1:] = np.logical_or.accumulate(spelt[1:] != spelt[:-1], axis=1)
    is_new &= spelt > 0
    depths, rows = np.nonzero(is_new.T)  # breadth first
    num_nodes = 1 + len(rows)
    nodes = np.zeros(spelt.shape, np.int32)  # the node of every word after every letter
    nodes[rows, depths] = np.arange(1, num_nodes)
    nodes = np.maximum.accumulate(nodes, axis=0)
    above = np.concatenate([np.zeros((len(spelt), 1), np.int32), nodes[:, :-1]], axis=1)
    parents = above[rows, depths]
    num_children = np.bincount(parents, minlength=num_nodes)
    first_child = np.concatenate([[1], 1 + np.cumsum(num_children)]).astype(np.int32)
    ends = nodes[np.arange(len(spelt)), np.count_nonzero(spelt, axis=1) - 1]
    word_ids = np.full(num_nodes, NO_WORD, np.int32)
    bounds = np.full(num_nodes, -np.inf, np.float32)
    word_ids[ends] = ids[kept]
    bounds[ends] = log_probs[kept]
    for depth in range(spelt.shape[1])[::-1]:
        level = slice(*(1 + np.searchsorted(depths, [depth, depth + 1])))
        np.maximum.at(bounds, parents[slice(level.start - 1, level.stop - 1)], bounds[level])
    node_letters = np.concatenate([[0], spelt[rows, depths]]).astype(np.int32)
    return Vocabulary(first_child, node_letters, word_ids, bounds)


def _spelt(
    words: Sequence[str], letters: Mapping[str, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """(words, longest) letters of those that can be spelt, 0 after their ends; and their places."""
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    lengths = np.array([len(word) for word in words], np.int64)
    table = np.zeros(max(map(ord, letters), default=0) + 1, np.int32)
    for letter, number in letters.items():
        table[ord(letter)] = number
    numbers = np.where(codes < len(table), table[np.minimum(codes, len(table) - 1)], 0)
    starts = np.cumsum(lengths) - lengths
    bad = np.zeros(len(words), bool)
    owners = np.repeat(np.arange(len(words)), lengths)
    bad[owners[numbers == 0]] = True
    bad |= lengths == 0
    spelt = np.zeros((len(words), int(lengths.max(initial=1))), np.int32)
    spelt[owners, np.arange(len(codes)) - starts[owners]] = numbers
    kept = np.flatnonzero(~bad)
    return spelt[kept], kept


def _as_bytes(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
    """Each row as one value that sorts by its letters."""
    big_endian = np.ascontiguousarray(rows.astype(">u2"))
    return big_endian.view(f"V{2 * rows.shape[1]}").ravel()
