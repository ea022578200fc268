"""Reading hypotheses out of a beam, compiled. This changes nothing in the search itself."""

import numpy as np
import numpy.typing as npt

from ds2.compilation import compiled, inlined
from ds2.ctc.search.agreement import (
    DELAY,
    EVERY,
    add_share,
    add_words,
    clear_words,
    share_of,
    turn_into_shares,
)
from ds2.ctc.search.prefixes import NOTHING, ROOT, SCRATCH, Memory
from ds2.ctc.search.scoring import end_sentence
from ds2.ctc.search.tables import Scoring

OPEN, WHOLE, CUT = 0, 1, 2
"""How a text ends; see `judge`."""

SPAN = np.dtype(
    [
        ("label", np.int32),
        ("start", np.int32),
        ("end", np.int32),
        ("peak", np.float32),
        ("posterior", np.float64),  # of the word that the label stands in
    ],
    align=True,
)
"""A label of a hypothesis, in its best alignment."""


@compiled
def judge(
    scoring: Scoring,
    memory: Memory,
    ending: int,
    parts: npt.NDArray[np.float64],
    hashes: npt.NDArray[np.int64],
) -> None:
    """Fill in the parts of the score of each entry of the beam, and a number for its text.

    parts: (entries, 4): acoustic, language model, count, hot phrases.
    ending: OPEN if the text may go on: the word under way counts with its bound. WHOLE if the text
    ends here: the acoustics of an entry that cannot end so are NOTHING. CUT if the text ends before
    the word under way.
    """
    counts = memory.counts
    beam = memory.beam[counts.num_frames & 1][: counts.num_entries]
    for slot in range(len(beam)):
        memory.prefixes[SCRATCH] = memory.prefixes[beam[slot].prefix]
        prefix = memory.prefixes[SCRATCH]
        if ending == CUT and prefix.in_word > 0:
            memory.prefixes[SCRATCH] = memory.prefixes[max(ROOT, prefix.last_word)]
        can_end = ending == OPEN or end_sentence(scoring, memory.lookups, prefix)
        loan = scoring.phrase_loans[prefix.phrase] if ending == OPEN else 0.0
        parts[slot, 0] = beam[slot].acoustic if can_end else NOTHING
        parts[slot, 1] = prefix.lm + prefix.bound
        parts[slot, 2] = scoring.word_bonus * (prefix.num_words + (prefix.in_word > 0))
        parts[slot, 3] = prefix.hot + loan
        hashes[slot] = prefix.text_hash


@inlined
def _shared(memory: Memory) -> int:
    """The longest prefix that all entries of the beam share: no frame can change it."""
    counts = memory.counts
    beam = memory.beam[counts.num_frames & 1][: counts.num_entries]
    shared = beam[0].prefix
    for entry in beam:
        index = entry.prefix
        while index != shared:
            if memory.prefixes[index].depth >= memory.prefixes[shared].depth:
                index = memory.prefixes[index].parent
            else:
                shared = memory.prefixes[shared].parent
        if shared == ROOT:
            break
    return shared


@compiled
def agree(memory: Memory, scores: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Judge the words that the search has not judged yet.

    scores: of the beam's entries; this overwrites them. Returns the last frame whose words the
    search has judged, and the prefix that is stable.
    """
    counts = memory.counts
    beam = memory.beam[counts.num_frames & 1][: counts.num_entries]
    last_judged = counts.num_frames // EVERY * EVERY - DELAY
    clear_words(memory)
    turn_into_shares(scores)
    for slot in range(len(beam)):
        index = beam[slot].prefix
        add_words(memory, index, scores[slot], last_judged - EVERY, counts.num_frames)
        if memory.prefixes[index].in_word:
            add_share(memory, memory.prefixes[index].word_hash, scores[slot])
    return last_judged, _shared(memory)


@compiled
def read_back(memory: Memory, slot: int, last_judged: int, spans: npt.NDArray[np.void]) -> None:
    """Fill `spans` with the labels of an entry; it must have as many items as the entry has labels.

    Call it after `agree`.
    """
    counts = memory.counts
    entry = memory.beam[counts.num_frames & 1][slot]
    index = entry.prefix
    after_blank = entry.best_blank >= entry.best_label
    mark = entry.blank_mark if after_blank else entry.label_mark
    posterior = 1.0
    word = -1
    if memory.prefixes[index].in_word:
        posterior = share_of(memory, memory.prefixes[index].word_hash)
    for place in range(len(spans) - 1, -1, -1):
        prefix = memory.prefixes[index]
        if prefix.last_word == index and word != index:
            word = index
            posterior = prefix.confidence
            if prefix.frame > last_judged or posterior < 0:
                posterior = share_of(memory, prefix.word_hash)
        span = spans[place]
        span.label = prefix.label
        span.posterior = posterior
        if place == len(spans) - 1:
            span.start = entry.blank_start if after_blank else entry.label_start
            span.end = entry.blank_end if after_blank else counts.num_frames
            span.peak = entry.blank_peak if after_blank else entry.label_peak
        else:
            span.start = memory.marks[mark].start
            span.end = memory.marks[mark].end
            span.peak = memory.marks[mark].peak
            mark = memory.marks[mark].before
        index = prefix.parent
