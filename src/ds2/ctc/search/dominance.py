"""Dropping hypotheses that will not become the best, compiled.

Two prefixes have the same future if they have the same state of language model, vocabulary and
phrases, and the same last label. Then both grow by the same factors. If one of them is no better in
either part of its probability, it never becomes better. The two differ only in words that were said
a while ago. Without the worse one, the beam has room for recent differences, and more of the text
becomes stable.

Prefixes that spell the same words in different labels are not rivals. They become one prefix, which
has the probability of both.

This is exact for single alignments. A sum over alignments can lose a little: the probability that a
dropped prefix would still give to its continuations, or to another spelling of its words.
"""

import numpy as np

from ds2.compilation import inlined
from ds2.ctc.search.agreement import DELAY, EVERY, clear_words, place_of, take_place
from ds2.ctc.search.prefixes import Entry, Memory, add_logs
from ds2.ctc.search.scoring import mixed
from ds2.ctc.search.tables import Int
from ds2.ctc.search.vocabulary import NO_WORD


@inlined
def _future_of(memory: Memory, index: int, first_frame: int) -> Int:
    """A number that is the same for prefixes with the same future and the same recent words."""
    prefix = memory.prefixes[index]
    key = mixed(mixed(np.int64(0), prefix.lm_state), prefix.label)
    key = mixed(key, prefix.phrase)
    key = mixed(key, prefix.trie)
    key = mixed(key, prefix.word_hash)
    if prefix.trie == NO_WORD:
        key = mixed(key, prefix.in_word)
    word = prefix.last_word
    while word >= 0 and memory.prefixes[word].frame > first_frame:
        key = mixed(key, memory.prefixes[word].word_hash)
        word = memory.prefixes[memory.prefixes[word].parent].last_word
    return key | 1  # 0 is an empty place in the table


@inlined
def _decide(memory: Memory, one: Entry, other: Entry) -> int:
    """Of two entries with the same future: 1 if the first can go, -1 if the other can, else 0.

    An entry that goes leaves its probability to the other if both have the same text.
    """
    first, second = memory.prefixes[one.prefix], memory.prefixes[other.prefix]
    if first.text_hash == second.text_hash:
        blank, label = add_logs(one.blank, other.blank), add_logs(one.label, other.label)
        goes = 1 if one.acoustic <= other.acoustic else -1
        heir = other if goes > 0 else one
        heir.blank = blank
        heir.label = label
        heir.acoustic = add_logs(blank, label)
        heir.score = heir.acoustic + first.prior
        return goes
    prior = first.prior - second.prior
    if one.blank + prior <= other.blank and one.label + prior <= other.label:
        return 1
    if one.blank + prior >= other.blank and one.label + prior >= other.label:
        return -1
    return 0


@inlined
def drop_dominated(memory: Memory) -> None:
    """At every EVERY-th frame, drop the entries of the beam that another entry dominates.

    An entry stays until its words have been judged (ds2.ctc.search.agreement).
    """
    counts = memory.counts
    num_frames, num_entries = counts.num_frames, counts.num_entries
    if num_frames % EVERY:
        return
    first_frame = num_frames - DELAY - 2 * EVERY
    beam = memory.beam[num_frames & 1]
    clear_words(memory)
    for slot in range(num_entries):
        memory.ranking[slot] = 1.0  # stays, so far
        key = _future_of(memory, beam[slot].prefix, first_frame)
        place = place_of(memory.word_keys, key)
        if memory.word_keys[place] == 0:
            take_place(memory, place, key)
            memory.word_shares[place] = slot
            continue
        other = np.int64(memory.word_shares[place])
        decision = _decide(memory, beam[slot], beam[other])
        if decision > 0:
            memory.ranking[slot] = 0.0
        elif decision < 0:
            memory.ranking[other] = 0.0
            memory.word_shares[place] = slot
    num_kept = 0
    for slot in range(num_entries):
        if memory.ranking[slot] > 0.0:
            if slot != num_kept:
                beam[num_kept] = beam[slot]
            num_kept += 1
    counts.num_entries = num_kept
