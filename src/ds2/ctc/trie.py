"""Texts as a tree in flat arrays, which grows with their letters, however long the longest is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Trie:
    """The beginnings of texts.

    Nodes are numbered breadth first, so the children of a node stand side by side, in the order of
    their letters: those of node i are first_child[i] to first_child[i + 1] - 1. Node 0 is the
    empty beginning.
    """

    first_child: npt.NDArray[np.int32]  # (nodes + 1,)
    letters: npt.NDArray[np.int32]  # (nodes,) the letter that leads to a node, from 1 on
    parents: npt.NDArray[np.int32]  # (nodes,) of node 0: itself
    levels: npt.NDArray[np.int64]  # (depth + 2,) the first node of each depth, and their number
    path: npt.NDArray[np.int32]  # (all letters,) the node after each letter of the texts, joined

    @property
    def num_nodes(self) -> int:
        """With the empty beginning."""
        return len(self.letters)


def trie_of(letters: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> Trie:
    """The trie of texts.

    letters: of all texts, joined: numbers from 1 on; lengths: (texts,) of each text.
    """
    starts = np.cumsum(lengths) - lengths
    num_letters = np.int64(letters.max(initial=0)) + 1
    path = np.zeros(len(letters), np.int32)
    parents, node_letters = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    levels = [0, 1]
    active = np.flatnonzero(lengths > 0)  # the texts that have a letter at this depth
    nodes = np.zeros(len(active), np.int64)  # which they have reached before it
    depth = 0
    while len(active):
        places = starts[active] + depth
        edges, reached = np.unique(nodes * num_letters + letters[places], return_inverse=True)
        parents.append(edges // num_letters)
        node_letters.append(edges % num_letters)
        nodes = levels[-1] + reached.ravel()
        path[places] = nodes
        levels.append(levels[-1] + len(edges))
        depth += 1
        goes_on = lengths[active] > depth
        active, nodes = active[goes_on], nodes[goes_on]
    all_parents = np.concatenate(parents)
    num_children = np.bincount(all_parents[1:], minlength=levels[-1])
    return Trie(
        first_child=np.concatenate([[1], 1 + np.cumsum(num_children)]).astype(np.int32),
        letters=np.concatenate(node_letters).astype(np.int32),
        parents=all_parents.astype(np.int32),
        levels=np.array(levels, np.int64),
        path=path,
    )
