"""Run one peer's decoder on one set, in its own Python: a JSON job in, times and texts out.

decoder.py runs this program. The job has the set's file (log-probabilities u0, u1, ... in .npz),
the symbols, the ARPA file, the words, alpha and beta (for natural logarithms), and the beam. The
times are those of decoding alone: one warm-up utterance, then all utterances one after the other.
"""

import json
import math
import sys
import time

import numpy as np

LOG_10 = math.log(10)


def pyctcdecode(job):
    """Its defaults for pruning; a Mandarin character is a word, as its way to tell word borders is
    a mark before the first piece of each."""
    import logging

    from pyctcdecode import build_ctcdecoder

    logging.disable(logging.CRITICAL)
    of_characters = job["language"] == "zh"
    mark = "▁" if of_characters else ""
    labels = ["", *(mark + symbol if symbol != " " else " " for symbol in job["symbols"])]
    if of_characters:
        labels[1] = "▁⁇"  # the space is never output; every label must be a piece
    decoder = build_ctcdecoder(
        labels,
        job["arpa"],
        unigrams=job["words"],
        alpha=job["alpha"],
        beta=job["beta"],
    )

    def decode(log_probs):
        return decoder.decode(log_probs, beam_width=job["beam"])

    return decode


def flashlight(job):
    """Lexicon decoder with KenLM. Its LM weight is on log10; max, not sum, over alignments, as is
    its default."""
    from flashlight.lib.text.decoder import (
        CriterionType,
        KenLM,
        LexiconDecoder,
        LexiconDecoderOptions,
        SmearingMode,
        Trie,
    )
    from flashlight.lib.text.dictionary import Dictionary

    of_characters = job["language"] == "zh"
    labels = {symbol: label for label, symbol in enumerate(job["symbols"], 1)}
    space = labels[" "]
    words = Dictionary()
    for word in job["words"]:
        words.add_entry(word)
    words.add_entry("<unk>")
    words.set_default_index(words.get_index("<unk>"))
    lm = KenLM(job["arpa"], words)
    trie = Trie(len(labels) + 1, space)
    start = lm.start(False)
    for word in job["words"]:
        if not {*word} <= {*labels}:
            continue
        index = words.get_index(word)
        _, score = lm.score(start, index)
        spelling = [labels[letter] for letter in word] + ([] if of_characters else [space])
        trie.insert(spelling, index, score)
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        beam_size=job["beam"],
        beam_size_token=min(job["most_labels"], len(labels) + 1),
        beam_threshold=job["beam_threshold"],
        lm_weight=job["alpha"] * LOG_10,
        word_score=job["beta"],
        unk_score=-math.inf,
        sil_score=0.0,
        log_add=False,
        criterion_type=CriterionType.CTC,
    )
    unknown = words.get_index("<unk>")
    decoder = LexiconDecoder(options, trie, lm, space, 0, unknown, [], False)
    border = "" if of_characters else " "

    def decode(log_probs):
        emissions = np.ascontiguousarray(log_probs, np.float32)
        results = decoder.decode(emissions.ctypes.data, *emissions.shape)
        best = results[0].words if results else []
        return border.join(words.get_entry(index) for index in best if index >= 0)

    return decode


def fast_ctc_decode(job):
    """fast-ctc-decode has no language model; it ignores labels below the cut (below 1 / V)."""
    from fast_ctc_decode import beam_search

    alphabet = ["\0", *job["symbols"]]

    def decode(log_probs):
        text, _ = beam_search(
            np.exp(log_probs),
            alphabet,
            beam_size=job["beam"],
            beam_cut_threshold=min(1e-3, 0.9 / len(alphabet)),
        )
        return text

    return decode


PEERS = {
    "pyctcdecode": pyctcdecode,
    "flashlight": flashlight,
    "fast-ctc-decode": fast_ctc_decode,
}


def main():
    job = json.load(sys.stdin)
    with np.load(job["posteriors"]) as arrays:
        log_probs = [arrays[f"u{index}"] for index in range(job["num_utterances"])]
    decode = PEERS[job["peer"]](job)
    decode(log_probs[0])
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    texts = [decode(array) for array in log_probs]
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    json.dump({"cpu_s": cpu_s, "wall_s": wall_s, "texts": texts}, sys.stdout)


if __name__ == "__main__":
    main()
