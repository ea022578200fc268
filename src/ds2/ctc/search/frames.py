"""The inner loop of the prefix beam search, compiled: one frame after the other.

A prefix is a label sequence. Its probability is the sum over all alignments that say it so far, in
two parts: those that end in a blank, and those that end in its last label (Hannun et al., 2014,
"First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs").
Beside each sum, the search keeps the best single alignment, which gives the times.
"""

import math

import numpy as np
import numpy.typing as npt

from ds2.compilation import compiled, inlined
from ds2.ctc.hypothesis import BLANK
from ds2.ctc.search.agreement import measure_words
from ds2.ctc.search.dominance import drop_dominated
from ds2.ctc.search.prefixes import (
    NO_SLOT,
    NOTHING,
    ROOT,
    SCRATCH,
    Entries,
    Entry,
    Limits,
    Memory,
    Row,
    add_logs,
    lacks_room,
)
from ds2.ctc.search.scoring import (
    extend,
    most_after_letter,
    most_after_space,
    prior_after_letter,
)
from ds2.ctc.search.tables import FORBIDDEN, NO_LETTER, SPACE, Scoring

IMPOSSIBLE = -1e4
"""The log-probability of a label that a frame rules out: with -inf a beam could become empty."""


@inlined
def _likeliest(row: Row, limits: Limits, labels: npt.NDArray[np.int32]) -> int:
    """Fill `labels` with the fewest labels that, with the blank, have the mass; returns how many.

    The likeliest comes first. A label below (1 - mass) / V cannot be one of them.
    """
    mass = math.exp(row[BLANK])
    lowest = NOTHING
    if limits.label_mass < 1:
        if mass >= limits.label_mass:
            return 0
        lowest = math.log((1 - limits.label_mass) / len(row))
    num_labels = 0
    for label in range(1, len(row)):
        value = row[label]
        if value <= lowest:
            continue
        if num_labels == len(labels):  # the last falls out
            num_labels -= 1
        place = num_labels
        while place > 0 and row[labels[place - 1]] < value:
            labels[place] = labels[place - 1]
            place -= 1
        labels[place] = label
        num_labels += 1
        if num_labels == len(labels):
            lowest = row[labels[num_labels - 1]]
    for place in range(num_labels):
        if mass >= limits.label_mass and limits.label_mass < 1:
            return place
        mass += math.exp(row[labels[place]])
    return num_labels


@inlined
def _mark_last(memory: Memory, entry: Entry, after_blank: bool) -> int:
    """A mark for the last label of an entry; -1 if it has no label.

    after_blank: take the best alignment that ends in a blank; else the best that does not.
    """
    if entry.prefix == ROOT:
        return -1
    counts = memory.counts
    index = counts.num_marks
    counts.num_marks += 1
    mark = memory.marks[index]
    mark.before = entry.blank_mark if after_blank else entry.label_mark
    mark.start = entry.blank_start if after_blank else entry.label_start
    mark.end = entry.blank_end if after_blank else counts.num_frames
    mark.peak = entry.blank_peak if after_blank else entry.label_peak
    return index


@inlined
def _begin_label(
    memory: Memory, above: Entry, entry: Entry, repeats: bool, log_prob: float
) -> None:
    """Let an entry's last label begin at this frame, after the best alignment of the one above."""
    after_blank = repeats or above.best_blank >= above.best_label
    entry.best_label = (above.best_blank if after_blank else above.best_label) + log_prob
    entry.label_mark = _mark_last(memory, above, after_blank)
    entry.label_start = memory.counts.num_frames
    entry.label_peak = log_prob


@inlined
def _stay(memory: Memory, old: Entries, slot: int, row: Row, entry: Entry) -> None:
    """The entry of `slot` after a frame that makes its prefix no longer.

    The frame is a blank, or the last label again. Or it is the last label for the first time, after
    the prefix that is one label shorter, if that prefix is in the beam, too.
    """
    before = old[slot]
    prefix = memory.prefixes[before.prefix]
    frame = memory.counts.num_frames
    blank = max(row[BLANK], IMPOSSIBLE)
    entry.prefix = before.prefix
    entry.blank = before.acoustic + blank
    entry.label = NOTHING
    entry.best_label = NOTHING
    if before.best_blank >= before.best_label:
        entry.best_blank = before.best_blank + blank
        entry.blank_start = before.blank_start
        entry.blank_end = before.blank_end
        entry.blank_mark = before.blank_mark
        entry.blank_peak = before.blank_peak
    else:
        entry.best_blank = before.best_label + blank
        entry.blank_start = before.label_start
        entry.blank_end = frame
        entry.blank_mark = before.label_mark
        entry.blank_peak = before.label_peak
    if before.prefix != ROOT:
        log_prob = max(row[prefix.label], IMPOSSIBLE)
        entry.label = before.label + log_prob
        entry.best_label = before.best_label + log_prob
        entry.label_start = before.label_start
        entry.label_mark = before.label_mark
        entry.label_peak = max(before.label_peak, log_prob)
        above_slot = memory.prefixes[prefix.parent].slot
        if above_slot != NO_SLOT:
            above = old[above_slot]
            repeats = memory.prefixes[prefix.parent].label == prefix.label
            reached = above.blank if repeats else above.acoustic
            entry.label = add_logs(entry.label, reached + log_prob)
            best = above.best_blank if repeats else max(above.best_blank, above.best_label)
            if best + log_prob > entry.best_label:
                _begin_label(memory, above, entry, repeats, log_prob)
            if memory.places[prefix.label] >= 0:
                memory.taken[above_slot, memory.places[prefix.label]] = frame + 1
    entry.acoustic = add_logs(entry.blank, entry.label)
    entry.score = entry.acoustic + prefix.prior


@inlined
def _lowest_kept(memory: Memory, num_candidates: int, num_kept: int) -> float:
    """The num_kept-th highest score of the candidates, by quickselect."""
    scores = memory.ranking
    for index in range(num_candidates):
        scores[index] = memory.scores[index]
    low, high = 0, num_candidates - 1
    wanted = num_kept - 1
    while low < high:
        middle = scores[(low + high) >> 1]
        left, right = low, high
        while left <= right:
            while scores[left] > middle:
                left += 1
            while scores[right] < middle:
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    return scores[wanted]


@inlined
def _try_longer(
    scoring: Scoring,
    limits: Limits,
    memory: Memory,
    old: Entries,
    row: Row,
    num_labels: int,
    best: float,
) -> tuple[int, float]:
    """Add the prefixes that are a label longer to the candidates, except those out of reach.

    best: the highest score so far. Returns the number of candidates and the highest score.
    """
    num_old = memory.counts.num_entries
    num_candidates = num_old
    next_look = limits.beam_width
    is_plain = scoring.of_words and not scoring.has_phrases  # a letter needs no whole extension
    full = NOTHING  # a beam of candidates has reached this score already
    this_frame = memory.counts.num_frames + 1
    for slot in range(num_old):
        entry = old[slot]
        prefix = memory.prefixes[entry.prefix]
        after_letter = most_after_letter(scoring, prefix)
        after_space = most_after_space(scoring, prefix)
        if num_candidates >= next_look:
            full = _lowest_kept(memory, num_candidates, limits.beam_width)
            next_look = num_candidates + limits.beam_width
        lowest = max(full, best - limits.beam_threshold)
        for place in range(num_labels):
            label = memory.labels[place]
            if entry.acoustic + row[label] + max(after_letter, after_space) < lowest:
                break  # those after it are even less likely
            if memory.taken[slot, place] == this_frame:
                continue
            repeats = prefix.label == label
            acoustic = (entry.blank if repeats else entry.acoustic) + row[label]
            letter = scoring.letters[label, 0]
            most = after_space if letter == SPACE else after_letter
            if acoustic + most < lowest or acoustic == NOTHING:
                continue
            if is_plain and letter != SPACE and scoring.letters[label, 1] == NO_LETTER:
                prior = prior_after_letter(scoring, prefix, letter)
            elif extend(scoring, memory.lookups, memory.prefixes, entry.prefix, label, SCRATCH):
                prior = memory.prefixes[SCRATCH].prior
            else:
                prior = FORBIDDEN
            score = acoustic + prior
            if score < lowest or prior == FORBIDDEN:
                continue
            if score > best:
                best = score
                lowest = max(full, best - limits.beam_threshold)
            memory.scores[num_candidates] = score
            memory.origins[num_candidates, 0] = slot
            memory.origins[num_candidates, 1] = label
            num_candidates += 1
    return num_candidates, best


@inlined
def _child_of(scoring: Scoring, memory: Memory, parent: int, label: int) -> int:
    """The prefix one label longer, made if the tree does not have it."""
    index = memory.prefixes[parent].first_child
    while index >= 0:
        if memory.prefixes[index].label == label:
            return index
        index = memory.prefixes[index].next_sibling
    counts = memory.counts
    index = counts.num_prefixes
    counts.num_prefixes += 1
    extend(scoring, memory.lookups, memory.prefixes, parent, label, index)
    above, prefix = memory.prefixes[parent], memory.prefixes[index]
    prefix.parent = parent
    prefix.label = label
    prefix.first_child = -1
    prefix.next_sibling = above.first_child
    above.first_child = index
    prefix.slot = NO_SLOT
    prefix.depth = above.depth + 1
    prefix.frame = counts.num_frames
    prefix.confidence = -1.0
    prefix.last_word = index if prefix.num_words > above.num_words else above.last_word
    return index


@inlined
def _lengthen(
    scoring: Scoring, memory: Memory, old: Entries, slot: int, row: Row, label: int, entry: Entry
) -> None:
    """The entry of a prefix that is a label longer than that of `slot`."""
    above = old[slot]
    repeats = memory.prefixes[above.prefix].label == label
    entry.prefix = _child_of(scoring, memory, above.prefix, label)
    entry.blank = NOTHING
    entry.best_blank = NOTHING
    entry.label = (above.blank if repeats else above.acoustic) + row[label]
    entry.acoustic = entry.label
    entry.score = entry.acoustic + memory.prefixes[entry.prefix].prior
    _begin_label(memory, above, entry, repeats, np.float64(row[label]))


@inlined
def _move(scoring: Scoring, limits: Limits, memory: Memory, row: Row, num_labels: int) -> None:
    """Move the beam by one frame. num_labels: how many of its labels are likely enough."""
    counts = memory.counts
    frame, num_old = counts.num_frames, counts.num_entries
    old, new = memory.beam[frame & 1], memory.beam[(frame + 1) & 1]
    for place in range(num_labels):
        memory.places[memory.labels[place]] = place
    for slot in range(num_old):
        memory.prefixes[old[slot].prefix].slot = slot
    best = NOTHING
    for slot in range(num_old):
        _stay(memory, old, slot, row, new[slot])
        memory.scores[slot] = new[slot].score
        best = max(best, new[slot].score)
    num_candidates, best = _try_longer(scoring, limits, memory, old, row, num_labels, best)
    lowest = best - limits.beam_threshold
    if num_candidates > limits.beam_width:
        lowest = max(lowest, _lowest_kept(memory, num_candidates, limits.beam_width))
    room = limits.beam_width  # for candidates whose score is exactly `lowest`
    for index in range(num_candidates):
        room -= memory.scores[index] > lowest
    num_new = 0
    for index in range(num_candidates):
        if memory.scores[index] <= lowest:
            if memory.scores[index] < lowest or room <= 0:
                continue
            room -= 1
        if index >= num_old:
            slot, label = memory.origins[index, 0], memory.origins[index, 1]
            _lengthen(scoring, memory, old, slot, row, label, new[num_new])
        elif index != num_new:
            new[num_new] = new[index]
        num_new += 1
    for slot in range(num_old):
        memory.prefixes[old[slot].prefix].slot = NO_SLOT
    for place in range(num_labels):
        memory.places[memory.labels[place]] = -1
    counts.num_entries = num_new
    counts.num_frames = frame + 1


@compiled
def take_frames(
    scoring: Scoring, limits: Limits, memory: Memory, log_probs: npt.NDArray[np.float32], first: int
) -> int:
    """Take the frames from `first` on. Returns the number of frames taken in all.

    It is less than the number of frames if the memory lacks room.
    """
    for index in range(first, len(log_probs)):
        if lacks_room(limits, memory):
            return index
        row = log_probs[index]
        num_labels = _likeliest(row, limits, memory.labels)
        _move(scoring, limits, memory, row, num_labels)
        measure_words(memory)
        if not limits.keeps_all:
            drop_dominated(memory)
    return len(log_probs)
