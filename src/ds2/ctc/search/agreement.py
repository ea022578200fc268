"""How far the beam agrees on a word, compiled. Word confidences come from it.

All hypotheses in the beam have the same early words, because others were dropped long ago. So the
search judges a word a little after its end, while the beam still holds alternatives. The measure
is the share of the beam's probability in hypotheses that have this word at this time.
"""

import math

import numpy as np
import numpy.typing as npt

from ds2.compilation import inlined
from ds2.ctc.search.prefixes import NOTHING, Memory
from ds2.ctc.search.tables import Int

DELAY = 12
"""Frames from the end of a word to its judgement."""
EVERY = 4
"""Frames from one judgement to the next. Each judgement covers two of these spans, because
hypotheses may end the same word a frame apart."""


@inlined
def turn_into_shares(scores: npt.NDArray[np.float64]) -> None:
    """Replace the scores by exp(scores), scaled to the sum 1."""
    highest = NOTHING
    for score in scores:
        highest = max(highest, score)
    total = 0.0
    for index in range(len(scores)):
        scores[index] = math.exp(scores[index] - highest) if highest > NOTHING else 0.0
        total += scores[index]
    for index in range(len(scores)):
        scores[index] /= max(total, 1.0)


@inlined
def place_of(keys: npt.NDArray[np.int64], key: Int) -> Int:
    """The place of a word in the table, or the empty place where it belongs."""
    place = key & (len(keys) - 1)
    while keys[place] != 0 and keys[place] != key:
        place = (place + 1) & (len(keys) - 1)
    return place


@inlined
def take_place(memory: Memory, place: Int, key: Int) -> None:
    """Put a word into an empty place of the table."""
    memory.word_keys[place] = key
    memory.word_places[memory.counts.num_words] = place
    memory.counts.num_words += 1


@inlined
def add_share(memory: Memory, key: Int, share: float) -> None:
    """Add a hypothesis' share to a word."""
    key |= 1  # 0 is an empty place
    place = place_of(memory.word_keys, key)
    if memory.word_keys[place] == 0:
        take_place(memory, place, key)
    memory.word_shares[place] += share


@inlined
def share_of(memory: Memory, key: Int) -> float:
    """The share of a word, at most 1: a hypothesis may hold the word twice."""
    return min(1.0, memory.word_shares[place_of(memory.word_keys, key | 1)])


@inlined
def add_words(memory: Memory, index: int, share: float, first_frame: int, last_frame: int) -> None:
    """Add the share to the words of the prefix that ended after first_frame, up to last_frame."""
    index = memory.prefixes[index].last_word
    while index >= 0 and memory.prefixes[index].frame > first_frame:
        if memory.prefixes[index].frame <= last_frame:
            add_share(memory, memory.prefixes[index].word_hash, share)
        index = memory.prefixes[memory.prefixes[index].parent].last_word


@inlined
def clear_words(memory: Memory) -> None:
    """Empty the places of the table that are taken."""
    for index in range(memory.counts.num_words):
        place = memory.word_places[index]
        memory.word_keys[place] = 0
        memory.word_shares[place] = 0.0
    memory.counts.num_words = 0


@inlined
def measure_words(memory: Memory) -> None:
    """At every EVERY-th frame, judge the words that ended DELAY frames earlier."""
    counts = memory.counts
    num_frames = counts.num_frames
    if num_frames % EVERY:
        return
    last_frame = num_frames - DELAY
    first_frame = last_frame - 2 * EVERY
    beam = memory.beam[num_frames & 1][: counts.num_entries]
    clear_words(memory)
    weights = memory.scores[: len(beam)]
    for slot in range(len(beam)):
        weights[slot] = beam[slot].score
    turn_into_shares(weights)
    for slot in range(len(beam)):
        add_words(memory, beam[slot].prefix, weights[slot], first_frame, last_frame)
    for slot in range(len(beam)):
        index = memory.prefixes[beam[slot].prefix].last_word
        while index >= 0 and memory.prefixes[index].frame > first_frame:
            prefix = memory.prefixes[index]
            if prefix.frame <= last_frame:
                prefix.confidence = max(prefix.confidence, share_of(memory, prefix.word_hash))
            index = memory.prefixes[prefix.parent].last_word
