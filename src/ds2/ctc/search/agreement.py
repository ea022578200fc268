"""How far the beam agrees on a word, compiled: what word confidences are made of.

The hypotheses in the beam share their early words: what else these might have been was dropped
long ago. So a word is judged when the beam still knows better, a little after its end: by the
share of the beam's probability that is in hypotheses with this word at this time.
"""

import math

import numpy as np
import numpy.typing as npt

from ds2.compilation import inlined
from ds2.ctc.search.prefixes import NOTHING, Memory
from ds2.ctc.search.tables import Int

DELAY = 12
"""Frames that the beam has after a word's end to make up its mind."""
EVERY = 4
"""Frames from one judgement to the next. Each covers two such spans, so that hypotheses which end
the same word a frame apart meet in one of them."""


@inlined
def turn_into_shares(scores: npt.NDArray[np.float64]) -> None:
    """exp(scores), made to sum to 1, in their place."""
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
    """Where a word stands in the table, or would."""
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
    """Give a word a hypothesis' share."""
    key |= 1  # 0 is an empty place
    place = place_of(memory.word_keys, key)
    if memory.word_keys[place] == 0:
        take_place(memory, place, key)
    memory.word_shares[place] += share


@inlined
def share_of(memory: Memory, key: Int) -> float:
    """What a word has been given, at most 1: a hypothesis may hold it twice."""
    return min(1.0, memory.word_shares[place_of(memory.word_keys, key | 1)])


@inlined
def add_words(memory: Memory, index: int, share: float, first_frame: int, last_frame: int) -> None:
    """Give the share to the prefix's words that ended after first_frame, by last_frame."""
    index = memory.prefixes[index].last_word
    while index >= 0 and memory.prefixes[index].frame > first_frame:
        if memory.prefixes[index].frame <= last_frame:
            add_share(memory, memory.prefixes[index].word_hash, share)
        index = memory.prefixes[memory.prefixes[index].parent].last_word


@inlined
def clear_words(memory: Memory) -> None:
    """Empty the table: a few of its many places."""
    for index in range(memory.counts.num_words):
        place = memory.word_places[index]
        memory.word_keys[place] = 0
        memory.word_shares[place] = 0.0
    memory.counts.num_words = 0


@inlined
def measure_words(memory: Memory) -> None:
    """At every EVERY-th frame, judge the words that ended DELAY frames before."""
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
