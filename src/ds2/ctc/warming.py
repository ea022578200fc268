"""Compiling ahead: every loop runs once, on a little made-up speech."""

import numpy as np

from ds2.ctc.alignment.approximate import ApproximateAligner, Tolerance
from ds2.ctc.alignment.forced import ForcedAligner
from ds2.ctc.beam_search import BeamSearch
from ds2.ctc.cost import ctc_cost
from ds2.ctc.search.priors import divide_by_priors
from ds2.ctc.search.tables import NO_LM
from ds2.ngram.score import EMPTY_STATE, score_word, score_words
from ds2.text.alphabet import english_characters

NUM_FRAMES = 8
LABELS = [1, 2]


def warm_up() -> None:
    """Compile all loops that have no machine code on disk, and keep the code there.

    The loops take the same types for every model, so this serves all models.
    """
    alphabet = english_characters()
    log_probs = np.full((NUM_FRAMES, len(alphabet)), -np.log(len(alphabet)), np.float32)
    decoder = BeamSearch(alphabet).decoder()
    decoder.feed(log_probs)
    decoder.warm_up()
    decoder.best()
    divide_by_priors(log_probs, log_probs[0], np.empty_like(log_probs))
    with ForcedAligner(LABELS) as forced:
        forced.feed(log_probs)
        forced.best()
    with ApproximateAligner([LABELS], Tolerance()) as approximate:
        approximate.feed(log_probs)
        approximate.best()
    ctc_cost(log_probs, LABELS)
    nothing = np.zeros(0, np.int64)
    score_words(NO_LM, EMPTY_STATE, nothing.astype(np.int32), nothing.astype(np.float64), nothing)
    score_word(NO_LM, EMPTY_STATE, 0)
