"""The memory of a beam search: a tree of prefixes, the beam, and the times of labels."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ds2.compilation import compiled, inlined, structure
from ds2.ctc.search.tables import Scoring

ROOT = 0
"""The empty prefix."""
SCRATCH = np.int64(1)
"""A record outside the tree, in which the search tries a prefix."""
NO_SLOT = -1
NOTHING = -np.inf  # the logarithm of no probability
NUM_KEYS = 32
"""Places in the table of words for each entry of the beam."""

PREFIX = np.dtype(
    [
        ("parent", np.int32),
        ("label", np.int32),
        ("first_child", np.int32),
        ("next_sibling", np.int32),
        ("slot", np.int32),  # its place in the beam, or -1
        ("depth", np.int32),  # the number of its labels
        ("frame", np.int32),  # at which it was first reached
        ("last_word", np.int32),  # the prefix, this or one above, that ended the last whole word
        ("num_words", np.int32),  # whole words
        ("trie", np.int32),  # the node of the word under way; NO_WORD outside the vocabularies
        ("phrase", np.int32),
        ("in_word", np.int32),  # the letters of the word under way, 0 between words
        ("lm_state", np.int64),
        ("text_hash", np.int64),  # of its words; a space at the end makes no difference
        ("word_hash", np.int64),  # of the last word, whole or under way
        ("lm", np.float64),  # alpha log p_lm of its whole words, and prices of unknown ones
        ("hot", np.float64),  # of whole phrases
        ("bound", np.float64),  # what the language model may yet give the word under way
        ("prior", np.float64),  # everything but acoustics, loans and bounds included
        ("confidence", np.float64),  # of the last word, if this ends it; -1 before it is known
    ],
    align=True,
)
"""A node of the tree of prefixes: a label sequence, and its state in all that scores it."""

ENTRY = np.dtype(
    [
        ("blank", np.float64),  # of all alignments that end in a blank
        ("label", np.float64),  # of all that end in the prefix's last label
        ("acoustic", np.float64),  # of both
        ("score", np.float64),  # what the beam is ranked by
        ("best_blank", np.float64),  # of the best alignment that ends in a blank
        ("best_label", np.float64),
        ("blank_end", np.int32),  # in the former, where the last label's run ended
        ("blank_start", np.int32),
        ("label_start", np.int32),  # in the latter, where it began; it goes on to this frame
        ("blank_mark", np.int32),  # the times of the labels before the last
        ("label_mark", np.int32),
        ("prefix", np.int32),
        ("blank_peak", np.float32),  # the last label's highest log-probability in its run
        ("label_peak", np.float32),
    ],
    align=True,
)
"""A prefix in the beam."""

MARK = np.dtype(
    [("before", np.int32), ("start", np.int32), ("end", np.int32), ("peak", np.float32)], align=True
)
"""The times of one label in an alignment, and the mark of the label before it, or -1."""

COUNTS = np.dtype(
    [
        ("num_prefixes", np.int64),
        ("num_marks", np.int64),
        ("num_entries", np.int64),  # in the beam
        ("num_frames", np.int64),  # heard
        ("num_words", np.int64),  # in the table of words
    ],
    align=True,
)
"""How many items of the memory's arrays are in use."""

LOOKUP = np.dtype(
    [("state", np.int64), ("word", np.int64), ("log_prob", np.float64), ("next", np.int64)]
)
"""An earlier look-up of the language model and its result."""
NUM_LOOKUPS = 1 << 12
EMPTY_LOOKUP = np.array((-1, 0, 0.0, 0), LOOKUP)


Prefix: TypeAlias = Any
"""A record of PREFIX."""
Entry: TypeAlias = Any
"""A record of ENTRY."""
Prefixes: TypeAlias = npt.NDArray[np.void]
"""(N,) of PREFIX."""
Entries: TypeAlias = npt.NDArray[np.void]
"""(N,) of ENTRY."""
Lookups: TypeAlias = npt.NDArray[np.void]
"""(NUM_LOOKUPS,) of LOOKUP."""
Places: TypeAlias = npt.NDArray[np.int32]
"""Which items are kept, and their new indices; see `_forget`."""
Row: TypeAlias = npt.NDArray[np.float32]
"""(V,) log_probs of a frame."""


@dataclass(frozen=True)
@structure
class Limits:
    """How far the search goes; see `BeamSettings`."""

    beam_width: int
    beam_threshold: float
    label_mass: float
    max_labels: int
    keeps_all: bool  # also hypotheses that can never become the best


@dataclass(frozen=True)
@structure
class Memory:
    """The memory of one stream's search, and the arrays that it works in."""

    prefixes: Annotated[
        npt.NDArray[np.void], PREFIX
    ]  # the tree: ROOT, SCRATCH, then the others as they came
    marks: Annotated[npt.NDArray[np.void], MARK]
    beam: Annotated[
        npt.NDArray[np.void], ENTRY, 2
    ]  # (2, beam_width): of this frame and of the next, in turns
    counts: Annotated[Any, COUNTS, 0]
    lookups: Annotated[npt.NDArray[np.void], LOOKUP]
    labels: npt.NDArray[np.int32]  # (max_labels,) the frame's likeliest
    places: npt.NDArray[np.int32]  # (V,) of a label among these, or -1
    taken: Annotated[
        npt.NDArray[np.int32], 2
    ]  # (beam_width, max_labels): the number of the last frame whose beam held the longer prefix
    scores: npt.NDArray[np.float64]  # (beam_width * (1 + max_labels),) of the candidates
    ranking: npt.NDArray[np.float64]  # the same, to be put in another order
    origins: Annotated[
        npt.NDArray[np.int32], 2
    ]  # the same, 2: a slot of this frame's beam, and a label
    word_keys: npt.NDArray[np.int64]  # a hash table of words, and
    word_shares: npt.NDArray[np.float64]  # the beam's agreement on each
    word_places: npt.NDArray[np.int32]  # of its places, those that are taken


def new_memory(scoring: Scoring, limits: Limits) -> Memory:
    """The memory of a search before its first frame."""
    num_labels = len(scoring.letters)
    max_labels = min(limits.max_labels, num_labels)
    room = limits.beam_width * (1 + max_labels)
    num_keys = 1 << (NUM_KEYS * limits.beam_width - 1).bit_length()
    memory = Memory(
        prefixes=np.zeros(max(1024, 16 * limits.beam_width), PREFIX),
        marks=np.zeros(max(1024, 16 * limits.beam_width), MARK),
        beam=np.zeros((2, limits.beam_width), ENTRY),
        counts=np.array((2, 0, 1, 0, 0), COUNTS),
        lookups=np.full(NUM_LOOKUPS, EMPTY_LOOKUP, LOOKUP),
        labels=np.zeros(max_labels, np.int32),
        places=np.full(num_labels, -1, np.int32),
        taken=np.zeros((limits.beam_width, max_labels), np.int32),
        scores=np.zeros(room, np.float64),
        ranking=np.zeros(room, np.float64),
        origins=np.zeros((room, 2), np.int32),
        word_keys=np.zeros(num_keys, np.int64),
        word_shares=np.zeros(num_keys, np.float64),
        word_places=np.zeros(num_keys, np.int32),
    )
    root = memory.prefixes[ROOT]
    for name in ("parent", "first_child", "next_sibling", "last_word"):
        root[name] = -1
    root["phrase"] = scoring.first_phrase_state
    root["trie"] = scoring.first_node
    root["lm_state"] = scoring.first_lm_state
    root["prior"] = scoring.phrase_loans[scoring.first_phrase_state]
    root["confidence"] = -1
    entry = memory.beam[0, 0]
    entry["label"] = entry["best_label"] = NOTHING
    entry["blank_mark"] = entry["label_mark"] = -1
    return memory


@inlined
def add_logs(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    if b < a - 28 or b == NOTHING:  # the sum would round to `a`
        return a
    return a + math.log1p(math.exp(b - a))


@inlined
def lacks_room(limits: Limits, memory: Memory) -> bool:
    """Whether a frame might need more prefixes or marks than there is room for."""
    counts = memory.counts
    too_many_prefixes = counts.num_prefixes + limits.beam_width > len(memory.prefixes)
    return too_many_prefixes or counts.num_marks + 2 * limits.beam_width > len(memory.marks)


@inlined
def _forget_prefixes(memory: Memory, beam: Entries, places: Places) -> int:
    """Keep the prefixes in the beam and all above them, in order. Returns their number."""
    num_prefixes = memory.counts.num_prefixes
    places[ROOT] = places[SCRATCH] = 1
    for entry in beam:
        index = entry.prefix
        while places[index] == 0:
            places[index] = 1
            index = memory.prefixes[index].parent
    num_kept = 0
    for index in range(num_prefixes):
        if places[index] == 0:
            continue
        places[index] = num_kept
        memory.prefixes[num_kept] = memory.prefixes[index]
        prefix = memory.prefixes[num_kept]
        prefix.first_child = -1
        if index > SCRATCH:  # the records that it points to come earlier and have their new indices
            prefix.last_word = places[prefix.last_word] if prefix.last_word >= 0 else -1
            prefix.parent = places[prefix.parent]
            above = memory.prefixes[prefix.parent]
            prefix.next_sibling = above.first_child
            above.first_child = num_kept
        num_kept += 1
    for slot in range(len(beam)):
        beam[slot].prefix = places[beam[slot].prefix]
    return num_kept


@inlined
def _forget_marks(memory: Memory, beam: Entries, places: Places) -> int:
    """Keep the marks that the beam's alignments lead back to. Returns their number."""
    num_marks = memory.counts.num_marks
    for entry in beam:
        for index in (entry.blank_mark, entry.label_mark):
            while index >= 0 and places[index] == 0:
                places[index] = 1
                index = memory.marks[index].before
    num_kept = 0
    for index in range(num_marks):
        if places[index] == 0:
            continue
        places[index] = num_kept
        memory.marks[num_kept] = memory.marks[index]
        before = memory.marks[num_kept].before
        memory.marks[num_kept].before = places[before] if before >= 0 else -1
        num_kept += 1
    for slot in range(len(beam)):
        entry = beam[slot]
        entry.blank_mark = places[entry.blank_mark] if entry.blank_mark >= 0 else -1
        entry.label_mark = places[entry.label_mark] if entry.label_mark >= 0 else -1
    return num_kept


@compiled
def _forget(memory: Memory, places: Places) -> None:
    """Drop the prefixes and marks that no hypothesis in the beam needs.

    places: (2, most) zeros to work in. An item that is kept gets 1 there, then its new index.
    """
    counts = memory.counts
    beam = memory.beam[counts.num_frames & 1][: counts.num_entries]
    counts.num_prefixes = _forget_prefixes(memory, beam, places[0])
    counts.num_marks = _forget_marks(memory, beam, places[1])


def with_room(memory: Memory) -> Memory:
    """The memory with room for more frames: dead items dropped, and larger if few are dead.

    So the memory grows with the text, not with the frames.
    """
    most = max(memory.counts["num_prefixes"], memory.counts["num_marks"])
    _forget(memory, np.zeros((2, most), np.int32))
    room = {}
    for name in ("prefixes", "marks"):
        array = getattr(memory, name)
        if 2 * memory.counts[f"num_{name}"] > len(array):
            room[name] = np.concatenate([array, np.zeros_like(array)])
    return replace(memory, **room) if room else memory
