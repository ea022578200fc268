"""The trie of a language model: its nodes, in the order of the file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ds2.ngram.columns import Column, Workspace
from ds2.ngram.levels import NgramLevel

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Some nodes of the trie, in the order of their numbers."""

    words: Numbers  # (M,) int64, the id of the last word of each
    log10_probs: Numbers  # (M,) float32
    contexts: Numbers  # (M, 2) int64: first child and shorter context; (0, 2) at the highest order
    log10_backoffs: Numbers  # (M,) float32; (0,) at the highest order


def trie_nodes(
    levels: Sequence[NgramLevel], counts: Sequence[int], workspace: Workspace
) -> Iterator[Nodes]:
    """All nodes but the root, level by level: nodes 1, 2, 3, ...

    counts: the numbers of n-grams of each order that pruning left.

    A context without children and without a back-off weight changes no score. So it is never a
    state. When a word leads to such a context, the model goes on from its `shorter context`
    instead. No shorter context is of this kind.
    """
    new_ids = np.cumsum(levels[0].kept_rows(slice(0, len(levels[0])))) - 1
    first = 1
    reached: Column | None = None  # per n-gram of the level below: its state
    for level, count, above in zip(levels, counts, (*levels[1:], None), strict=True):
        if above is None:
            yield from _leaves(level, new_ids, workspace)
            return
        num_children = workspace.occurrences(above.parents, len(level), above.kept)
        below, reached = reached, workspace.column(np.uint32)
        node, child = first, first + count
        for rows in workspace.blocks(len(level)):
            kept, sizes = level.kept_rows(rows), num_children[rows]
            ends = child + np.cumsum(sizes)
            shorter = np.zeros(len(kept), np.int64)
            if below is not None:
                shorter = below.take(level.suffixes[rows]).astype(np.int64)
            numbers = node + np.cumsum(kept) - 1
            backoffs = level.log10_backoffs[rows]
            reached.append(np.where((sizes > 0) | (backoffs != 0), numbers, shorter))
            contexts = np.stack([ends - sizes, shorter], axis=1)
            words = new_ids[level.words[rows]]
            probs = level.log10_probs[rows]
            yield Nodes(words[kept], probs[kept], contexts[kept], backoffs[kept])
            node += int(np.count_nonzero(kept))
            child = int(ends[-1])
        num_children.clear()
        first += count


def _leaves(level: NgramLevel, new_ids: Numbers, workspace: Workspace) -> Iterator[Nodes]:
    """The nodes of the highest order."""
    for rows in workspace.blocks(len(level)):
        kept = level.kept_rows(rows)
        words = new_ids[level.words[rows][kept]]
        probs = level.log10_probs[rows][kept]
        yield Nodes(words, probs, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
