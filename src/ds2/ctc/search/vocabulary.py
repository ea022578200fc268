"""The words that a language model knows, as a trie that hypotheses walk letter by letter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ds2.compilation import inlined, structure
from ds2.ctc.trie import trie_of

NO_WORD = -1
"""In place of a word id: the letters so far are no word, or not yet."""
NO_CHILD = 0
"""In place of a node: no word goes on so. The empty beginning is nobody's child."""

LAST_BIT = 62
"""Of the bits that letters have in `Vocabulary.branches`: it stands for all letters from it on."""


@dataclass(frozen=True)
@structure
class Vocabulary:
    """Words as a `Trie`, with the meaning of each node."""

    first_child: npt.NDArray[np.int32]  # (nodes + 1,)
    letters: npt.NDArray[np.int32]  # (nodes,) the letter that leads to a node, from 1 on
    words: npt.NDArray[np.int32]  # (nodes,) the id of the word that ends here, or NO_WORD
    bounds: npt.NDArray[np.float32]  # (nodes,) the best log-probability of any word from here on
    known: npt.NDArray[np.int32]  # (nodes,) the same beginning in another vocabulary, or NO_WORD;
    # empty where there is no other
    branches: npt.NDArray[np.int64]  # (nodes,) the letters that lead on from a node, as bits


def vocabulary_of(
    words: Sequence[str],
    ids: npt.NDArray[np.int32],
    log_probs: npt.NDArray[np.float32],
    letters: Mapping[str, int],
) -> Vocabulary:
    """The trie of words with their ids and log-probabilities.

    letters: the number, from 1 on, of each letter of the alphabet. Words with other letters are
    left out, because they cannot be recognised.
    """
    spelt, lengths, kept = _spelt(words, letters)
    trie = trie_of(spelt, lengths)
    ends = trie.path[np.cumsum(lengths) - 1]
    word_ids = np.full(trie.num_nodes, NO_WORD, np.int32)
    bounds = np.full(trie.num_nodes, -np.inf, np.float32)
    word_ids[ends] = ids[kept]
    bounds[ends] = log_probs[kept]
    for start, stop in zip(trie.levels[-2:0:-1], trie.levels[:1:-1], strict=True):
        level = slice(start, stop)
        np.maximum.at(bounds, trie.parents[level], bounds[level])
    branches = np.zeros(trie.num_nodes, np.int64)
    np.bitwise_or.at(branches, trie.parents[1:], np.int64(1) << bit_of(trie.letters[1:]))
    nothing = np.zeros(0, np.int32)
    return Vocabulary(trie.first_child, trie.letters, word_ids, bounds, nothing, branches)


def bit_of(letters: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The bit that stands for each letter in `Vocabulary.branches`; rare ones share the last."""
    return np.minimum(letters, LAST_BIT).astype(np.int64)


def strange_words(
    words: Sequence[str],
    word_id: int,
    log_prob: float,
    letters: Mapping[str, int],
    known: Vocabulary,
) -> Vocabulary:
    """Words beside a vocabulary that lacks them, all with one id and log-probability.

    A node stands for the same letters in both vocabularies, so it has the facts of both.
    """
    count = len(words)
    own = vocabulary_of(
        words, np.full(count, word_id, np.int32), np.full(count, log_prob, np.float32), letters
    )
    same = np.full(len(own.letters), NO_WORD, np.int32)
    same[0] = 0
    for node in range(len(own.letters)):
        there = int(same[node])
        if there == NO_WORD:
            continue
        if own.words[node] == NO_WORD:
            own.words[node] = known.words[there]
        own.bounds[node] = max(own.bounds[node], known.bounds[there])
        first, last = known.first_child[there : there + 2].tolist()
        beside = known.letters[first:last]
        for child in range(own.first_child[node], own.first_child[node + 1]):
            place = int(np.searchsorted(beside, own.letters[child]))
            if place < len(beside) and beside[place] == own.letters[child]:
                same[child] = first + place
    return Vocabulary(own.first_child, own.letters, own.words, own.bounds, same, own.branches)


@inlined
def child_of(
    first_child: npt.NDArray[np.int32], letters: npt.NDArray[np.int32], node: int, letter: int
) -> int:
    """The node of a trie after one more letter, or NO_CHILD."""
    low, high = first_child[node], first_child[node + 1]
    last = high
    while low < high:
        middle = (low + high) >> 1
        if letters[middle] < letter:
            low = middle + 1
        else:
            high = middle
    return low if low < last and letters[low] == letter else NO_CHILD


def _spelt(
    words: Sequence[str], letters: Mapping[str, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The letters, joined, of the words that can be spelt; (words,) their lengths and places."""
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    lengths = np.array([len(word) for word in words], np.int64)
    table = np.zeros(max(map(ord, letters), default=0) + 1, np.int32)
    for letter, number in letters.items():
        table[ord(letter)] = number
    numbers = np.where(codes < len(table), table[np.minimum(codes, len(table) - 1)], 0)
    owners = np.repeat(np.arange(len(words)), lengths)
    bad = lengths == 0
    bad[owners[numbers == 0]] = True
    kept = np.flatnonzero(~bad)
    return numbers[~bad[owners]].astype(np.int32), lengths[kept], kept
